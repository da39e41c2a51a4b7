"""Probes of what units encode: the words, and the speaker."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from modules.dataset.perturb import stretch_formants

Encode = Callable[[np.ndarray], np.ndarray]  # audio (T,) at 16 kHz to units (D, U)
CHANGES = {
    "formants x0.85": (0.85, 0.0),
    "formants x1.2": (1.2, 0.0),
    "+4 semitones": (1.0, 4.0),
    "-4 semitones": (1.0, -4.0),
}
MAX_SHIFT = 3  # units: 60 ms


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
    for name, (formants, semitones) in CHANGES.items():
        cosines, found = [], []
        for clip in clips:
            loud = _loudness(clip)
            one, other = (
                _directions(encode(audio)) for audio in (clip, in_another_voice(clip, formants, semitones))
            )
            n_units = min(one.shape[1], other.shape[1], len(loud))
            sounding = loud[:n_units] > 0.03 * loud.max()
            alike = one[:, :n_units].T @ other[:, :n_units]
            cosines.append(np.diag(alike)[sounding])
            found.append((np.abs(alike.argmax(0) - np.arange(n_units)) <= MAX_SHIFT)[sounding])
        result[name] = float(np.concatenate(cosines).mean()), float(np.concatenate(found).mean())
    return result


def speaker_found(encode: Encode, speakers: Mapping[str, Sequence[np.ndarray]], seed: int = 0) -> float:
    """Accuracy of a logistic regression that identifies the speaker of a unit, on held-out clips.

    At most 1000 units of the clips of each are drawn.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(seed)
    units: dict[bool, list[np.ndarray]] = {True: [], False: []}
    labels: dict[bool, list[int]] = {True: [], False: []}
    for number, clips in enumerate(speakers.values()):
        for is_test in (True, False):
            joined = np.concatenate([_sounding_units(encode, clip) for clip in clips[is_test::2]], axis=1).T
            chosen = rng.choice(len(joined), min(1000, len(joined)), replace=False)
            units[is_test].append(joined[chosen])
            labels[is_test] += [number] * len(chosen)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    model.fit(np.concatenate(units[False]), labels[False])
    return float(balanced_accuracy_score(labels[True], model.predict(np.concatenate(units[True]))))


def _sounding_units(encode: Encode, clip: np.ndarray) -> np.ndarray:
    loud, units = _loudness(clip), encode(clip)
    return units[:, : len(loud)][:, loud[: units.shape[1]] > 0.03 * loud.max()]


def _directions(units: np.ndarray) -> np.ndarray:
    units = units - units.mean(1, keepdims=True)
    return units / np.maximum(np.linalg.norm(units, axis=0), 1e-8)


def _loudness(audio: np.ndarray) -> np.ndarray:
    n_units = len(audio) // 320
    return np.sqrt(np.square(audio[: n_units * 320].reshape(n_units, 320)).mean(1))
