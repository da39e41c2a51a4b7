"""The page in the browser: from a folder of recordings to a finished song, without typing commands.

It opens at http://127.0.0.1:7860, for this machine alone unless --listen or --share
is given, which ask for a password. Trainings that it starts continue when it is closed.
"""

from __future__ import annotations

import argparse
import ipaddress
import logging
import os
import secrets
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from modules.common.cli import entry_point, make_parser
from modules.common.errors import ConfigError

EPILOG = """\
examples:
  python webUI.py
  python webUI.py -m logs/44k/G_20000.pth          with a model loaded, for programs that use the HTTP API
  python webUI.py --listen                         for other machines in the network; prints a login
  GLOW_SVC_AUTH=anna:secret python webUI.py --listen   with this one, which other users cannot see
  python webUI.py --port 8000 --debug

With --listen or --share, and without --auth, a login is made and printed. The variable
GLOW_SVC_AUTH holds logins as --auth does, one a line; unlike it, ps does not show them.
The HTTP API is described in docs/webui.md. Chinese or English follows the browser, or is
chosen in Settings at the page's lower end.
"""
POWERS = "read and replace models and songs of this project, start and stop trainings, fill the disk"
ADVICE = "without --no_auth, a password is asked for"


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
        help="login of a user; repeat it for several. ps shows it, unlike the variable GLOW_SVC_AUTH",
    )
    add("--no_auth", action="store_true", help="ask for no login, even with --listen or --share")
    add(
        "--allow_host",
        action="append",
        default=[],
        metavar="NAME",
        help="a further host name of this server, as of a proxy before it; repeat it for several",
    )
    add("-d", "--device", help="device for the model of -m (detected automatically)")
    add("--inbrowser", action="store_true", help="open the page in a browser")
    add("--debug", action="store_true", help="show tracebacks of unexpected errors")
    return parser


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Serve the page until Ctrl-C."""
    args = get_parser().parse_args(argv)
    from webui.logins import parse_logins
    from webui.uploads import make_uploads_private

    given, others = _given_logins(args), _others(args)
    made = f"glow:{secrets.token_urlsafe(12)}" if others and not given and not args.no_auth else ""
    logins = parse_logins([made] if made else given)
    if not 0 <= args.port <= 65535:
        raise ConfigError(f"--port must be between 1 and 65535, not {args.port}")
    make_uploads_private()

    logging.root.setLevel(logging.INFO if args.debug else logging.WARNING)
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # nothing is sent anywhere

    from webui.logins import Logins
    from webui.server import PageServer, without_proxies

    with without_proxies():
        from webui.app import build_app
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
    names = {name.lower() for name in args.allow_host}
    app = build_app(Path.cwd(), session, Logins(logins), args.listen, names, args.debug)
    try:
        server = PageServer(app, args.listen, args.port)
    except OSError as error:
        raise ConfigError(f"cannot listen on {args.listen}: {error}") from None
    try:
        if args.share:
            names.add(server.share())
        print(
            f"Glow-SVC: {server.local_url}" + (f" and {server.share_url}" if args.share else ""), flush=True
        )
        if made:
            print(f"log in as {made.replace(':', ' with the password ')}, made for this start", flush=True)
        elif others and not logins:
            print(f"everyone who {others} can use the page: {POWERS}; {ADVICE}", flush=True)
        if args.inbrowser:
            import webbrowser

            webbrowser.open(server.local_url)
        with suppress(KeyboardInterrupt):
            server.wait()
    finally:
        session.queue.cancel()
        REPORTS.cancel()
        server.close()
    return 0


def _given_logins(args: argparse.Namespace) -> list[str]:
    """Logins of the flag and of the variable, as NAME:PASSWORD."""
    # taken out of the environment: the scripts that the page starts need none
    given = [*args.auth, *os.environ.pop("GLOW_SVC_AUTH", "").splitlines()]
    if args.no_auth and given:
        raise ConfigError("--no_auth contradicts --auth and the variable GLOW_SVC_AUTH; choose one")
    return given


def _others(args: argparse.Namespace) -> str:
    """Who reaches the page beside this machine; empty if nobody does."""
    local = args.listen == "localhost"
    with suppress(ValueError):  # a name
        local = ipaddress.ip_address(args.listen.strip("[]")).is_loopback
    found = [] if local else ["reaches this machine"]
    return " or ".join([*found, *(["has the public link"] if args.share else [])])


if __name__ == "__main__":
    sys.exit(main())
