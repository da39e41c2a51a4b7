"""Errors as Gradio's toasts: one sentence, with the traceback of unexpected ones in the log."""

from __future__ import annotations

import html
import inspect
import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import gradio as gr

from modules.common.errors import GlowSVCError
from webui.context import Switch

logger = logging.getLogger(__name__)


def toasts(action: Callable[..., Any], debug: Switch | bool = False) -> Callable[..., Any]:
    """Wrap an event handler so that its exceptions become toasts.

    Args:
        action: A function or generator function.
        debug: Whether toasts of unexpected errors include the traceback.
    """
    if inspect.isgeneratorfunction(action):

        @wraps(action)
        def generator(*args: Any, **kwargs: Any) -> Iterator[Any]:
            with _as_toast(debug):
                yield from action(*args, **kwargs)

        return generator

    @wraps(action)
    def function(*args: Any, **kwargs: Any) -> Any:
        with _as_toast(debug):
            return action(*args, **kwargs)

    return function


@contextmanager
def _as_toast(debug: Switch | bool) -> Iterator[None]:
    try:
        yield
    except (gr.Error, GeneratorExit):
        raise
    except GlowSVCError as error:
        raise _toast(str(error)) from None
    except Exception as error:
        logger.exception("unexpected")
        where = f"\n{traceback.format_exc()}" if debug else ""
        raise _toast(f"unexpected: {error or type(error).__name__}{where}") from None


def _toast(message: str) -> gr.Error:
    return gr.Error(html.escape(message, quote=False), print_exception=False)
