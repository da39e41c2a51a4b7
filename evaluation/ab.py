"""A page for blind listening: pairs of sounds in random order, identified only at the end.

Two folders hold the same songs, converted in two ways. Their sounds are copied
under neutral names and matched in loudness, since listeners prefer the louder one.
The answers are in the page, encoded so that they are not read by accident.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from evaluation.report import page
from modules.common.errors import AudioError
from modules.common.files import write_text
from modules.common.progress import progress_bar
from modules.dsp.audio import find_audio, read_audio, write_audio
from modules.dsp.loudness import integrated_loudness

QUESTION = "Which one sounds better?"
SOUNDS = "ab_sounds"


def find_pairs(first: Path, second: Path) -> dict[str, tuple[Path, Path]]:
    """Pairs of sounds of equal name (the extension may differ) in two folders, by that name.

    Raises:
        AudioError: A folder is missing or has several sounds of one name, or no name is in both.
    """
    stems = [_by_stem(folder) for folder in (first, second)]
    names = [name for name in stems[0] if name in stems[1]]
    if not names:
        raise AudioError(
            f"{first} and {second} hold no sounds of the same name, so there is nothing to compare; "
            f"the first holds {len(stems[0])}, the second {len(stems[1])}"
        )
    return {name: (stems[0][name], stems[1][name]) for name in names}


def write_ab(
    pairs: Mapping[str, tuple[Path, Path]],
    names: tuple[str, str],
    output: Path,
    seed: int = 0,
    question: str = QUESTION,
) -> Path:
    """Write ab.html and its sounds into ``output``; return the page's path.

    Args:
        pairs: Sounds to compare, by their title in the results.
        names: Names of the first and the second of every pair there.
        output: Output folder; sounds go to ab_sounds in it.
        seed: Of the order of the pairs and of their sides.
        question: Question to the listener.

    Raises:
        AudioError: A sound cannot be read.
    """
    rng = np.random.default_rng(seed)
    titles = [list(pairs)[i] for i in rng.permutation(len(pairs))]
    swapped = rng.permutation(np.arange(len(pairs)) % 2)  # each side is each way equally often
    trials = []
    bar = progress_bar(list(zip(titles, swapped, strict=True)), desc="blind pairs", unit="pair")
    for number, (title, swap) in enumerate(bar, 1):
        sounds = _match_loudness(*(read_audio(path) for path in pairs[title]))
        files = [f"{SOUNDS}/{number:03d}{side}.flac" for side in "ab"]
        for file, (audio, rate) in zip(files, reversed(sounds) if swap else sounds, strict=True):
            write_audio(output / file, audio, rate)
        trials.append({"title": title, "sounds": files, "order": [1, 0] if swap else [0, 1]})
    secret = {"names": names, "trials": trials, "seed": seed, "question": question}
    key = base64.b64encode(json.dumps(secret, ensure_ascii=False).encode()).decode()
    path = output / "ab.html"
    write_text(path, page("ab.html", question=question, key=key, n_trials=len(trials)))
    return path


def _by_stem(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise AudioError(f"{folder} is not a folder; give two folders of sounds")
    sounds: dict[str, Path] = {}
    for path in find_audio(folder):
        if path.stem in sounds:
            raise AudioError(f"{folder} holds both {sounds[path.stem].name} and {path.name}; remove one")
        sounds[path.stem] = path
    return sounds


def folder_names(first: Path, second: Path) -> tuple[str, str]:
    """Names of two folders; their paths if the names are equal."""
    one, other = first.resolve(), second.resolve()
    return (one.name, other.name) if one.name != other.name else (str(one), str(other))


def _match_loudness(*sounds: tuple[np.ndarray, int]) -> list[tuple[np.ndarray, int]]:
    """Sounds (T,) with their rates, attenuated to the softest; silent ones are unchanged."""
    loudness = [integrated_loudness(audio, rate) for audio, rate in sounds]
    softest = min((value for value in loudness if math.isfinite(value)), default=0.0)
    gains = [10 ** ((softest - value) / 20) if math.isfinite(value) else 1.0 for value in loudness]
    return [(audio * np.float32(gain), rate) for (audio, rate), gain in zip(sounds, gains, strict=True)]
