"""Project and settings that every tab gets, and its event handlers: an error in one is a toast."""

from __future__ import annotations

import html
import inspect
import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.context import LocalContext

from modules.common.errors import GlowSVCError
from modules.common.text import printable

_COOKIE = "glow_svc_debug"  # of a page that shows where unexpected errors arise
# of the page's checkbox: to send it, and to show what was sent before the page was reloaded
SEND_DEBUG = f"on => {{ document.cookie = '{_COOKIE}=' + Number(on) + '; path=/; samesite=lax'; }}"
SENT_DEBUG = f"on => (/{_COOKIE}=([01])/.exec(document.cookie) ?? [0, Number(on)])[1] == 1"

logger = logging.getLogger(__name__)


@dataclass
class Context:
    """Project and settings of a page."""

    root: Path  # the project folder, which is the current directory
    text: Callable[[str], Any]  # label, info or Markdown by its key in webui/texts, translated in the browser
    debug: bool = False  # toasts of unexpected errors show the traceback; a page can ask for it, too

    def on(
        self, trigger: Callable[..., Any], action: Callable[..., Any], *components: Any, **settings: Any
    ) -> Any:
        """Register an event handler that is not an API endpoint.

        ``trigger`` is a method of a component, as ``button.click``, and gets the inputs, outputs
        and settings; its result, for events that follow, is returned. Exceptions of ``action``,
        a function or generator function, become toasts.
        """
        return trigger(self.with_toasts(action), *components, **{"api_visibility": "private", **settings})

    def with_toasts(self, action: Callable[..., Any]) -> Callable[..., Any]:
        """``action`` with toasts for its exceptions: one sentence, and the traceback in the log."""
        if not inspect.isgeneratorfunction(action):
            return self._toasts()(action)

        @wraps(action)
        def generator(*args: Any, **kwargs: Any) -> Iterator[Any]:
            with self._toasts():
                yield from action(*args, **kwargs)

        return generator

    @contextmanager
    def _toasts(self) -> Iterator[None]:
        try:
            yield
        except (gr.Error, GeneratorExit):
            raise
        except GlowSVCError as error:
            message = str(error)
        except Exception as error:
            logger.exception("unexpected")
            request = LocalContext.request.get(None)
            shown = self.debug or request is not None and request.cookies.get(_COOKIE) == "1"
            where = f"\n{traceback.format_exc()}" if shown else ""
            message = f"unexpected: {error or type(error).__name__}{where}"
        else:
            return
        raise gr.Error(html.escape(printable(message, keep="\n"), quote=False), print_exception=False)
