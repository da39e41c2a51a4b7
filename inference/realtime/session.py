"""A live conversion between an input and an output: callbacks on one side, computing on the other.

The callbacks (:meth:`LiveSession.capture`, :meth:`LiveSession.playback`) move samples alone. One
thread calls :meth:`LiveSession.pump`, which converts a block when there is one. How late the
output is follows from what came in, what went out, and when: it is put right at once where
it is far off, and by the speed of the playback (drift.py) where two devices' clocks differ.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from threading import Event, Lock

import numpy as np

from inference.output import SongWriter
from inference.realtime.drift import DriftControl
from inference.realtime.engine import RealtimeEngine
from inference.realtime.meters import LevelMeter, LiveStatus, LoadMeter
from inference.realtime.port import Port
from inference.realtime.resampling import SameRate, StreamResampler
from modules.common.errors import ConfigError

_COMPUTING = 0.9  # of a block's time that computing may take before the output runs dry
_HISTORY = 10.0  # s of input that a voice swapped in gets to hear


class LiveSession:
    """Passes what :meth:`capture` gets through ``engine`` to :meth:`playback`.

    ``input_rate`` and ``output_rate`` are those of the devices, Hz; ``clock`` gives seconds.
    ``recorder`` gets what the engine renders. Key and speaker are changed on :attr:`engine`.
    """

    def __init__(
        self,
        engine: RealtimeEngine,
        input_rate: float,
        output_rate: float,
        recorder: SongWriter | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.engine, self.recorder, self._clock = engine, recorder, clock
        self.captured = Event()  # set when there may be work
        self._rates = float(input_rate), float(output_rate)
        rate = engine.sampling_rate
        self.load = LoadMeter(engine.block / rate)
        self._levels = LevelMeter(), LevelMeter()
        self._underruns = self._skipped = self._lost = 0
        self._past: deque[np.ndarray] = deque(maxlen=round(_HISTORY * rate / engine.block))
        self._next: RealtimeEngine | None = None
        self._blocks = 0
        self._computing = Lock()
        self.restart()

    def restart(self) -> None:
        """Begin again with empty buffers, as after a device was lost; waits for a block that is computed."""
        with self._computing:
            self._begin()

    def _begin(self) -> None:
        rate = self.engine.sampling_rate
        self._input, self._output = map(Port, self._rates)
        same = self._rates[0] == rate
        self._to_engine = SameRate() if same else StreamResampler(self._rates[0], rate)
        self._to_output = StreamResampler(rate, self._rates[1])
        self._waiting = np.zeros(0, np.float32)  # input at the engine's rate
        self._pushed = 0.0  # s of the stream that were given to the output, or skipped
        self._drift = DriftControl()
        self._flowing = False  # whether the output has something to play
        self._updated = self._clock()

    # the callbacks

    def capture(self, audio: np.ndarray) -> None:
        """Take samples (T,) or (T, channels) of the input."""
        mono = audio if audio.ndim == 1 else audio.mean(1)
        written = self._input.ring.write(mono)
        self._lost += len(mono) - written
        self._input.note(len(mono), self._clock(), written)
        self.captured.set()

    def playback(self, n: int) -> np.ndarray:
        """Give ``n`` samples to the output: silence where nothing is ready."""
        audio = self._output.ring.read(n)
        if len(audio) < n:
            if self._flowing:
                self._underruns += 1
                self._flowing = False  # once, until there is sound again
            audio = np.pad(audio, (0, n - len(audio)))
        self._output.note(n, self._clock())
        return audio

    # the thread that computes

    def pump(self) -> bool:
        """Convert a block if one is there; return whether it was."""
        with self._computing:
            return self._pump()

    def _pump(self) -> bool:
        fresh = self._input.ring.read(len(self._input.ring))
        if len(fresh):
            self._waiting = np.concatenate([self._waiting, self._to_engine.push(fresh)])
        block = self.engine.block
        if len(self._waiting) < block:
            return False
        audio, self._waiting = self._waiting[:block], self._waiting[block:]
        self._past.append(audio)
        self._blocks += 1
        self._levels[0].add(audio, self.load.block)
        error = self.error()
        if error > self.load.block and not self._drop_played(error):
            self._skip(audio)
            return True
        self._take_over()
        began = self._clock()
        result = self.engine.process(audio)
        self.load.add(self._clock() - began)
        self._deliver(result)
        return True

    def _drop_played(self, late: float) -> bool:
        """Leave out what waits at the output, where the device stood still; return whether that sufficed."""
        ring, n = self._output.ring, round(late * self._output.rate)
        if n > len(ring):
            return False
        ring.take_back(n)
        self._skipped += math.ceil(late / self.load.block)
        self._drift.settle()
        return True

    def _skip(self, audio: np.ndarray) -> None:
        """Leave out a block that is too old."""
        self.engine.hear(audio)
        self._skipped += 1
        self._pushed += self.load.block
        self._drift.settle()
        if self.recorder:
            self.recorder.write(np.zeros(len(audio), np.float32))

    def _deliver(self, result: np.ndarray) -> None:
        """Give a converted block to the output, at the speed that keeps the latency."""
        now, error = self._clock(), self.error()
        self._to_output.set_speed(self._drift.update(error, now - self._updated))
        self._updated = now
        ready = self._to_output.push(result)
        self._pushed += self.load.block
        missing = -error
        if not self._flowing or missing > _COMPUTING * self.load.block:
            # so much silence before it that it lasts until the next one is there
            self._output.ring.write(np.zeros(max(0, round(missing * self._output.rate)), np.float32))
            self._drift.settle()
        self._output.ring.write(ready)
        self._flowing = True
        self._levels[1].add(result, self.load.block)
        if self.recorder:
            self.recorder.write(result)

    # latency

    def error(self) -> float:
        """By how much a sound takes longer than blocks, computing and bursts of samples need, s."""
        now, source, sink = self._clock(), self._input, self._output
        at_the_latest = source.passed - max(0.0, source.beyond_latest(now))
        wanted_soon = max(0.0, sink.behind_earliest(now))
        return at_the_latest - self._given() - wanted_soon - self._needed

    @property
    def _needed(self) -> float:
        """Time in s that blocks and computing need."""
        return (1 + _COMPUTING) * self.load.block + self._to_engine.lag + self._to_output.lag

    def _given(self) -> float:
        """Seconds of the stream that the output has taken."""
        return self._pushed - self._to_output.lag - len(self._output.ring) / self._output.rate

    @property
    def latency(self) -> float:
        """Time in s from a sound at the input's callback to the same, converted, at the output's."""
        now = self._clock()
        return self.lag + self._input.behind_earliest(now) + self._output.beyond_latest(now)

    @property
    def lag(self) -> float:
        """Seconds of sound between what came in last and what of it, converted, went out last."""
        return self._input.passed - self._given() + self.engine.delay / self.engine.sampling_rate

    @property
    def shift(self) -> float:
        """Seconds of sound that the output has taken beyond those of the stream.

        With devices of one clock the same throughout: a change is one of the delay that is heard.
        """
        with self._computing:
            return self._output.passed - self._given()

    def status(self) -> LiveStatus:
        """How it does."""
        return LiveStatus(
            latency=self.latency,
            algorithmic=self.engine.latency,
            load=self.load.p95,
            suggestion=self.load.suggestion,
            input_level=self._levels[0].level,
            output_level=self._levels[1].level,
            underruns=self._underruns,
            skipped=self._skipped,
            lost=self._lost / self._input.rate,
            speed=self._drift.speed,
            seconds=self._blocks * self.load.block,
        )

    # another voice

    def swap(self, engine: RealtimeEngine) -> None:
        """Go on with another engine, without a gap; it hears the last 10 s first.

        Raises:
            ConfigError: Its rate or its block is another.
        """
        if (engine.sampling_rate, engine.block) != (self.engine.sampling_rate, self.engine.block):
            raise ConfigError(
                f"this voice model has {engine.sampling_rate} Hz and blocks of {engine.block} samples, the "
                f"running one {self.engine.sampling_rate} and {self.engine.block}: start again with it"
            )
        blocks, heard = list(self._past), self._blocks
        engine.warm_up()
        if blocks:
            engine.prime(np.concatenate(blocks))
        self._heard, self._next = heard, engine

    def _take_over(self) -> None:
        """Put the next engine in the place of the running one."""
        engine, self._next = self._next, None
        if engine is None:
            return
        since = min(self._blocks - 1 - self._heard, len(self._past) - 1)
        for audio in list(self._past)[-1 - since : -1]:
            engine.hear(audio)
        engine.follow(self.engine)
        self.engine = engine
