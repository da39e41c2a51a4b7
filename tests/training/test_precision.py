import pytest
import torch

from modules.config import TrainConfig
from training.precision import Precision

CPU = torch.device("cpu")


@pytest.mark.parametrize("has_bf16", [True, False])
@pytest.mark.parametrize("half_type", ["fp16", "bf16"])
def test_half_precision_on_a_cpu_falls_back_with_a_warning(monkeypatch, caplog, has_bf16, half_type):
    monkeypatch.setattr("training.precision.cpu_has_bf16", lambda: has_bf16)
    precision = Precision(TrainConfig(fp16_run=True, half_type=half_type), CPU)
    with precision.autocast():
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == precision.dtype and precision.name == str(product.dtype).partition(".")[2]
    assert precision.dtype == (torch.bfloat16 if has_bf16 else torch.float32)
    assert not precision.grad_scaler().is_enabled()  # neither format needs one
    asked = "float16" if half_type == "fp16" else "bfloat16"
    announced = (
        [] if asked == precision.name else [f"{asked} is slow on this CPU; training in {precision.name}"]
    )
    assert caplog.messages == announced


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize(("half_type", "scaled"), [("fp16", True), ("bf16", False)])
def test_a_gpu_uses_the_configured_format(half_type, scaled):
    precision = Precision(TrainConfig(fp16_run=True, half_type=half_type), torch.device("cuda"))
    assert precision.grad_scaler().is_enabled() == scaled
    assert precision.name == ("float16" if scaled else "bfloat16")


def test_autocast_gets_the_device_type(monkeypatch):
    """PITFALLS 27: autocast takes "cuda", and no "cuda:1"."""
    asked = []
    monkeypatch.setattr(torch, "autocast", lambda kind, *args, **settings: asked.append(kind))
    monkeypatch.setattr(torch.amp, "GradScaler", lambda kind, **settings: asked.append(kind))
    precision = Precision(TrainConfig(fp16_run=True), torch.device("cuda:1"))
    precision.autocast()
    precision.grad_scaler()
    assert asked == ["cuda", "cuda"]
