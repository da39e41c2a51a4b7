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

from modules.common.errors import GlowSVCError

logger = logging.getLogger(__name__)


@dataclass
class Context:
    """Project and settings of a page."""

    root: Path  # the project folder, which is the current directory
    text: Callable[[str], Any]  # label, info or Markdown by its key in webui/texts, translated in the browser
    debug: bool = False  # toasts of unexpected errors show the traceback; the page can change it

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
            where = f"\n{traceback.format_exc()}" if self.debug else ""
            message = f"unexpected: {error or type(error).__name__}{where}"
        else:
            return
        raise gr.Error(html.escape(message, quote=False), print_exception=False)
