"""A tiny dataset of made-up features, for tests of the training code."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from diffusion.config import DiffusionConfig, parse_diffusion_config
from modules.config import Config, ModelConfig, TrainConfig
from modules.dataset.features import augmented, save_feature
from tests.support import scripts

CONFIG = Config(
    train=TrainConfig(
        batch_size=2,
        max_speclen=16,
        log_interval=5,
        eval_interval=10,
        scheduler="cosine",
        max_steps=40,
        warmup_steps=4,
        mel_noise=0.0,
        learning_rate=2e-3,
    ),
    model=ModelConfig(**{**scripts.CONFIG["model"], "n_speakers": 2}),
    spk={"a": 0, "b": 1},
)


def with_train(**changes) -> Config:
    return replace(CONFIG, train=replace(CONFIG.train, **changes))


def diffusion_config(model=(), data=(), infer=(), n_spk=2, **train) -> DiffusionConfig:
    """The same for a diffusion model, which is trained on windows of 17 frames."""
    settings = {"num_workers": 0, "batch_size": 2, "interval_log": 5, "interval_val": 10, "lr": 2e-3}
    settings |= {"max_steps": 20, "save_opt": True, "interval_force_save": 1000, "cache_fp16": False}
    sizes = {"n_layers": 2, "n_chans": 16, "n_hidden": 8, "timesteps": 100, "n_spk": n_spk}
    return parse_diffusion_config(
        {
            "data": {"duration": 0.2, "encoder": "mfcc", "encoder_out_channels": 12, **dict(data)},
            "model": {**sizes, **dict(model)},
            "vocoder": {"type": "world", "ckpt": ""},
            "infer": {"speedup": 20, **dict(infer)},
            "train": {**settings, **train},
            "spk": {"a": 0, "b": 1} if n_spk > 1 else {"a": 0},
        }
    )


def make_clips(
    folder: Path, lengths: dict[str, list[int]], perturbed: int = 0, shift: float | None = None
) -> list[Path]:
    """Write features of clips, each of so many frames; return their wavs (which are not there).

    With ``shift`` there is an augmented pair: the mel of the recording plus 10, its volume twice.
    """
    clips: list[Path] = []
    for speaker, frames in lengths.items():
        (folder / speaker).mkdir(parents=True)
        for index, n in enumerate(frames):
            rng = np.random.default_rng(len(clips))
            wav = folder / speaker / f"{index}.wav"
            n_units = max(1, round(n * 512 / 44100 * 50))
            save_feature(wav, "units", torch.from_numpy(rng.normal(size=(1, 12, n_units)).astype(np.float32)))
            if perturbed:
                copies = rng.normal(size=(perturbed, 12, n_units)).astype(np.float32) + 100
                save_feature(wav, "perturbed_units", torch.from_numpy(copies))
            f0 = np.full(n, 220.0 * (1 + len(clips) / 10), np.float32)
            save_feature(wav, "f0", np.stack([f0, np.ones(n, np.float32)]))
            save_feature(wav, "volume", np.full(n, 0.1, np.float32))
            mel = rng.normal(-5, 1, size=(n, 128)).astype(np.float32)
            save_feature(wav, "mel", torch.from_numpy(mel))
            if shift is not None:
                number = len(clips)
                save_feature(wav, "aug_mel", augmented(number, shift, mel + 10))
                save_feature(wav, "aug_volume", augmented(number, shift, np.full(n, 0.2, np.float32)))
            clips.append(wav)
    return clips
