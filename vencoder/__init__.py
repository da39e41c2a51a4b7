"""Speech encoders: features of what is said or sung ("units"), as independent of the voice as possible.

``ENCODERS.build(name, device)`` returns a :class:`vencoder.base.SpeechEncoder`;
``weights=path`` reads another file than the published one. A new encoder is
one file here and one line in the table; the tests in
tests/vencoder/test_contract.py then apply to it too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from modules.common.registry import PartSpec, Registry
from modules.dsp.unit_clock import UnitClock


@dataclass(frozen=True)
class EncoderSpec(PartSpec):
    """One speech encoder."""

    ssl_dim: int  # D, channels of its units
    clock: UnitClock  # when they are
    weights: str | None = None  # key in modules/pretrained/weights.py; None: nothing to download
    shipped: str | None = None  # its file in the repository, if it has one there
    n_perturbed: int = 0  # copies with another pitch and formants that preprocessing makes of each clip
    without_torch: bool = False  # its class is an ArrayEncoder, which needs no PyTorch

    def fingerprint(self) -> str:
        """Text that tells its weights from others under the same name; "none" without any."""
        from modules.pretrained.weights import ROOT, file_fingerprint, fingerprint

        return file_fingerprint(ROOT / self.shipped) if self.shipped else fingerprint(self.weights)


class EncoderRegistry(Registry[EncoderSpec]):
    """The table of encoders. Each is built with its name as the first argument."""

    def build(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """An encoder; arguments of :class:`vencoder.base.SpeechEncoder`."""
        return super().build(name, name, *args, **kwargs)


_UNPADDED = UnitClock(200)  # the middle of a window of 400 samples, of which the first begins the clip
_CENTRED = UnitClock(160)  # in the middle of the 320 samples that a unit stands for
_FROM_ZERO = UnitClock(0)  # padded by half of each window
_HUBERT, _WHISPER = "vencoder.hubert:HubertEncoder", "vencoder.whisper:WhisperEncoder"
_ONNX = "vencoder.onnx:OnnxEncoder"

ENCODERS = EncoderRegistry(
    "speech encoder",
    {
        "vec768l12": EncoderSpec(
            _HUBERT, 768, _UNPADDED, "contentvec", kwargs={"kind": "ContentVec", "layer": 12}
        ),
        "vec256l9": EncoderSpec(
            _HUBERT,
            256,
            _UNPADDED,
            "contentvec",
            kwargs={"kind": "ContentVec", "layer": 9, "projected": True},
        ),
        # 40 = (400 - 320) / 2: a clip has T / 320 units
        "hubertsoft": EncoderSpec(
            _HUBERT,
            256,
            _CENTRED,
            "hubertsoft",
            kwargs={"kind": "HuBERT-soft", "projected": True, "padding": 40},
        ),
        # trained on normalized waveforms, but published voice models were made without
        "cnhubertlarge": EncoderSpec(
            _HUBERT, 1024, _UNPADDED, "cnhubertlarge", kwargs={"kind": "HuBERT-large"}
        ),
        "wavlmbase+": EncoderSpec("vencoder.wavlm:WavLMEncoder", 768, _UNPADDED, "wavlmbase+"),
        "dphubert": EncoderSpec("vencoder.dphubert:DPHubertEncoder", 768, _UNPADDED, "dphubert"),
        "whisper-ppg": EncoderSpec(_WHISPER, 1024, _FROM_ZERO, "whisper-medium"),
        "whisper-ppg-large": EncoderSpec(_WHISPER, 1280, _FROM_ZERO, "whisper-large-v2"),
        "vec256l9-onnx": EncoderSpec(_ONNX, 256, _UNPADDED, "vec256l9-onnx", without_torch=True),
        "vec256l12-onnx": EncoderSpec(_ONNX, 256, _UNPADDED, "vec256l12-onnx", without_torch=True),
        "vec768l9-onnx": EncoderSpec(_ONNX, 768, _UNPADDED, "vec768l9-onnx", without_torch=True),
        "vec768l12-onnx": EncoderSpec(_ONNX, 768, _UNPADDED, "vec768l12-onnx", without_torch=True),
        "hubertsoft-onnx": EncoderSpec(_ONNX, 256, _CENTRED, "hubertsoft-onnx", without_torch=True),
        "ppg-starter": EncoderSpec(
            "vencoder.ppg:PpgEncoder",
            192,
            _CENTRED,
            shipped="pretrain/starter/ppg-starter.safetensors",
            n_perturbed=3,
        ),
        "ppg-starter2": EncoderSpec(
            "vencoder.ppg:PpgEncoder",
            256,
            _CENTRED,
            shipped="pretrain/starter/ppg-starter2.safetensors",
            n_perturbed=3,
        ),
        # its features follow the formants, so training must see every clip in many other voices
        "mfcc": EncoderSpec("vencoder.mfcc:MfccEncoder", 12, _CENTRED, n_perturbed=6, without_torch=True),
    },
)
