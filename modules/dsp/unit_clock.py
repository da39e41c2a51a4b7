"""When the units of a speech encoder are, without which they lag the mel.

An encoder that pads its input has its first window around the first unit's 20 ms,
one that does not has it further right, and Whisper's is around the first sample.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class UnitClock:
    """Times of an encoder's units: the middle of unit u is sample ``hop_length`` · u + ``centre``."""

    centre: int  # samples
    hop_length: int = 320  # samples per unit
    sampling_rate: int = 16000  # of the encoder's audio, Hz
