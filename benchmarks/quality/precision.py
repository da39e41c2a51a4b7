"""Half precision against float32, network by network: speed, and distance of the result.

    python -m benchmarks.quality.precision [network ...]

Both formats run in turn on a song of the synthetic singer, all other stages in
float32. Networks whose weights are in the repository or in an installed package
use them; the others have their published size and random weights, so that their
distance is a guide. The sound is made of the mel by WORLD, which has no network.
modules/common/precision.py holds what follows from it.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from benchmarks.measure import alternate, table, temporary_folder
from benchmarks.vocoding import PUBLISHED, load_random, log_spectral_distance
from benchmarks.workspace import SIZES, TEMPLATES, synthetic_song
from diffusion.config import parse_diffusion_config
from diffusion.unit2mel import Unit2Mel
from inference.noise import DIFFUSION as DIFFUSION_NOISE
from inference.noise import frame_noise
from models import GlowSVC, ReferenceGlow
from modules.checkpoint import model_state, write_checkpoint
from modules.common.cli import make_parser
from modules.common.device import autocast, half_format, resolve_device
from modules.common.files import write_json
from modules.common.precision import BOUND, FLOAT32
from modules.config import DataConfig, parse_config
from modules.dsp.align import align_units
from modules.dsp.audio import resample
from modules.dsp.frame_rms import frame_rms
from modules.dsp.mel import LogMel
from modules.f0_predictor import F0_PREDICTORS
from modules.pretrained.starter import STARTER, STARTER_ENCODER, starter_sizes
from tests.support.golden_cases import fill
from tests.support.published import write_full_encoder
from vdecoder import VOCODERS
from vdecoder.generator import Generator
from vdecoder.nsf_snake_hifigan import SnakeGenerator
from vencoder import ENCODERS

SECONDS = 8.0
SLOW = {"crepe": 2.0}  # s of the song for these
REPEATS = 2
QUICK = 0.2, 20  # s of a run; repeats of networks that are quicker
RATE, HOP, N_MELS = 44100, 512, 128
ENCODERS_MEASURED = (STARTER_ENCODER, "vec768l12", "wavlmbase+", "whisper-ppg")  # one of each family
VOCODERS_MEASURED = {"nsf-hifigan": Generator, "nsf-snake-hifigan": SnakeGenerator}
DEVICE = resolve_device()
Run = Callable[[torch.dtype], Callable[[], Any]]  # format -> the stage, ready to be timed
Cells = dict[str, float]  # distances by column
COLUMNS = {
    "units": "{:.2%}",
    "mel": "{:.4f}",
    "spectrum": "{:.3f} dB",
    "cents": "{:.2f}",
    "voicing": "{:.2%}",
}


@dataclass(frozen=True, eq=False)
class VoiceInputs:
    """A song as the networks take it: N frames, on the device."""

    song: np.ndarray  # (T,)
    f0: Tensor  # (N,), Hz
    uv: Tensor  # (N,)
    volume: Tensor  # (N,)

    @classmethod
    def sing(cls) -> VoiceInputs:
        """A song by the synthetic singer."""
        song = synthetic_song(SECONDS, 3)
        tracks = *F0_PREDICTORS.build("pm").predict(song), frame_rms(song, HOP)
        n_frames = len(song) // HOP
        return cls(song, *(torch.from_numpy(track[:n_frames]).to(DEVICE) for track in tracks))

    @property
    def wave(self) -> Tensor:
        """The song at 16 kHz."""
        return torch.from_numpy(resample(self.song, RATE, 16000)).to(DEVICE)

    def align(self, units: Tensor) -> Tensor:
        """Units (1, D, N)."""
        clock = ENCODERS[STARTER_ENCODER].clock  # has no effect on the default mode
        return align_units(units, len(self.f0), DataConfig(), clock).to(DEVICE)[None]

    def noise(self, *kind: int) -> Tensor:
        """Noise (1, M, N)."""
        return torch.from_numpy(frame_noise(0, len(self.f0), N_MELS, *kind)).to(DEVICE)[None]

    def convert(self, model: GlowSVC, units: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """The mel (M, N) of ``units`` (D, U)."""
        f0, uv, speaker = self.f0[None], self.uv[None], torch.zeros(1, dtype=torch.int64, device=DEVICE)
        with torch.inference_mode(), autocast(DEVICE, dtype):
            return model.infer(self.align(units), f0, uv, speaker, noise=self.noise())[0][0].float()


def glow_model(size: str, ssl_dim: int) -> GlowSVC:
    """A voice of the base model in the repository if ``size`` is tiny, else one with random weights."""
    values = json.loads((TEMPLATES / SIZES[size]).read_text(encoding="utf-8"))
    values["model"] |= {"ssl_dim": ssl_dim, **(starter_sizes(STARTER_ENCODER) if size == "tiny" else {})}
    values["model"]["n_speakers"] = 1
    torch.manual_seed(0)
    model = GlowSVC(parse_config(values).model)
    if size == "tiny":
        base = ReferenceGlow(model.config)
        base.load_state_dict({name: tensor.float() for name, tensor in model_state(STARTER).items()})
        mel = LogMel(DataConfig())(torch.from_numpy(synthetic_song(SECONDS, 3))[None])
        model.load_state_dict(base.state_dict() | base.tables(list(mel)), strict=False)
    else:
        for name, tensor in model.named_parameters():
            if ".post." in name:  # initialised with zeros, which would hide the WaveNets
                torch.nn.init.normal_(tensor, std=0.01)
        model.state_dict()["enc_p.proj.bias"][:N_MELS] = -5.0  # about as loud as speech
    return model.eval().requires_grad_(False).to(DEVICE)


def spectral_distance(exact: Tensor, other: Tensor) -> float:
    """Log-spectral distance (dB) of sounds (T,), as far as it lies within 80 dB of the loudest of ``exact``.

    Networks with random weights make sounds of any level.
    """
    window = torch.hann_window(2048)
    loudest = torch.stft(exact, 2048, 512, window=window, return_complex=True).abs().max()
    scale = 0.1 / loudest  # to -20 dB; log_spectral_distance has its floor at -100
    return log_spectral_distance(exact * scale, other * scale)


class Measurements:
    """The networks that can be measured, by name; each yields the rows of the table."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.inputs = folder, VoiceInputs.sing()
        self.world = VOCODERS.build("world", DataConfig(), DEVICE)
        self.log_mel = LogMel(DataConfig())
        self.starter = ENCODERS.build(STARTER_ENCODER, DEVICE).encode(self.inputs.wave)
        self.mel = self.inputs.convert(glow_model("tiny", len(self.starter)), self.starter)
        self.all: dict[str, Callable[[], tuple[Run, Callable[[Any, Any], Cells]]]] = {
            **{name: partial(self.encoder, name) for name in ENCODERS_MEASURED},
            **{name: partial(self.predictor, name) for name in ("crepe", "fcpe", "rmvpe")},
            **{f"Glow, {size}": partial(self.glow, size) for size in SIZES},
            "diffusion, tiny": partial(self.diffusion, "diffusion_tiny_template.yaml"),
            "diffusion, published size": partial(self.diffusion, "diffusion_template.yaml"),
            **{name: partial(self.vocoder, name) for name in VOCODERS_MEASURED},
        }

    def rows(self, names: Sequence[str], formats: Sequence[str]) -> Iterator[list[str]]:
        """Yield a row for each network and format."""
        for name in names:
            run, distance = self.all[name]()
            works = {form: run(getattr(torch, form)) for form in (FLOAT32, *formats)}
            exact = works[FLOAT32]()
            began = time.perf_counter()
            works[FLOAT32]()
            longest, often = QUICK
            repeats = often if time.perf_counter() - began < longest else REPEATS
            times = {form: min(found) for form, found in alternate(works, repeats).items()}
            for form in formats:
                cells = distance(exact, works[form]())
                faster = times[FLOAT32] / times[form]
                values = [
                    pattern.format(cells[key]) if key in cells else "" for key, pattern in COLUMNS.items()
                ]
                limits = asdict(BOUND)
                kept = all(not value > limits[key] for key, value in cells.items() if key in limits)
                yield [
                    name,
                    form,
                    f"{times[form] / SLOW.get(name, SECONDS):.4f}",
                    f"{faster:.2f}×",
                    *values,
                    "yes" if kept else "no",
                ]

    def compare_mels(self, one: Tensor, other: Tensor) -> Cells:
        """Distances of two mels (M, N) and of their sounds."""
        sounds = [self.world.synthesize(mel, self.inputs.f0, self.inputs.uv).cpu() for mel in (one, other)]
        return {"mel": float((one - other).abs().mean()), "spectrum": spectral_distance(*sounds)}

    def encoder(self, name: str) -> tuple[Run, Callable[[Any, Any], Cells]]:
        """A speech encoder; its mel is that of a Glow model of these units."""
        own = name == STARTER_ENCODER
        weights = {} if own else {"weights": write_full_encoder(name, self.folder)}
        model = glow_model("tiny" if own else "published size", ENCODERS[name].ssl_dim)
        wave = self.inputs.wave

        def run(dtype: torch.dtype) -> Callable[[], Any]:
            encoder = ENCODERS.build(name, DEVICE, dtype=dtype, **weights)
            return lambda: encoder.encode(wave)

        def distance(one: Tensor, other: Tensor) -> Cells:
            mels = (self.inputs.convert(model, units) for units in (one, other))
            return {"units": float((one - other).norm() / one.norm()), **self.compare_mels(*mels)}

        return run, distance

    def predictor(self, name: str) -> tuple[Run, Callable[[Any, Any], Cells]]:
        """A neural F0 predictor."""
        song, weights = self.inputs.song[: round(SLOW.get(name, SECONDS) * RATE)], {}
        if name == "rmvpe":
            from modules.f0_predictor.rmvpe_model import E2E0

            shapes = {key: tensor.shape for key, tensor in E2E0().state_dict().items()}
            state = {key: torch.from_numpy(fill(key, tuple(shape))) for key, shape in shapes.items()}
            torch.save({"model": state}, self.folder / "rmvpe.pt")
            weights["weights"] = self.folder / "rmvpe.pt"

        def run(dtype: torch.dtype) -> Callable[[], Any]:
            predictor = F0_PREDICTORS.build(name, device=DEVICE, dtype=dtype, **weights)
            return lambda: predictor.predict(song)

        def distance(one: tuple[np.ndarray, ...], other: tuple[np.ndarray, ...]) -> Cells:
            voiced = (one[1] > 0) & (other[1] > 0)
            cents = 1200 * np.abs(np.log2(one[0][voiced] / other[0][voiced]))
            return {"cents": float(np.percentile(cents, 99)), "voicing": float(np.mean(one[1] != other[1]))}

        return run, distance

    def glow(self, size: str) -> tuple[Run, Callable[[Any, Any], Cells]]:
        """The Glow model: the base model in the repository, and one of the published size."""
        units, model = self.starter, glow_model(size, len(self.starter))
        return lambda dtype: partial(self.inputs.convert, model, units, dtype), self.compare_mels

    def diffusion(self, template: str) -> tuple[Run, Callable[[Any, Any], Cells]]:
        """The diffusion model, refining in ten evaluations."""
        values = yaml.safe_load((TEMPLATES / template).read_text(encoding="utf-8"))
        values["data"] |= {"encoder": STARTER_ENCODER, "encoder_out_channels": len(self.starter)}
        torch.manual_seed(0)
        model = Unit2Mel(parse_diffusion_config(values)).eval().requires_grad_(False).to(DEVICE)
        torch.nn.init.normal_(model.decoder.network.output_projection.weight, std=0.02)
        given = self.inputs
        tracks = given.align(self.starter), given.f0[None], given.volume[None]
        speaker, mel = torch.zeros(1, dtype=torch.int64, device=DEVICE), self.mel[None]
        noise = given.noise(DIFFUSION_NOISE)

        def run(dtype: torch.dtype) -> Callable[[], Tensor]:
            refiner = copy.deepcopy(model)
            refiner.decoder.network.in_precision(dtype)
            return lambda: refiner.infer(*tracks, speaker, mel=mel, noise=noise, k_step=100, speedup=10)[0]

        return run, self.compare_mels

    def vocoder(self, name: str) -> tuple[Run, Callable[[Any, Any], Cells]]:
        """A neural vocoder with random weights."""
        network = VOCODERS_MEASURED[name](PUBLISHED)
        load_random(network)
        # the filters of snakes are constants, which the loader adds
        state = {key: value for key, value in network.state_dict().items() if not key.endswith(".filter")}
        write_checkpoint(self.folder / "model", {"generator": state})
        data = DataConfig()
        analysis: Mapping[str, float] = {
            "sampling_rate": data.sampling_rate,
            "n_fft": data.n_fft,
            "win_size": data.win_length,
            "hop_size": data.hop_length,
            "fmin": data.f_min,
            "fmax": data.f_max,
        }
        write_json(self.folder / "config.json", {**asdict(PUBLISHED), **analysis})

        def run(dtype: torch.dtype) -> Callable[[], Any]:
            made = VOCODERS.build(name, data, DEVICE, weights=self.folder / "model", dtype=dtype)
            return lambda: made.synthesize(self.mel, self.inputs.f0, self.inputs.uv).cpu()

        def distance(one: Tensor, other: Tensor) -> Cells:
            mels = self.log_mel(torch.stack([one, other]))
            mel = float((mels[0] - mels[1]).abs().mean())
            return {"mel": mel, "spectrum": spectral_distance(one, other)}

        return run, distance


def main(argv: Sequence[str] | None = ()) -> None:
    """Print a row for each network and half-precision format."""
    parser = make_parser(__doc__)
    parser.add_argument("networks", nargs="*", help="default: all")
    parser.add_argument("--formats", nargs="+", help="default: the device's own half precision")
    args = parser.parse_args(argv)
    formats = args.formats or [half_format(DEVICE)]
    if formats == [FLOAT32]:
        formats = ["bfloat16"]  # emulated: slow, with the same distance
    with temporary_folder() as folder:
        measurements = Measurements(folder)
        rows = list(measurements.rows(args.networks or list(measurements.all), formats))
    names = ["units off by", "mel L1", "log-spectral distance", "F0, cents (99 %)", "voicing differs"]
    header = ["network", "format", "real-time factor", "over float32", *names, "within the bound"]
    table(header, rows)


if __name__ == "__main__":
    main(None)
