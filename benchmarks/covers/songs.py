"""Songs whose stems are known: a voice over the band, at a level and in a room of one's choice."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.covers.band import RATE, play
from modules.dsp.audio import read_audio
from modules.f0_predictor import F0_PREDICTORS
from synthetic_voice import compose, sing

HOP = 512


@dataclass(frozen=True, eq=False)
class StemSong:
    """A song with its stems."""

    name: str
    vocals: np.ndarray  # (T, 2)
    band: np.ndarray  # (T, 2)
    f0: np.ndarray  # (N,), of the voice, Hz, 0 where unvoiced: exact, or what pm tracks in the voice alone

    @property
    def voice(self) -> np.ndarray:
        """The vocals, mono (T,)."""
        mono: np.ndarray = self.vocals.mean(1)
        return mono

    @property
    def level(self) -> float:
        """Level of the vocals relative to the band, dB."""
        return float(10 * np.log10(np.square(self.vocals).sum() / np.square(self.band).sum()))

    @property
    def mix(self) -> np.ndarray:
        """The song (T, 2)."""
        return self.vocals + self.band


def known_songs(seconds: float, level: float, recordings: Sequence[Path] = ()) -> Iterator[StemSong]:
    """Songs of two synthetic singers and of ``recordings``, ``level`` dB louder than the band."""
    for seed, singer in enumerate(("sofia", "tomas"), 3):
        performance = sing(compose(singer, seconds, seed), singer, seed)
        frames = np.arange(len(performance.audio) // HOP) * HOP / RATE
        yield _known(singer, performance.audio, level, seed, performance.f0_at(frames))
    for seed, path in enumerate(recordings):
        files = sorted(path.glob("*.wav")) if path.is_dir() else [path]
        audio = np.concatenate([read_audio(file, RATE)[0] for file in files[:8]])[: round(seconds * RATE)]
        yield _known(path.stem, audio, level, seed, track(audio))


def read_record(path: Path) -> StemSong:
    """A mastered record with its stems, in the Native Instruments format: the mix first, the vocals last.

    What mastering adds to the sum of the stems counts as the band.
    """
    mix, vocals = (_decode(path, stream) for stream in (0, 4))
    n_samples = min(len(mix), len(vocals))
    mix, vocals = mix[:n_samples], vocals[:n_samples]
    vocals = vocals * np.float32((vocals * mix).sum() / np.square(vocals).sum())
    return StemSong(path.name.partition(".")[0], vocals, mix - vocals, track(vocals.mean(1)))


def _decode(path: Path, stream: int) -> np.ndarray:
    """One stream of a file as stereo (T, 2)."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(path.resolve()), "-map", f"0:a:{stream}"]
    command += ["-ac", "2", "-ar", str(RATE), "-f", "f32le", "-"]
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    return np.frombuffer(raw, np.float32).reshape(-1, 2)


def track(audio: np.ndarray) -> np.ndarray:
    """F0 (N,), Hz, 0 where unvoiced, of ``audio`` (T,)."""
    f0, uv = F0_PREDICTORS.build("pm").predict(audio)
    found: np.ndarray = f0 * uv
    return found


def _known(name: str, voice: np.ndarray, level: float, seed: int, f0: np.ndarray) -> StemSong:
    band = play(len(voice) / RATE, seed)[: len(voice)]
    gain = 10 ** (-level / 20) * np.sqrt(2 * np.square(voice).sum() / np.square(band).sum())
    peak = np.abs(np.stack([voice, voice], 1) + gain * band).max()
    scale = np.float32(min(1.0, 0.9 / peak))
    vocals = np.stack([voice, voice], 1) * scale  # in the centre
    return StemSong(name, vocals, (band * gain * scale).astype(np.float32), f0)


def si_sdr(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Scale-invariant signal-to-distortion ratio, dB (Le Roux et al., 2019)."""
    wanted = (reference * estimate).sum() / np.square(reference).sum() * reference
    return float(10 * np.log10(np.square(wanted).sum() / np.square(estimate - wanted).sum()))


def within_50_cents(truth: np.ndarray, f0: np.ndarray) -> float:
    """Share of the voiced frames of ``truth`` (N,), Hz, whose F0 is right."""
    n = min(len(truth), len(f0))
    truth, f0 = truth[:n], f0[:n]
    cents = 1200 * np.abs(np.log2(np.maximum(f0, 1) / np.maximum(truth, 1)))
    return float((cents[truth > 0] < 50).mean())


def in_rests(audio: np.ndarray, voice: np.ndarray) -> float:
    """Level, dB, of ``audio`` (T,) where the true voice rests, relative to where it sounds."""
    size = RATE // 50
    whole = min(len(audio), len(voice)) // size * size
    powers = [np.square(x[:whole], dtype=np.float64).reshape(-1, size).mean(1) for x in (audio, voice)]
    sounds = powers[1] > 1e-5 * powers[1].max()
    near = np.convolve(sounds, np.ones(11), "same") > 0  # with what rings, a tenth of a second
    if near.all():
        return float("nan")
    return float(10 * np.log10((powers[0][~near].mean() + 1e-14) / powers[0][sounds].mean()))
