"""The JSON file beside the ONNX graphs of a voice model: their inputs and how they fit together.

``checkpoints/<name>.json`` belongs to the graphs in ``checkpoints/<name>/``.
Other programs read it as well; docs/onnx.md lists its keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from modules.common.errors import ConfigError
from modules.common.files import write_json
from modules.common.text import normalize_name
from modules.config import Config, ModelConfig, parse_config, read_json
from modules.config.section import Bounds, check, errors_name, field_types
from modules.config.shared import parse_speakers

MODEL, MELODY, VOCODER = "model.onnx", "f0.onnx", "vocoder.onnx"
CONDITION, DENOISER = "diffusion_encoder.onnx", "diffusion_denoiser.onnx"
Length = TypeVar("Length", str, None)
_VERSION = 1  # of the names and shapes of the graphs' inputs
_MOST_REACH = 10_000  # frames
_COUNTS = Bounds(at_least=0, at_most=10**6)
_DATA = ("n_fft", "win_length", "n_mels", "f_min", "f_max", "unit_interpolate_mode")


@dataclass(frozen=True, kw_only=True)
class DiffusionManifest:
    """What a sampler needs to know of the diffusion graphs."""

    type: str  # Diffusion: the denoiser predicts noise; ReFlow: a velocity
    timesteps: int  # steps from mel to noise
    max_steps: int  # how many of them the model is trained for
    n_speakers: int  # shares of speakers that the graphs take; 1: there is no such input
    speakers: dict[str, int]  # their ids by name
    mel_min: float = -12.0  # natural log, what is -1 in a normalised mel
    mel_max: float = 2.0  # what is 1
    method: str = ""  # the sampler in the model's configuration
    speedup: int = 10  # steps that it takes at once
    betas: tuple[float, ...] = ()  # the schedule, if it is not the usual one, from 1e-4 to 0.02
    unit_interpolate_mode: str = "nearest"  # how its units are aligned; older exports do not say it


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Content of the file."""

    config: Config  # of the voice model, as far as converting needs it
    fused: bool = False  # model.onnx gives sound: the vocoder is inside
    melody: bool = False  # f0.onnx is there, which predicts F0
    mutes_unvoiced: bool = False  # a fused graph mutes its sines where uv is 0, as older exports do
    reach: int = 0  # frames on either side that a frame's sound depends on
    diffusion: DiffusionManifest | None = None


def manifest_path(folder: str | Path) -> Path:
    """File that belongs to the graphs in ``folder``."""
    folder = Path(folder)
    return folder.parent / f"{folder.name}.json"


def track_inputs(model: ModelConfig, length: Length) -> dict[str, tuple[int | Length, ...]]:
    """Shapes of the inputs that all graphs of a Glow model take, by name; ``length`` stands for N."""
    inputs: dict[str, tuple[int | Length, ...]] = {
        "units": (1, model.ssl_dim, length),
        "f0": (1, length),
        "uv": (1, length),
    }
    if model.n_speakers > 1:
        inputs["speaker"] = (1, length, model.n_speakers)
    if model.vol_embedding:
        inputs["volume"] = (1, length)
    return inputs


def write_manifest(folder: str | Path, sidecar: Manifest, clock: Mapping[str, int]) -> None:
    """Write the file of the graphs in ``folder``, atomically; ``clock`` is its entry "unit_clock"."""
    config = sidecar.config
    data, model = config.data, config.model
    write_json(
        manifest_path(folder),
        {
            "version": _VERSION,
            "name": Path(folder).name,
            "rate": data.sampling_rate,
            "hop": data.hop_length,
            "encoder": model.speech_encoder,
            "units": model.ssl_dim,
            "unit_clock": dict(clock),
            "speakers": config.spk,
            "n_speakers": model.n_speakers,
            "mix": model.n_speakers > 1,
            "volume": model.vol_embedding,
            "vocoder": model.vocoder_name,
            "fused": sidecar.fused,
            "melody": sidecar.melody,
            "mutes_unvoiced": sidecar.mutes_unvoiced,
            "reach": sidecar.reach,
            "data": {name: getattr(data, name) for name in _DATA},
            "f0_range": config.f0_range,
            "diffusion": None if sidecar.diffusion is None else asdict(sidecar.diffusion),
        },
    )


def read_manifest(folder: str | Path) -> Manifest:
    """Read the file of the graphs in ``folder``; raises ConfigError if it is missing, broken or newer."""
    path = manifest_path(folder)
    if not path.is_file():
        raise ConfigError(
            f"{path} does not exist: it belongs to the graphs in {folder}/. "
            f"onnx_export.py -n {Path(folder).name} writes both"
        )
    values = read_json(path)
    with errors_name(path):
        return _parsed(values)


def _parsed(values: Mapping[str, Any]) -> Manifest:
    if values.get("version") != _VERSION:
        raise ConfigError(
            f"version {values.get('version')!r} is not {_VERSION}, the one that this program reads; "
            "export the voice model again"
        )
    data, ranges = values.get("data"), values.get("f0_range")
    if not isinstance(data, Mapping) or not isinstance(ranges, Mapping):
        raise ConfigError("sections 'data' and 'f0_range' must be tables")
    config = parse_config(
        {
            "data": {
                **data,
                "sampling_rate": values.get("rate"),
                "hop_length": values.get("hop"),
            },
            "model": {
                "inter_channels": data.get("n_mels"),
                "speech_encoder": values.get("encoder"),
                "ssl_dim": values.get("units"),
                "n_speakers": values.get("n_speakers"),
                "vol_embedding": values.get("volume"),
                "vocoder_name": values.get("vocoder"),
                "use_automatic_f0_prediction": values.get("melody"),
            },
            "spk": values.get("speakers"),
            "f0_range": ranges,
        }
    )
    reach, fused = values.get("reach"), values.get("fused")
    if not isinstance(fused, bool) or not isinstance(reach, int) or not 0 <= reach <= _MOST_REACH:
        raise ConfigError("'fused' must be true or false, and 'reach' a number of frames up to 10000")
    mutes = values.get("mutes_unvoiced", fused)  # older exports do not say it
    if not isinstance(mutes, bool):
        raise ConfigError("'mutes_unvoiced' must be true or false")
    given = values.get("diffusion")
    return Manifest(
        config=config,
        fused=fused,
        melody=config.model.use_automatic_f0_prediction,
        mutes_unvoiced=mutes,
        reach=reach,
        diffusion=None if given is None else _diffusion(given),
    )


def _diffusion(values: Any) -> DiffusionManifest:
    if not isinstance(values, Mapping):
        raise ConfigError("section 'diffusion' must be a table of settings")
    kinds = field_types(DiffusionManifest)
    del kinds["speakers"]
    values = {"unit_interpolate_mode": DiffusionManifest.unit_interpolate_mode, **values}
    return DiffusionManifest(
        speakers={
            normalize_name(name): number
            for name, number in parse_speakers(values.get("speakers"), "diffusion.speakers").items()
        },
        **{
            name: check(values.get(name), kind, f"diffusion.{name}", _COUNTS if kind is int else None)
            for name, kind in kinds.items()
        },
    )
