"""What each knob of a conversion does to the sound of a trained voice.

    python -m benchmarks.pitch.trained -m logs/44k/G_best.pth [-s anna] [-t 7]

A synthetic singer's song, 30 cents sharp, is converted with each value. "0" is compared with the
conversion without the option, sample by sample. "autotune": mean distance of the result's notes
from the scale, and the extent of its vibrato. "formant": by how much the mean log-mel of voiced
frames above 1 kHz has moved along its axis, and the pitch with it. "protect": correlation of the
result with the source where that is unvoiced, and level there against the voice, re the source's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.measure import table, temporary_folder
from benchmarks.pitch.knobs import SHARP, vibrato_extent
from evaluation.evaluators.expression import note_spans
from inference.converter import Converter
from inference.options import ConvertOptions
from inference.pitch.scale import parse_scale
from inference.timbre.formant import shift_matrix
from modules.common.cli import make_parser
from modules.dsp.audio import read_audio, write_audio
from modules.dsp.f0 import transpose
from modules.dsp.mel import LogMel
from modules.dsp.mel_basis import mel_centres
from modules.dsp.notes import find_notes
from synthetic_voice import compose, sing

SINGER, SECONDS = "tomas", 12.0
VALUES = {"autotune": (0.0, 0.5, 1.0), "formant": (0.0, 2.0, -2.0, 4.0, -4.0), "protect": (0.0, 0.5, 1.0)}
_ABOVE = 1000.0  # Hz, where single harmonics do not show in a mean
_BETWEEN = 2  # frames between a voice and what counts as unvoiced: its decay is louder
_GRID = np.arange(-8, 8.01, 0.1)  # semitones


def main() -> None:
    """Convert and print a table for each knob."""
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("-m", "--model_path", required=True, help="voice model")
    add("-s", "--speaker", default="0", help="target speaker (%(default)s)")
    add("-t", "--trans", type=float, default=0.0, help="key, whole semitones (%(default)g)")
    args = parser.parse_args()
    with temporary_folder() as folder:
        voice = _TrainedVoice(args.model_path, args.speaker, args.trans, folder)
        plain = voice.sing()
        for knob, values in VALUES.items():
            rows = []
            for value in values:
                result = voice.sing(**{knob: value})
                same = "" if value else f"; {np.abs(result.audio - plain.audio).max():g} from the default"
                rows.append([f"{value:g}", *getattr(voice, knob)(result, plain)])
                rows[-1][-1] += same
            table([f"`--{knob}`", *HEADERS[knob]], rows)
            print(flush=True)


HEADERS = {
    "autotune": ("notes of the result from the scale", "its vibrato"),
    "formant": ("formants moved by", "pitch moved by"),
    "protect": ("unvoiced sounds: correlation with the source", "level re the source's"),
}


@dataclass(frozen=True, eq=False)
class _Sung:
    audio: np.ndarray  # (T,)
    f0: np.ndarray  # (N,), Hz, 0 where unvoiced, as tracked in the result


class _TrainedVoice:
    """A voice model, and the song that it sings."""

    def __init__(self, model: str, speaker: str, key: float, folder: Path) -> None:
        self._options = ConvertOptions(model_path=model, device="cpu", wav_format="wav")
        self._converter = Converter(self._options)
        self._speaker, self._key, self._folder = speaker, key, folder
        self._rate, self._frames = self._converter.sampling_rate, self._converter.frame_rate
        song = sing(compose(SINGER, SECONDS, 1).transposed(SHARP), SINGER, 1, self._rate)
        self._source, self._path = song.audio, folder / "song.wav"
        write_audio(self._path, song.audio, self._rate, "FLOAT")
        self._f0 = song.f0_at(np.arange(int(SECONDS * self._frames)) / self._frames).astype(np.float32)
        self._mel = LogMel(self._converter.config.data)

    def sing(self, **knobs: Any) -> _Sung:
        """The song in this voice."""
        self._converter.options = replace(self._options, **knobs)
        path = self._folder / "result.wav"
        self._converter.convert(self._path, path, self._speaker, self._key, subtype="FLOAT")
        audio = read_audio(path, self._rate)[0]
        f0, uv = self._converter.f0_predictor.predict(audio, len(self._f0))
        return _Sung(audio, f0 * uv)

    def autotune(self, result: _Sung, plain: _Sung) -> list[str]:
        """Distance of notes from the scale, and extent of vibrato."""
        scale = parse_scale("chromatic")
        assert scale is not None
        away = [abs(note.pitch - scale.nearest(note.pitch)) for note in find_notes(result.f0, self._frames)]
        spans = note_spans(transpose(self._f0, self._key), self._frames)
        extent = vibrato_extent(result.f0, spans)
        return [f"{100 * np.mean(away):.0f} cents", f"{extent:.0f} cents"]

    def formant(self, result: _Sung, plain: _Sung) -> list[str]:
        """How far the spectral envelope and the pitch have moved, semitones and cents."""
        data = self._converter.config.data
        own, moved = (self._envelope(sung.audio) for sung in (plain, result))
        above = mel_centres(data.n_mels, data.f_min, data.f_max) > _ABOVE
        errors = [np.std((shift_matrix(data, shift) @ own - moved)[above]) for shift in _GRID]
        both = (plain.f0 > 0) & (result.f0 > 0)
        cents = 1200 * np.log2(result.f0[both] / plain.f0[both])
        return [f"{_GRID[int(np.argmin(errors))]:+.1f} semitones", f"{np.median(cents):+.0f} cents"]

    def _envelope(self, audio: np.ndarray) -> np.ndarray:
        """Mean log-mel (M,) where the song is voiced."""
        mel: np.ndarray = self._mel(torch.from_numpy(audio)[None])[0].numpy()
        n = min(mel.shape[1], len(self._f0))
        mean: np.ndarray = mel[:, :n][:, self._f0[:n] > 0].mean(1)
        return mean

    def protect(self, result: _Sung, plain: _Sung) -> list[str]:
        """Likeness and level of unvoiced sounds."""
        n = len(self._f0) * self._converter.config.data.hop_length
        audio, source = result.audio[:n], self._source[:n]
        hop = n // len(self._f0)
        near = np.convolve(self._f0 > 0, np.ones(2 * _BETWEEN + 1), "same") > 0
        voiced, unvoiced = np.repeat(self._f0 > 0, hop), np.repeat(~near, hop) & (np.abs(source) > 0)
        ratios = [np.square(x[unvoiced]).mean() / np.square(x[voiced]).mean() for x in (audio, source)]
        alike = np.corrcoef(audio[unvoiced], source[unvoiced])[0, 1]
        return [f"{alike:.2f}", f"{10 * np.log10(ratios[0] / ratios[1]):+.1f} dB"]


if __name__ == "__main__":
    main()
