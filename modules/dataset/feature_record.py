"""The settings that made each feature of a clip, kept beside it, so that stale features are noticed.

``x.wav.cache.json`` holds an entry for each finished feature: the settings it
was made with and the stamp of its file. The entry goes before its file is
rewritten and comes back after, so a run that is killed anywhere leaves either
a finished feature or one without an entry, and the next run makes only those.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from modules.common.errors import FeatureError
from modules.common.files import write_json
from modules.config import Config
from modules.dataset.features import SUFFIXES, feature_path, load_f0, n_frames

Recipe = dict[str, dict[str, Any]]  # kind of feature -> the settings that make it
# counts up when a feature's computation changes; older files are then made again
_VERSIONS = {"units": 1, "perturbed_units": 1, "f0": 1, "volume": 1, "mel": 1, "aug_mel": 1, "aug_volume": 1}


def record_path(wav: str | Path) -> Path:
    """Path of the record of ``wav``."""
    return Path(wav).with_name(Path(wav).name + ".cache.json")


@dataclass
class FeatureRecord:
    """A clip and its features."""

    audio: dict[str, Any] = field(default_factory=dict)  # size, time and hash of the recording itself
    n_frames: int = 0  # N of its features
    wanted: list[str] = field(default_factory=list)  # kinds that step 3 was to make
    # for each finished kind its settings and the stamp of its file
    made: dict[str, dict[str, Any]] = field(default_factory=dict)
    clip: dict[str, Any] = field(default_factory=dict)  # facts for the report (modules/dataset/report.py)
    failed: str = ""  # reason that step 3 left the clip out, with its name; empty if it did not

    @classmethod
    def load(cls, wav: str | Path) -> FeatureRecord:
        """Read the record of ``wav``; an empty one if there is none that can be read."""
        try:
            return cls(**json.loads(record_path(wav).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return cls()

    def save(self, wav: str | Path) -> None:
        """Write the record of ``wav`` atomically."""
        write_json(record_path(wav), asdict(self))

    def describes(self, wav: str | Path) -> bool:
        """Whether ``wav`` still is the recording that this record is about."""
        if not self.audio or not Path(wav).is_file():
            return False
        if {key: self.audio.get(key) for key in ("bytes", "mtime_ns")} == _stamp(wav):
            return True
        return self.audio.get("blake2b") == _digest(wav)

    def finish(self, wav: str | Path, kind: str, settings: Mapping[str, Any]) -> None:
        """Mark the file of ``kind`` as complete, and write the record."""
        self.made[kind] = {"settings": dict(settings), **_stamp(feature_path(wav, kind))}
        self.save(wav)

    def restamp(self, wav: str | Path, kinds: Iterable[str]) -> None:
        """Note the times of files that were read and found good, as after a copy: they are not read again."""
        audio = {**self.audio, **_stamp(wav)}
        made = {kind: {**self.made[kind], **_stamp(feature_path(wav, kind))} for kind in kinds}
        if audio != self.audio or any(self.made[kind] != entry for kind, entry in made.items()):
            self.audio, self.made = audio, {**self.made, **made}
            with suppress(OSError):  # a data set that may only be read is checked in full each time
                self.save(wav)


def identify(wav: str | Path) -> dict[str, Any]:
    """Size, time and content hash of a recording."""
    return {**_stamp(wav), "blake2b": _digest(wav)}


def recipe(
    config: Config,
    f0_predictor: str | None = None,
    use_diff: bool = False,
    *,
    encoder_weights: str | None = None,
    n_perturbed: int = 0,
) -> Recipe:
    """Features that a clip needs, and the settings that make each.

    None as ``f0_predictor`` or ``encoder_weights`` accepts any, as training does. ``use_diff``
    adds those of the diffusion model, ``n_perturbed`` the units of copies in other voices.
    """
    data = config.data
    timing = {"sampling_rate": data.sampling_rate, "hop_length": data.hop_length}
    names = ("n_fft", "win_length", "n_mels", "f_min", "f_max")
    mel = {**timing, **{name: getattr(data, name) for name in names}}
    units = {"encoder": config.model.speech_encoder}
    if encoder_weights is not None:
        units["encoder_weights"] = encoder_weights
    wanted: Recipe = {"units": units, "f0": dict(timing), "mel": mel}
    if f0_predictor is not None:
        wanted["f0"]["f0_predictor"] = f0_predictor
    if n_perturbed:
        wanted["perturbed_units"] = {**units, "n_perturbed": n_perturbed}
    if use_diff or config.model.vol_embedding:
        wanted["volume"] = dict(timing)
    if use_diff:
        wanted["aug_mel"] = wanted["aug_volume"] = mel
    return {kind: {"version": _VERSIONS[kind], **settings} for kind, settings in wanted.items()}


def stale(wav: str | Path, wanted: Recipe) -> dict[str, str]:
    """Features of ``wav`` that must be made, each with the reason."""
    return _stale(wav, FeatureRecord.load(wav), wanted)


def _stale(wav: str | Path, record: FeatureRecord, wanted: Recipe) -> dict[str, str]:
    if not record.describes(wav):
        if record.audio:
            reason = "the recording changed"
        elif any(feature_path(wav, kind).exists() for kind in SUFFIXES):
            reason = "no record of what made them"
        else:
            reason = "new"
        return dict.fromkeys(wanted, reason)
    reasons = {kind: reason for kind in wanted if (reason := _fault(wav, record, kind, wanted[kind]))}
    if reasons.keys() & {"aug_mel", "aug_volume"}:  # one random draw makes both
        reason = reasons.get("aug_mel") or reasons["aug_volume"]
        reasons |= {kind: reason for kind in ("aug_mel", "aug_volume") if kind in wanted}
    if not reasons:
        record.restamp(wav, wanted)
    return reasons


def find_unusable(wavs: Iterable[Path], wanted: Recipe) -> list[str]:
    """One line for each clip whose features are not as ``wanted``, and cannot be trained on.

    Files that are unchanged since step 3 wrote and checked them are taken as good; any
    other is read in full.
    """
    lines = []
    for wav in wavs:
        if not Path(wav).is_file():
            lines.append(f"{wav}: there is no such file; run preprocess_flist_config.py again")
            continue
        record = FeatureRecord.load(wav)
        if record.failed and record.describes(wav):
            lines.append(record.failed)
            continue
        reasons = _stale(wav, record, wanted)
        reasons |= {kind: "not finished" for kind in record.wanted if kind not in record.made | reasons}
        kinds: dict[str, list[str]] = {}
        for kind, reason in reasons.items():
            kinds.setdefault(reason, []).append(kind)
        if kinds:
            text = "; ".join(f"{reason} ({', '.join(names)})" for reason, names in kinds.items())
            lines.append(f"{wav}: {text}")
    return lines


def settings_of(wavs: Iterable[Path], kind: str, name: str) -> dict[str, list[Path]]:
    """Clips by the value that a setting of their features of ``kind`` has, where it is recorded."""
    found: dict[str, list[Path]] = {}
    for wav in wavs:
        settings = FeatureRecord.load(wav).made.get(kind, {}).get("settings", {})
        if name in settings:
            found.setdefault(str(settings[name]), []).append(wav)
    return found


def failed(wav: str | Path) -> str:
    """Reason that step 3 left this recording out; empty if it did not, or never ran."""
    record = FeatureRecord.load(wav)
    return record.failed if record.failed and record.describes(wav) else ""


def frame_count(wav: str | Path) -> int:
    """N, frames of a clip's features: its record's, or without one those of its F0.

    Raises:
        FeatureError: There is neither, or the F0 is broken.
    """
    return FeatureRecord.load(wav).n_frames or len(load_f0(wav)[0])


def _fault(wav: str | Path, record: FeatureRecord, kind: str, settings: Mapping[str, Any]) -> str:
    """Reason that the file of ``kind`` does not count, or nothing."""
    entry = record.made.get(kind)
    if entry is None:
        return "not made yet"
    for name, value in settings.items():
        before = entry["settings"].get(name)
        if before != value:
            return f"{name.replace('_', ' ')} changed from {before} to {value}"
    try:
        stamp = _stamp(feature_path(wav, kind))
        if stamp["bytes"] != entry["bytes"]:
            return "cut short or overwritten"
        if stamp["mtime_ns"] != entry["mtime_ns"] and n_frames(wav, kind) not in (None, record.n_frames):
            return "of another length"
    except FileNotFoundError:
        return "deleted"
    except FeatureError:
        return "damaged"
    return ""


def _stamp(path: str | Path) -> dict[str, int]:
    status = Path(path).stat()
    return {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns}


def _digest(path: str | Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()
