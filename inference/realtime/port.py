"""One side of a live conversion: the samples that wait there, and how evenly they pass.

Sound servers hand samples over in bursts, often of several blocks. A burst is no delay: how
far the samples are ahead of a steady clock goes up and down, and its extremes tell when they
come at the latest, and how many are asked for at once.
"""

from __future__ import annotations

from collections import deque

from inference.realtime.ring import Ring

_CAPACITY = 4.0  # s of sound that wait at most
_SPAN, _SPANS = (
    0.2,
    10,
)  # s, and how many of them are remembered: 2 s, in which clocks differ by less than 1 ms
_STALL = 0.5  # s without a callback, after which all is new


class Port:
    """An input or an output at ``rate``, Hz."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.ring = Ring(round(_CAPACITY * rate))
        self.passed = 0.0  # s of sound
        self._began = self._last = float("-inf")
        self._extremes: deque[tuple[int, float, float]] = deque(maxlen=_SPANS)

    def note(self, n: int, now: float, passed: int | None = None) -> None:
        """Count a callback of ``n`` samples at ``now``, s, of which so many went through the ring."""
        if now - self._last > _STALL:
            self._began = now - self.passed
            self._extremes.clear()
        self._last = now
        span, before = int((now - self._began) / _SPAN), self._ahead(now)
        self.passed += (n if passed is None else passed) / self.rate
        low, high = before, self._ahead(now)
        if self._extremes and self._extremes[-1][0] == span:
            _, *last = self._extremes.pop()
            low, high = min(low, last[0]), max(high, last[1])
        self._extremes.append((span, low, high))

    def _ahead(self, now: float) -> float:
        """Seconds of sound that passed beyond those of a steady clock."""
        return self.passed - (now - self._began)

    def behind_earliest(self, now: float) -> float:
        """Seconds of sound that would have passed beyond those that did, if all came as early as some do."""
        return self._range(now)[1]

    def beyond_latest(self, now: float) -> float:
        """Seconds of sound that passed beyond those that there would be, if all came as late as some do."""
        return -self._range(now)[0]

    def _range(self, now: float) -> tuple[float, float]:
        """How far samples are ahead of ``now``, at the least and at the most; once does not count."""
        extremes = tuple(self._extremes)  # at once: a callback may add one meanwhile
        if not extremes:
            return 0.0, 0.0
        second, ahead = min(1, len(extremes) - 1), self._ahead(now)
        low = sorted(entry[1] for entry in extremes)[second]
        high = sorted(entry[2] for entry in extremes)[-1 - second]
        return low - ahead, high - ahead
