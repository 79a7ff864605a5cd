"""What a run gets from outside: folders, caps, keys. The front door fills it from config, flags and environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from runner.mistakes import WrongInput

if TYPE_CHECKING:
    from core.secrets import Secret
    from execution.caps import Caps
    from runner.heartbeat import HeartbeatSettings

__all__ = ["Environment", "KeysFound", "OpenEnvironment", "WrongInput"]


class KeysFound(Protocol):
    """The keys of one venue; ``missing`` names the environment variables that are not set."""

    @property
    def secrets(self) -> Mapping[str, Secret]: ...
    @property
    def missing(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Settings of a run, checked."""

    on: str
    """``sim``, ``testnet`` or ``live``."""
    seed: int | None
    speed: float
    state_dir: Path
    runs_dir: Path
    logs_dir: Path
    locks_dir: Path
    """Of the locks that keep a second process from an account; the same for every run of this user."""
    log_level: str
    log_json: bool
    control_port: int | None
    """Where a run listens for ``runner halt``: 0 takes a free port, None switches it off."""
    caps: Caps
    heartbeat: HeartbeatSettings
    keys: Callable[[str], KeysFound]


OpenEnvironment = Callable[[str | None, Mapping[str, Any]], Environment]
"""``(config path, flags by setting name)`` → Environment; raises WrongInput."""
