"""The feature files beside a clip: written atomically, and read without running code.

Beside ``x.wav`` lie ``x.wav.soft.pt``, ``x.wav.f0.npy`` and so on. All features
of one clip have the same N frames, those of its mel; only units keep the rate
of their encoder. modules/dataset/feature_record.py keeps the settings of each file.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from modules.checkpoint import read_tensor
from modules.common.errors import FeatureError
from modules.common.files import replacing

SUFFIXES = {
    "units": ".soft.pt",  # (1, D, U)
    "perturbed_units": ".soft_perturbed.pt",  # (K, D, U), of copies in other voices
    "f0": ".f0.npy",  # (2, N): Hz, filled; 1 = voiced
    "volume": ".vol.npy",  # (N,)
    "mel": ".mel.pt",  # (N, M)
    "aug_mel": ".aug_mel.npy",  # AUGMENTED, values (N, M)
    "aug_volume": ".aug_vol.npy",  # AUGMENTED, values (N,)
}


def feature_path(wav: str | Path, kind: str) -> Path:
    """Path of the feature ``kind`` (a key of SUFFIXES) of ``wav``."""
    wav = Path(wav)
    return wav.with_name(wav.name + SUFFIXES[kind])


def save_feature(wav: str | Path, kind: str, values: Tensor | np.ndarray) -> None:
    """Write one feature atomically.

    Raises:
        FeatureError: It holds NaN or Inf.
    """
    path = feature_path(wav, kind)
    numbers = values["values"] if isinstance(values, np.ndarray) and values.dtype.names else values
    if not torch.isfinite(torch.as_tensor(numbers)).all():
        raise FeatureError(f"{wav}: its {kind} came out as NaN or infinite")
    content = io.BytesIO()  # torch and numpy do not report a full disk
    if path.suffix == ".pt":
        torch.save(torch.as_tensor(values), content)
    else:
        np.save(content, np.asarray(values), allow_pickle=False)
    with replacing(path) as temporary, content.getbuffer() as data:
        temporary.write_bytes(data)


def augmented(pair_id: int, key_shift: float, values: np.ndarray) -> np.ndarray:
    """One half of an augmented pair, mel (N, M) or volume (N,), as a scalar record, stored without pickle.

    Both halves have the same ``pair_id``, below 2**64, and ``key_shift``, in semitones.
    """
    kind = [("id", "u8"), ("key_shift", "f4"), ("values", "f4", values.shape)]
    return np.array((pair_id, key_shift, values), dtype=kind)


def load_units(wav: str | Path) -> Tensor:
    """Read units (D, U). Raises FeatureError, like every reader here: missing, broken or unsafe."""
    units = _load(wav, "units", 3)
    if units.shape[0] != 1:
        raise _broken(wav, "units", f"its shape is {tuple(units.shape)}, not (1, D, U)")
    return units[0]


def load_perturbed_units(wav: str | Path) -> Tensor:
    """Read the units (K, D, U) of the clip's copies in other voices."""
    return _load(wav, "perturbed_units", 3)


def load_f0(wav: str | Path) -> tuple[Tensor, Tensor]:
    """Read F0 (N,) in Hz, filled through unvoiced frames, and uv (N,), 1 = voiced."""
    tracks = _load(wav, "f0", 2)
    if tracks.shape[0] != 2:
        raise _broken(wav, "f0", f"its shape is {tuple(tracks.shape)}, not (2, N)")
    return tracks[0], tracks[1]


def load_volume(wav: str | Path) -> Tensor:
    """Read the RMS volume (N,)."""
    return _load(wav, "volume", 1)


def load_mel(wav: str | Path) -> Tensor:
    """Read the natural-log mel (M, N)."""
    return _load(wav, "mel", 2).T.contiguous()


def load_augmented(wav: str | Path) -> tuple[Tensor, Tensor, float]:
    """Read the shifted mel (M, N), its volume (N,) and the shift in semitones.

    Raises:
        FeatureError: Also when the two files are not of one pair.
    """
    mel, volume = _read_half(wav, "aug_mel"), _read_half(wav, "aug_volume")
    if mel["id"] != volume["id"]:
        raise _broken(wav, "aug_mel", f"it is of another pair than {feature_path(wav, 'aug_volume').name}")
    values = _checked(wav, "aug_mel", mel["values"], 2).T.contiguous()
    return values, _checked(wav, "aug_volume", volume["values"], 1), float(mel["key_shift"])


def n_frames(wav: str | Path, kind: str) -> int | None:
    """Read a feature in full and return its N; None for units, which have their own rate."""
    if kind in ("units", "perturbed_units"):
        _load(wav, kind, 3)
        return None
    if kind in ("aug_mel", "aug_volume"):
        mel, volume, _ = load_augmented(wav)
        return mel.shape[-1] if kind == "aug_mel" else volume.shape[-1]
    values = load_f0(wav)[0] if kind == "f0" else load_volume(wav) if kind == "volume" else load_mel(wav)
    return values.shape[-1]


def _broken(wav: str | Path, kind: str, reason: str) -> FeatureError:
    path = feature_path(wav, kind)
    return FeatureError(f"{path} cannot be used: {reason}. Run preprocess_hubert_f0.py again")


def _read(wav: str | Path, kind: str) -> Tensor | np.ndarray:
    path = feature_path(wav, kind)
    try:
        if path.suffix == ".pt":
            if not path.is_file():
                raise FileNotFoundError(path)
            return read_tensor(path)
        return np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise FeatureError(f"{path} is missing; run preprocess_hubert_f0.py") from None
    except Exception as error:  # a broken file can make the readers raise nearly anything
        made_elsewhere = "allow_pickle" in str(error) or "is refused" in str(error)
        reason = "made by the published project" if made_elsewhere else "damaged or cut short"
        raise _broken(wav, kind, reason) from error


def _read_half(wav: str | Path, kind: str) -> np.ndarray:
    half = _read(wav, kind)
    if not isinstance(half, np.ndarray) or half.dtype.names != ("id", "key_shift", "values"):
        raise _broken(wav, kind, "it is not an augmented feature")
    return half


def _load(wav: str | Path, kind: str, n_dims: int) -> Tensor:
    return _checked(wav, kind, _read(wav, kind), n_dims)


def _checked(wav: str | Path, kind: str, values: Tensor | np.ndarray, n_dims: int) -> Tensor:
    if isinstance(values, np.ndarray) and values.dtype.kind == "f":
        values = torch.from_numpy(values)
    if not isinstance(values, Tensor) or not values.is_floating_point() or values.ndim != n_dims:
        raise _broken(wav, kind, f"it is not an array of {n_dims} dimensions")
    if values.numel() == 0 or not torch.isfinite(values).all():
        raise _broken(wav, kind, "it is empty, or holds NaN or infinite values")
    return values.float()
