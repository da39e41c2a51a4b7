"""Two sound devices have two clocks: the playback is sped up or slowed down so that the latency stays.

A proportional and an integral part, critically damped, as in Adriaensen, "Using a DLL to
filter time" (2005): the latency of two clocks that differ by 300 ppm stays within 1 ms, and
the pitch changes by half a hundredth of a semitone. When the difference is known, it reacts
more slowly: what seems to change from then on is mostly the callbacks' jitter.
"""

from __future__ import annotations

MOST = 0.002  # change of speed, 3.5 cents, which nobody hears
_BANDWIDTH, _SLOWEST = 0.2, 0.01  # rad/s, at first and in the end
_LEARNING = 15.0  # s, from when on it falls, in inverse proportion to the time
_SMOOTHING = 0.5  # s, over which single errors, which come from the callbacks' jitter, are averaged


class DriftControl:
    """Speed of the playback, as a relative change, from how much the latency is off."""

    def __init__(self) -> None:
        self.speed = 0.0
        self._error = self._integral = self._elapsed = 0.0

    def update(self, error: float, elapsed: float) -> float:
        """Take the latency's ``error``, s, too long if positive, after ``elapsed`` s; return the speed."""
        self._elapsed += elapsed
        bandwidth = max(_SLOWEST, _BANDWIDTH / max(1.0, self._elapsed / _LEARNING))
        self._error += (error - self._error) * min(1.0, elapsed / _SMOOTHING)
        integral = self._integral + bandwidth**2 * self._error * elapsed
        speed = 2 * bandwidth * self._error + integral
        if abs(speed) <= MOST:
            self._integral = integral
        self.speed = min(max(speed, -MOST), MOST)
        return self.speed

    def settle(self) -> None:
        """Forget the error, after the latency was put right at once; the clocks' difference stays known."""
        self._error = 0.0
