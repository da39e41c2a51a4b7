"""The voice of a live conversion, and what a person types to change it."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from queue import Empty, SimpleQueue
from threading import Thread

from inference.options import ConvertOptions
from inference.pipeline import SongConverter
from inference.realtime.engine import RealtimeEngine
from inference.realtime.meters import LiveStatus
from inference.realtime.session import LiveSession
from inference.realtime.settings import RealtimeSettings
from modules.common.errors import ConfigError, GlowSVCError

_COSTLY = {  # options by what takes less
    "diffuses": "without the diffusion model (remove -shd or -od), or with a larger --diffusion_speedup",
    "enhances": "without the enhancer (remove -eh)",
    "blends": "without -cr",
}

logger = logging.getLogger(__name__)


class Commands:
    """Loads the voice that the options name, and obeys lines of standard input."""

    def __init__(self, options: ConvertOptions, settings: RealtimeSettings, speaker: str, key: float) -> None:
        if not -60 <= key <= 60:  # NaN is refused too
            raise ConfigError(f"-t must be between -60 and 60, not {key:g}")
        self.options, self.settings, self.speaker, self.key = options, settings, speaker, key
        self.ended = False
        self._lines: SimpleQueue[str] = SimpleQueue()
        self._engine: RealtimeEngine | None = None

    def load(self) -> RealtimeEngine:
        """Load the voice model, ready to run.

        Raises:
            GlowSVCError: See :class:`inference.converter.Converter`.
        """
        converter = _converter(self.options)
        known = converter.config.spk
        speaker = self.speaker or (next(iter(known)) if len(known) == 1 else "")
        if not speaker:
            raise ConfigError(
                f"name the target speaker with -s; the model knows: {converter.config.known_speakers()}"
            )
        engine = RealtimeEngine(converter, self.settings, speaker, self.key)
        self._engine = engine
        return engine

    @property
    def tag(self) -> str:
        """Comment in the file of a recording."""
        assert self._engine is not None
        engine = self._engine
        return (
            f"Voice conversion by Glow-SVC, live; model {engine.converter.model_name}, speaker "
            f"{engine.converter.config.speaker_name(engine.speaker)}, key {engine.key:+g}"
        )

    def check_speed(self, engine: RealtimeEngine) -> None:
        """Warm up; refuse what takes more time than there is, as far as it can be left out.

        Raises:
            ConfigError: The load is far above 1, because of an option; names it.
        """
        load = engine.warm_up() * engine.sampling_rate / engine.block
        if load <= 1:
            return
        remedy = next((text for name, text in _COSTLY.items() if getattr(self.options, name)), "")
        if remedy:
            raise ConfigError(f"a block takes {load:.1f} times the time there is: try it {remedy}")
        logger.warning(
            "a block takes %.1f times the time there is: try --block %.0f, or a shorter --context and "
            "--unit_context",
            load,
            self.settings.block * load / 0.7,
        )

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
            self.key = session.engine.key = min(max(float(value), -60.0), 60.0)
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
