"""Number formats of the networks in a conversion: what ``-pr`` means, and what auto takes.

auto takes half precision for a network where the device has instructions for it, where it is
faster by a fifth or more, and where the result stays within :data:`BOUND` of float32.
``python -m benchmarks precision`` measures both; its numbers and the reason of each line are
in docs/benchmarks.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

AUTO = "auto"
FLOAT32 = "float32"
PRECISIONS = {  # -pr: name of torch's type
    AUTO: "",  # by HALF
    "fp32": FLOAT32,
    "bf16": "bfloat16",
    "fp16": "float16",
}
# stages
ENCODER, PREDICTOR, GLOW, DIFFUSION = "encoder", "F0 predictor", "Glow model", "diffusion model"
VOCODER, ENHANCER = "vocoder", "enhancer"


@dataclass(frozen=True)
class DistanceBound:
    """Largest distance to the same conversion in float32 that auto may cause at one stage.

    1 dB is the log-spectral distance that listeners do not notice (Paliwal and Atal, "Efficient
    vector quantization of LPC parameters at 24 bits/frame", 1993). Here it is taken from whole
    spectra, which differ more than the envelopes there. The mel's is a sixth of it, and that
    of F0 a fifth of the smallest change of pitch that is heard.
    """

    spectrum: float = 1.0  # dB, log-spectral distance of the sound
    mel: float = 0.02  # natural log, mean over bins and frames
    cents: float = 1.0  # 99 of 100 frames are nearer
    voicing: float = 0.002  # share of frames whose voicing differs


BOUND = DistanceBound()
# network of a stage: whether half precision is faster and within the bound; what is not listed has no network
HALF: dict[str, dict[str, bool]] = {
    ENCODER: {
        "vec768l12": True,
        "vec256l9": True,
        "hubertsoft": True,
        "cnhubertlarge": True,
        "wavlmbase+": True,
        "dphubert": True,
        "whisper-ppg": True,
        "whisper-ppg-large": True,
        "ppg-starter": True,
        "ppg-starter2": True,
    },
    PREDICTOR: {
        "crepe": False,  # hardly faster
        "fcpe": False,  # not faster
        "rmvpe": False,  # there are no weights to measure it with
    },
    GLOW: {"small": False, "large": True},  # the small one is not faster
    DIFFUSION: {DIFFUSION: True},
    VOCODER: {
        "nsf-hifigan": True,
        "nsf-hifigan-log10": True,
        "nsf-snake-hifigan": False,  # not faster, and 6 dB off
    },
    ENHANCER: {"nsf-hifigan": True},
}


def glow_size(hidden_channels: int) -> str:
    """Name in :data:`HALF` of a Glow model: --tiny has 96 channels, the base model 160, published 192."""
    return "small" if hidden_channels < 128 else "large"


def choose_format(precision: str, native: str, stage: str, network: str) -> str:
    """Name of torch's type for a network, as -pr ``precision`` asks.

    ``native`` is the device's half-precision type (:func:`modules.common.device.half_format`).
    F0 predictors stay in float32 unless auto chooses for them.
    """
    if precision == AUTO:
        return native if HALF[stage].get(network) else FLOAT32
    return FLOAT32 if stage == PREDICTOR else PRECISIONS[precision]


def choose_formats(precision: str, native: str, networks: Mapping[str, str]) -> dict[str, str]:
    """Formats by stage of the ``networks``, by stage; parts without a network are left out."""
    return {
        stage: choose_format(precision, native, stage, network)
        for stage, network in networks.items()
        if network in HALF[stage]
    }
