"""The event loop of a run: uvloop's where it is installed, Python's own where ``ROUNDTRIP_UVLOOP=0`` asks for it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import anyio

T = TypeVar("T")

SWITCH: Final = "ROUNDTRIP_UVLOOP"


def new_loop() -> asyncio.AbstractEventLoop:
    """A fresh event loop."""
    if os.environ.get(SWITCH) != "0":
        try:
            import uvloop
        except ImportError:
            # It is not made for every platform.
            pass
        else:
            return uvloop.new_event_loop()
    return asyncio.new_event_loop()


def run(main: Callable[[], Awaitable[T]]) -> T:
    """``anyio.run`` on :func:`new_loop`."""
    return anyio.run(main, backend_options={"loop_factory": new_loop})
