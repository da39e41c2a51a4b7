"""Whisper's audio encoder, medium and large-v2: units that were trained for transcription.

The network is the transformers library's. The text decoder, three fifths of a
file, is neither read nor built. Whisper's input is exactly 30 s: a shorter
recording is followed by silence, which takes part in attention, so a unit
depends on how much of it there is. Published voice models were trained with
such units, and they are given here, at the cost of 30 s for every clip: leaving
out any of the silence would change every unit. Longer recordings are computed
in overlapping windows of 30 s.

The spectrogram is computed here: the library's feature extractor pads or cuts
to one window of 30 s, and its floor depends on that window alone.

Radford et al., Robust speech recognition via large-scale weak supervision (2022).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder as LibraryEncoder

from modules.checkpoint import find_state_dict, read_weights
from modules.common.errors import CheckpointError
from modules.dsp.mel_basis import mel_basis
from vencoder.network import NetworkEncoder, assign_weights, check_model_kind, count_layers, shape_of

_KIND = "Whisper"
_N_FFT, _HOP = 400, 160  # samples
_RANGE = 8.0  # powers of ten below the maximum; the spectrogram is clipped there
_FRAMES = 3000  # of the spectrogram computed at once
_OVERLAP = 200  # units, 4 s: minimal overlap of windows
_FADE = 50  # units, 1 s: crossfade in the middle of an overlap
_BATCH = 4  # windows computed together
_HEAD_WIDTH = 64  # in every published model
_NAMES = (
    (r"blocks\.", "layers."),
    (r"\.attn\.query\.", ".self_attn.q_proj."),
    (r"\.attn\.key\.", ".self_attn.k_proj."),
    (r"\.attn\.value\.", ".self_attn.v_proj."),
    (r"\.attn\.out\.", ".self_attn.out_proj."),
    (r"\.attn_ln\.", ".self_attn_layer_norm."),
    (r"\.mlp\.0\.", ".fc1."),
    (r"\.mlp\.2\.", ".fc2."),
    (r"\.mlp_ln\.", ".final_layer_norm."),
    (r"ln_post\.", "layer_norm."),
    (r"positional_embedding$", "embed_positions.weight"),
)


class WhisperNetwork(LibraryEncoder):
    """The library's encoder, with the number of its channels."""

    @property
    def ssl_dim(self) -> int:
        """D, channels of the units."""
        return self.config.d_model


class WhisperEncoder(NetworkEncoder):
    """Units of a Whisper, T // 320 of them, at least one.

    Recordings over 30 s are computed in windows of 30 s that overlap by at least
    4 s, with a crossfade of 1 s in the middle of the overlap. The floor of the
    log-mel spectrogram, 80 dB below its maximum, is that of the whole recording,
    so that windows agree about what is silent.
    """

    receptive_field = 320

    def _set_up(self) -> None:
        super()._set_up()
        config = self.network.config
        self._longest = config.max_source_positions  # units
        self.log_mel = WhisperSpectrogram(config.num_mel_bins, self._longest, self.device)

    def _load(self, path: Path) -> WhisperNetwork:
        content = read_weights(path, keep=("dims", "model_state_dict"), skip="decoder.")
        state = find_state_dict(content, path, "model_state_dict")
        check_model_kind(state, _KIND, path)
        dims = content.get("dims")
        n_heads = dims.get("n_audio_head") if isinstance(dims, dict) else None
        state = {name.removeprefix("encoder."): tensor for name, tensor in state.items()}
        return load_network(state, path, n_heads if isinstance(n_heads, int) and n_heads > 0 else None)

    def _encode(self, waves: Sequence[Tensor]) -> list[Tensor]:
        lengths = [len(wave) // self.hop_length for wave in waves]
        starts = [window_starts(length, self._longest) for length in lengths]
        windows = self._windows(
            mel[:, 2 * start : 2 * (start + self._longest)]  # two frames are one unit
            for wave, firsts in zip(waves, starts, strict=True)
            for mel in [self.log_mel(wave)]
            for start in firsts
        )
        return [
            crossfade([next(windows)[:, :length] for _ in firsts], firsts, length)
            for firsts, length in zip(starts, lengths, strict=True)
        ]

    def _windows(self, mels: Iterator[Tensor]) -> Iterator[Tensor]:
        """Yield the units (D, U) of full windows, each (M, 2 U), several computed together."""
        while group := list(islice(mels, _BATCH)):
            with self._autocast():
                units = self.network(torch.stack(group)).last_hidden_state
            yield from units.float().transpose(1, 2)


class WhisperSpectrogram:
    """The log-mel spectrogram that Whisper was trained on, of at least ``n_units`` units."""

    def __init__(self, n_mels: int, n_units: int, device: torch.device | str = "cpu") -> None:
        self._n_units = n_units
        rate = WhisperEncoder.sampling_rate
        basis = mel_basis(rate, _N_FFT, n_mels, 0.0, rate / 2)
        self._basis = torch.from_numpy(basis).to(device)
        self._window = torch.hann_window(_N_FFT, device=device)

    def __call__(self, wave: Tensor) -> Tensor:
        """(M, 2 U) of a wave (T,) at 16 kHz; a short one is followed by silence."""
        hop_length = WhisperEncoder.hop_length
        n_units = max(self._n_units, len(wave) // hop_length)
        n_samples = n_units * hop_length
        wave = F.pad(wave[:n_samples], (0, max(0, n_samples - len(wave))))
        wave = F.pad(wave[None], (_N_FFT // 2, _N_FFT // 2), mode="reflect")[0]
        pieces = []
        for first in range(0, 2 * n_units, _FRAMES):
            last = min(first + _FRAMES, 2 * n_units) - 1
            piece = wave[first * _HOP : last * _HOP + _N_FFT]
            spectrum = torch.stft(piece, _N_FFT, _HOP, window=self._window, center=False, return_complex=True)
            power = torch.view_as_real(spectrum).square().sum(-1)
            pieces.append((self._basis @ power).clamp(min=1e-10).log10())
        mel = torch.cat(pieces, 1)
        return (mel.clamp(min=mel.max() - _RANGE) + 4) / 4


def window_starts(n_units: int, longest: int) -> list[int]:
    """Evenly spaced starts of the windows of ``longest`` units that cover ``n_units``.

    None extends past the end, and neighbours overlap by at least 4 s.
    """
    if n_units <= longest:
        return [0]
    n_more = -(-(n_units - longest) // (longest - min(_OVERLAP, longest // 2)))
    return [(n_units - longest) * index // n_more for index in range(n_more + 1)]


def crossfade(windows: Sequence[Tensor], starts: Sequence[int], n_units: int) -> Tensor:
    """Join overlapping windows (D, U) that begin at ``starts`` into units (D, ``n_units``)."""
    if len(windows) == 1:
        return windows[0].contiguous()
    units = windows[0].new_zeros(len(windows[0]), n_units)
    length = windows[0].shape[1]
    # a window has weight 1 between the middles of its overlaps, and falls to 0 around them
    middles = [(start + before + length) / 2 for before, start in zip(starts, starts[1:], strict=False)]
    position = torch.arange(n_units, device=units.device) + 0.5
    steps = [((position - middle) / min(_FADE, length // 8) + 0.5).clamp(0, 1) for middle in middles]
    risen = [torch.ones_like(position), *steps]
    fallen = [*steps, torch.zeros_like(position)]
    for window, start, rise, fall in zip(windows, starts, risen, fallen, strict=True):
        units[:, start : start + length] += window * (rise - fall)[start : start + length]
    return units


def load_network(state: Mapping[str, Tensor], path: str | Path, n_heads: int | None = None) -> WhisperNetwork:
    """Build the network of a published file, ready for use; see :func:`vencoder.network.assign_weights`.

    ``state`` is what begins with ``encoder.``, without that; no ``n_heads`` is one for 64 channels.
    """
    shape = partial(shape_of, state, _KIND, path)
    width, n_mels, _ = shape("conv1.weight", 3)
    n_heads = n_heads or max(1, width // _HEAD_WIDTH)
    if width % n_heads:
        raise CheckpointError(f"{path} cannot be used: {width} channels cannot be split into {n_heads} heads")
    config = WhisperConfig(
        num_mel_bins=n_mels,
        d_model=width,
        encoder_layers=count_layers(state, "blocks.{}.attn.query.weight"),
        encoder_attention_heads=n_heads,
        encoder_ffn_dim=shape("blocks.0.mlp.0.weight", 2)[0],
        max_source_positions=shape("positional_embedding", 2)[0],
    )
    config._attn_implementation = "sdpa"  # memory linear in the length
    with torch.device("meta"):
        network = WhisperNetwork(config)
    assign_weights(network, {_library_name(name): tensor for name, tensor in state.items()}, path)
    return network


def _library_name(name: str) -> str:
    for pattern, replacement in _NAMES:
        name = re.sub(pattern, replacement, name)
    return name
