"""The connection of a live conversion: a WebSocket with frames of samples, and what they are worth knowing.

The page sends ``{"ticket", "rate"}``, then frames: little-endian 32-bit floats, mono, about
20 ms each. Each is answered by a frame of the same length, several times a second by a
status, and at the end by ``{"error"}`` if something went wrong.
"""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import suppress
from typing import Any

import numpy as np
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from modules.common.errors import ConfigError
from webui.jobs.queue import Cancelled
from webui.live.conversion import LiveConversion, LiveSlot, explain

_SILENT = 10.0  # s without a frame, after which the page is gone
_LONGEST = 0.5  # s of a frame
_EVERY = 0.25  # s between two statuses

logger = logging.getLogger(__name__)


def live_route(slot: LiveSlot) -> WebSocketRoute:
    """Route of the connection, ``/live``."""

    async def serve(socket: WebSocket) -> None:
        await socket.accept()
        with suppress(WebSocketDisconnect, RuntimeError):  # of Starlette: the other side is gone
            try:
                await _converse(socket, slot)
            except (ConfigError, asyncio.TimeoutError, TimeoutError) as error:
                await socket.send_json({"error": str(error) or f"no sound came for {_SILENT:.0f} s"})
            await socket.close()

    return WebSocketRoute("/live", serve)


async def _converse(socket: WebSocket, slot: LiveSlot) -> None:
    hello = await asyncio.wait_for(_receive(socket), _SILENT)
    conversion, rate = _opened(hello, slot)
    longest, seconds, reported = round(_LONGEST * rate), 0.0, 0.0
    try:
        while not conversion.ended:
            message = await asyncio.wait_for(_receive(socket), _SILENT)
            frame = _samples(message, longest)
            await socket.send_bytes(conversion.exchange(frame).astype("<f4").tobytes())
            seconds += len(frame) / rate
            if seconds - reported >= _EVERY:
                reported = seconds
                await socket.send_json(_status(conversion))
    finally:
        conversion.end()
    if conversion.failure and not isinstance(conversion.failure, Cancelled):
        logger.error("live conversion", exc_info=conversion.failure)
        await socket.send_json({"error": explain(conversion.failure)})


async def _receive(socket: WebSocket) -> bytes | str:
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect
    given: bytes | str = message.get("bytes") or message.get("text") or b""
    return given


def _opened(hello: bytes | str, slot: LiveSlot) -> tuple[LiveConversion, float]:
    """The conversion that the first message is for, and its rate."""
    try:
        given: Any = json.loads(hello)
        ticket, rate = given["ticket"], float(given["rate"])
    except (ValueError, KeyError, TypeError):
        raise ConfigError('the first message must be {"ticket": ..., "rate": ...}') from None
    conversion = slot.of_ticket(ticket)
    conversion.connect(rate)
    return conversion, rate


def _samples(message: bytes | str, longest: int) -> np.ndarray:
    if isinstance(message, str) or len(message) % 4 or not 0 < len(message) // 4 <= longest:
        raise ConfigError(f"a frame must be 1 to {longest} samples of 4 bytes")
    return np.frombuffer(message, "<f4").astype(np.float32)


def _status(conversion: LiveConversion) -> dict[str, float]:
    status = conversion.status
    return {
        "lag": conversion.lag,
        "algorithmic": status.algorithmic,
        "load": status.load,
        "suggestion": status.suggestion,
        "input": status.input_level,
        "output": status.output_level,
        "underruns": status.underruns,
        "skipped": status.skipped,
        "seconds": status.seconds,
    }
