"""The conversion of a stream, block by block.

Every block is rendered together with the sound before it, and replaces the end of what
was rendered last. Two neighbours share one clock: the frames of the stream number the
noise, and the phase of the voice goes on at the frame where the newer one takes over. So
there is no seam to search for, and a short cross-fade suffices.
"""

from __future__ import annotations

import math
import time

import numpy as np

from inference.key import tracking_range
from inference.pipeline import Segment, SongConverter, TargetVoice
from inference.pitch.song import part
from inference.realtime.settings import RealtimeSettings, check_live
from inference.realtime.units import StreamUnits
from modules.dsp.f0 import F0_MIN, fill_unvoiced, transpose
from modules.dsp.frame_rms import frame_rms

SILENCE = 10 ** (-60 / 20)  # RMS below which a block counts as silent
PITCH_SECONDS = 0.3  # of sound that the F0 predictor gets at a time
_BEYOND = 8  # frames that are guessed after the last: a model is wrong where it sees a sound stop
_VOCODER_FRAMES = 6  # rendered before those that are heard: reach of a vocoder, about 70 ms


class RealtimeEngine:
    """Converts a stream at the voice model's rate; what goes in comes out :attr:`delay` samples later.

    ``curve`` (N,), if it is set before the stream begins, is its pitch, Hz: 0 where unvoiced, NaN
    where the F0 predictor decides.

    Raises:
        ConfigError: The speaker is unknown, or the options are not for a stream.
        CheckpointError: See :meth:`SongConverter.target`.
    """

    def __init__(
        self,
        converter: SongConverter,
        settings: RealtimeSettings,
        speaker: str | int,
        key: float = 0.0,
    ) -> None:
        check_live(converter.options)
        self.converter, self.settings, self.key = converter, settings, key
        self.speaker = speaker
        self.curve: np.ndarray | None = None
        self.sampling_rate, self._hop = converter.sampling_rate, converter.config.data.hop_length
        self.block_frames = max(1, self._frames(settings.block))
        self._ahead = self._frames(settings.look_ahead)
        room = (self._ahead + _BEYOND // 2) * self._hop  # what comes last was guessed
        self._fade = min(round(settings.crossfade / 1000 * self.sampling_rate), room)
        self._pitch_frames = self._frames(1000 * PITCH_SECONDS)
        new = self.block_frames + self._ahead
        self._n_frames = self._frames(settings.context) + new
        self._history = max(self._n_frames + converter.config.model.n_sqz, self._pitch_frames, 2 * new)
        self._unit_seconds = (
            max(settings.unit_context, settings.context) / 1000 + new * self._hop / self.sampling_rate
        )
        self.reset()

    def _frames(self, milliseconds: float) -> int:
        return round(milliseconds / 1000 * self.sampling_rate / self._hop)

    @property
    def speaker(self) -> str | int:
        """Target speaker, by name or id; may be changed between blocks."""
        return self._speaker

    @speaker.setter
    def speaker(self, speaker: str | int) -> None:
        self._target: TargetVoice = self.converter.target(speaker)
        self._speaker = speaker

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
        self._window = StreamUnits(self.converter, self._unit_seconds)
        self._end = 0  # frames of the stream so far
        self._tail = np.zeros(0, np.float32)  # rendered beyond what was heard
        self._started = False

    def process(self, audio: np.ndarray) -> np.ndarray:
        """Convert the next :attr:`block` samples; return as many, which lag by :attr:`delay`."""
        n, hop = self.block_frames, self._hop
        self.hear(audio)
        start = self._end - self._ahead - n  # first frame to be heard now
        heard = self._audio[-(self._ahead + n) * hop :]
        if math.sqrt(float(np.square(heard, dtype=np.float64).mean())) < SILENCE:
            return self._rest(n * hop)
        segment = self._segment(start)
        output = self.converter.synthesize(segment, _ignore)
        output = output[(start - segment.first - segment.lead) * hop :]
        fade = min(self._fade, len(self._tail) or len(output))
        rising = np.linspace(0, 1, fade, dtype=np.float32)
        output[:fade] *= rising
        if len(self._tail):
            output[:fade] += self._tail[:fade] * (1 - rising)
        self._tail = output[n * hop :].copy()
        self._started = True
        return output[: n * hop].copy()

    def warm_up(self, n_blocks: int = 4) -> float:
        """Convert some noise, so that the first block takes no longer than others; the time of one, s."""
        noise = np.random.default_rng(0).normal(0, 0.1, self.block).astype(np.float32)
        times = []
        for _ in range(n_blocks):
            began = time.perf_counter()
            self.process(noise)
            times.append(time.perf_counter() - began)
        self.reset()
        return min(times)

    def hear(self, audio: np.ndarray) -> None:
        """Take the next :attr:`block` samples as context alone: they are not converted."""
        n = self.block_frames
        self._audio = np.concatenate([self._audio[n * self._hop :], np.asarray(audio, np.float32)])
        self._f0 = np.concatenate([self._f0[n:], np.repeat(self._f0[-1], n)])
        self._uv = np.concatenate([self._uv[n:], np.zeros(n, np.float32)])
        self._end += n
        self._window.extend(self._audio, self._end * self._hop)

    def prime(self, audio: np.ndarray) -> None:
        """Take ``audio`` (T,) as what was heard before the stream goes on."""
        audio = audio[len(audio) % self.block :]
        for start in range(0, len(audio), self.block):
            self.hear(audio[start : start + self.block])
        self._track(self._history, self._history)

    def follow(self, other: RealtimeEngine) -> None:
        """Cross-fade the next block from what ``other``, of the same rate and block, rendered last."""
        self._tail = other._tail

    def _rest(self, length: int) -> np.ndarray:
        """Silence (length,), which what was rendered before fades into."""
        output = np.zeros(length, np.float32)
        fade = min(self._fade, len(self._tail), length)
        output[:fade] = self._tail[:fade] * np.linspace(1, 0, fade, dtype=np.float32)
        self._tail = np.zeros(0, np.float32)
        return output

    def _segment(self, start: int) -> Segment:
        """Inputs of the models for the frames from ``start`` on, and for their context."""
        options, target = self.converter.options, self._target
        first = self._end - self._n_frames
        first -= first % self.converter.config.model.n_sqz  # frames are squeezed in groups
        n_frames = self._end - first
        new = self.block_frames + self._ahead  # those of the last block too, which were at the end
        self._track(max(self._pitch_frames, new), new)
        f0 = np.pad(self._f0[-n_frames:], (0, _BEYOND), "edge")
        uv = np.pad(self._uv[-n_frames:], (0, _BEYOND), "edge")
        audio = np.pad(self._audio[-n_frames * self._hop :], (0, _BEYOND * self._hop), "reflect")
        units, diffusion_units = self._window.units(first, self._end + _BEYOND)
        if target.blender:
            ratio = options.cluster_infer_ratio
            units = target.blender.blend(units, target.name, ratio)
            if diffusion_units is not None:
                diffusion_units = target.blender.blend(diffusion_units, target.name, ratio)
        return Segment(
            first=first,
            units=units,
            diffusion_units=diffusion_units,
            f0=f0 if options.auto_predict_f0 else transpose(f0, self.key),
            uv=uv,
            volume=frame_rms(audio, self._hop),
            speaker=target.speaker_id,
            join=start if self._started else None,
            lead=max(0, start - first - _VOCODER_FRAMES),
        )

    def _track(self, window: int, new: int) -> None:
        """Track the F0 of the last ``new`` frames, in a window of so many."""
        predictor = self.converter.f0_predictor
        if not self.converter.options.auto_predict_f0:
            # lower notes than those of the models would take a window of its own
            predictor = predictor.within(F0_MIN, tracking_range(self.key, self.sampling_rate)[1])
        f0, uv = predictor.predict(self._audio[-window * self._hop :], window)
        if self.curve is not None:
            given = part(self.curve, self._end - window, window)
            f0, uv = fill_unvoiced(np.where(np.isnan(given), f0 * uv, given))
        if not uv.any():  # the last pitch goes on through a consonant
            f0 = np.full_like(f0, self._f0[-new - 1 : len(self._f0) - new].max(initial=0.0))
        self._f0[-new:], self._uv[-new:] = f0[-new:], uv[-new:]


def _ignore(share: float) -> None:
    """Progress within a block is nobody's business."""
