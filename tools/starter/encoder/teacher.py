"""Step 2: what a layer of Whisper's encoder makes of the originals, for the network to learn.

Of Whisper base, layer 4 says most of the phones: a linear head finds .70 of LJ's, and .58 in
ppg-starter. Its positions are absolute, and every window has its own average; so each sound is
computed at three places of three windows, and the mean is kept.
Writes WORK/teacher/<speaker>.safetensors.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from modules.common.cli import entry_point, make_parser
from modules.common.device import cpu_has_bf16
from tools.starter.encoder.tracks import UNIT, for_each_voice, pieces, teacher_path, write_tensors

LAYER = 4
WINDOW, STEP = 1500, 500  # units: 30 s, and 10 s between windows
_EDGE = 50  # units at either end of a window that know too little of their surroundings


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Compute the units; return the exit code."""
    parser = make_parser(__doc__, prog="python -m tools.starter.encoder.teacher")
    parser.add_argument("work", type=Path, help="folder for all results")
    parser.add_argument("--most", type=int, help="pieces of a speaker, as given to the step copies")
    parser.add_argument("--processes", type=int, default=1, help="0: one per core (%(default)s)")
    args = parser.parse_args(argv)
    for_each_voice(
        args.work, teacher_path, partial(_speaker, args.work, args.most), args.processes, "teacher"
    )
    return 0


def _speaker(work: Path, most: int | None, folder: Path) -> None:
    audio = np.concatenate([audio for audio, _ in pieces(folder, most)])
    units = load_teacher().units(torch.from_numpy(audio))
    write_tensors(teacher_path(work, folder.name), {"units": units.half()})


class Teacher:
    """The layers of Whisper's encoder up to LAYER."""

    def __init__(self) -> None:
        from evaluation.whisper_base import load_whisper_encoder
        from vencoder.whisper import WhisperSpectrogram

        self._network = load_whisper_encoder(LAYER)
        config = self._network.config
        self._spectrogram = WhisperSpectrogram(config.num_mel_bins, config.max_source_positions)

    @torch.no_grad()
    def units(self, audio: Tensor) -> Tensor:
        """Units (T // 320, C), float32, of audio (T,) at 16 kHz."""
        n_units = len(audio) // UNIT
        lead = WINDOW - STEP  # silence before the audio, so that its first units are in three windows too
        padded = torch.nn.functional.pad(audio, (lead * UNIT, lead * UNIT))
        total, count = torch.zeros(n_units, self._network.config.d_model), torch.zeros(n_units, 1)
        for start in range(-lead, n_units, STEP):
            first, last = max(0, start + _EDGE), min(n_units, start + WINDOW - _EDGE)
            if first >= last:
                continue
            window = padded[(start + lead) * UNIT : (start + lead + WINDOW) * UNIT]
            with torch.autocast("cpu", torch.bfloat16, enabled=cpu_has_bf16()):
                found = self._network(self._spectrogram(window)[None]).last_hidden_state[0].float()
            total[first:last] += found[first - start : last - start]
            count[first:last] += 1
        return total / count


@cache
def load_teacher() -> Teacher:
    """The teacher of this process."""
    return Teacher()


if __name__ == "__main__":
    sys.exit(main())
