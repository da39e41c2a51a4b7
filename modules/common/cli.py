"""What all scripts share: the parser's layout, log output, one-line errors and exit codes."""

from __future__ import annotations

import argparse
import errno
import io
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from functools import wraps
from pathlib import Path
from typing import Any

from modules.common.children import watch_parent
from modules.common.errors import GlowSVCError
from modules.common.text import printable

OWN_LOGGERS = frozenset(  # first names of the project's modules
    (
        *(
            "__main__",
            "modules",
            "vencoder",
            "vdecoder",
            "cluster",
            "separation",
            "synthetic_voice",
            "models",
            "diffusion",
        ),
        *("inference", "training", "export", "evaluation", "model_tools", "webui", "pretrain"),
    )
)
Main = Callable[..., int]  # main(argv: Sequence[str] | None = None)


def make_parser(description: str | None, epilog: str = "", **options: Any) -> argparse.ArgumentParser:
    """Parser whose help keeps line breaks; ``options`` are those of argparse.ArgumentParser."""
    return argparse.ArgumentParser(
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **options,
    )


def add_device(parser: argparse.ArgumentParser, default: str = "detected automatically") -> None:
    """Add ``--device``, which :func:`modules.common.device.resolve_device` reads."""
    parser.add_argument("-d", "--device", help=f"cpu, cuda, cuda:1, mps (default: {default})")


def add_training_flags(
    parser: argparse.ArgumentParser, config: str, device: str = "detected automatically"
) -> None:
    """Add the flags of both trainings; ``config`` and ``device`` are defaults."""
    parser.add_argument("-c", "--config", default=config, help="configuration (%(default)s)")
    add_device(parser, device)
    parser.add_argument(
        "--max_minutes",
        type=float,
        default=0.0,
        help="stop when the run has taken this long, all sessions included; 0: no limit",
    )


class _LogHandler(logging.StreamHandler):
    """Writes records to stderr, above the progress bars that are drawn there."""

    def emit(self, record: logging.LogRecord) -> None:
        bars = sys.modules.get("tqdm")
        with bars.tqdm.external_write_mode(file=self.stream) if bars else nullcontext():
            super().emit(record)


class _LogFormatter(logging.Formatter):
    """Progress and decisions as they are, problems with the name of their level before them."""

    def format(self, record: logging.LogRecord) -> str:
        text = printable(record.getMessage(), keep="\n\t")
        if record.exc_info:
            text += f"\n{self.formatException(record.exc_info)}"
        return f"{record.levelname.lower()}: {text}" if record.levelno >= logging.WARNING else text


def _is_shown(record: logging.LogRecord) -> bool:
    """Whether a record comes from this project, or is a problem: messages of libraries are left out."""
    return record.levelno >= logging.WARNING or record.name.partition(".")[0] in OWN_LOGGERS


def configure_logging() -> None:
    """Show this project's log records from INFO on stderr; leave a configured root logger alone."""
    if logging.root.handlers:
        return
    handler = _LogHandler()
    handler.setFormatter(_LogFormatter())
    handler.addFilter(_is_shown)
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def entry_point(main: Main) -> Main:
    """Wrap ``main(argv)``: a user's mistake is one line on stderr and exit code 2.

    So is a file that the system refuses: no permission, in use, no space left.
    Ctrl-C ends with 130 and says that the next run continues. Any other
    exception is a bug and keeps its traceback. A script that another one
    started ends with that one.
    """

    @wraps(main)
    def wrapper(argv: Sequence[str] | None = None) -> int:
        for stream in (sys.stdout, sys.stderr):  # a code page may lack letters of a file name
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        program = Path(sys.argv[0]).name if argv is None else Path(main.__globals__["__file__"]).name
        if program == "__main__.py":  # of a package
            program = f"python -m {Path(main.__globals__['__file__']).parent.name}"
        configure_logging()
        watch_parent()
        try:
            return main(argv)
        except GlowSVCError as error:
            message = str(error)
        except KeyboardInterrupt:
            print(
                f"\n{program}: interrupted. What was finished is kept; run the same command for the rest.",
                file=sys.stderr,
            )
            return 130
        except OSError as error:
            path = error.filename2 or error.filename  # of a move, its destination
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                message = (
                    f"no space left on the disk while writing {path or 'a file'}. "
                    "What was finished is kept; free some space and run the same command again."
                )
            elif path is None:
                raise
            else:
                message = f"{path}: {error.strerror or error}"
        print(f"{program}: {printable(message)}", file=sys.stderr)
        _tell_torchrun(message)
        return 2

    return wrapper


def _tell_torchrun(message: str) -> None:
    """Let torchrun, if it has started this process, name ``message`` as the cause in its own summary."""
    file = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if file:
        reason = {"message": message, "extraInfo": {"timestamp": str(int(time.time()))}}
        with suppress(OSError):
            Path(file).write_text(json.dumps({"message": reason}), encoding="utf-8")
