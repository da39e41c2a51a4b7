"""A voice without training: an ordinary voice model, made of a base model and recordings of the speaker.

The base model (models.ReferenceGlow) holds a network that turns recordings into the rows of
the speaker tables; a few seconds of adaptation follow. What is written converts, exports and
mixes like any trained model.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from model_tools.adapt import STEPS, VoiceClip, adapt
from models import GlowSVC, ReferenceGlow
from modules.checkpoint import build_module, model_state, write_checkpoint
from modules.common.errors import AudioError, CheckpointError
from modules.common.files import write_json
from modules.common.text import normalize_name, printable
from modules.config import load_config, read_json
from modules.dataset.f0_survey import F0Survey
from modules.dsp.audio import find_audio, open_audio, read_mono, resample
from modules.dsp.loudness import match_peak, trim_silence
from modules.dsp.mel import LogMel
from modules.f0_predictor import DEFAULT_PREDICTOR, F0_PREDICTORS
from modules.nn.reference import PREFIX, takes_recordings
from modules.pretrained.starter import STARTER

SHORTEST, LONGEST = 2.0, 30.0  # s of recordings
SEARCHED = 120.0  # s of a file, which may begin with silence
FOLDER = Path("logs") / "instant"
FILE = "G_instant.pth"


def make_instant_voice(
    reference: str | Path,
    folder: str | Path = FOLDER,
    base: str | Path | None = None,
    steps: int = STEPS,
) -> Path:
    """Write the voice model of ``reference`` below ``folder``, with its configuration; return its path.

    ``reference`` is a recording, or a folder of them; their first half minute counts. It names the
    speaker. A model that an earlier call made of the same recordings is kept. ``base`` is the one
    in the repository if it is None; ``steps`` of adaptation follow (model_tools/adapt.py).

    Raises:
        AudioError: There is no sound in it, too little, or it cannot be read.
        CheckpointError: The base model cannot be read, or takes its speakers from tables.
        ConfigError: Its configuration, config.json beside it, is missing or wrong.
    """
    reference, base = Path(reference), Path(base or STARTER)
    files = find_audio(reference) if reference.is_dir() else [reference]
    if not files:
        raise AudioError(f"{reference} holds no recordings")
    state = model_state(base)
    if not takes_recordings(state):
        raise CheckpointError(
            f"{base} cannot take a voice from recordings; train a voice model of them, by make demo or "
            "steps 1 to 4"
        )
    values = read_json(base.with_name("config.json"))
    config = load_config(base.with_name("config.json"))
    rate = config.data.sampling_rate
    clips = _read(files, rate)
    seconds = sum(map(len, clips)) / rate
    if seconds < SHORTEST:
        raise AudioError(
            f"{reference} holds {seconds:.1f} s of sound; an instant voice needs {SHORTEST:g} s, better 20 s"
        )
    name = normalize_name(
        printable(reference.resolve().stem if reference.is_file() else reference.resolve().name)
    )
    path = Path(folder) / f"{name}-{_fingerprint(base, clips, steps)}" / FILE
    if path.is_file() and path.with_name("config.json").is_file():
        return path
    model = build_module(lambda: ReferenceGlow(config.model), state, base).eval()
    log_mel, survey = LogMel(config.data), F0Survey()
    predictor = F0_PREDICTORS.build(DEFAULT_PREDICTOR, sampling_rate=rate)
    heard = []
    with torch.inference_mode():
        for clip in clips:
            mel = log_mel(torch.from_numpy(clip)[None])[0]
            heard.append(VoiceClip(clip, mel, *predictor.predict(clip, mel.size(1))))
            survey.add(heard[-1].f0, heard[-1].uv)
        tables = model.tables([torch.cat([clip.mel for clip in heard], 1)])
    weights = {key: value for key, value in model.state_dict().items() if not key.startswith(PREFIX)}
    voice = build_module(lambda: GlowSVC(replace(config.model, n_speakers=1)), {**weights, **tables}, base)
    adapt(voice, heard, config, steps)
    spk = {name: 0}
    values |= {"model": {**values["model"], "n_speakers": 1}, "spk": spk}
    values["f0_range"] = {name: survey.range} if survey.range else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path.with_name("config.json"), values)
    write_checkpoint(path, {"model": voice.state_dict(), "spk": spk})
    return path


def _read(files: list[Path], rate: int) -> list[np.ndarray]:
    """The first half minute of sound (T,) of files, without silence at the ends, each at full scale."""
    clips: list[np.ndarray] = []
    room = round(LONGEST * rate)  # samples
    for path in files:
        with open_audio(path) as file:
            audio = resample(read_mono(file, round(SEARCHED * file.samplerate)), file.samplerate, rate)
        audio = np.asarray(trim_silence(match_peak(audio), rate)[:room], np.float32)
        if len(audio) and np.abs(audio).max() > 0:
            clips.append(audio)
            room -= len(audio)
        if room < rate:
            break
    return clips


def _fingerprint(base: Path, clips: list[np.ndarray], steps: int) -> str:
    """Eight letters that stand for the base model, the recordings and the adaptation."""
    digest = hashlib.sha256(base.read_bytes() + steps.to_bytes(4, "little"))
    for clip in clips:
        digest.update(clip.tobytes())
    return digest.hexdigest()[:8]
