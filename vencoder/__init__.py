"""The speech encoders: what turns a voice into units, its words without its singer.

An encoder is built as ``ENCODERS.build(name, device)``. It has the attributes
``sampling_rate`` (16 000 Hz) and ``hop_length`` (320 samples per unit) and one
method::

    encode(audio) -> units

with audio (T,) a float tensor at 16 kHz and units (D, U) float32. A new one is
one file here and one line in the table; the tests in
tests/vencoder/test_contract.py then hold for it too.
"""

from __future__ import annotations

from dataclasses import dataclass

from modules.registry import Registry


@dataclass(frozen=True)
class EncoderSpec:
    """One line of the table."""

    target: str  # "module:Class", imported on first use
    ssl_dim: int  # D, the channels of its units
    weights: str | None  # what it needs under pretrain/; None: nothing
    n_perturbed: int = 0  # copies with another pitch and formants that preprocessing makes per clip


ENCODERS: Registry[EncoderSpec] = Registry(
    "speech encoder",
    {
        # its features follow the formants, so training must see every clip in other voices too
        "mfcc": EncoderSpec(target="vencoder.mfcc:MfccEncoder", ssl_dim=12, weights=None, n_perturbed=6),
    },
)
