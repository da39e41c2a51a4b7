"""vocoder.onnx, run in pieces, so that memory does not grow with the slice.

A piece includes the neighbouring frames that its own depend on, and its sines
begin at the phase where the frames before end, so the pieces join seamlessly.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vdecoder.clock import SONG_START, SourceStart, frame_cycles
from vdecoder.draws import initial_phase, source_noise

_PIECE = 512  # frames


def source_inputs(start: SourceStart, n_frames: int, hop_length: int) -> dict[str, np.ndarray]:
    """Random inputs of the sine source: "phase" (1, 9), cycles, and "source_noise" (1, T), float32."""
    phase, noise = initial_phase(start) % 1, source_noise(start, n_frames, hop_length)
    return {"phase": phase[None].astype(np.float32), "source_noise": noise[None]}


def sounding(f0: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """F0 (N,) of the sines, float32, 0 where they are muted."""
    return np.where(uv > 0.5, f0, 0).clip(0).astype(np.float32)


class GraphVocoder:
    """A neural vocoder as a graph, which ``synthesize`` runs: inputs by name to audio (1, T).

    The audio of a frame depends on ``reach`` frames on either side. ``piece`` frames are
    synthesized at a time; their number changes the result by rounding only.
    """

    def __init__(
        self,
        synthesize: Callable[[dict[str, np.ndarray]], np.ndarray],
        sampling_rate: int,
        hop_length: int,
        reach: int,
        piece: int = _PIECE,
    ) -> None:
        self._synthesize = synthesize
        self.sampling_rate, self.hop_length = sampling_rate, hop_length
        self.reach, self.piece = reach, piece

    def cycles(self, f0: np.ndarray, uv: np.ndarray) -> np.ndarray:
        """Cycles (N + 1,), float64, of the sines up to each frame, and to the end."""
        return frame_cycles(sounding(f0, uv), self.hop_length, self.sampling_rate)

    def __call__(
        self, mel: np.ndarray, f0: np.ndarray, uv: np.ndarray, start: SourceStart = SONG_START
    ) -> np.ndarray:
        """Synthesize (N * hop_length,), float32, from mel (M, N), F0 (N,) in Hz and uv (N,)."""
        hop, n_frames = self.hop_length, len(f0)
        voiced, cycles = sounding(f0, uv), self.cycles(f0, uv)
        audio = np.empty(n_frames * hop, np.float32)
        for first in range(0, n_frames, self.piece):
            last = min(first + self.piece, n_frames)
            begin, stop = max(0, first - self.reach), min(n_frames, last + self.reach)
            here = SourceStart(start.frame + begin, start.phase + float(cycles[begin]))
            part = self._synthesize(
                {
                    "mel": np.ascontiguousarray(mel[None, :, begin:stop], np.float32),
                    "f0": voiced[None, begin:stop],
                    **source_inputs(here, stop - begin, hop),
                }
            )
            skipped = (first - begin) * hop
            audio[first * hop : last * hop] = part[0, skipped : skipped + (last - first) * hop]
        return audio
