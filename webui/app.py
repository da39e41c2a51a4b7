"""The whole page: its tabs, style and texts, and the application that answers requests."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
from fastapi import FastAPI
from starlette.middleware import Middleware

from webui.api import build_endpoints, routes
from webui.browser import MODULES, browser_files
from webui.context import SEND_DEBUG, SENT_DEBUG, Context
from webui.convert.tab import build_convert_tab
from webui.cover.tab import CSS as COVER_CSS
from webui.cover.tab import build_cover_tab
from webui.dataset.tab import build_dataset_tab
from webui.editor.panel import CSS as EDITOR_CSS
from webui.editor.routes import editor_routes
from webui.editor.songs import OpenSongs
from webui.lab.tab import build_lab_tab
from webui.language import HEAD
from webui.limits import BodyLimits
from webui.live.conversion import LiveSlot
from webui.live.socket import live_route
from webui.live.tab import CSS as LIVE_CSS
from webui.live.tab import build_live_tab
from webui.logins import KnownAddress, Logins
from webui.origin import OwnOrigin
from webui.session import Session
from webui.texts import TEXTS
from webui.training.tab import build_training_tab
from webui.uploads import LARGEST, uploads_folder

# beside Convert and Live, by the key of the name
TABS = {
    "cover": build_cover_tab,
    "dataset": build_dataset_tab,
    "training": build_training_tab,
    "lab": build_lab_tab,
}
CSS = """
.step { margin-top: .6em } .step p { font-weight: 600; font-size: 1.1em }
.options .form > * { flex: 1 1 220px !important; min-width: min(220px, 100%) !important }
footer .divider { display: none }
.gradio-container { max-width: 1280px !important; min-width: 0 !important; width: 100%; margin: auto }
"""
_FONTS = ("system-ui", "-apple-system", "Segoe UI", "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC")
_MONO = ("ui-monospace", "Consolas", "monospace")
_DAY = 24 * 3600  # s
_LONGEST_QUEUE = 500  # events of all pages that wait for a thread


def build(
    root: Path, session: Session, slot: LiveSlot, songs: OpenSongs, debug: bool = False
) -> tuple[gr.Blocks, gr.I18n]:
    """Build the page, and its texts for the browser; ``root`` and ``debug`` are as in :class:`Context`."""
    english, chinese = ({key: text[i] for key, text in TEXTS.items()} for i in (0, 1))
    words = gr.I18n(en=english, zh=chinese, **{"zh-CN": chinese, "zh-TW": chinese})
    context = Context(root, words, debug)
    with gr.Blocks(title="Glow-SVC", analytics_enabled=False, delete_cache=(3600, _DAY)) as page:
        build_endpoints(context, session)  # before the tabs, whose events would take the names
        with gr.Tabs(overflow_behavior="wrap"):  # a folded tab is easily overlooked
            with gr.Tab(words("tab.convert"), id="convert"):
                build_convert_tab(context, session, songs)
            with gr.Tab(words("tab.live"), id="live"):
                build_live_tab(context, slot)
            for name, build_tab in TABS.items():
                with gr.Tab(words(f"tab.{name}"), id=name):
                    build_tab(context)
        _build_debug(context, page)
    return page, words


def _build_debug(context: Context, page: gr.Blocks) -> None:
    """Debugging, for the toasts of this page alone, below all tabs."""
    text = context.text
    debug = gr.Checkbox(context.debug, label=text("page.debug"), info=text("page.debug.help"))
    debug.input(None, debug, None, js=SEND_DEBUG, api_visibility="private")
    page.load(None, debug, debug, js=SENT_DEBUG, api_visibility="private")


def build_app(
    root: Path, session: Session, logins: Logins, listen: str, names: set[str], debug: bool = False
) -> FastAPI:
    """Application with the page and the published routes, behind all checks of a request.

    ``listen`` and ``names`` are as in :class:`OwnOrigin`, the others as in :func:`build`.
    """
    slot, songs = LiveSlot(session), OpenSongs(session)
    page, words = build(root, session, slot, songs, debug)
    page.queue(default_concurrency_limit=8, max_size=_LONGEST_QUEUE)
    checks = [
        Middleware(OwnOrigin, listen=listen, added=names),
        Middleware(KnownAddress),
        Middleware(BodyLimits, folders=[root, uploads_folder()]),
    ]
    app = FastAPI(
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        routes=[*routes(root, session, logins), live_route(slot), editor_routes(songs), browser_files()],
        middleware=checks,
    )
    return gr.mount_gradio_app(
        app,
        page,
        "/",
        auth=logins.check if logins else None,
        auth_message="<br>".join(TEXTS["page.login"]),  # in both languages: the texts come after the login
        max_file_size=LARGEST,
        show_error=True,
        ssr_mode=False,
        run_history=False,
        theme=gr.themes.Soft(font=_FONTS, font_mono=_MONO),
        css=CSS + LIVE_CSS + COVER_CSS + EDITOR_CSS,
        head=HEAD + MODULES,
        i18n=words,
        footer_links=["api", "settings"],
    )
