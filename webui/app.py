"""The whole page: its tabs, style and texts, and the server behind it."""

from __future__ import annotations

import logging
from pathlib import Path

import gradio as gr

from webui.api import Logins, build_endpoints, routes
from webui.context import Context
from webui.convert.tab import build_convert_tab
from webui.dataset.tab import build_dataset_tab
from webui.lab.tab import build_lab_tab
from webui.language import HEAD
from webui.session import Session
from webui.texts import TEXTS
from webui.training.tab import build_training_tab
from webui.uploads import LARGEST

# beside Convert, by the key of the name
TABS = {"dataset": build_dataset_tab, "training": build_training_tab, "lab": build_lab_tab}
CSS = """
.step { margin-top: .6em } .step p { font-weight: 600; font-size: 1.1em }
.options .form > * { flex: 1 1 220px !important; min-width: min(220px, 100%) !important }
footer .divider { display: none }
.gradio-container { max-width: 1280px !important; min-width: 0 !important; width: 100%; margin: auto }
"""
_FONTS = ("system-ui", "-apple-system", "Segoe UI", "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC")
_MONO = ("ui-monospace", "Consolas", "monospace")
_DAY = 24 * 3600  # s


def build(root: Path, session: Session, debug: bool = False) -> tuple[gr.Blocks, gr.I18n]:
    """Build the page, and its texts for the browser; the arguments are as in :class:`Context`."""
    english, chinese = ({key: text[i] for key, text in TEXTS.items()} for i in (0, 1))
    words = gr.I18n(en=english, zh=chinese, **{"zh-CN": chinese, "zh-TW": chinese})
    context = Context(root, words, debug)
    with gr.Blocks(title="Glow-SVC", analytics_enabled=False, delete_cache=(3600, _DAY)) as page:
        build_endpoints(context, session)  # before the tabs, whose events would take the names
        with gr.Tabs(overflow_behavior="wrap"):  # a folded tab is easily overlooked
            with gr.Tab(words("tab.convert"), id="convert"):
                build_convert_tab(context, session)
            for name, build_tab in TABS.items():
                with gr.Tab(words(f"tab.{name}"), id=name):
                    build_tab(context)
        _build_debug(context, page)
    return page, words


def _build_debug(context: Context, page: gr.Blocks) -> None:
    """Debugging, for the whole server, below all tabs."""
    text = context.text
    debug = gr.Checkbox(context.debug, label=text("page.debug"), info=text("page.debug.help"))

    def turn(on: bool) -> None:
        context.debug = on
        logging.root.setLevel(logging.INFO if on else logging.WARNING)

    context.on(debug.input, turn, debug, None, show_progress="hidden")
    context.on(page.load, lambda: context.debug, None, debug, show_progress="hidden")


def serve(
    root: Path, session: Session, listen: str, port: int, share: bool, logins: Logins, debug: bool
) -> gr.Blocks:
    """Start the server in the background; the returned page's ``close`` ends it.

    The arguments are those of :func:`build` and flags of webUI.py; port 0 takes the first free one from 7860.

    Raises:
        OSError: The port is taken.
    """
    page, words = build(root, session, debug)
    page.queue(default_concurrency_limit=8)
    page.launch(
        server_name=listen,
        server_port=port or None,
        share=share,
        auth=list(logins) or None,
        max_file_size=LARGEST,
        app_kwargs={"routes": routes(root, session, logins)},
        prevent_thread_lock=True,
        show_error=True,
        ssr_mode=False,
        quiet=True,
        theme=gr.themes.Soft(font=_FONTS, font_mono=_MONO),
        css=CSS,
        head=HEAD,
        i18n=words,
        footer_links=["api", "settings"],
    )
    return page
