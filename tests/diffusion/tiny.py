"""Small diffusion models of random weights, and random songs for them."""

import torch

from diffusion.config import parse_diffusion_config
from diffusion.unit2mel import Unit2Mel

MELS, UNITS = 8, 5


def tiny_config(**model):
    sizes = {"n_layers": 2, "n_chans": 8, "n_hidden": 6, "timesteps": 40, "n_spk": 3} | model
    return parse_diffusion_config({"data": {"encoder_out_channels": UNITS, "n_mels": MELS}, "model": sizes})


def tiny(seed=0, **model):
    """A model in eval mode whose network does not predict 0."""
    torch.manual_seed(seed)
    unit2mel = Unit2Mel(tiny_config(**model)).eval()
    torch.nn.init.normal_(unit2mel.decoder.network.output_projection.weight, std=0.3)
    return unit2mel


def song(size=2, n_frames=11, dtype=torch.float32):
    """Units, f0, volume and speaker ids; the speakers differ."""
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(size, UNITS, n_frames, generator=generator).to(dtype),
        (200 + 100 * torch.rand(size, n_frames, generator=generator)).to(dtype),
        torch.rand(size, n_frames, generator=generator).to(dtype),
        torch.arange(size) % 3,
    )


def mels(size=2, n_frames=11, dtype=torch.float32):
    """Mels (B, M, N) in the usual range."""
    return (torch.randn(size, MELS, n_frames, generator=torch.Generator().manual_seed(2)) - 5).to(dtype)
