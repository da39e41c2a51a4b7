"""The diffusion model of a conversion: it refines the Glow model's mel, or predicts one from noise."""

from __future__ import annotations

from itertools import count

import numpy as np
import torch
from torch import Tensor

from diffusion.config import DiffusionConfig
from diffusion.samplers import check_method
from diffusion.unit2mel import load_unit2mel
from inference.conversion import Report, Segment
from inference.noise import DIFFUSION, frame_noise
from inference.options import ConvertOptions
from modules.common.errors import CheckpointError, ConfigError
from modules.config import Config


class Refiner:
    """A loaded diffusion model, ready for the segments of a song.

    ``config`` is the configuration saved beside it; ``voice`` that of the voice model,
    whose speaker ids segments carry. The options name its file, the steps and the method.
    The network computes in ``dtype``.

    Raises:
        ConfigError: It cannot do what the options ask for; says what it can.
        CheckpointError: The model cannot be read, or does not fit its configuration.
    """

    def __init__(
        self,
        config: DiffusionConfig,
        options: ConvertOptions,
        voice: Config,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.config, self.options, self.device = config, options, device
        if options.diffusion_method:
            check_method(options.diffusion_method, config.model.type)
        self._voice, self._ids = voice, _speaker_ids(config, voice)
        self.model = load_unit2mel(options.diffusion_model_path, config)
        self.model.decoder.steps(self._k_step, shallow=not options.only_diffusion)  # refused before any work
        if options.only_diffusion:
            self.model.decoder.check_full_range()
        self.model.to(device).decoder.network.in_precision(dtype)

    @property
    def _k_step(self) -> int | None:
        return None if self.options.only_diffusion else self.options.k_step

    def refine(
        self, segment: Segment, units: Tensor, f0: Tensor, mel: Tensor | None, report: Report
    ) -> Tensor:
        """Refine ``mel`` (M, N), natural log; None predicts one from noise.

        The units (D, N) are those of the segment, or of its re-encoded conversion; F0 (N,) is
        in Hz; ``report`` is called with the share that is done.

        Raises:
            CheckpointError: The model gives NaN.
            ConfigError: The diffusion model has no such speaker.
        """
        data, options = self.config.data, self.options
        noise = torch.from_numpy(frame_noise(segment.first, segment.n_frames, data.n_mels, DIFFUSION))
        steps = count(DIFFUSION + 1)

        def draw(x: Tensor) -> Tensor:
            """Noise of a stochastic sampler's next step, which belongs to the frames too."""
            drawn = frame_noise(segment.first, segment.n_frames, data.n_mels, next(steps))
            return torch.from_numpy(drawn).to(x)[None, :, : x.shape[2]]

        refined = self.model.infer(
            units.to(self.device)[None],
            f0.to(self.device)[None],
            torch.from_numpy(segment.volume).to(self.device)[None],
            speaker_tensor(self._speaker(segment.speaker)).to(self.device),
            mel=None if mel is None else mel[None],
            k_step=self._k_step,
            method=options.diffusion_method or None,
            speedup=options.diffusion_speedup,
            noise=noise.to(self.device)[None],
            draw=draw,
            progress=lambda done, total: report(done / (total + 1)),  # the vocoder comes last
        )[0]
        if not torch.isfinite(refined).all():
            raise CheckpointError(f"{options.diffusion_model_path} gives NaN; use an earlier checkpoint")
        return refined

    def _speaker(self, speaker: int | np.ndarray) -> int | np.ndarray:
        """Map an id, or shares (N, S), of the voice model's speakers to the diffusion model's.

        Raises:
            ConfigError: It does not know a speaker with a share.
        """
        ours = [speaker] if isinstance(speaker, int) else np.flatnonzero(speaker.any(0)).tolist()
        for number in ours:
            if number not in self._ids:
                name, known = self._voice.speaker_name(number), ", ".join(self.config.spk)
                raise ConfigError(
                    f"the diffusion model does not know the speaker {name!r}; it knows: {known}"
                )
        if isinstance(speaker, int):
            return self._ids[speaker]
        shares = np.zeros((len(speaker), self.config.model.n_spk), np.float32)
        for number in ours:
            shares[:, self._ids[number]] += speaker[:, number]
        return shares


def speaker_tensor(speaker: int | np.ndarray) -> Tensor:
    """The target speaker as the models take it: the id (1,), or shares (1, N, S)."""
    return torch.tensor([speaker]) if isinstance(speaker, int) else torch.from_numpy(speaker)[None]


def _speaker_ids(config: DiffusionConfig, voice: Config) -> dict[int, int]:
    """The diffusion model's ids by the voice model's: by name, or unchanged where one has no names."""
    n_spk = config.model.n_spk
    if n_spk == 1 and not config.spk:  # the only speaker serves all
        return dict.fromkeys(voice.spk.values() or range(voice.model.n_speakers), 0)
    if not config.spk or not voice.spk:
        return {number: number for number in config.spk.values() or range(n_spk)}
    return {number: config.spk[name] for name, number in voice.spk.items() if name in config.spk}
