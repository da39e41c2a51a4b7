"""The data set of the base model: clips of about ten seconds, and their features.

Everything that does not depend on the speech encoder is kept, the copies in other voices
included, so that another encoder has only its units to compute.

The prompts have 16 kHz and Kokoro 24 kHz, but voices of users have more. The band above is
synthesised from the octave below, up to 11 or more kHz: the model must expect a filled band,
whatever its content.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from modules.common.errors import ConfigError
from modules.common.parallel import run
from modules.common.progress import progress_bar
from modules.config import Config
from modules.dataset.feature_record import recipe, stale
from modules.dataset.perturb import perturb_voice
from modules.dsp.audio import open_audio, read_audio, resample, write_audio
from modules.dsp.loudness import match_peak, to_int16
from modules.dsp.unit_clock import UnitClock
from modules.f0_predictor import DEFAULT_PREDICTOR
from tools.starter.speech.files import finished_folder
from training.data.extraction import ExtractionJob, Extractor
from vencoder import ENCODERS

LEFT_OUT = ("espeak-", "flite-", "held-")  # artificial voices, and those that nothing may train on
CLIP = 10.0  # s, of joined recordings
TOP = 0.475  # upper end of a recording's band, in parts of its rate
RATE = 44100
N_COPIES = 2  # of each clip in other voices
N_VALIDATION = 12  # voices of which a clip is kept from training
WITHOUT_ENCODER = frozenset(("mel", "f0"))
UNITS = frozenset(("units", "perturbed_units"))
_MOST_COPIED = 2  # bands above a recording's own


def voices(folder: Path) -> list[Path]:
    """Folders of the training voices, sorted; raises ConfigError if there are none."""
    found = [path for path in sorted(folder.glob("*")) if path.is_dir()]
    found = [path for path in found if not path.name.startswith(LEFT_OUT)]
    if not found:
        raise ConfigError(f"{folder} has no voice; run the steps recordings and kokoro first")
    return found


def write_voices(folders: Sequence[Path], target: Path, most: float, seed: int, processes: int) -> None:
    """Write the clips of voices that have none yet to a folder each in ``target``, up to ``most`` seconds."""
    todo = [folder for folder in folders if not (target / folder.name).is_dir()]
    done = run(partial(_write_voice, target, most, seed), todo, processes)
    for _ in progress_bar(done, total=len(todo), desc="voices", unit="voice"):
        pass


def make_features(clips: Sequence[Path], config: Config, kinds: Collection[str], processes: int) -> None:
    """Make those features ``kinds`` of ``clips`` that are missing or of another encoder."""
    encoder = config.model.speech_encoder
    weights = ENCODERS[encoder].fingerprint()
    wanted = recipe(config, DEFAULT_PREDICTOR, encoder_weights=weights, n_perturbed=N_COPIES)
    jobs = []
    for clip in clips:
        if missing := stale(clip, wanted).keys() & set(kinds):
            jobs.append(ExtractionJob(clip, wanted, frozenset(missing), 0))
    done = run(_extract, jobs, processes, _set_up, (config.data, encoder, DEFAULT_PREDICTOR, "cpu"))
    for reason in progress_bar(done, total=len(jobs), desc=" and ".join(sorted(kinds)), unit="clip"):
        if reason:
            raise ConfigError(reason)


def split(clips: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Clips for training and validation; the latter are the first of some voices, the same in every run."""
    first: dict[str, Path] = {}
    for clip in sorted(clips):
        first.setdefault(clip.parent.name, clip)
    chosen = sorted(first, key=lambda voice: zlib.crc32(voice.encode()))[:N_VALIDATION]
    held_out = [first[voice] for voice in chosen]
    return sorted(set(clips) - set(held_out)), held_out


def joined(clips: Iterable[np.ndarray], rate: int, most: float) -> Iterator[np.ndarray]:
    """Join clips (T,) to pieces of at least CLIP seconds, up to ``most`` seconds in all."""
    piece = np.zeros(0, np.float32)
    total = 0
    for clip in clips:
        if total >= most * rate:
            break
        piece = np.append(piece, clip)
        total += len(clip)
        if len(piece) >= CLIP * rate:
            yield piece
            piece = piece[:0]
    if len(piece):
        yield piece


def extend_bandwidth(audio: np.ndarray, rate: int, gains: Sequence[float]) -> np.ndarray:
    """Resample audio (T,) to (T',) at 44.1 kHz, with copies of its highest octave above it.

    Each copy lies an octave's width higher than the one before, as far as there is room;
    ``gains`` are relative to the octave, dB.
    """
    from scipy.signal import butter, hilbert, sosfiltfilt

    wide = resample(audio, rate, RATE)
    edge = TOP * rate
    band = edge / 2
    n_copies = min(len(gains), int((RATE / 2 - edge) / band))
    if n_copies <= 0:
        return wide
    octave = butter(8, (edge - band, edge), "bandpass", fs=RATE, output="sos")
    highest = hilbert(sosfiltfilt(octave, wide))
    time = np.arange(len(wide)) / RATE
    for number, gain in enumerate(gains[:n_copies], start=1):
        wide = wide + 10 ** (gain / 20) * np.real(highest * np.exp(2j * np.pi * band * number * time))
    return wide.astype(np.float32)


def copies_path(clip: Path) -> Path:
    """File of the copies (N_COPIES, T) of a clip in other voices, int16 at the encoders' rate."""
    return clip.with_name(f"{clip.name}.copies.npy")


def _write_voice(target: Path, most: float, seed: int, source: Path) -> None:
    rng = np.random.default_rng((seed, zlib.crc32(source.name.encode())))
    first = rng.uniform(-12, -3)  # dB
    gains = [first, first + rng.uniform(-12, -3)][: rng.integers(1, _MOST_COPIED + 1)]
    paths = sorted(source.glob("*.wav"))
    rng.shuffle(paths)  # type: ignore[arg-type]
    with open_audio(paths[0]) as file:
        rate = file.samplerate
    with finished_folder(target / source.name) as folder:
        folder.mkdir()
        for number, piece in enumerate(joined((read_audio(path, rate)[0] for path in paths), rate, most)):
            clip, path = match_peak(extend_bandwidth(piece, rate, gains))[:], folder / f"{number:03d}.wav"
            write_audio(path, clip, RATE, "PCM_16")
            speech = resample(clip, RATE, UnitClock.sampling_rate)
            copies = perturb_voice(speech, UnitClock.sampling_rate, N_COPIES, rng)
            np.save(copies_path(path), to_int16(copies), allow_pickle=False)


class CopyExtractor(Extractor):
    """Features of clips whose copies in other voices are there already."""

    def _perturbed_units(self, job: ExtractionJob, audio: np.ndarray) -> Tensor:
        copies = np.load(copies_path(job.wav), allow_pickle=False)
        voices = [torch.from_numpy(copy / np.float32(32768)) for copy in copies]
        return torch.stack(self.encoder.encode_batch(voices))


_extractor: CopyExtractor  # of this process


def _set_up(*args: object) -> None:
    global _extractor
    _extractor = CopyExtractor(*args)  # type: ignore[arg-type]


def _extract(job: ExtractionJob) -> str:
    """Make what is missing of a clip; the reason if that failed."""
    return _extractor.process([job])[0]
