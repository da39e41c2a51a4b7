"""A voice model as ONNX: the graphs of a conversion, and the sidecar that describes them.

``checkpoints/<name>/`` holds model.pth and config.json, and perhaps
diffusion.pt and diffusion.yaml; the graphs are put beside them.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from pathlib import Path

from diffusion.compatibility import check_diffusion, check_encoder
from diffusion.config import load_diffusion_config
from diffusion.unit2mel import Unit2Mel, load_unit2mel
from export.check import Graph, write
from export.diffusion import diffusion_graphs, diffusion_sidecar
from export.glow import glow_graph, melody_graph
from export.vocoder import fused_graph, reach, vocoder_graph
from models import GlowSVC
from modules.checkpoint import build_module, model_state
from modules.common.errors import CheckpointError, ConfigError
from modules.common.progress import stage
from modules.config import Config, load_config
from modules.nn.f0_decoder import UNTRAINED
from modules.onnx.manifest import Manifest, write_manifest
from vdecoder import VOCODERS, custom_checkpoint
from vdecoder.nsf_hifigan import NeuralVocoder
from vencoder import ENCODERS

logger = logging.getLogger(__name__)

_NO_NETWORK = "world"  # the vocoder that needs no graph


@dataclass(frozen=True)
class VoiceModelExport:
    """A loaded voice model: the graphs to be written, and the sidecar that describes them."""

    graphs: tuple[Graph, ...]
    sidecar: Manifest


def load_voice(folder: Path, fuse: bool = False, melody: bool = False) -> VoiceModelExport:
    """Load the voice model in ``folder``; ``fuse``: one graph to audio; ``melody``: also one for F0.

    Raises:
        ConfigError: A file is missing, the parts do not fit, or the model has no such graph.
        CheckpointError: A model cannot be read, or does not fit its configuration.
        MissingWeightsError: The vocoder has not been downloaded.
    """
    if not folder.is_dir():
        raise ConfigError(
            f"there is no folder {folder}; put the voice model there, as {folder / 'model.pth'} and "
            f"{folder / 'config.json'}"
        )
    config = load_config(folder / "config.json")
    check_encoder(config)
    name = config.model.vocoder_name
    if fuse and name == _NO_NETWORK:
        raise ConfigError(f"--fuse: the vocoder {name!r} of this voice model is not a network; remove --fuse")
    if melody and not config.model.use_automatic_f0_prediction:
        raise ConfigError("-a: this model was trained without automatic F0 prediction; remove -a")
    path = folder / "model.pth"
    model = build_module(lambda: GlowSVC(config.model), model_state(path), path)
    if melody and model.f0_decoder and not model.f0_decoder.is_trained:
        logger.warning("-a: %s", UNTRAINED.format(model=path))
    model.eval().requires_grad_(False)
    diffusion = _diffusion(folder, config)
    if fuse and diffusion:
        raise ConfigError(
            f"--fuse: the diffusion model in {folder} refines mels, and a fused graph gives none; "
            "remove --fuse, or diffusion.pt and diffusion.yaml"
        )
    vocoder = _network(name, config, diffusion)
    hop = config.data.hop_length
    graphs = [fused_graph(model, vocoder)] if vocoder and fuse else [glow_graph(model, hop)]
    if vocoder and not fuse:
        graphs.append(vocoder_graph(vocoder))
    if melody:
        graphs.append(melody_graph(model, hop))
    if diffusion:
        graphs += diffusion_graphs(diffusion)
    sidecar = Manifest(
        config=config,
        fused=fuse,
        melody=melody,
        reach=reach(vocoder.network) if vocoder else 0,
        diffusion=diffusion_sidecar(diffusion) if diffusion else None,
    )
    return VoiceModelExport(tuple(graphs), sidecar)


def export_voice_model(folder: Path, voice: VoiceModelExport) -> list[Path]:
    """Write all graphs of ``voice`` into ``folder``, each compared with PyTorch, then the sidecar.

    Raises CheckpointError if a graph does not give what PyTorch gives; OSError if it cannot be written.
    """
    config = voice.sidecar.config
    facts = {"encoder": config.model.speech_encoder, "ssl_dim": str(config.model.ssl_dim)}
    facts |= {name: str(getattr(config.data, name)) for name in ("sampling_rate", "hop_length")}
    paths = []
    for graph in voice.graphs:
        with stage(f"tracing {folder / graph.file}, up to a minute"):
            paths.append(write(graph, folder, facts))
    write_manifest(folder, voice.sidecar, asdict(ENCODERS[config.model.speech_encoder].clock))
    return paths


def _network(name: str, config: Config, diffusion: Unit2Mel | None) -> NeuralVocoder | None:
    if name == _NO_NETWORK:
        return None
    own = diffusion.config.vocoder if diffusion else None
    file = custom_checkpoint(name, own.ckpt, own.type) if own else None
    vocoder = VOCODERS.build(name, config.data, "cpu", weights=file)
    if not isinstance(vocoder, NeuralVocoder):
        raise ConfigError(f"the vocoder {name!r} cannot be exported; known are the neural ones and 'world'")
    return vocoder


def _diffusion(folder: Path, config: Config) -> Unit2Mel | None:
    """The diffusion model in ``folder``, if there is one."""
    model, settings = folder / "diffusion.pt", folder / "diffusion.yaml"
    if not model.exists() and not settings.exists():
        return None
    if not model.exists():
        raise CheckpointError(f"{settings} is there, but {model} is not; put it there too, or remove both")
    found = load_diffusion_config(settings)
    check_diffusion(found, config, settings)
    return load_unit2mel(model, found)
