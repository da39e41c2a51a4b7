"""Features of clips, stored beside them.

Each process of step 3 has one :class:`Extractor`. It computes only the features
that are missing, and the record (modules/dataset/feature_record.py) is correct
at every moment, so the process may be killed at any time.
"""

from __future__ import annotations

import hashlib
import math
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from modules.common.errors import AudioError, FeatureError
from modules.common.memory import full_memory
from modules.common.parallel import failure
from modules.config import DataConfig
from modules.dataset.feature_record import FeatureRecord, Recipe, identify
from modules.dataset.features import augmented, feature_path, save_feature
from modules.dataset.perturb import perturb_voice
from modules.dataset.report import measure
from modules.dsp.audio import read_audio, resample
from modules.dsp.frame_rms import frame_rms
from modules.dsp.mel import LogMel
from modules.f0_predictor import F0_PREDICTORS
from vencoder import ENCODERS

KEY_SHIFT = 5.0  # semitones: largest shift of the augmented mel
BATCH_SECONDS = 60.0  # of clips whose units are computed together: about 1 GB


@dataclass(frozen=True)
class ExtractionJob:
    """One clip and its missing features."""

    wav: Path
    wanted: Recipe  # all features that it should have
    missing: frozenset[str]  # those to compute now
    seed: int  # of augmentation; independent of where the data set is


def in_batches(jobs: Sequence[ExtractionJob], sampling_rate: int) -> list[list[ExtractionJob]]:
    """Group jobs into up to a minute of audio."""
    batches: list[list[ExtractionJob]] = []
    length = math.inf
    for job in jobs:
        duration = job.wav.stat().st_size / (2 * sampling_rate)  # int16, from step 1
        if length + duration > BATCH_SECONDS:
            batches.append([])
            length = 0.0
        batches[-1].append(job)
        length += duration
    return batches


class Extractor:
    """Computes and stores features; each process builds one."""

    def __init__(self, data: DataConfig, encoder: str, f0_predictor: str, device: str) -> None:
        self.data, self.device = data, device
        self.n_perturbed = ENCODERS[encoder].n_perturbed
        self.encoder = ENCODERS.build(encoder, torch.device(device))
        self.predictor = F0_PREDICTORS.build(
            f0_predictor, sampling_rate=data.sampling_rate, hop_length=data.hop_length, device=device
        )
        self.mel = LogMel(data)

    def process(self, jobs: Sequence[ExtractionJob]) -> list[str]:
        """Compute the missing features of some clips; return for each the reason of its failure, or "".

        Their units are computed in one batch, or clip by clip if that does not fit into memory.

        Raises:
            OSError: The disk is full.
        """
        reasons = [""] * len(jobs)
        waiting: dict[int, tuple[FeatureRecord, Tensor]] = {}
        for number, job in enumerate(jobs):
            with self._recording_failure(job, reasons, number):
                record, audio = self._begin(job)
                self._make(job, record, audio)
                if "units" in job.missing:
                    waiting[number] = record, torch.from_numpy(self._speech(audio))
        together = self._encode_together([speech for _, speech in waiting.values()])
        for index, (number, (record, speech)) in enumerate(waiting.items()):
            with self._recording_failure(jobs[number], reasons, number):
                units = self.encoder.encode(speech) if together is None else together[index]
                self._store(jobs[number], record, units=units.cpu().unsqueeze(0))
        return reasons

    def _encode_together(self, clips: Sequence[Tensor]) -> list[Tensor] | None:
        """Units (D, U) of clips (T,), computed in one batch; None if there is no memory for it."""
        try:
            return self.encoder.encode_batch(clips)
        except (RuntimeError, MemoryError) as error:
            if full_memory(error, self.device) is None:
                raise
            traceback.clear_frames(error.__traceback__)  # they hold the tensors
            return None

    @contextmanager
    def _recording_failure(self, job: ExtractionJob, reasons: list[str], number: int) -> Iterator[None]:
        try:
            yield
        except (AudioError, FeatureError) as error:
            reasons[number] = str(error) if str(job.wav) in str(error) else f"{job.wav}: {error}"
        except OSError as error:
            reasons[number] = failure(job.wav, error)
        except (RuntimeError, MemoryError) as error:
            where = full_memory(error, self.device)
            if where is None:
                raise
            traceback.clear_frames(error.__traceback__)
            reasons[number] = f"{job.wav}: {where} is out of memory; cut it with resample.py --slice"
        if reasons[number]:
            with suppress(OSError):  # then training reports missing features instead of the reason
                FeatureRecord(audio=identify(job.wav), failed=reasons[number]).save(job.wav)

    def _begin(self, job: ExtractionJob) -> tuple[FeatureRecord, np.ndarray]:
        """Clip (T,) and its record, without the features that are about to be computed."""
        audio, rate = read_audio(job.wav)
        if rate != self.data.sampling_rate:
            raise AudioError(f"{job.wav} has {rate} Hz, not {self.data.sampling_rate}; run resample.py first")
        record = FeatureRecord.load(job.wav)
        if not record.describes(job.wav):
            record = FeatureRecord()
        record.audio = identify(job.wav)
        record.clip = record.clip or measure(audio, rate)
        record.n_frames = max(1, len(audio) // self.data.hop_length)
        record.wanted, record.failed = sorted(job.wanted), ""
        for kind in job.missing:
            record.made.pop(kind, None)
        if "perturbed_units" not in job.wanted:  # of another encoder: training would use them
            record.made.pop("perturbed_units", None)
            feature_path(job.wav, "perturbed_units").unlink(missing_ok=True)
        record.save(job.wav)
        return record, audio

    def _store(self, job: ExtractionJob, record: FeatureRecord, **features: Tensor | np.ndarray) -> None:
        for kind, values in features.items():
            save_feature(job.wav, kind, values)
        for kind in features:
            record.finish(job.wav, kind, job.wanted[kind])

    def _make(self, job: ExtractionJob, record: FeatureRecord, audio: np.ndarray) -> None:
        """Compute all but the units, which are computed for several clips at once."""
        store = partial(self._store, job, record)
        with torch.inference_mode():
            if "mel" in job.missing:
                mel = self.mel(torch.from_numpy(audio).unsqueeze(0))[0]
                store(mel=mel.T.contiguous())
            if "f0" in job.missing:
                store(f0=np.stack(self.predictor.predict(audio, record.n_frames)))
            if "volume" in job.missing:
                store(volume=self._volume(audio, record.n_frames))
            if "perturbed_units" in job.missing:
                store(perturbed_units=self._perturbed_units(job, audio))
            if "aug_mel" in job.missing:
                store(**self._augmented(audio, job.seed, record.n_frames))

    def _volume(self, audio: np.ndarray, n_frames: int) -> np.ndarray:
        hop = self.data.hop_length
        return frame_rms(np.pad(audio, (0, max(0, n_frames * hop - len(audio)))), hop)[:n_frames]

    def _speech(self, audio: np.ndarray) -> np.ndarray:
        audio = np.pad(audio, (0, max(0, self.data.hop_length - len(audio))))  # else nothing is left
        return resample(audio, self.data.sampling_rate, self.encoder.sampling_rate)

    def _perturbed_units(self, job: ExtractionJob, audio: np.ndarray) -> Tensor:
        rate = self.encoder.sampling_rate
        rng = np.random.default_rng(job.seed)
        copies = perturb_voice(self._speech(audio), rate, self.n_perturbed, rng)
        return torch.stack(self.encoder.encode_batch([torch.from_numpy(copy) for copy in copies])).cpu()

    def _augmented(self, audio: np.ndarray, seed: int, n_frames: int) -> dict[str, np.ndarray]:
        """Mel, shifted in pitch, and volume of a louder or softer copy."""
        rng = np.random.default_rng((seed, 1))
        headroom = min(1.0, -math.log10(max(float(np.abs(audio).max()), 1e-5)))
        gain = 10.0 ** rng.uniform(-1.0, max(-1.0, headroom))
        key_shift = rng.uniform(-KEY_SHIFT, KEY_SHIFT)
        louder = (audio * gain).astype(np.float32)
        mel = self.mel(torch.from_numpy(louder).unsqueeze(0), key_shift=key_shift)[0].T.numpy()
        pair_id = int.from_bytes(hashlib.blake2b(mel.tobytes(), digest_size=8).digest(), "little")
        pair = {"aug_mel": mel, "aug_volume": self._volume(louder, n_frames)}
        return {kind: augmented(pair_id, key_shift, values) for kind, values in pair.items()}
