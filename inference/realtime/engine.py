"""The conversion of a stream, block by block.

Every block is rendered together with the sound before it, and replaces the end of what
was rendered last. Two neighbours share one clock: the frames of the stream number the
noise, and the phase of the voice goes on at the frame where the newer one takes over. So
there is no seam to search for, and a cross-fade of one frame suffices.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from inference.key import tracking_range
from inference.pipeline import Segment, SongConverter
from modules.common.errors import ConfigError
from modules.dsp.align import align_units
from modules.dsp.audio import resample
from modules.dsp.f0 import transpose
from modules.dsp.frame_rms import frame_rms

SILENCE = 10 ** (-60 / 20)  # RMS below which a block counts as silent
PITCH_SECONDS = 0.4  # of sound that the F0 predictor gets at a time
_VOCODER_FRAMES = 6  # rendered before those that are heard: reach of a vocoder, about 70 ms


@dataclass(frozen=True, kw_only=True)
class RealtimeSettings:
    """Times of a live conversion, in ms.

    Raises:
        ConfigError: A value is out of its range.
    """

    block: float = 35.0  # converted at a time
    look_ahead: float = 35.0  # of sound after a block that it is rendered with
    crossfade: float = 12.0  # from the block before
    context: float = 1500.0  # of sound before a block that its mel is predicted from
    unit_context: float = 4000.0  # of sound that the speech encoder gets

    def __post_init__(self) -> None:
        limits = {
            "block": (10, 2000),
            "look_ahead": (0, 2000),
            "crossfade": (0, 200),
            "context": (100, 20_000),
            "unit_context": (400, 20_000),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(f"--{name} must be {low} to {high} ms, not {value:g}")


class RealtimeEngine:
    """Converts a stream at the voice model's rate; what goes in comes out :attr:`delay` samples later.

    Speaker and key may be changed between blocks: :attr:`speaker` and :attr:`key`.

    Raises:
        ConfigError: The speaker is unknown.
    """

    def __init__(
        self,
        converter: SongConverter,
        settings: RealtimeSettings,
        speaker: str | int,
        key: float = 0.0,
    ) -> None:
        self.converter, self.settings = converter, settings
        self.speaker, self.key = speaker, key
        data = converter.config.data
        self.sampling_rate, hop = converter.sampling_rate, data.hop_length
        self._hop = hop
        self.block_frames = max(1, self._frames(settings.block))
        self._ahead = self._frames(settings.look_ahead)
        self._fade = min(round(settings.crossfade / 1000 * self.sampling_rate), self._ahead * hop)
        self._context = self._frames(settings.context)
        wanted = max(settings.unit_context, settings.context) / 1000
        self._history = math.ceil(wanted * self.sampling_rate / hop) + self.block_frames + self._ahead
        self._pitch_frames = self._frames(1000 * PITCH_SECONDS)
        self.reset()

    def _frames(self, milliseconds: float) -> int:
        return round(milliseconds / 1000 * self.sampling_rate / self._hop)

    @property
    def block(self) -> int:
        """Samples in a block."""
        return self.block_frames * self._hop

    @property
    def delay(self) -> int:
        """Samples by which the output lags the input, apart from the time to fill a block."""
        return self._ahead * self._hop

    @property
    def latency(self) -> float:
        """Time in s from a sound to the same sound converted, if computing took none."""
        return (self.block + self.delay) / self.sampling_rate

    def reset(self) -> None:
        """Forget what was heard."""
        frames = self._history
        self._audio = np.zeros(frames * self._hop, np.float32)
        self._f0 = np.zeros(frames, np.float32)  # Hz, filled, of the source
        self._uv = np.zeros(frames, np.float32)
        self._end = 0  # frames of the stream so far
        self._rendered = 0  # first frame that was not heard yet when the last block was rendered
        self._tail = np.zeros(0, np.float32)  # rendered beyond what was heard
        self._started = False

    def process(self, audio: np.ndarray) -> np.ndarray:
        """Convert the next :attr:`block` samples; return as many, which lag by :attr:`delay`."""
        n, hop = self.block_frames, self._hop
        self._audio = np.concatenate([self._audio[n * hop :], np.asarray(audio, np.float32)])
        for track in (self._f0, self._uv):
            track[:-n] = track[n:].copy()
        self._end += n
        start = self._end - self._ahead - n  # first frame to be heard now
        heard = self._audio[-(self._ahead + n) * hop :]
        if math.sqrt(float(np.square(heard, dtype=np.float64).mean())) < SILENCE:
            self._track_silence()
            return self._rest(n * hop)
        segment, lead = self._segment(start)
        rendered = self.converter.synthesize(segment, _ignore)
        output = rendered[(start - segment.first - lead) * hop :]
        if len(self._tail):
            fade = min(self._fade, len(self._tail))
            rising = np.linspace(0, 1, fade, dtype=np.float32)
            output[:fade] = self._tail[:fade] * (1 - rising) + output[:fade] * rising
        else:
            fade = min(self._fade, len(output))
            output[:fade] *= np.linspace(0, 1, fade, dtype=np.float32)
        self._tail = output[n * hop :].copy()
        self._started = True
        return output[: n * hop].copy()

    def _rest(self, length: int) -> np.ndarray:
        """Silence (length,), which what was rendered before fades into."""
        output = np.zeros(length, np.float32)
        fade = min(self._fade, len(self._tail), length)
        output[:fade] = self._tail[:fade] * np.linspace(1, 0, fade, dtype=np.float32)
        self._tail = np.zeros(0, np.float32)
        return output

    def _track_silence(self) -> None:
        n = self.block_frames
        self._f0[-n:], self._uv[-n:] = self._f0[-n - 1], 0

    def _segment(self, start: int) -> tuple[Segment, int]:
        """Inputs of the frames from ``start`` on and of their context; number of frames not vocoded."""
        converter, hop = self.converter, self._hop
        n_frames = min(self._context + self.block_frames + self._ahead, self._history)
        first = self._end - n_frames
        first += first % converter.config.model.n_sqz
        n_frames = self._end - first
        self._track()
        f0, uv = self._f0[-n_frames:].copy(), self._uv[-n_frames:].copy()
        lead = max(0, start - first - _VOCODER_FRAMES)
        segment = Segment(
            first=first,
            units=self._units(n_frames),
            f0=transpose(f0, self.key),
            uv=uv,
            volume=frame_rms(self._audio[-n_frames * hop :], hop),
            speaker=converter.config.speaker_id(self.speaker),
            join=start if self._started else None,
            lead=lead,
        )
        return segment, lead

    def _track(self) -> None:
        """Track the F0 of the new frames, and of those that were new a block ago."""
        frames = min(self._pitch_frames, self._history)
        predictor = self.converter.f0_predictor.within(*tracking_range(self.key, self.sampling_rate))
        f0, uv = predictor.predict(self._audio[-frames * self._hop :], frames)
        new = self.block_frames + self._ahead
        self._f0[-new:], self._uv[-new:] = f0[-new:], uv[-new:]

    def _units(self, n_frames: int) -> np.ndarray:
        """Units (D, n_frames) of the last frames."""
        data, encoder = self.converter.config.data, self.converter.encoder
        units = self.converter.encode(resample(self._audio, self.sampling_rate, encoder.sampling_rate))
        return align_units(
            units, self._history, data.unit_interpolate_mode, self._history - n_frames, self._history
        )


def _ignore(share: float) -> None:
    """Progress within a block is nobody's business."""
