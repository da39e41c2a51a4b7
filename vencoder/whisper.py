"""Whisper's audio encoder, medium and large-v2: units that were trained to be words.

The text decoder, three fifths of a file, is neither read nor built. Whisper hears exactly
30 s: what is shorter is followed by silence, which takes part in attention, so
a unit depends on how much of it there is. Published voices were trained with
such units, and they are given here, at the price of 30 s for every clip: no part
of the silence can be left out without changing every unit. What is longer is
heard through several windows that overlap, each full of sound.

Radford et al., Robust speech recognition via large-scale weak supervision (2022).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder as LibraryEncoder

from modules.checkpoint import read_weights, state_of
from modules.common.errors import CheckpointError
from modules.dsp.mel_basis import mel_basis
from vencoder.base import SpeechEncoder, check_width, weights_file
from vencoder.windowed import adopt_weights, lower_precision, refuse_others, shape_of

_KIND = "Whisper"
_N_FFT, _HOP = 400, 160  # samples
_RANGE = 8.0  # powers of ten below the loudest that are told apart
_FRAMES = 3000  # of the spectrogram computed at once
_OVERLAP = 200  # units, 4 s, at least, that windows share
_FADE = 50  # units, 1 s, in the middle of that, over which one window gives way to the next
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


def whisper_ppg(
    device: torch.device | str = "cpu", weights: Path | None = None, dtype: torch.dtype = torch.float32
) -> WhisperEncoder:
    """Return the encoder of Whisper medium, 1024 channels."""
    return WhisperEncoder("whisper-ppg", device, weights, dtype)


def whisper_ppg_large(
    device: torch.device | str = "cpu", weights: Path | None = None, dtype: torch.dtype = torch.float32
) -> WhisperEncoder:
    """Return the encoder of Whisper large-v2, 1280 channels."""
    return WhisperEncoder("whisper-ppg-large", device, weights, dtype)


class WhisperEncoder(SpeechEncoder):
    """Units of a Whisper, T // 320 of them, at least one.

    Recordings over 30 s are heard in windows of 30 s that share at least 4 s,
    and fade into each other over the second in the middle of what they share.
    The floor of the log-mel spectrogram, 80 dB below its loudest value, is one
    for the whole recording, so that windows agree about what is silent.

    Args:
        name: ``whisper-ppg`` or ``whisper-ppg-large``.
        device: Where the units are computed and returned.
        weights: The model's file; None: the published one's place.
        dtype: bfloat16 or float16 halves the time and the memory of the matrix
            products where the device is made for it. Units stay float32.

    Raises:
        MissingWeightsError: The file has not been downloaded.
        CheckpointError: It cannot be read, or is no such model.
    """

    receptive_field = 320

    def __init__(
        self,
        name: str,
        device: torch.device | str = "cpu",
        weights: Path | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.name = name
        self.device = torch.device(device)
        self._dtype = dtype
        path = weights_file(name, weights)
        state, n_heads = _read(path)
        network = load_network(state, path, n_heads)
        self.network = network
        config = network.config
        self.ssl_dim = config.d_model
        if weights is None:
            check_width(name, self.ssl_dim, path)
        if dtype != torch.float32:
            lower_precision(self.network, dtype)
        nn.Module.to(network, self.device)  # the library's own is not typed
        self._longest = config.max_source_positions  # units
        rate = self.sampling_rate
        basis = mel_basis(rate, _N_FFT, config.num_mel_bins, 0.0, rate / 2)
        self._basis = torch.from_numpy(basis).to(self.device)
        self._window = torch.hann_window(_N_FFT, device=self.device)

    def _encode(self, waves: Sequence[Tensor]) -> list[Tensor]:
        lengths = [len(wave) // self.hop_length for wave in waves]
        starts = [window_starts(length, self._longest) for length in lengths]
        windows = self._windows(
            mel[:, 2 * start : 2 * (start + self._longest)]  # two frames are one unit
            for wave, firsts in zip(waves, starts, strict=True)
            for mel in [self._log_mel(wave)]
            for start in firsts
        )
        return [
            joined([next(windows)[:, :length] for _ in firsts], firsts, length)
            for firsts, length in zip(starts, lengths, strict=True)
        ]

    def _windows(self, mels: Iterator[Tensor]) -> Iterator[Tensor]:
        """Yield the units (D, U) of full windows, each (M, 2 U), several computed together."""
        while group := list(islice(mels, _BATCH)):
            with torch.autocast(self.device.type, self._dtype, enabled=self._dtype != torch.float32):
                units = self.network(torch.stack(group)).last_hidden_state
            yield from units.float().transpose(1, 2)

    def _log_mel(self, wave: Tensor) -> Tensor:
        """Return the log-mel spectrogram (M, 2 U) that Whisper was trained on, U at least a window's."""
        n_units = max(self._longest, len(wave) // self.hop_length)
        n_samples = n_units * self.hop_length
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
    """Return where the windows of ``longest`` units begin that cover ``n_units``, evenly spread.

    None reaches over the end, and neighbours share at least 4 s.
    """
    if n_units <= longest:
        return [0]
    n_more = -(-(n_units - longest) // (longest - min(_OVERLAP, longest // 2)))
    return [(n_units - longest) * index // n_more for index in range(n_more + 1)]


def joined(windows: Sequence[Tensor], starts: Sequence[int], n_units: int) -> Tensor:
    """Return units (D, ``n_units``) from windows (D, U) that begin at ``starts`` and overlap."""
    if len(windows) == 1:
        return windows[0].contiguous()
    units = windows[0].new_zeros(len(windows[0]), n_units)
    length = windows[0].shape[1]
    # a window counts in full between the middles of its overlaps, and falls off to 0 around them
    middles = [(start + before + length) / 2 for before, start in zip(starts, starts[1:], strict=False)]
    position = torch.arange(n_units, device=units.device) + 0.5
    steps = [((position - middle) / min(_FADE, length // 8) + 0.5).clamp(0, 1) for middle in middles]
    risen = [torch.ones_like(position), *steps]
    fallen = [*steps, torch.zeros_like(position)]
    for window, start, rise, fall in zip(windows, starts, risen, fallen, strict=True):
        units[:, start : start + length] += window * (rise - fall)[start : start + length]
    return units


def load_network(state: Mapping[str, Tensor], path: str | Path, n_heads: int | None = None) -> LibraryEncoder:
    """Return the network with the tensors of a published file, ready for use.

    On the meta device if the tensors are.

    Args:
        state: The file's tensors that begin with ``encoder.``, without that.
        path: The file, for messages.
        n_heads: Of attention; None: one for 64 channels.

    Raises:
        CheckpointError: Tensors are missing, unknown, or of the wrong shape.
    """

    def shape(name: str, n_axes: int) -> tuple[int, ...]:
        return shape_of(state, name, n_axes, path, _KIND)

    width, n_mels, _ = shape("conv1.weight", 3)
    n_heads = n_heads or max(1, width // _HEAD_WIDTH)
    if width % n_heads:
        raise CheckpointError(f"{path} cannot be used: {width} channels do not fall into {n_heads} heads")
    n_layers = 0
    while f"blocks.{n_layers}.attn.query.weight" in state:
        n_layers += 1
    config = WhisperConfig(
        num_mel_bins=n_mels,
        d_model=width,
        encoder_layers=n_layers,
        encoder_attention_heads=n_heads,
        encoder_ffn_dim=shape("blocks.0.mlp.0.weight", 2)[0],
        max_source_positions=shape("positional_embedding", 2)[0],
    )
    config._attn_implementation = "sdpa"  # memory linear in the length
    with torch.device("meta"):  # no random initialisation, and nothing allocated for a file that does not fit
        network = LibraryEncoder(config)
    adopt_weights(network, {_library_name(name): tensor for name, tensor in state.items()}, path)
    return network


def _library_name(name: str) -> str:
    for pattern, replacement in _NAMES:
        name = re.sub(pattern, replacement, name)
    return name


def _read(path: Path) -> tuple[dict[str, Tensor], int | None]:
    """Return the encoder's tensors, the only ones that are read, and its number of heads if stated."""
    content = read_weights(path, keep=("dims", "model_state_dict"), skip="decoder.")
    state = state_of(content, path, "model_state_dict")
    refuse_others(state, _KIND, path)
    dims = content.get("dims")
    n_heads = dims.get("n_audio_head") if isinstance(dims, dict) else None
    state = {name.removeprefix("encoder."): tensor for name, tensor in state.items()}
    return state, n_heads if isinstance(n_heads, int) and n_heads > 0 else None
