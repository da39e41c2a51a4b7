"""vocoder.onnx, run in pieces, so that memory does not grow with the slice.

A piece includes the neighbouring frames that its own depend on, and its sines
begin at the phase where the frames before end, so the pieces join seamlessly.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vdecoder.draws import N_HARMONICS, initial_phase, source_generator

_PIECE = 512  # frames


def source_inputs(n_samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Random inputs of the sine source: phase (1, 9), cycles, float64, and noise (1, T), float32."""
    generator = source_generator()
    return initial_phase(generator)[None], generator.standard_normal((1, n_samples), np.float32)


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

    def __call__(self, mel: np.ndarray, f0: np.ndarray, uv: np.ndarray) -> np.ndarray:
        """Synthesize (N * hop_length,), float32, from mel (M, N), F0 (N,) in Hz and uv (N,)."""
        hop, n_frames = self.hop_length, len(f0)
        voiced = np.where(uv > 0.5, f0, 0).clip(0).astype(np.float32)
        initial, noise = source_inputs(n_frames * hop)
        cycles = np.cumsum(voiced.astype(np.float64) * hop / self.sampling_rate)
        audio = np.empty(n_frames * hop, np.float32)
        for first in range(0, n_frames, self.piece):
            last = min(first + self.piece, n_frames)
            start, stop = max(0, first - self.reach), min(n_frames, last + self.reach)
            begun = cycles[start - 1] if start else 0.0
            phase = (initial + begun * np.arange(1, N_HARMONICS + 1)) % 1
            part = self._synthesize(
                {
                    "mel": np.ascontiguousarray(mel[None, :, start:stop], np.float32),
                    "f0": voiced[None, start:stop],
                    "source_noise": noise[:, start * hop : stop * hop],
                    "phase": phase.astype(np.float32),
                }
            )
            skipped = (first - start) * hop
            audio[first * hop : last * hop] = part[0, skipped : skipped + (last - first) * hop]
        return audio
