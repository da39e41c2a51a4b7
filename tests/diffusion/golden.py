"""The golden diffusion cases as this project's models and inputs."""

import torch

from diffusion.config import parse_diffusion_config
from diffusion.unit2mel import Unit2Mel, load_unit2mel
from modules.checkpoint import write_checkpoint
from tests.support.golden_cases import load_case

CASES = ["diffusion_1spk", "diffusion_3spk", "diffusion_kmax50", "diffusion_dsvc"]


def config_of(values, **model):
    """Configuration from a manifest's constructor arguments."""
    sizes = {k: v for k, v in values.items() if k not in ("input_channel", "out_dims")}
    data = {"encoder_out_channels": values["input_channel"], "n_mels": values["out_dims"]}
    return parse_diffusion_config({"data": data, "model": sizes | model})


def published_state(case, config):
    """Filled tensors with the tables that the published module computes itself."""
    own = Unit2Mel(config).state_dict()
    return case.state_dict() | {name: own[name] for name in case.manifest["state_dict_computed"]}


def load_golden(name, folder, **model):
    """A case and its model, read from a file in the published container."""
    case = load_case(name)
    config = config_of(case.manifest["config"], **model)
    path = folder / "model_1000.pt"
    write_checkpoint(path, {"global_step": 1000, "model": published_state(case, config)})
    return case, load_unit2mel(path, config)


def tensor(case, name):
    return torch.from_numpy(case[name])


def channels_first(case, name):
    """A published (B, T, C) array as (B, C, N)."""
    return tensor(case, name).transpose(1, 2)


def plain(case, name):
    """A published (B, 1, M, T) array as (B, M, N)."""
    return tensor(case, name).squeeze(1)


def inputs(case, items=2):
    """Units, f0, volume and speaker ids from 0 of the first items."""
    if "spk_id" in case.arrays:
        first = 1 if case.manifest["case"] == "diffusion_dsvc" else 0  # Diffusion-SVC counts from 1
        speaker = tensor(case, "spk_id").squeeze(1).long() - first
    else:
        speaker = torch.zeros(2, dtype=torch.long)
    return (
        channels_first(case, "units")[:items],
        tensor(case, "f0").squeeze(2)[:items],
        tensor(case, "volume").squeeze(2)[:items],
        speaker[:items],
    )
