"""RMVPE files in the published layouts: the golden's reduced network, tensors filled by name."""

from pathlib import Path

import torch

from tests.support.golden_cases import load_case

LAYOUTS = ["model", "plain", "plain float16"]


def write_rmvpe(path: Path, layout: str = "model") -> Path:
    """Write the reduced network as it is published: in 'model', or plain, without the unused tensors."""
    state = load_case("f0_rmvpe").state_dict()
    if layout == "model":
        assert any(name.startswith("unet.tf.") for name in state)
        torch.save({"model": state}, path)
    else:
        state = {name: tensor for name, tensor in state.items() if not name.startswith("unet.tf.")}
        if layout == "plain float16":
            state = {name: t.half() if t.is_floating_point() else t for name, t in state.items()}
        torch.save(state, path)
    return path
