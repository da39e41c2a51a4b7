"""Two sound devices have two clocks: the playback is sped up or slowed down so that the latency stays.

A proportional and an integral part, critically damped, as in Adriaensen, "Using a DLL to
filter time" (2005): the latency of two clocks that differ by 300 ppm stays within 1 ms, and
the pitch changes by half a hundredth of a semitone.
"""

from __future__ import annotations

MOST = 0.002  # change of speed, 3.5 cents, which nobody hears
_BANDWIDTH = 0.2  # rad/s
_SMOOTHING = 0.5  # s, over which single errors, which come from the callbacks' jitter, are averaged


class DriftControl:
    """Speed of the playback, as a relative change, from how much the latency is off."""

    def __init__(self) -> None:
        self.speed = 0.0
        self._error = self._integral = 0.0

    def update(self, error: float, elapsed: float) -> float:
        """Take the latency's ``error``, s, too long if positive, after ``elapsed`` s; return the speed."""
        self._error += (error - self._error) * min(1.0, elapsed / _SMOOTHING)
        integral = self._integral + _BANDWIDTH**2 * self._error * elapsed
        speed = 2 * _BANDWIDTH * self._error + integral
        if abs(speed) <= MOST:
            self._integral = integral
        self.speed = min(max(speed, -MOST), MOST)
        return self.speed

    def settle(self) -> None:
        """Forget the error, after the latency was put right at once; the clocks' difference stays known."""
        self._error = 0.0
