"""Encoders and recordings that evaluate compares."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tools.starter.encoder.probe import Encode

if TYPE_CHECKING:
    from vencoder.base import SpeechEncoder
    from vencoder.ppg import PpgEncoder

RATE = 16000
_KEPT = 2  # units of each window of a live conversion
_SECONDS, _CLIPS = 6, 16  # of each speaker of the probe

# Kokoro's voices whose phones are known, in the languages of the five recorded ones (Hindi for Russian)
STAND_INS = ("en", "fr", "it", "hi", "en")
# LJ Speech is in the public domain, and so is Morris's text
LJ_TEXTS = {
    "LJ001-0002": "in being comparatively modern",
    "LJ001-0003": "for although the chinese took impressions from wood blocks engraved in relief for "
    "centuries before the woodcutters of the netherlands by a similar process",
    "LJ001-0004": "produced the block books which were the immediate predecessors of the true printed book",
    "LJ001-0005": "the invention of movable metal letters in the middle of the fifteenth century may "
    "justly be considered as the invention of the art of printing",
    "LJ001-0006": "and it is worth mention in passing that as an example of fine typography",
    "LJ001-0008": "has never been surpassed",
    "LJ001-0009": "printing then for our purpose may be considered as the art of making books by means "
    "of movable types",
    "LJ001-0011": "it is of the first importance that the letter used should be fine in form",
    "LJ001-0012": "especially as no more time is occupied or cost incurred in casting setting or "
    "printing beautiful letters",
    "LJ001-0013": "than in the same operations with ugly ones",
    "LJ001-0014": "and it was a matter of course that in the middle ages when the craftsmen took care "
    "that beautiful form should always be a part of their productions whatever they were",
}


class Recordings:
    """What the probes hear."""

    training: list[tuple[np.ndarray, np.ndarray]]  # audio at 16 kHz, and classes of its units
    test: list[tuple[np.ndarray, np.ndarray]]
    speakers: dict[str, list[np.ndarray]]  # recorded voices in four languages, and LJ
    english: dict[str, list[np.ndarray]]  # LJ, the English one of these, and those that are held out
    phones: list[list[np.ndarray]]  # classes of clips of STAND_INS; none with too few voices
    english_phones: list[list[np.ndarray]]  # of as many English voices

    def __init__(self, speech: Path, lj: Path, seconds: float) -> None:
        voices = sorted(speech.glob("asterisk-*"))
        english = next(voice for voice in voices if voice.name.startswith("asterisk-en-"))
        self.training = list(_labelled(english, seconds))
        self.test = list(_aligned(lj))
        # the Spanish voice is the English one
        self.speakers = {voice.name: _stretches(voice) for voice in voices if "-es-" not in voice.name}
        self.speakers["LJ"] = [read(path) for path in sorted(lj.glob("*.wav"))[:_CLIPS]]
        kept = sorted(speech.glob("held-en-*"))
        held = {voice.name: clips for voice in kept if len(clips := _stretches(voice)) > 1}  # half train
        self.english = {name: self.speakers[name] for name in (english.name, "LJ")} | held
        self.phones = _phones_of(speech, STAND_INS)
        self.english_phones = _phones_of(speech, ["en"] * len(self.english))


def read(path: Path) -> np.ndarray:
    """Audio (T,) at 16 kHz."""
    from modules.dsp.audio import read_audio

    return read_audio(path, RATE)[0]


def _phones_of(speech: Path, languages: Sequence[str]) -> list[list[np.ndarray]]:
    """Classes of spoken clips of a voice of Kokoro for each of the languages; none if there are too few."""
    voices = {language: sorted(speech.glob(f"kokoro-{language}-*")) for language in languages}
    if any(len(found) < languages.count(language) for language, found in voices.items()):
        return []
    paths = [sorted(voices[language].pop(0).glob("*-spoken.npy")) for language in languages]
    return [[np.load(path, allow_pickle=False) for path in some] for some in paths]


def _labelled(voice: Path, seconds: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield pieces of about 10 s, until so much of them has labels."""
    from tools.starter.encoder.tracks import pieces
    from tools.starter.phones import UNKNOWN

    n_units = 0
    for audio, classes in pieces(voice):
        yield audio, classes
        n_units += int((classes != UNKNOWN).sum())
        if n_units >= 50 * seconds:
            return


def _aligned(lj: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield clips of LJ and the phones that pocketsphinx aligns, of those texts that it can align."""
    from tools.starter.align import aligned
    from tools.starter.phones import per_unit

    for name, text in LJ_TEXTS.items():
        audio = read(lj / f"{name}.wav")
        if (found := aligned(audio, text)) is not None:
            yield audio, per_unit(*found, round(len(audio) / 320))


def _stretches(voice: Path) -> list[np.ndarray]:
    """Some stretches of about 6 s of a voice."""
    paths = sorted(voice.glob("*.wav"))[-10 * _CLIPS :]
    groups = np.array_split(np.arange(len(paths)), _CLIPS)
    return [
        np.concatenate([read(paths[index]) for index in group[:3]])[: _SECONDS * RATE]
        for group in groups
        if len(group)
    ]


def build_encodings(work: Path, names: Sequence[str] | None) -> dict[str, Encode]:
    """Encoders by name; the last is what ppg-starter2 learns from."""
    from tools.starter.encoder.losses import NAME
    from tools.starter.encoder.write import write
    from vencoder import ENCODERS
    from vencoder.ppg import PpgEncoder

    def student() -> Encode:
        write(work, weights := work / "evaluated.safetensors")
        return PpgUnits(PpgEncoder(NAME, weights=weights))

    makers: dict[str, Callable[[], Encode]] = {
        "mfcc": lambda: partial(_encode, ENCODERS.build("mfcc", "cpu")),
        "ppg-starter": lambda: PpgUnits(ENCODERS.build("ppg-starter", "cpu")),
        NAME: student,
        "teacher": lambda: _teacher_units,
    }
    return {name: makers[name]() for name in names or makers}


class PpgUnits:
    """Units of one of the project's own encoders, also as of a live conversion."""

    def __init__(self, encoder: PpgEncoder) -> None:
        self._encoder = encoder

    def __call__(self, audio: np.ndarray) -> np.ndarray:
        """Units (D, U) of audio (T,)."""
        return _encode(self._encoder, audio)

    def ahead(self, seconds: float, audio: np.ndarray) -> np.ndarray:
        """The same, each computed when ``seconds`` have followed it, or 20 ms more or less.

        Averages are those of the whole: a live conversion has heard more of the voice than a clip.
        """
        import torch

        from vencoder.ppg import DESIGNS, pad_frames, relative_mel, subtract_average

        network, spectrum = self._encoder.network, self._encoder.spectrum
        before, _ = DESIGNS[self._encoder.name].reach
        after = max(_KEPT, round(50 * seconds) + 1)
        with torch.no_grad():
            mel, weight = relative_mel(spectrum(pad_frames(torch.from_numpy(audio))[None]))
            parts = []
            for first in range(0, mel.shape[1] // 2, _KEPT):
                start = max(0, first - before)
                part = network(mel[:, 2 * start : 2 * (first + after)])
                parts.append(part[:, first - start :][:, :_KEPT])
            return subtract_average(torch.cat(parts, 1), weight)[0].T.numpy()


def _encode(encoder: SpeechEncoder, audio: np.ndarray) -> np.ndarray:
    import torch

    return encoder.encode(torch.from_numpy(audio)).numpy()


def _teacher_units(audio: np.ndarray) -> np.ndarray:
    import torch

    from tools.starter.encoder.teacher import load_teacher

    return load_teacher().units(torch.from_numpy(audio)).T.numpy()
