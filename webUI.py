"""The page in the browser: from a folder of recordings to a finished song, without typing commands.

It opens at http://127.0.0.1:7860, for this machine alone unless --listen or --share
is given. Trainings that it starts continue when it is closed.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from modules.common.cli import entry_point, make_parser
from modules.common.errors import ConfigError

EPILOG = """\
examples:
  python webUI.py
  python webUI.py -m logs/44k/G_20000.pth          with a model loaded, for programs that use the HTTP API
  python webUI.py --listen --auth anna:secret      for other machines in the network, with a password
  python webUI.py --port 8000 --debug

The HTTP API is described in docs/webui.md. Chinese or English follows the browser, or is
chosen in Settings at the page's lower end.
"""


def get_parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    parser = make_parser(__doc__, EPILOG)
    add = parser.add_argument
    add("-m", "--model_path", default="", help="load this voice model at the start")
    add("-c", "--config_path", default="", help="its configuration (the one beside it)")
    add(
        "--listen",
        nargs="?",
        const="0.0.0.0",  # noqa: S104 - asked for
        default="127.0.0.1",
        metavar="HOST",
        help="accept other machines: at every address of this one, or at HOST (this machine only)",
    )
    add("--port", type=int, default=0, metavar="NUMBER", help="(7860, or the next free one)")
    add("--share", action="store_true", help="make a public link through Gradio's servers, too")
    add(
        "--auth",
        action="append",
        default=[],
        metavar="NAME:PASSWORD",
        help="login of a user; repeat it for several (without it: everyone who reaches the page)",
    )
    add("-d", "--device", help="device for the model of -m (detected automatically)")
    add("--inbrowser", action="store_true", help="open the page in a browser")
    add("--debug", action="store_true", help="show tracebacks of unexpected errors")
    return parser


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Serve the page until Ctrl-C."""
    args = get_parser().parse_args(argv)
    logins = [(user, word) for user, _, word in (entry.partition(":") for entry in args.auth)]
    if not all(user and word for user, word in logins):
        raise ConfigError("--auth wants NAME:PASSWORD")
    if not 0 <= args.port <= 65535:
        raise ConfigError(f"--port must be between 1 and 65535, not {args.port}")

    logging.root.setLevel(logging.INFO if args.debug else logging.WARNING)
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # nothing is sent anywhere

    from webui.app import serve
    from webui.dataset.tab import REPORTS
    from webui.session import Session

    session = Session()
    if args.model_path:
        from webui.api import requested_options

        named = {"model_path": args.model_path, "device": args.device}
        if args.config_path:
            named["config_path"] = args.config_path
        session.load(requested_options(Path.cwd(), session, named)).result()
    elif args.config_path or args.device:
        print("-c and -d belong to -m and have no effect without it", file=sys.stderr)
    try:
        page = serve(Path.cwd(), session, args.listen, args.port, args.share, logins, args.debug)
    except OSError as error:
        raise ConfigError(f"cannot listen on {args.listen}: {error}") from None
    print(f"Glow-SVC: {page.local_url}" + (f" and {page.share_url}" if page.share_url else ""), flush=True)
    others = [] if args.listen in ("127.0.0.1", "localhost", "::1") else ["reaches this machine"]
    others += ["has the public link"] if args.share else []
    if others and not logins:
        who = f"everyone who {' or '.join(others)}"
        print(f"{who} can use the page; --auth NAME:PASSWORD asks for a login", flush=True)
    if args.inbrowser:
        import webbrowser

        webbrowser.open(str(page.local_url))
    try:
        page.block_thread()
    finally:
        session.queue.cancel()
        REPORTS.cancel()
    return 0


if __name__ == "__main__":
    sys.exit(main())
