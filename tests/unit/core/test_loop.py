"""Which event loop a run gets."""

from __future__ import annotations

import asyncio
import gc
import sys

import pytest

from core import loop
from core.loop import new_loop


async def running() -> str:
    return type(asyncio.get_running_loop()).__module__


def test_a_run_gets_uvloop_unless_it_is_switched_off(monkeypatch):
    """[client] On by default where it is installed; one variable of the environment brings Python's own loop back."""
    pytest.importorskip("uvloop")
    monkeypatch.delenv(loop.SWITCH, raising=False)
    assert loop.run(running).startswith("uvloop")
    monkeypatch.setenv(loop.SWITCH, "0")
    assert loop.run(running).startswith("asyncio")


def test_where_uvloop_is_missing_a_run_gets_pythons_own_loop(monkeypatch):
    """[ours] It is not made for every platform; nothing but speed is lost without it."""
    monkeypatch.delenv(loop.SWITCH, raising=False)
    monkeypatch.setitem(sys.modules, "uvloop", None)
    made = new_loop()
    made.close()
    assert type(made).__module__.startswith("asyncio")


def test_the_collector_is_out_of_the_way_during_a_run_only():
    """[ours] Rare while plays run, and as it was before when they have ended, also after a failure."""
    usual = gc.get_threshold()

    async def look() -> tuple[int, bool]:
        return gc.get_threshold()[0], gc.get_freeze_count() > 0

    assert loop.run(look) == (20_000, True)
    assert (gc.get_threshold(), gc.get_freeze_count()) == (usual, 0)

    async def fail() -> None:
        raise KeyError("planted")

    with pytest.raises(KeyError):
        loop.run(fail)
    assert (gc.get_threshold(), gc.get_freeze_count()) == (usual, 0)
