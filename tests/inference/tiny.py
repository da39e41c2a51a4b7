"""A voice model of a few thousand random weights, as files on disk: enough to run every real part."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile
import torch
import yaml

from diffusion.config import parse_diffusion_config
from diffusion.unit2mel import Unit2Mel
from inference.options import ConvertOptions
from models import GlowSVC
from modules.checkpoint import write_checkpoint
from modules.config import parse_config
from modules.pretrained.weights import WEIGHTS
from tests.support.golden_cases import fill, load_case
from tests.support.scripts import CONFIG
from vdecoder import VOCODERS
from vdecoder.generator import Generator, GeneratorConfig
from vdecoder.nsf_snake_hifigan import SnakeGenerator

RATE, HOP = 44100, 512
SPEAKERS = {"anna": 0, "花子": 1}


def write_model(folder: Path, **model: object) -> tuple[Path, Path]:
    """Write G_8.pth and config.json into ``folder``; return their paths."""
    values = {
        "model": {
            **CONFIG["model"],
            "filter_channels": 32,
            "n_flow_block_layer": 2,
            "n_speakers": 2,
            **model,
        },
        "spk": SPEAKERS,
        "f0_range": {"anna": [275.0, 440.0, 600.0]},
    }
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    network = GlowSVC(parse_config(values).model)
    state = network.state_dict()
    state["enc_p.proj.bias"][:128] = -5.0  # about as loud as speech
    write_checkpoint(folder / "G_8.pth", {"model": state, "iteration": 8})
    (folder / "config.json").write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")
    return folder / "G_8.pth", folder / "config.json"


def write_diffusion(folder: Path, spk: dict[str, int] = SPEAKERS, **model: object) -> tuple[Path, Path]:
    """Write model_8.pt and config.yaml into ``folder``; return their paths."""
    sizes = {"n_layers": 2, "n_chans": 8, "n_hidden": 6, "n_spk": max(1, len(spk))}
    values = {
        "data": {"encoder": "mfcc", "encoder_out_channels": 12},
        "model": sizes | model,
        "vocoder": {"type": "world", "ckpt": ""},
        "spk": spk,
    }
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    network = Unit2Mel(parse_diffusion_config(values))
    torch.nn.init.normal_(network.decoder.network.output_projection.weight, std=0.02)
    write_checkpoint(folder / "model_8.pt", {"model": network.state_dict(), "global_step": 8})
    (folder / "config.yaml").write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
    return folder / "model_8.pt", folder / "config.yaml"


def write_voice(folder: Path, **model: object) -> ConvertOptions:
    """Write a voice model and a diffusion model into ``folder``; return options that name them."""
    paths = (*write_model(folder / "glow", **model), *write_diffusion(folder / "diffusion"))
    glow, config, diffusion, diffusion_config = map(str, paths)
    return ConvertOptions(
        model_path=glow,
        config_path=config,
        diffusion_model_path=diffusion,
        diffusion_config_path=diffusion_config,
        f0_predictor="pm",  # needs no package of its own
        device="cpu",
        precision="fp32",  # the same numbers on every processor
        wav_format="wav",
    )


def write_song(path: Path, audio: np.ndarray, rate: int = RATE, **settings: str | None) -> Path:
    """Write ``audio`` (T,) or (T, channels); return ``path``."""
    soundfile.write(path, audio, rate, **settings)
    return path


def convert(
    options: ConvertOptions, song: Path, speaker: str | int = "anna", **changes: object
) -> np.ndarray:
    """Convert ``song`` with a new converter; return the samples."""
    from inference.converter import Converter

    converter = Converter(replace(options, **changes))  # type: ignore[arg-type]
    return read(converter.convert(song, song.with_name("result.wav"), speaker).path)


def read(path: Path) -> np.ndarray:
    """Samples of a file, float32."""
    audio: np.ndarray = soundfile.read(path, dtype="float32")[0]
    return audio


def write_vocoder(pretrain: Path, name: str = "nsf-hifigan", **changes: object) -> Path:
    """Write a vocoder of a few random weights to where the published one has its place; return the file."""
    snake = name == "nsf-snake-hifigan"
    values = load_case("nsf_hifigan").manifest["config"]["published"] | {
        "resblock": "1" if snake else "2",
        "upsample_rates": [16, 32],
        "upsample_kernel_sizes": [32, 64],
        "upsample_initial_channel": 8,
        "resblock_kernel_sizes": [3],
        "resblock_dilation_sizes": [[1, 3, 5] if snake else [1, 3]],
        **changes,
    }
    path = pretrain / WEIGHTS[VOCODERS[name].weights or ""].file
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = SnakeGenerator if snake else Generator
    names = kind(GeneratorConfig.read(values, path)).state_dict()
    state = {name: torch.from_numpy(fill(name, tuple(value.shape))) for name, value in names.items()}
    state["conv_post.weight_g"] *= 0.05  # within ±1
    torch.save({"generator": state}, path)
    path.with_name("config.json").write_text(json.dumps(values), encoding="utf-8")
    return path
