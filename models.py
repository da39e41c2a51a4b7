"""The acoustic model: from units, F0 and speaker to a mel spectrogram.

A text encoder turns the units of a speech encoder into the mean and deviation
of a Gaussian per mel bin and frame; a normalizing flow connects that Gaussian
to the mel (Glow-TTS, Kim et al., 2020, as in the published Glow-SVC). Training
runs the flow forwards on a real mel and maximises its exact likelihood;
conversion draws from the Gaussian and runs the flow backwards.

Module names are those of the published checkpoints: they are the file format.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modules.common.errors import ConfigError, FeatureError
from modules.config import ModelConfig
from modules.dsp.f0 import F0_MAX, F0_MIN, hz_to_lf0, lf0_to_hz, normalize_lf0
from modules.nn.f0_decoder import F0Decoder
from modules.nn.flow import Flow
from modules.nn.frames import FrameConv
from modules.nn.losses import lf0_loss, mle_loss
from modules.nn.masks import length_mask, replicate_pad, round_up
from modules.nn.reference import ReferenceEncoder, takes_recordings
from modules.nn.speakers import check_ids, check_shares, embed_speakers
from modules.nn.text_encoder import ConvReluNorm, Prenet, TextEncoder


class GlowOutput(NamedTuple):
    """Output of :meth:`GlowSVC.forward`. N' is N rounded up to a multiple of ``n_sqz``."""

    z: Tensor  # (B, M, N'), latent of the mel
    m_p: Tensor  # (B, M, N'), mean of the prior
    logs_p: Tensor  # (B, M, N'), natural log of the prior's deviation
    logdet: Tensor  # (B,), log-determinant of the flow, nats
    mask: Tensor  # (B, 1, N'), frames that the flow models: each length, rounded up
    pred_lf0: Tensor | None  # (B, 1, N), predicted log F0; None without an F0 decoder, like the next two
    norm_lf0: Tensor | None  # (B, 1, N), log F0 about its mean, the F0 decoder's input
    lf0: Tensor | None  # (B, 1, N), log F0 of the recording
    frame_mask: Tensor  # (B, 1, N), frames of the recording


class GlowSVC(nn.Module):
    """The acoustic model of Glow-SVC; see :class:`modules.config.ModelConfig` for its sizes.

    ``n_flow_block_layer`` counts the blocks of the flow and ``n_flow_layer``
    the layers of each WaveNet, as in the published checkpoints.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.hidden_channels
        # in the order of the published checkpoints, which their optimizer states rely on
        self.emb_g = nn.Embedding(config.n_speakers, config.gin_channels)
        self.emb_vol = nn.Linear(1, channels) if config.vol_embedding else None
        self.pre: nn.Module = (
            ConvReluNorm(config.ssl_dim, channels, 5)
            if config.use_crn_pre
            else FrameConv(config.ssl_dim, channels, 5, padding=2)
        )
        self.enc_p = TextEncoder(config)
        self.flow = Flow(config)
        self.f0_decoder = F0Decoder(config) if config.use_automatic_f0_prediction else None
        self.emb_uv = nn.Embedding(2, channels)
        self.spk_emb = nn.Embedding(config.n_speakers, channels)
        # as Glow-TTS starts its text embedding: torch's deviation of 1 masks the units, and pitches
        # beyond the trained range, whose rows are never trained, become audible noise
        for table in (self.enc_p.f0_emb, self.emb_uv, self.spk_emb):
            nn.init.normal_(table.weight, std=channels**-0.5)
        self.prenet = (
            Prenet(config.ssl_dim, config.prenet_channels, channels, config.prenet_layers, config.p_dropout)
            if config.prenet_channels
            else None
        )

    def embed_speaker(self, speaker: Tensor) -> tuple[Tensor, Tensor]:
        """Conditions of the flow (B, gin_channels, 1 or N) and of the encoder (B, C, 1 or N).

        ``speaker``: ids, int64 (B,); or shares of each speaker, float (B, S), or (B, N, S) frame by frame.

        Raises:
            ConfigError: The shares are not those of ``n_speakers`` speakers.
        """
        check_shares(speaker, self.config.n_speakers)
        return embed_speakers(self.emb_g, speaker), embed_speakers(self.spk_emb, speaker)

    def embed(
        self,
        units: Tensor,
        uv: Tensor,
        speaker: Tensor,
        volume: Tensor | None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Input of the encoder (B, C, N), not masked; ``speaker`` is (B, C, 1 or N).

        The ``mask`` (B, 1, N) says which frames are real; None: all.

        Raises:
            ConfigError: The units have another number of channels, or the volume is missing.
        """
        if units.size(1) != self.config.ssl_dim:
            raise ConfigError(
                f"the units have {units.size(1)} channels, but the model wants {self.config.ssl_dim} "
                f"(speech encoder {self.config.speech_encoder!r})"
            )
        x = self.pre(units.mT) + self.emb_uv(uv.long()) + speaker.mT
        if self.prenet is not None:
            x = x + self.prenet(units.mT, None if mask is None else mask.mT)
        if self.emb_vol is not None:
            if volume is None:
                raise ConfigError("this model follows the volume (vol_embedding): the volume is missing")
            x = x + self.emb_vol(volume.unsqueeze(2))
        return x.mT

    def forward(
        self,
        units: Tensor,
        f0: Tensor,
        uv: Tensor,
        mel: Tensor,
        lengths: Tensor,
        speaker_id: Tensor,
        volume: Tensor | None = None,
        *,
        f0_factor: Tensor | None = None,
    ) -> GlowOutput:
        """Everything the losses need of a batch of recordings.

        ``lengths`` (B,) are the frames of each. Behind them ``uv`` and the units must be 0, as
        if the recording ended there; all else is ignored. ``mel`` is (B, M, N), natural log,
        ``speaker_id`` (B,), int64, and ``f0_factor`` (B,) stretches the melody at the F0
        decoder's input; the rest is as for :meth:`infer`.

        There is no check for NaN in ``f0``, which would make a GPU wait at every step; it
        counts as unvoiced in the encoder, and reaches the F0 loss, if there is one.

        Raises:
            ConfigError: See :meth:`embed`.
        """
        mask = length_mask(lengths, mel.size(2))
        g, speaker = self.embed_speaker(speaker_id)
        x = self.embed(units, uv, speaker, volume, mask) * mask

        pred_lf0 = norm_lf0 = lf0 = None
        if self.f0_decoder is not None:
            lf0 = hz_to_lf0(f0).unsqueeze(1)
            norm_lf0 = normalize_lf0(lf0, mask, uv, f0_factor)
            pred_lf0 = self.f0_decoder(x, norm_lf0, mask, g)

        m_p, logs_p = self.enc_p(x, f0, mask)
        m_p, logs_p, mel, flow_mask = self._whole_groups(lengths, m_p, logs_p, mel)
        z, logdet = self.flow(mel, flow_mask, g)
        return GlowOutput(
            z, m_p * flow_mask, logs_p * flow_mask, logdet, flow_mask, pred_lf0, norm_lf0, lf0, mask
        )

    def _whole_groups(self, lengths: Tensor, *tracks: Tensor) -> tuple[Tensor, ...]:
        """Tracks (B, C, N) rounded up to whole groups of the flow, and their mask."""
        n_sqz = self.config.n_sqz
        frames = round_up(tracks[0].size(2), n_sqz)
        padded = tracks if n_sqz == 1 else tuple(replicate_pad(track, lengths, frames) for track in tracks)
        return *padded, length_mask(round_up(lengths, n_sqz), frames)

    @staticmethod
    def losses(output: GlowOutput) -> dict[str, Tensor]:
        """Losses by name: ``mle`` (nats per mel bin) and, with an F0 decoder, ``lf0``."""
        losses = {"mle": mle_loss(output.z, output.m_p, output.logs_p, output.logdet, output.mask)}
        if output.pred_lf0 is not None and output.lf0 is not None:
            losses["lf0"] = lf0_loss(output.pred_lf0, output.lf0, output.frame_mask)
        return losses

    @torch.no_grad()
    def initialise(self, *, mel: Tensor, lengths: Tensor, speaker_id: Tensor, **rest: Tensor | None) -> None:
        """Set the flow's normalizations from a batch of :meth:`forward`, before training from scratch.

        The published project has the code and never runs it.
        """
        g, _ = self.embed_speaker(speaker_id)
        mel, mask = self._whole_groups(lengths, mel)
        self.flow.initialise(mel, mask, g)

    @torch.inference_mode()
    def infer(
        self,
        units: Tensor,
        f0: Tensor,
        uv: Tensor,
        speaker: Tensor,
        volume: Tensor | None = None,
        *,
        noise_scale: float = 0.4,
        predict_f0: bool = False,
        noise: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Convert.

        Args:
            units: (B, D, N), aligned to N frames.
            f0: (B, N), Hz, filled through unvoiced frames.
            uv: (B, N), 1 where voiced.
            speaker: Ids (B,), or shares (B, S) or (B, N, S); see :meth:`embed_speaker`.
            volume: (B, N), for a model with ``vol_embedding``.
            noise_scale: Factor on the deviation of the prior; 0 is its mean.
            predict_f0: Replace ``f0`` by that of the F0 decoder.
            noise: (B, M, N), standard normal; None draws the same one at each call, on the CPU,
                so the same input gives the same mel on every device.

        Returns:
            The mel (B, M, N), natural log, and F0 (B, N) in Hz.

        Raises:
            ConfigError: See :meth:`embed` and :meth:`embed_speaker`; unknown
                speaker id; no F0 decoder.
            FeatureError: ``f0`` is not finite.
        """
        if not torch.isfinite(f0).all():
            raise FeatureError("the F0 holds NaN or infinity; use another F0 predictor")
        check_ids(speaker, self.config.n_speakers)
        if noise is None:
            shape = (len(units), self.config.inter_channels, units.size(2))
            noise = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        return self.convert(units, f0, uv, speaker, volume, noise.to(units) * noise_scale, predict_f0)

    def convert(
        self,
        units: Tensor,
        f0: Tensor,
        uv: Tensor,
        speaker: Tensor,
        volume: Tensor | None,
        noise: Tensor,
        predict_f0: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Tensor part of :meth:`infer`, without checks; ``noise`` (B, M, N) is already scaled."""
        mask = torch.ones_like(f0).unsqueeze(1)
        g, shift = self.embed_speaker(speaker)
        x = self.embed(units, uv, shift, volume)
        if predict_f0:
            f0 = self.decode_f0(x, f0, uv, mask, g)
        m_p, logs_p = self.enc_p(x, f0, mask)
        z = m_p + noise * logs_p.float().exp()
        frames = z.size(2)
        padding = (0, round_up(frames, self.config.n_sqz) - frames)
        z, mask = (F.pad(track, padding, mode="replicate") for track in (z, mask))
        return self.flow.inverse(z, mask, g)[:, :, :frames], f0

    def decode_f0(self, x: Tensor, f0: Tensor, uv: Tensor, mask: Tensor, g: Tensor) -> Tensor:
        """F0 (B, N) in Hz for every frame, unvoiced ones included, within the range of the bins."""
        if self.f0_decoder is None:
            raise ConfigError("this model cannot predict F0 (use_automatic_f0_prediction is off)")
        norm_lf0 = normalize_lf0(hz_to_lf0(f0).unsqueeze(1), mask, uv)
        lf0 = self.f0_decoder(x, norm_lf0, mask, g).squeeze(1).float()
        return lf0_to_hz(lf0).clamp(F0_MIN, F0_MAX)


class ReferenceGlow(GlowSVC):
    """A base model for any speaker, whose voice it takes from recordings instead of from tables.

    Where :class:`GlowSVC` takes ids or shares of speakers, it takes natural log-mels (B, M, R)
    of recordings of them, R ≥ 2, of any length.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        del self.emb_g, self.spk_emb
        self.reference = ReferenceEncoder(
            config.inter_channels, (config.gin_channels, config.hidden_channels)
        )

    def embed_speaker(self, speaker: Tensor) -> tuple[Tensor, Tensor]:
        """Conditions of the flow (B, gin_channels, 1) and of the encoder (B, C, 1) from recordings."""
        g, shift = self.reference(speaker)
        return g, shift

    def tables(self, mels: Sequence[Tensor]) -> dict[str, Tensor]:
        """Rows of :class:`GlowSVC`'s speaker tables, by name, one for each recording (M, R)."""
        rows = [self.embed_speaker(mel.unsqueeze(0)) for mel in mels]
        g, shift = (torch.cat(vectors).squeeze(2) for vectors in zip(*rows, strict=True))
        return {"emb_g.weight": g, "spk_emb.weight": shift}


def network_of(names: Iterable[str]) -> type[GlowSVC]:
    """The class of a model file whose tensors have these ``names``."""
    return ReferenceGlow if takes_recordings(names) else GlowSVC
