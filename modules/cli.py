"""What every script does the same way: one-line errors, exit codes, progress bars."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path

from modules.errors import GlowSVCError

Main = Callable[..., int]  # main(argv: Sequence[str] | None = None)


def entry_point(main: Main) -> Main:
    """Wrap ``main(argv)``: a user's mistake is one line on stderr and exit code 2.

    Ctrl-C ends with 130 and says that the next run continues; a full disk is
    a one-line error too. Any other exception is a bug and keeps its traceback.
    """

    @wraps(main)
    def wrapper(argv: Sequence[str] | None = None) -> int:
        program = Path(sys.argv[0]).name if argv is None else Path(main.__globals__["__file__"]).name
        try:
            return main(argv)
        except GlowSVCError as error:
            print(f"{program}: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print(
                f"\n{program}: interrupted. What was finished is kept; run the same command to continue.",
                file=sys.stderr,
            )
            return 130
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            print(
                f"{program}: no space left on the disk while writing {error.filename or 'a file'}. "
                "What was finished is kept; free some space and run the same command again.",
                file=sys.stderr,
            )
            return 2

    return wrapper
