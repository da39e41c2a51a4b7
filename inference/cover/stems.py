"""Stages that take a song apart: the vocals, and in them the lead and what goes with it.

Each stem is what another leaves, so all of them together are the song, sample by sample.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import torch

from inference.cover.options import NONE
from inference.cover.phrases import PowerMeter, sample_gain, singing
from inference.cover.song import SONG, StereoFile, write_stereo
from modules.common.errors import AudioError
from modules.common.files import write_json
from modules.dsp.blocks import BLOCK
from separation import SEPARATORS
from separation.base import RATE
from separation.lead import LeadSplitter

VOCALS, LEAD, BACKING, FACTS = "vocals.wav", "lead.wav", "backing.wav", "facts.json"
# dB, of what is left of a song without its vocals relative to them, where the song is a voice alone: less
# than the first, or less than the second and, where the voice rests, than the third (its own room, and hiss)
ALONE, ROOM, ROOM_IN_RESTS = -28.0, -15.0, -30.0
_REST = 1e-3  # power of a voice that rests, relative to its loud parts
NO_VOICE = -30.0  # dB; vocals that are so much softer than the song are none
_EPS = 1e-12

Report = Callable[[float, float], None]  # seconds done, and in total

logger = logging.getLogger(__name__)


def separate(song: Path, folder: Path, separator: str, device: torch.device, report: Report) -> None:
    """Write the vocals of the song in ``song`` to ``folder``.

    Raises:
        AudioError: There is no voice in it.
        MissingWeightsError: See :class:`separation.base.Separator`.
    """
    mix = StereoFile(song / SONG)
    vocals, left = PowerMeter(), PowerMeter()

    def metered() -> Iterator[np.ndarray]:
        start = 0
        blocks = mix.blocks() if separator == NONE else SEPARATORS.build(separator, device).separate(mix)
        for block in blocks:
            vocals.feed(block)
            left.feed(mix[start : start + len(block)] - block)
            start += len(block)
            report(start / RATE, len(mix) / RATE)
            yield block

    write_stereo(folder / VOCALS, metered())
    voice, band = (meter.powers() + _EPS for meter in (vocals, left))
    if 10 * np.log10(voice.mean() / (voice + band).mean()) < NO_VOICE:
        raise AudioError("no voice is to be heard in this song; if there is one, try another --separator")
    if separator != NONE and _is_alone(voice, band):
        logger.info("the song is a voice alone already: nothing is separated")
        write_stereo(folder / VOCALS, mix.blocks())


def _is_alone(voice: np.ndarray, band: np.ndarray) -> bool:
    """Whether ``band`` (F,), powers of what is left of a song, is of the ``voice`` (F,) itself."""
    rests = voice < _REST * np.percentile(voice, 95)
    soft, soft_in_rests = (
        10 * np.log10(part.mean() / voice.mean()) if len(part) else 0.0 for part in (band, band[rests])
    )
    return bool(soft < ALONE or (soft < ROOM and soft_in_rests < ROOM_IN_RESTS))


def split_lead(song: Path, vocals: Path, folder: Path, report: Report) -> None:
    """Write the lead, mono, and what else is in the phrases of the vocals, stereo.

    ``facts.json`` has the factors of left and right by which each stands where it stood.
    """
    mix, voices = StereoFile(song / SONG), StereoFile(vocals / VOCALS)
    powers = PowerMeter(), PowerMeter()
    for start in range(0, len(mix), BLOCK):
        for meter, file in zip(powers, (voices, mix), strict=True):
            meter.feed(file[start : start + BLOCK])
    gain = singing(powers[0].powers(), powers[1].powers())
    if not gain.any():
        raise AudioError("no voice is to be heard in this song; if there is one, try another --separator")

    phrases = _Phrases(voices, gain)
    pan = _pan(phrases[start : start + BLOCK] for start in range(0, len(phrases), BLOCK))
    write_stereo(folder / LEAD, LeadSplitter(phrases, pan).lead())
    lead = StereoFile(folder / LEAD)

    def left() -> Iterator[np.ndarray]:
        for start in range(0, len(phrases), BLOCK):
            where = slice(start, start + BLOCK)
            yield phrases[where] - lead[where] * pan
            report(start / RATE, len(phrases) / RATE)

    write_stereo(folder / BACKING, left())
    backing = _pan(StereoFile(folder / BACKING).blocks())
    write_json(folder / FACTS, {"lead": pan.tolist(), "backing": backing.tolist()})


class _Phrases:
    """Vocals (T, 2), silent between phrases; ``gain`` as of :func:`inference.cover.phrases.singing`."""

    def __init__(self, vocals: StereoFile, gain: np.ndarray) -> None:
        self._vocals, self._gain = vocals, gain

    def __len__(self) -> int:
        return len(self._vocals)

    def __getitem__(self, where: slice) -> np.ndarray:
        start, stop, _ = where.indices(len(self))
        return self._vocals[start:stop] * sample_gain(self._gain, start, stop)


def read_pans(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Factors (2,) of left and right of the lead and of the backing in ``folder``."""
    facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    return np.array(facts["lead"], np.float32), np.array(facts["backing"], np.float32)


def _pan(blocks: Iterable[np.ndarray]) -> np.ndarray:
    """Factors (2,), whose squares add up to 2, of left and right of a recording (T, 2)."""
    energy = sum((np.square(block, dtype=np.float64).sum(0) for block in blocks), np.full(2, _EPS))
    pan: np.ndarray = np.sqrt(2 * energy / energy.sum())
    return pan.astype(np.float32)
