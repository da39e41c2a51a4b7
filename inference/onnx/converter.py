"""Conversion without PyTorch: the graphs that onnx_export.py wrote, run by onnxruntime.

Nothing that is imported here, or by what is imported here, loads PyTorch, so
start-up takes a fraction of the time. The random numbers are those of the
PyTorch chain (inference/noise.py, vdecoder/draws.py), and so is the sound.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from diffusion.compatibility import check_encoder
from inference.conversion import Report, Segment
from inference.noise import frame_noise
from inference.onnx.vocoder import GraphVocoder, sounding, source_inputs
from inference.options import ConvertOptions
from inference.pipeline import SongConverter
from inference.timbre.formant import PER_SEMITONE, shift_matrix
from modules.common.errors import CheckpointError, ConfigError, MissingWeightsError
from modules.common.precision import AUTO
from modules.config import Config
from modules.dsp.f0 import transpose
from modules.f0_predictor import F0_PREDICTORS
from modules.onnx.manifest import MELODY, MODEL, VOCODER, Manifest, read_manifest, track_inputs
from modules.onnx.session import open_session, run
from modules.pretrained.weights import folder as pretrained_folder
from vdecoder.clock import SongClock, frame_cycles
from vdecoder.draws import N_HARMONICS
from vdecoder.world_synthesis import WorldSynthesis
from vencoder import ENCODERS
from vencoder.base import SpeechEncoder
from vencoder.onnx import OnnxEncoder

Feed = dict[str, np.ndarray]
Shapes = dict[str, tuple[int | None, ...]]  # of inputs; None is any length
_SOURCE: Shapes = {"source_noise": (1, None), "phase": (1, N_HARMONICS)}


class OnnxConverter(SongConverter):
    """A loaded voice model of ONNX graphs, with its encoder and F0 predictor.

    The options name the folder of the graphs, ``checkpoints/<name>``, beside which
    ``checkpoints/<name>.json`` lies; they may be replaced between conversions by others
    that name the same folder.

    Raises:
        ConfigError: The options ask for what the graphs cannot do, or for what needs PyTorch.
        CheckpointError: A graph cannot be read, or does not fit its sidecar.
        MissingWeightsError: The encoder's graph has not been downloaded or exported.
    """

    def __init__(self, options: ConvertOptions) -> None:
        self.folder = Path(options.onnx)
        sidecar = read_manifest(self.folder)
        config = sidecar.config
        super().__init__(config, options, self.folder.name, options.device or _best_device())
        _check(sidecar, options, self.folder)
        _ = self.f0_predictor  # its weights may be missing
        tracks = track_inputs(config.model, None)
        noise: Shapes = {"noise": (1, config.data.n_mels, None)}
        self._model = self._open(MODEL, {**tracks, **noise, **(_SOURCE if sidecar.fused else {})})
        self._melody = self._open(MELODY, tracks) if options.auto_predict_f0 else None
        self._vocoder = self._build_vocoder(sidecar)
        self._clock = SongClock()
        self.clocks = (self._clock,)
        self._always_mutes = sidecar.fused and sidecar.mutes_unvoiced
        self.encoder = _build_encoder(config, self.device)
        check_encoder(config)

    def encode(self, audio: np.ndarray) -> np.ndarray:
        """Units (D, U) of ``audio`` (T,) at the encoder's rate."""
        units: np.ndarray = self.encoder.units(audio)
        return units

    def synthesize(self, segment: Segment, report: Report) -> np.ndarray:
        """Render (N - lead) * hop_length samples; call ``report`` with the share that is done.

        A vocoder inside the graph renders all of them.
        """
        shift = self.options.formant
        if shift:  # sung lower, and stretched upwards again
            segment = replace(segment, f0=transpose(segment.f0, -shift))
        feed = self._feed(segment)
        if self._melody:
            feed["f0"] = self._run(self._melody, MELODY, feed)
        noise = frame_noise(segment.first, segment.n_frames, self.config.data.n_mels)
        scaled = {**feed, "noise": noise[None] * np.float32(self.options.noise_scale)}
        f0, hop = feed["f0"][0], self.config.data.hop_length
        uv = segment.uv if self._always_mutes else self.source_voicing(segment.uv)
        if self._vocoder is None:
            cycles = frame_cycles(sounding(f0, uv), hop, self.sampling_rate)
            start = self._clock.start(segment.first, segment.join, cycles)
            source = source_inputs(start, segment.n_frames, hop)
            return self._run(self._model, MODEL, {**scaled, **source})[0, segment.lead * hop :]
        mel = self._run(self._model, MODEL, scaled)[0]
        if shift:
            mel = shift_matrix(self.config.data, shift) @ mel - PER_SEMITONE * shift * segment.uv
            f0 = transpose(f0, shift)
        report(0.5)
        mel, f0, uv = mel[:, segment.lead :], f0[segment.lead :], uv[segment.lead :]
        first = segment.first + segment.lead
        start = self._clock.start(first, segment.join, self._vocoder.cycles(f0, uv))
        audio: np.ndarray = self._vocoder(mel, f0, uv, start)
        return audio

    def _feed(self, segment: Segment) -> Feed:
        """Inputs of the graphs, but for noise."""
        model = self.config.model
        feed = {"units": segment.units[None], "f0": segment.f0[None], "uv": segment.uv[None]}
        if model.n_speakers > 1:
            shares = segment.speaker
            if not isinstance(shares, np.ndarray):
                shares = np.zeros((segment.n_frames, model.n_speakers))
                shares[:, segment.speaker] = 1
            feed["speaker"] = shares[None]
        if model.vol_embedding:
            feed["volume"] = segment.volume[None]
        return {name: np.ascontiguousarray(track, np.float32) for name, track in feed.items()}

    def _run(self, session: onnxruntime.InferenceSession, file: str, feed: Feed) -> np.ndarray:
        """Run a graph; its output must be finite."""
        path = self.folder / file
        output: np.ndarray = run(session, feed, f"{path} cannot be run")[0]
        if not np.isfinite(output).all():
            raise CheckpointError(f"{path} gives NaN; export an earlier checkpoint")
        return output

    def _open(self, file: str, wanted: Shapes) -> onnxruntime.InferenceSession:
        """Open the graph ``file``, which must take these inputs."""
        path = self.folder / file
        session = open_session(path, self.device, f"the graph {file}")
        nodes = session.get_inputs()
        found = {x.name: tuple(n if isinstance(n, int) else None for n in x.shape) for x in nodes}
        if found != wanted:
            raise CheckpointError(
                f"{path} takes {_listed(found)}, but {self.folder.name}.json lists {_listed(wanted)}; "
                "the two were not exported together. Export the voice model again"
            )
        return session

    def _build_vocoder(self, sidecar: Manifest) -> Any:
        data = sidecar.config.data
        if sidecar.fused:
            return None
        if sidecar.config.model.vocoder_name == "world":
            return WorldSynthesis(data)
        session = self._open(VOCODER, {"mel": (1, data.n_mels, None), "f0": (1, None), **_SOURCE})
        synthesize = partial(self._run, session, VOCODER)
        return GraphVocoder(synthesize, data.sampling_rate, data.hop_length, sidecar.reach)


def _check(sidecar: Manifest, options: ConvertOptions, folder: Path) -> None:
    """Refuse what the graphs cannot do, and what needs PyTorch."""
    if not F0_PREDICTORS[options.f0_predictor].without_torch:
        names = ", ".join(name for name, spec in F0_PREDICTORS.items() if spec.without_torch)
        raise ConfigError(f"-f0p: {options.f0_predictor} needs PyTorch; with --onnx use one of: {names}")
    if options.auto_predict_f0 and not sidecar.melody:
        raise ConfigError(
            f"-a: {folder}/ has no {MELODY}; if the model was trained with automatic F0 prediction, "
            f"onnx_export.py -n {folder.name} -a writes it"
        )
    if options.diffuses:
        raise ConfigError("-shd and -od need PyTorch; remove --onnx, or these")
    if options.blends == "kmeans":
        raise ConfigError("-cr: k-means files are read with PyTorch; with --onnx use a retrieval index, -fr")
    if options.mute_unvoiced and sidecar.fused and not sidecar.mutes_unvoiced:
        raise ConfigError(
            f"-mu: the vocoder is inside {folder / MODEL}; remove -mu, or export without --fuse"
        )
    if options.formant and sidecar.fused:
        raise ConfigError(
            f"--formant: the vocoder is inside {folder / MODEL}, so the mel cannot be stretched; remove "
            "--formant, or export without --fuse"
        )
    if options.enhance:
        raise ConfigError("-eh needs PyTorch; remove --onnx, or -eh")
    if options.precision not in (AUTO, "fp32"):
        raise ConfigError(f"-pr: ONNX graphs have a fixed precision; remove -pr {options.precision}")


def _build_encoder(config: Config, device: str) -> SpeechEncoder:
    """The encoder of the voice model without PyTorch: itself, its ONNX twin, or our own one's graph."""
    name = config.model.speech_encoder
    ENCODERS[name]  # raises if there is no such encoder
    for candidate in (name, f"{name}-onnx"):
        if candidate in ENCODERS and ENCODERS[candidate].without_torch:
            encoder: SpeechEncoder = ENCODERS.build(candidate, device)
            return encoder
    if ENCODERS[name].shipped:
        path = pretrained_folder() / f"{name}.onnx"
        if not path.is_file():
            raise MissingWeightsError(f"{path} is missing; write it: python onnx_export.py --encoder {name}")
        return OnnxEncoder(name, device, path)
    usable = ", ".join(name for name, spec in ENCODERS.items() if spec.without_torch or spec.shipped)
    raise ConfigError(
        f"the speech encoder {name!r} of this voice model needs PyTorch; those that do not are: {usable}"
    )


def _best_device() -> str:
    return "cuda" if "CUDAExecutionProvider" in onnxruntime.get_available_providers() else "cpu"


def _listed(inputs: Mapping[str, Sequence[int | None]]) -> str:
    axes = {name: ", ".join("n" if n is None else str(n) for n in shape) for name, shape in inputs.items()}
    return ", ".join(f"{name} [{axes[name]}]" for name in sorted(axes))
