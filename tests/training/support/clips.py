"""A tiny dataset of made-up features, for tests of the training code."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from modules.config import Config, DataConfig, ModelConfig, TrainConfig
from modules.dataset.features import augmented, save_feature

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
    data=DataConfig(),
    model=ModelConfig(
        hidden_channels=16,
        filter_channels=32,
        n_heads=2,
        n_layers=1,
        n_flow_layer=1,
        n_flow_block_layer=1,
        gin_channels=8,
        ssl_dim=12,
        n_speakers=2,
        vocoder_name="world",
        speech_encoder="mfcc",
    ),
    spk={"a": 0, "b": 1},
)


def with_train(**changes) -> Config:
    return replace(CONFIG, train=replace(CONFIG.train, **changes))


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
