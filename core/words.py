"""Sentences for people."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """``counted(1, "order") == "1 order"``, ``counted(2, "order") == "2 orders"``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
