"""Probes of what units encode: the words, and the speaker."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from modules.dataset.perturb import stretch_formants
from tools.starter.phones import INDEX, PHONES, SILENCE, UNKNOWN

if TYPE_CHECKING:
    from torch import Tensor

    from tools.starter.encoder.losses import Student
    from tools.starter.encoder.tracks import Track

Encode = Callable[[np.ndarray], np.ndarray]  # audio (T,) at 16 kHz to units (D, U)
Labelled = Sequence[tuple[np.ndarray, np.ndarray]]  # audio, and classes (U,) of its units
CHANGES = {
    "formants x0.85": (0.85, 0.0),
    "formants x1.2": (1.2, 0.0),
    "+4 semitones": (1.0, 4.0),
    "-4 semitones": (1.0, -4.0),
}
MAX_SHIFT = 3  # units: 60 ms
_MOST = 1000  # units of a speaker
_DECAY, _SPEAKER_DECAY = 1e-2, 1e-4  # of the linear classifiers


def in_another_voice(audio: np.ndarray, formants: float, semitones: float) -> np.ndarray:
    """WORLD resynthesis of ``audio`` (T,) at 16 kHz with other formants and another pitch."""
    import pyworld

    samples = audio.astype(np.float64)
    f0, times = pyworld.harvest(samples, 16000, frame_period=5.0)
    envelope = pyworld.cheaptrick(samples, f0, times, 16000)
    aperiodicity = pyworld.d4c(samples, f0, times, 16000)
    spectra = stretch_formants(envelope, formants), stretch_formants(aperiodicity, formants)
    voice = pyworld.synthesize(f0 * 2 ** (semitones / 12), *spectra, 16000)
    return voice[: len(audio)].astype(np.float32)


def same_words(encode: Encode, clips: Sequence[np.ndarray]) -> dict[str, tuple[float, float]]:
    """Mean cosine of the units with the original's, and share of matches, for each change.

    Units are relative to their mean over the clip. One matches if the most similar unit
    of the original is at most 60 ms away. Silence does not count.
    """
    result = {}
    originals = [_directions(encode(clip)) for clip in clips]
    for name, (formants, semitones) in CHANGES.items():
        cosines, found = [], []
        for clip, one in zip(clips, originals, strict=True):
            loud = _loudness(clip)
            other = _directions(encode(in_another_voice(clip, formants, semitones)))
            n_units = min(one.shape[1], other.shape[1], len(loud))
            sounding = loud[:n_units] > 0.03 * loud.max()
            alike = one[:, :n_units].T @ other[:, :n_units]
            cosines.append(np.diag(alike)[sounding])
            found.append((np.abs(alike.argmax(0) - np.arange(n_units)) <= MAX_SHIFT)[sounding])
        result[name] = float(np.concatenate(cosines).mean()), float(np.concatenate(found).mean())
    return result


def cosine(one: Encode, other: Encode, clips: Sequence[np.ndarray]) -> float:
    """Mean cosine of the units of two encoders of the same channels, where there is sound."""
    cosines = []
    for clip in clips:
        loud = _loudness(clip)
        alike = (_directions(one(clip)) * _directions(other(clip))).sum(0)[: len(loud)]
        cosines.append(alike[loud[: len(alike)] > 0.03 * loud.max()])
    return float(np.concatenate(cosines).mean())


class LinearClassifier:
    """A linear classifier of units (N, D), each channel of variance 1, fitted by L-BFGS."""

    def __init__(self, units: np.ndarray, classes: np.ndarray, n_classes: int, decay: float) -> None:
        import torch

        self._mean, self._scale = units.mean(0), units.std(0) + 1e-8
        self._linear = linear = torch.nn.Linear(units.shape[1], n_classes)
        torch.nn.init.zeros_(linear.weight)
        x, y = self._input(units), torch.from_numpy(classes.astype(np.int64))
        optimizer = torch.optim.LBFGS(linear.parameters(), max_iter=60, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(linear(x), y)
            loss = loss + decay / 2 * linear.weight.square().sum()
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        optimizer.step(closure)

    def guess(self, units: np.ndarray) -> np.ndarray:
        """Class of each of the units (N, D)."""
        return np.asarray(self._linear(self._input(units)).detach().argmax(1).numpy())

    def _input(self, units: np.ndarray) -> Tensor:
        import torch

        return torch.from_numpy(((units - self._mean) / self._scale).astype(np.float32))


def phone_head(encode: Encode, training: Labelled) -> LinearClassifier:
    """A linear head that finds the phone of a unit; units are relative to their mean over the clip."""
    return LinearClassifier(*_labelled_units(encode, training), len(PHONES), _DECAY)


def phones_by(head: LinearClassifier, encode: Encode, test: Labelled) -> tuple[float, float]:
    """Share of units of ``test`` whose phone the head finds, and of those that are not silence."""
    units, known = _labelled_units(encode, test)
    hit = head.guess(units) == known
    return float(hit.mean()), float(hit[known != INDEX[SILENCE]].mean())


def _labelled_units(encode: Encode, clips: Labelled) -> tuple[np.ndarray, np.ndarray]:
    units, classes = [], []
    for audio, known in clips:
        found = encode(audio).T
        found = found - found.mean(0)
        n_units = min(len(found), len(known))
        labelled = known[:n_units] != UNKNOWN
        units.append(found[:n_units][labelled])
        classes.append(known[:n_units][labelled])
    return np.concatenate(units), np.concatenate(classes)


def speaker_found(encode: Encode, speakers: Mapping[str, Sequence[np.ndarray]], seed: int = 0) -> float:
    """Accuracy of a linear classifier of the speaker of a unit, on every other clip.

    At most 1000 units of the clips of each are drawn; those of a clip are relative to their mean.
    """
    sounding = [[_sounding_units(encode, clip) for clip in clips] for clips in speakers.values()]
    return _speaker_accuracy(
        [[np.concatenate(clips[half::2], axis=1).T for clips in sounding] for half in (0, 1)], seed
    )


def speaker_in_phones(voices: Sequence[Sequence[np.ndarray]]) -> float:
    """The same by the phones alone, the classes (U,) of some clips of each voice, without any sound.

    What it finds above chance is not how speakers sound, but which language they speak.
    """
    halves: list[list[np.ndarray]] = [[], []]
    for clips in voices:
        units = []
        for classes in clips:
            known = classes[classes != UNKNOWN]
            units.append(np.eye(len(PHONES))[known[known != INDEX[SILENCE]]])
        for half, part in zip(halves, (units[::2], units[1::2]), strict=True):
            half.append(np.concatenate(part))
    return _speaker_accuracy(halves, 0)


def _speaker_accuracy(halves: Sequence[Sequence[np.ndarray]], seed: int) -> float:
    """Balanced accuracy on the second half of a classifier of the first; each has units by speaker."""
    rng = np.random.default_rng(seed)
    drawn = [[units[rng.permutation(len(units))[:_MOST]] for units in half] for half in halves]
    numbers = [np.repeat(np.arange(len(half)), [len(units) for units in half]) for half in drawn]
    classifier = LinearClassifier(np.concatenate(drawn[0]), numbers[0], len(drawn[0]), _SPEAKER_DECAY)
    hit = classifier.guess(np.concatenate(drawn[1])) == numbers[1]
    return float(np.mean([hit[numbers[1] == speaker].mean() for speaker in range(len(drawn[1]))]))


def _sounding_units(encode: Encode, clip: np.ndarray) -> np.ndarray:
    loud, units = _loudness(clip), encode(clip)
    units = units - units.mean(1, keepdims=True)
    return units[:, : len(loud)][:, loud[: units.shape[1]] > 0.03 * loud.max()]


def _directions(units: np.ndarray) -> np.ndarray:
    units = units - units.mean(1, keepdims=True)
    return units / np.maximum(np.linalg.norm(units, axis=0), 1e-8)


def _loudness(audio: np.ndarray) -> np.ndarray:
    n_units = len(audio) // 320
    return np.sqrt(np.square(audio[: n_units * 320].reshape(n_units, 320)).mean(1))


def held_out(student: Student, tracks: Sequence[Track]) -> tuple[float, float]:
    """Accuracy of the phones by the network's own head, and of the speaker, of voices never heard."""
    import torch

    from vencoder.ppg import relative_mel, subtract_average

    right = n_all = 0
    halves: list[list[np.ndarray]] = [[], []]
    for track in tracks:
        parts: list[list[np.ndarray]] = [[], []]
        for number, (first, last) in enumerate(
            zip(track.bounds[:-1].tolist(), track.bounds[1:].tolist(), strict=True)
        ):
            mel, weight = relative_mel(track.mels[:1, 2 * first : 2 * last].float().exp())
            with torch.no_grad():
                units = student.network(mel)
                guess = student.phones(units)[0].split(len(PHONES), -1)[1].argmax(-1)
            known = track.phones[first:last]
            right += int((guess == known)[known != UNKNOWN].sum())
            n_all += int((known != UNKNOWN).sum())
            relative = subtract_average(units, weight)[0]
            parts[number % 2].append(relative[known != INDEX[SILENCE]].numpy())
        for half, part in zip(halves, parts, strict=True):
            half.append(np.concatenate(part or parts[0]))
    return right / max(1, n_all), _speaker_accuracy(halves, 0)
