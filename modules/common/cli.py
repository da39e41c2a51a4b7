"""What every script does the same way: one-line errors, exit codes, progress bars."""

from __future__ import annotations

import errno
import io
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path

from modules.common.errors import GlowSVCError

Main = Callable[..., int]  # main(argv: Sequence[str] | None = None)


def entry_point(main: Main) -> Main:
    """Wrap ``main(argv)``: a user's mistake is one line on stderr and exit code 2.

    So is a file that the system refuses: no permission, in use, no space left.
    Ctrl-C ends with 130 and says that the next run continues. Any other
    exception is a bug and keeps its traceback.
    """

    @wraps(main)
    def wrapper(argv: Sequence[str] | None = None) -> int:
        for stream in (sys.stdout, sys.stderr):  # a code page may lack the letters of a file's name
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        program = Path(sys.argv[0]).name if argv is None else Path(main.__globals__["__file__"]).name
        if program == "__main__.py":  # of a package: as it was called
            program = f"python -m {Path(main.__globals__['__file__']).parent.name}"
        try:
            return main(argv)
        except GlowSVCError as error:
            print(f"{program}: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print(
                f"\n{program}: interrupted. What was finished is kept; run the same command for the rest.",
                file=sys.stderr,
            )
            return 130
        except OSError as error:
            path = error.filename2 or error.filename  # of a move, where it went to
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                message = (
                    f"no space left on the disk while writing {path or 'a file'}. "
                    "What was finished is kept; free some space and run the same command again."
                )
            elif path is None:
                raise
            else:
                message = f"{path}: {error.strerror or error}"
            print(f"{program}: {message}", file=sys.stderr)
            return 2

    return wrapper
