"""The vocoders: what turns a log-mel and F0 into sound.

A vocoder is built as ``VOCODERS.build(name, data_config, device)`` and has one
method::

    synthesize(mel, f0, uv) -> audio

with mel (M, N) as :class:`modules.mel.LogMel` makes it, f0 (N,) in Hz without
gaps, uv (N,) 1 where voiced, and audio (N * hop_length,), all float32 tensors.
A new one is one file here and one line in the table; the tests in
tests/vdecoder/test_contract.py then hold for it too.
"""

from __future__ import annotations

from dataclasses import dataclass

from modules.registry import Registry


@dataclass(frozen=True)
class VocoderSpec:
    """One line of the table."""

    target: str  # "module:Class", imported on first use
    weights: str | None  # what it needs under pretrain/; None: nothing


VOCODERS: Registry[VocoderSpec] = Registry(
    "vocoder",
    {
        "world": VocoderSpec(target="vdecoder.world:WorldVocoder", weights=None),
    },
)
