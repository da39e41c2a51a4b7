"""The published weights: which files there are, where they come from and where they go.

Everything that needs one gets it by key from :func:`weights_path`, so that a
missing file gives the same message everywhere. ``python -m pretrain`` downloads
them; the registries name the key of each part.

A checksum is listed here only where the publisher states it: in the address
itself, or in the commit that published the file.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from modules.common.errors import ConfigError, MissingWeightsError

ROOT = Path(__file__).resolve().parents[2]
HUB = "https://huggingface.co/"  # what the variable HF_ENDPOINT stands in for
SAMPLE = 1 << 20  # bytes that a fingerprint reads at each of three places


@dataclass(frozen=True, kw_only=True)
class DownloadSource:
    """One address that gives the file, or a zip archive that holds it."""

    url: str  # as published
    size: int | None = None  # bytes of what the address gives; None: not published
    sha256: str | None = None  # of that; None: not published, so it is recorded at the first download
    members: Mapping[str, str] = field(default_factory=dict)  # of the archive: place under pretrain/ by name

    @property
    def address(self) -> str:
        """The url, at the mirror that HF_ENDPOINT names if it is on that hub."""
        mirror = os.environ.get("HF_ENDPOINT")
        if mirror and self.url.startswith(HUB):
            return f"{mirror.rstrip('/')}/{self.url.removeprefix(HUB)}"
        return self.url


@dataclass(frozen=True, kw_only=True)
class Weights:
    """One entry of the table."""

    file: str  # its place under pretrain/
    purpose: str  # what it is for, in a sentence
    licence: str  # of the weights, as far as their publisher says
    companions: tuple[str, ...] = ()  # what must lie there too
    aliases: tuple[str, ...] = ()  # other names under which the same content is published and found
    sources: tuple[DownloadSource, ...] = ()  # where it is downloaded from, in this order
    by_hand: str = ""  # where a person can get it; the only way if there are no sources
    known: Mapping[str, str] = field(default_factory=dict)  # other published files that serve, by sha256

    @property
    def files(self) -> tuple[str, ...]:
        """Every file that must be there."""
        return (self.file, *self.companions)


_NSF_HIFIGAN = ("model", "config.json", "NOTICE.txt", "NOTICE.zh-CN.txt")


def _hub(page: str, file: str, size: int, sha256: str, purpose: str, licence: str) -> Weights:
    source = DownloadSource(url=f"{HUB}{page}/resolve/main/{file}", size=size, sha256=sha256)
    return Weights(file=file, purpose=purpose, licence=licence, sources=(source,))


def _moess(file: str, size: int, sha256: str, purpose: str) -> Weights:
    return _hub("NaruseMioShirakana/MoeSS-SUBModel", file, size, sha256, purpose, "GPL-3.0")


def _whisper(file: str, sha256: str, purpose: str) -> Weights:
    url = f"https://openaipublic.azureedge.net/main/whisper/models/{sha256}/{file}"
    source = DownloadSource(url=url, sha256=sha256)
    return Weights(file=file, purpose=purpose, licence="MIT", sources=(source,))


WEIGHTS: dict[str, Weights] = {
    "contentvec": Weights(
        file="checkpoint_best_legacy_500.pt",
        aliases=("hubert_base.pt",),
        purpose="ContentVec, the default speech encoder: content with little of the speaker left in it.",
        licence="MIT",
        sources=(
            DownloadSource(
                url=f"{HUB}lj1995/VoiceConversionWebUI/resolve/main/hubert_base.pt",
                size=189507909,
                sha256="f54b40fd2802423a5643779c4861af1e9ee9c1564dc9d32f54f20b5ffba7db96",
            ),
        ),
        by_hand=(
            "the authors' own file (1.3 GB), not a direct link: "
            "https://ibm.box.com/s/z1wgl1stco8ffooyatzdwsqn2psd9lrr"
        ),
        known={
            "60d936ec5a566776fc392e69ad8b630d14eb588111233fe313436e200a7b187b": "the authors' own file",
        },
    ),
    "hubertsoft": Weights(
        file="hubert-soft-0d54a1f4.pt",
        purpose="Soft HuBERT, a speech encoder with 256 channels.",
        licence="MIT",
        sources=(
            DownloadSource(
                url="https://github.com/bshall/hubert/releases/download/v0.1/hubert-soft-0d54a1f4.pt"
            ),
        ),
    ),
    "whisper-medium": _whisper(
        "medium.pt",
        "345ae4da62f9b3d59415adc60127b97c714f32e89e936602e85993674d08dcb1",
        "Whisper medium, whose encoder half is a speech encoder for many languages.",
    ),
    "whisper-large-v2": _whisper(
        "large-v2.pt",
        "81f7c96c852ee8fc832187b0132e569d6c3065a3252ed18e56effd0b6a73e524",
        "Whisper large-v2, the same, larger and slower.",
    ),
    "cnhubertlarge": _hub(
        "TencentGameMate/chinese-hubert-large",
        "chinese-hubert-large-fairseq-ckpt.pt",
        3799503913,
        "31a39438d2ca748d5626bb676493041166de03c93ec517774c6d90ebb2d715c5",
        "HuBERT large trained on Chinese speech.",
        "MIT",
    ),
    "dphubert": _hub(
        "pyf98/DPHuBERT",
        "DPHuBERT-sp0.75.pth",
        99132650,
        "384d72429163b79cd9f4deaf41aa2cbc990e7526b4430f2a22d40c5e70c14be7",
        "DPHuBERT, a speech encoder: HuBERT pruned to a quarter of its weights.",
        "MIT (the code; the weights' page names none: https://huggingface.co/pyf98/DPHuBERT)",
    ),
    "wavlmbase+": Weights(
        file="WavLM-Base+.pt",
        purpose="WavLM-Base+, a speech encoder trained on 94 000 hours of varied speech.",
        licence="MIT (its repository; its model card names CC BY-SA 3.0)",
        sources=(DownloadSource(url="https://valle.blob.core.windows.net/share/wavlm/WavLM-Base+.pt"),),
        by_hand=(
            "the published link carries a signature that expires; copy the current one from "
            "https://github.com/microsoft/unilm/tree/master/wavlm and give it with --url '<link>'"
        ),
    ),
    "vec256l9-onnx": _moess(
        "vec-256-layer-9.onnx",
        293348935,
        "61d0d0598803f74d5a4bcba65ca367571889accc0e86196f0982e8e455d56393",
        "ContentVec layer 9 with its projection, for onnxruntime.",
    ),
    "vec256l12-onnx": _moess(
        "vec-256-layer-12.onnx",
        378443394,
        "f506231205ffde84f6c82cbcc021315acdc0c9b14289042eaa616cb33717ed41",
        "ContentVec layer 12 with its projection, for onnxruntime.",
    ),
    "vec768l9-onnx": _moess(
        "vec-768-layer-9.onnx",
        292561270,
        "580ba3f639f931e414ba4a3407bb3039c1a8023fc2400a72dd1729d2dd5e8c41",
        "ContentVec layer 9, for onnxruntime.",
    ),
    "vec768l12-onnx": _moess(
        "vec-768-layer-12.onnx",
        377655729,
        "b3886e7dff1495cda514f94f4680a7b1261e05d6929f5c764cdb17934b413c2a",
        "ContentVec layer 12, for onnxruntime.",
    ),
    "hubertsoft-onnx": _moess(
        "hubert-soft.onnx",
        378413589,
        "9b0de037dc7985226e3653019d5272830bdff80697ee570b2b35e532d2abf831",
        "Soft HuBERT, for onnxruntime.",
    ),
    "nsf-hifigan": Weights(
        file="nsf_hifigan/model",
        companions=("nsf_hifigan/config.json",),
        purpose="NSF-HiFiGAN, the default vocoder: from mel and F0 to sound.",
        licence="CC BY-NC-SA 4.0",
        sources=(
            DownloadSource(
                url="https://github.com/openvpi/vocoders/releases/download/nsf-hifigan-v1/"
                "nsf_hifigan_20221211.zip",
                members={name: f"nsf_hifigan/{name}" for name in _NSF_HIFIGAN},
            ),
        ),
    ),
    "nsf-snake-hifigan": Weights(
        file="nsf_snake_hifigan/model",
        companions=("nsf_snake_hifigan/config.json",),
        purpose="NSF-HiFiGAN with snake activations, a vocoder trained as part of a so-vits-svc model.",
        licence="that of the voice model it is taken from",
        by_hand=(
            "it has no download of its own: it is the part named dec. of a so-vits-svc G_*.pth that was "
            "trained with this vocoder. Copy such a G_*.pth to this place, and its config.json beside it"
        ),
    ),
    "rmvpe": Weights(
        file="rmvpe.pt",
        purpose="RMVPE, an F0 predictor made for voices over accompaniment.",
        licence="unknown, see https://github.com/Dream-High/RMVPE",
        sources=(
            DownloadSource(
                url=f"{HUB}datasets/ylzz1997/rmvpe_pretrain_model/resolve/main/rmvpe.pt",
                size=368492925,
                sha256="1d49bd662038808878c9d7420e0f583f506fe69086cc384f0da88f0b3a4e1115",
            ),
            DownloadSource(
                url="https://github.com/yxlllc/RMVPE/releases/download/230917/rmvpe.zip",
                members={"model.pt": "rmvpe.pt"},
            ),
        ),
        known={
            "6d62215f4306e3ca278246188607209f09af3dc77ed4232efdd069798c4ec193": "RVC's file",
        },
    ),
    "htdemucs": Weights(
        file="htdemucs/955717e8.safetensors",
        purpose="Hybrid Transformer Demucs, a separator of vocals and instruments.",
        licence="MIT",
        sources=(DownloadSource(url=f"{HUB}adefossez/HTDemucs/resolve/main/955717e8.safetensors"),),
    ),
    "mdx-voc-ft": Weights(
        file="audio-separator/UVR-MDX-NET-Voc_FT.onnx",
        purpose="MDX-Net for vocals of Ultimate Vocal Remover, a separator.",
        licence="unknown, see https://github.com/TRvlvr/model_repo",
        sources=(
            DownloadSource(
                url="https://github.com/TRvlvr/model_repo/releases/download/all_public_uvr_models/"
                "UVR-MDX-NET-Voc_FT.onnx"
            ),
        ),
    ),
}


def get_entry(key: str) -> Weights:
    """Look up the entry of ``key``; raises ConfigError that lists the keys there are."""
    if key not in WEIGHTS:
        raise ConfigError(f"there are no weights {key!r}; choose from: {', '.join(WEIGHTS)}")
    return WEIGHTS[key]


def folder() -> Path:
    """Folder of the weights: pretrain/ in the project, or what GLOW_SVC_PRETRAIN names."""
    return Path(os.environ.get("GLOW_SVC_PRETRAIN") or ROOT / "pretrain")


def find_weights(key: str, root: Path | None = None) -> Path | None:
    """Find the file of ``key`` in ``root``; None if it, or what must lie beside it, is missing."""
    root, entry = root or folder(), get_entry(key)
    if not all((root / name).is_file() for name in entry.companions):
        return None
    return next((root / name for name in (entry.file, *entry.aliases) if (root / name).is_file()), None)


def weights_path(key: str) -> Path:
    """Find the file of ``key``; raises MissingWeightsError, which says how to get it."""
    path = find_weights(key)
    if path is None:
        raise MissingWeightsError(missing_message(key))
    return path


def missing_message(key: str, root: Path | None = None) -> str:
    """One line that says what is missing, how to get it, and how without a connection here."""
    root, entry = root or folder(), get_entry(key)
    names = [name for name in entry.companions if not (root / name).is_file()]
    if not any((root / name).is_file() for name in (entry.file, *entry.aliases)):
        names.insert(0, entry.file)
    missing = " and ".join(str(root / name) for name in names)
    verb = "is" if len(names) == 1 else "are"
    if not entry.sources:
        return f"{missing} {verb} missing; {entry.by_hand}"
    return f"{missing} {verb} missing; get it with: python -m pretrain {key}. {offline_advice(key, root)}"


def offline_advice(key: str, root: Path) -> str:
    """How to get ``key`` with a browser, on this or another machine."""
    entry = get_entry(key)
    ways = []
    for source in entry.sources:
        wanted = [name for name, place in source.members.items() if place in entry.files]
        ways.append(source.address + (f" ({' and '.join(wanted)} in it)" if wanted else ""))
    places = " and ".join(str(root / name) for name in entry.files)
    advice = f"Without a connection here, download {' or '.join(ways)} elsewhere and save it as {places}"
    return f"{advice}; or: {entry.by_hand}" if entry.by_hand else advice


def fingerprint(key: str | None, root: Path | None = None) -> str:
    """Text that tells the file of ``key`` from another under the same name.

    That is its size and a hash of its first, middle and last megabyte: a moment
    for gigabytes, the same on every machine and after a copy. In a zip archive,
    which torch writes, the last part holds a checksum of everything. It is
    "none" without a key, and the key itself while the file is missing.
    """
    if key is None:
        return "none"
    path = find_weights(key, root)
    if path is None:
        return key
    companions = [(root or folder()) / name for name in get_entry(key).companions]
    return f"{key}-{file_fingerprint(path, companions)}"


def file_fingerprint(path: Path, companions: Sequence[Path] = ()) -> str:
    """Size and hash, as of :func:`fingerprint`, of any file and those that belong to it."""
    digest = hashlib.sha256()
    size = path.stat().st_size
    with path.open("rb") as file:
        for start in sorted({0, max(0, (size - SAMPLE) // 2), max(0, size - SAMPLE)}):
            file.seek(start)
            digest.update(file.read(SAMPLE))
    for other in companions:
        digest.update(other.read_bytes())
    return f"{size}-{digest.hexdigest()[:16]}"
