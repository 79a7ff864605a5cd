"""
The event loop of a run: uvloop's where it is installed, Python's own where ``ROUNDTRIP_UVLOOP=0`` asks for it; and a
garbage collector that does not stop it for long.
"""

from __future__ import annotations

import asyncio
import gc
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


_COLLECT_AFTER: Final = (20_000, 20, 50)
"""Objects, then young and middle collections, before the collector looks at what is older (Python: 700, 10, 10)."""


def run(main: Callable[[], Awaitable[T]]) -> T:
    """
    ``anyio.run`` on :func:`new_loop`. What is there already (libraries, plans) is kept from the collector, and it runs
    rarely: with Python's own thresholds its pauses are what delays an interval when many plays run at once.
    """
    usual = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
    try:
        return anyio.run(main, backend_options={"loop_factory": new_loop})
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()
