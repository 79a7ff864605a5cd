"""What a run gets from outside: folders, caps, keys. The front door fills it from config, flags and environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from core.secrets import Secret
    from execution.caps import Caps
    from runner.heartbeat import HeartbeatSettings


class WrongInput(Exception):
    """Config, flags or keys are wrong: nothing was sent, exit code 2. Each text is a whole message."""

    def __init__(self, texts: Sequence[str]) -> None:
        super().__init__(*texts)
        self.texts = tuple(texts)


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
    log_level: str
    log_json: bool
    caps: Caps
    heartbeat: HeartbeatSettings
    keys: Callable[[str], KeysFound]


OpenEnvironment = Callable[[str | None, Mapping[str, Any]], Environment]
"""``(config path, flags by setting name)`` → Environment; raises WrongInput."""
