"""The speech encoders: what turns a voice into units, its words without its singer.

``ENCODERS.build(name, device)`` returns a :class:`vencoder.base.SpeechEncoder`;
``weights=path`` reads another file than the published one's place. A new one is
one file here and one line in the table; the tests in
tests/vencoder/test_contract.py then hold for it too.
"""

from __future__ import annotations

from dataclasses import dataclass

from modules.common.registry import Registry


@dataclass(frozen=True)
class EncoderSpec:
    """One line of the table."""

    target: str  # "module:Class", imported on first use
    ssl_dim: int  # D, the channels of its units
    weights: str | None  # key in modules/pretrained/weights.py; None: no file, or none to download
    shipped: str | None = None  # its file in the repository, where it has one there
    n_perturbed: int = 0  # copies with another pitch and formants that preprocessing makes per clip
    without_torch: bool = False  # its class is an ArrayEncoder, which needs no PyTorch


ENCODERS: Registry[EncoderSpec] = Registry(
    "speech encoder",
    {
        "vec768l12": EncoderSpec(target="vencoder.hubert:vec768l12", ssl_dim=768, weights="contentvec"),
        "vec256l9": EncoderSpec(target="vencoder.hubert:vec256l9", ssl_dim=256, weights="contentvec"),
        "hubertsoft": EncoderSpec(target="vencoder.hubert:hubertsoft", ssl_dim=256, weights="hubertsoft"),
        "cnhubertlarge": EncoderSpec(
            target="vencoder.hubert:cnhubertlarge", ssl_dim=1024, weights="cnhubertlarge"
        ),
        "wavlmbase+": EncoderSpec(target="vencoder.wavlm:WavLMEncoder", ssl_dim=768, weights="wavlmbase+"),
        "dphubert": EncoderSpec(target="vencoder.dphubert:DPHubertEncoder", ssl_dim=768, weights="dphubert"),
        "whisper-ppg": EncoderSpec(
            target="vencoder.whisper:whisper_ppg", ssl_dim=1024, weights="whisper-medium"
        ),
        "whisper-ppg-large": EncoderSpec(
            target="vencoder.whisper:whisper_ppg_large", ssl_dim=1280, weights="whisper-large-v2"
        ),
        "vec256l9-onnx": EncoderSpec(
            target="vencoder.onnx:vec256l9_onnx", ssl_dim=256, weights="vec256l9-onnx", without_torch=True
        ),
        "vec256l12-onnx": EncoderSpec(
            target="vencoder.onnx:vec256l12_onnx", ssl_dim=256, weights="vec256l12-onnx", without_torch=True
        ),
        "vec768l9-onnx": EncoderSpec(
            target="vencoder.onnx:vec768l9_onnx", ssl_dim=768, weights="vec768l9-onnx", without_torch=True
        ),
        "vec768l12-onnx": EncoderSpec(
            target="vencoder.onnx:vec768l12_onnx", ssl_dim=768, weights="vec768l12-onnx", without_torch=True
        ),
        "hubertsoft-onnx": EncoderSpec(
            target="vencoder.onnx:hubertsoft_onnx", ssl_dim=256, weights="hubertsoft-onnx", without_torch=True
        ),
        "ppg-starter": EncoderSpec(
            target="vencoder.ppg:PpgEncoder",
            ssl_dim=192,
            weights=None,
            shipped="pretrain/starter/ppg-starter.safetensors",
            n_perturbed=3,
        ),
        # its features follow the formants, so training must see every clip in many other voices
        "mfcc": EncoderSpec(
            target="vencoder.mfcc:MfccEncoder", ssl_dim=12, weights=None, n_perturbed=6, without_torch=True
        ),
    },
)
