"""Encoders from files of the goldens' reduced models, and the checks against their numbers."""

import numpy as np
import torch

from tests.support.golden_cases import voice
from vencoder import ENCODERS


def clip(seconds):
    """The goldens' voice at 16 kHz."""
    return torch.from_numpy(voice(seconds, 16000))


def build(name, path, device="cpu", **options):
    # files of HuBERT-soft do not state their heads, and those of the reduced model are narrow
    heads = {"n_heads": 4} if name == "hubertsoft" else {}
    return ENCODERS.build(name, device, weights=path, **{**heads, **options})


def tolerance(case):
    return {key: case.manifest["tolerance"][key] for key in ("rtol", "atol")}


def assert_parity(encoder, case):
    for seconds in case.manifest["inputs"]["lengths_s"]:
        np.testing.assert_allclose(
            encoder.encode(clip(seconds)), case[f"out_{seconds}"][0], **tolerance(case)
        )


def load_full_size(case, load):
    """Load tensors of the published names and shapes, none of which is allocated."""
    shapes = case.manifest["default_state_dict"]
    network = load({name: torch.empty(shape, device="meta") for name, (shape, _) in shapes.items()})
    assert {tensor.device.type for tensor in network.state_dict().values()} == {"meta"}
    return network
