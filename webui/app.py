"""The page as a whole: its tabs, its looks, its two languages, and the server behind it."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr

from webui import texts
from webui.api import build_endpoints, routes
from webui.context import Context, Switch
from webui.convert import tab as convert
from webui.footer import build_footer
from webui.language import HEAD
from webui.session import Session
from webui.uploads import LARGEST

TABS = ("dataset", "training", "lab")  # modules of this folder, beside the tab Convert
CSS = """
.step { margin-top: .6em } .step p { font-weight: 600; font-size: 1.1em }
.options .form > * { flex: 1 1 220px !important; min-width: min(220px, 100%) !important }
footer .divider { display: none }
.gradio-container { max-width: 1280px !important; min-width: 0 !important; width: 100%; margin: auto }
"""
_FONTS = ("system-ui", "-apple-system", "Segoe UI", "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC")
_MONO = ("ui-monospace", "Consolas", "monospace")
_DAY = 24 * 3600  # s


@dataclass(frozen=True)
class Server:
    """Where a page is to be found.

    Attributes:
        listen: Host to listen on; by default this machine only.
        port: 0 takes the first free one from 7860.
        share: Also make a public link through Gradio's servers.
        logins: Who may enter: names and passwords; empty lets everybody.
    """

    listen: str = "127.0.0.1"
    port: int = 0
    share: bool = False
    logins: Sequence[tuple[str, str]] = field(default=())


def translations() -> gr.I18n:
    """Return all texts of webui/texts, in English and Chinese."""
    english: dict[str, str] = {}
    chinese: dict[str, str] = {}
    for module in pkgutil.iter_modules(texts.__path__):
        for key, (en, zh) in importlib.import_module(f"{texts.__name__}.{module.name}").TEXTS.items():
            if key in english:
                raise ValueError(f"two texts are called {key}")
            english[key], chinese[key] = en, zh
    return gr.I18n(en=english, zh=chinese, **{"zh-CN": chinese, "zh-TW": chinese})


def build(root: Path, session: Session, debug: bool = False) -> tuple[gr.Blocks, gr.I18n]:
    """Return the page and its texts.

    Args:
        root: The project folder, which is the current one.
        session: Holds the voice.
        debug: Show where unexpected errors arose; the page can change it.
    """
    words = translations()
    context = Context(root=root, text=words, debug=Switch(debug))
    with gr.Blocks(title="Glow-SVC", analytics_enabled=False, delete_cache=(3600, _DAY)) as page:
        build_endpoints(context, session)  # first: they choose their names before the tabs
        with gr.Tabs(overflow_behavior="wrap"):  # folded tabs are not found
            with gr.Tab(words("tab.convert"), id="convert"):
                convert.build(context, session)
            for name in TABS:
                with gr.Tab(words(f"tab.{name}"), id=name):
                    importlib.import_module(f"webui.{name}.tab").build(context)
        build_footer(context, page)
    return page, words


def serve(root: Path, session: Session, server: Server | None = None, debug: bool = False) -> gr.Blocks:
    """Start the server in the background and return the page; its ``close`` ends it.

    Raises:
        OSError: The port is taken.
    """
    server = server or Server()
    page, words = build(root, session, debug)
    looks: dict[str, Any] = {
        "theme": gr.themes.Soft(font=_FONTS, font_mono=_MONO),
        "css": CSS,
        "i18n": words,
        "head": HEAD,
        "footer_links": ["api", "settings"],
    }
    page.queue(default_concurrency_limit=8)
    page.launch(
        server_name=server.listen,
        server_port=server.port or None,
        share=server.share,
        auth=list(server.logins) or None,
        max_file_size=LARGEST,
        app_kwargs={"routes": routes(root, session, server.logins)},
        prevent_thread_lock=True,
        show_error=True,
        ssr_mode=False,
        quiet=True,
        **looks,
    )
    return page
