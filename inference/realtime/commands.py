"""The voice of a live conversion: whether it is fast enough, and what a person types to change it."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from queue import Empty, SimpleQueue
from threading import Thread

from inference.options import ConvertOptions
from inference.pipeline import SongConverter
from inference.realtime.engine import RealtimeEngine
from inference.realtime.meters import COMFORTABLE, LiveStatus
from inference.realtime.session import LiveSession
from inference.realtime.settings import RealtimeSettings
from modules.common.errors import ConfigError, GlowSVCError

HIGHEST_KEY = 60.0  # semitones
_COSTLY = {  # options by what takes less
    "diffuses": "without the diffusion model (remove -shd or -od), or with a larger --diffusion_speedup",
    "enhances": "without the enhancer (remove -eh)",
    "blends": "without -cr",
}

logger = logging.getLogger(__name__)


def check_key(key: float) -> float:
    """``key``, semitones; raises ConfigError if it is out of range."""
    if not -HIGHEST_KEY <= key <= HIGHEST_KEY:  # NaN is refused too
        raise ConfigError(f"-t must be between -{HIGHEST_KEY:g} and {HIGHEST_KEY:g}, not {key:g}")
    return key


def build_engine(
    converter: SongConverter, settings: RealtimeSettings, speaker: str, key: float
) -> RealtimeEngine:
    """Engine of a loaded voice model; ``speaker`` may be empty if it has one.

    Raises:
        ConfigError: Several speakers and none named, or see :class:`RealtimeEngine`.
    """
    check_key(key)
    known = converter.config.spk
    speaker = speaker or (next(iter(known)) if len(known) == 1 else "")
    if not speaker:
        raise ConfigError(
            f"name the target speaker with -s; the model knows: {converter.config.known_speakers()}"
        )
    return RealtimeEngine(converter, settings, speaker, key)


def recording_tag(engine: RealtimeEngine) -> str:
    """Comment in the file of a recording."""
    return (
        f"Voice conversion by Glow-SVC, live; model {engine.converter.model_name}, speaker "
        f"{engine.converter.config.speaker_name(engine.speaker)}, key {engine.key:+g}"
    )


def check_speed(engine: RealtimeEngine) -> None:
    """Warm up; refuse what takes more time than there is, as far as it can be left out.

    Raises:
        ConfigError: The load is far above 1, because of an option; names it.
    """
    load = engine.warm_up() * engine.sampling_rate / engine.block
    if load <= 1:
        return
    options = engine.converter.options
    remedy = next((text for name, text in _COSTLY.items() if getattr(options, name)), "")
    if remedy:
        raise ConfigError(f"a block takes {load:.1f} times the time there is: try it {remedy}")
    logger.warning(
        "a block takes %.1f times the time there is: try --block %.0f, or a shorter --context and "
        "--unit_context",
        load,
        engine.settings.block * load / COMFORTABLE,
    )


class Commands:
    """Loads the voice that the options name, and obeys lines of standard input."""

    def __init__(self, options: ConvertOptions, settings: RealtimeSettings, speaker: str, key: float) -> None:
        self.options, self.settings, self.speaker, self.key = options, settings, speaker, check_key(key)
        self.ended = False
        self._lines: SimpleQueue[str] = SimpleQueue()
        self._engine: RealtimeEngine | None = None

    def load(self) -> RealtimeEngine:
        """Load the voice model, ready to run.

        Raises:
            GlowSVCError: See :class:`inference.converter.Converter`.
        """
        self._engine = build_engine(_converter(self.options), self.settings, self.speaker, self.key)
        return self._engine

    @property
    def tag(self) -> str:
        """Comment in the file of a recording."""
        assert self._engine is not None
        return recording_tag(self._engine)

    def advice(self, status: LiveStatus) -> str:
        """What to do about a high load."""
        return (
            f"the load is {100 * status.load:.0f} %: --block {status.suggestion} would bring it to 70 %; a "
            "shorter --context or --unit_context also helps"
        )

    def listen(self) -> None:
        """Begin to read standard input."""
        Thread(target=self._read, name="commands", daemon=True).start()

    def _read(self) -> None:
        for line in sys.stdin:
            self._lines.put(line.strip())

    def obey(self, session: LiveSession) -> None:
        """Do what was typed; what cannot be done is said, and the voice goes on."""
        while not self.ended:
            try:
                line = self._lines.get_nowait()
            except Empty:
                return
            try:
                self._obey(line, session)
            except (GlowSVCError, OSError, ValueError) as error:
                logger.warning("%s", error)

    def _obey(self, line: str, session: LiveSession) -> None:
        command, _, value = line.partition(" ")
        value = value.strip()
        if command == "q":
            self.ended = True
        elif command == "t":
            self.key = session.engine.key = check_key(float(value))
        elif command == "s":
            session.engine.speaker = value
            self.speaker = value
        elif command == "m":
            before = self.options
            self.options = replace(before, model_path=value, config_path="", onnx="")
            try:
                session.swap(self.load())
            except BaseException:
                self.options = before
                raise
        elif line:
            logger.warning("%r: t <semitones>, s <speaker>, m <model> or q", line)


def _converter(options: ConvertOptions) -> SongConverter:
    """Load the voice model, with PyTorch or without."""
    if options.onnx:
        from inference.onnx.converter import OnnxConverter

        return OnnxConverter(options)
    import torch

    from inference.converter import Converter

    torch.set_num_threads(1)  # on tensors of a block, further threads take longer than they help
    return Converter(options)
