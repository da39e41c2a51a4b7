"""Steps 2 to 4 up to the first training step, against the number of clips and of speakers.

Clips of 10 s are hard links to a few, with the features of a real one: a data set of
100,000 takes some 0.1 GB. So their files are in the memory of the system, as they are
when training starts again; a disk that is read for the first time is slower.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.growth.curves import Growth
from benchmarks.measure import isolated, peak_memory, temporary_folder
from benchmarks.workspace import synthetic_song
from modules.common.files import write_json

Costs = dict[tuple[str, str], float]
SPEAKERS = 10  # of a data set whose clips grow in number
CLIPS = 4000  # of a data set whose speakers grow in number
_SECONDS = 10.0
_LINKS = 5000  # to one file; file systems limit them
_FLAGS = ["--tiny", "--speech_encoder", "mfcc", "--vocoder", "world"]


def measure_clips(counts: Sequence[int]) -> Growth:
    """Costs against the number of clips."""
    growth = Growth("clips", counts)
    for n_clips in counts:
        growth.add(_measure(n_clips, SPEAKERS, train=True))
    return growth


def measure_speakers(counts: Sequence[int]) -> Growth:
    """Costs against the number of speakers who share the clips."""
    growth = Growth("speakers", counts)
    for n_speakers in counts:
        growth.add(_measure(CLIPS, n_speakers, train=False))
    return growth


def _measure(n_clips: int, n_speakers: int, train: bool) -> Costs:
    with temporary_folder() as folder:
        isolated(_write_recordings, folder, n_clips, n_speakers)
        found: Costs = isolated(_list, folder)
        isolated(_write_features, folder)
        found |= isolated(_check, folder) | isolated(_start, folder)
        if train:
            found |= isolated(_train, folder)
    return found


def _write_recordings(folder: Path, n_clips: int, n_speakers: int) -> None:
    import soundfile

    audio = synthetic_song(_SECONDS, 1, sampling_rate=8000)  # the features say what the rate is
    for number in range(n_clips):
        wav = folder / "dataset/44k" / f"speaker{number % n_speakers:04}" / f"{number:06}.wav"
        wav.parent.mkdir(parents=True, exist_ok=True)
        if number % _LINKS == 0:
            soundfile.write(wav, audio, 8000, "PCM_U8")
            original = wav
        else:
            os.link(original, wav)


def _write_features(folder: Path) -> None:
    """Features of a real clip for each original, and links to them beside each link."""
    import numpy as np
    import torch

    from modules.config import load_config
    from modules.dataset.feature_record import FeatureRecord, identify, recipe, record_path, stale
    from modules.dataset.features import feature_path, save_feature
    from modules.dataset.report import measure
    from modules.dsp.f0 import fill_unvoiced
    from vencoder import ENCODERS

    config = load_config(folder / "configs/config.json")
    n_perturbed = ENCODERS["mfcc"].n_perturbed
    wanted = recipe(config, "dio", encoder_weights="none", n_perturbed=n_perturbed)
    n_frames = int(_SECONDS * config.data.sampling_rate) // config.data.hop_length
    rng = np.random.default_rng(0)
    f0 = fill_unvoiced(np.where(rng.random(n_frames) < 0.7, rng.uniform(150, 400, n_frames), 0))
    values: dict[str, torch.Tensor | np.ndarray] = {
        "units": torch.randn(1, 12, 500),
        "perturbed_units": torch.randn(n_perturbed, 12, 500),
        "f0": np.stack(f0),
        "mel": torch.randn(n_frames, config.data.n_mels) - 5,
    }
    wavs = sorted((folder / "dataset/44k").glob("*/*.wav"), key=lambda wav: wav.name)
    for number, wav in enumerate(wavs):
        if number % _LINKS == 0:
            facts = measure(synthetic_song(2.0, 1, sampling_rate=8000), 8000)
            record = FeatureRecord(identify(wav), n_frames, sorted(wanted), clip=facts)
            for kind, settings in wanted.items():
                save_feature(wav, kind, values[kind])
                record.finish(wav, kind, settings)
            if stale(wav, wanted):
                raise SystemExit(f"the features written for {wav} are not what step 3 wants")
            original = wav
        else:
            for path in (record_path, *(lambda w, kind=kind: feature_path(w, kind) for kind in wanted)):
                os.link(path(original), path(wav))


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """Work in ``folder``, without the output of the scripts."""
    os.chdir(folder)
    with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing):
        with contextlib.redirect_stderr(nothing):
            yield


def _succeed(script: Callable[[Sequence[str]], int], arguments: Sequence[str]) -> None:
    if code := script(arguments):
        raise SystemExit(f"{script.__module__} ended with code {code}")


def _list(folder: Path) -> Costs:
    import preprocess_flist_config
    from modules.dataset import layout  # noqa: F401 - not to be counted

    with _inside(folder):
        began = time.perf_counter()
        _succeed(preprocess_flist_config.main, _FLAGS)
        return {("step 2: lists", "s"): time.perf_counter() - began}


def _check(folder: Path) -> Costs:
    import preprocess_hubert_f0
    import training.data.extraction
    import training.distributed  # noqa: F401 - not to be counted

    with _inside(folder):
        began = time.perf_counter()
        _succeed(preprocess_hubert_f0.main, ["--device", "cpu", "--f0_predictor", "dio"])
        return {("step 3: nothing to do, and report", "s"): time.perf_counter() - began}


def _start(folder: Path) -> Costs:
    """What train.py does before its first step, part by part."""
    from modules.config import load_config
    from modules.dataset.f0_survey import survey_f0
    from modules.dataset.feature_record import recipe
    from training.data.dataset import GlowDataset
    from training.data.filelist import checked_clips
    from training.data.sampler import EpochBatches

    found: Costs = {}

    @contextlib.contextmanager
    def timed(what: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        found[what, "s"] = time.perf_counter() - began

    with _inside(folder):
        config = load_config("configs/config.json")
        lists = config.data.training_files, config.data.validation_files
        with timed("step 4: check"):
            clips, _ = checked_clips(lists, recipe(config), "")
        with timed("loader"):
            lengths = GlowDataset(clips, config, augment=True).lengths
        with timed("F0 range"):
            survey_f0(clips)
        with timed("batches of an epoch"):
            epochs = EpochBatches(lengths, config.train.batch_size, config.train.seed)
            batches = epochs.rank_batches(0, 0, 0)
            for _ in range(epochs.n_steps):
                next(batches)
    return found


def _train(folder: Path) -> Costs:
    """Peak memory of train.py over its imports, from the start to the end of two steps."""
    import train
    import training.loop
    import training.tasks.glow  # noqa: F401 - not to be counted

    with _inside(folder):
        path = Path("configs/config.json")
        values = json.loads(path.read_text(encoding="utf-8"))
        values["train"] |= {"max_steps": 2}
        write_json(path, values)
        idle = peak_memory()
        _succeed(train.main, ["--device", "cpu"])
        return {("train.py, two steps", "MB"): (peak_memory() - idle) / 2**20}
