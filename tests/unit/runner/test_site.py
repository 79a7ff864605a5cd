"""How a run reaches its venues: keys, places, simulators of its own, and what it says when one is missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from core.chance import Chance
from core.clock import SystemClock
from core.secrets import VAULT, Secret
from execution.caps import Caps
from runner.environment import Environment, WrongInput
from runner.heartbeat import Endpoint, HeartbeatSettings
from runner.plan import Plan
from runner.site import account_name, connector_of, credentials_of, open_site
from tests.e2e.virtual import FIRST, SCENARIOS
from tests.unit.runner.test_plan import plan, scenario
from tests.unit.venues.test_rooms import line_of
from venues import open_room
from venues.errors import LocalRuleError


class Keys:
    def __init__(self, secrets: dict[str, str], missing: tuple[str, ...] = ()) -> None:
        self.secrets = {name: Secret(text) for name, text in secrets.items()}
        self.missing = missing


def environment(on: str = "sim", **settings: Any) -> Environment:
    values: dict[str, Any] = {
        "on": on,
        "seed": None,
        "speed": 1.0,
        "state_dir": Path("state"),
        "runs_dir": Path("runs"),
        "logs_dir": Path("logs"),
        "log_level": "INFO",
        "log_json": False,
        "caps": Caps(),
        "heartbeat": HeartbeatSettings(),
        "keys": lambda venue: Keys({}, tuple(open_room(venue).CREDENTIALS.values())),
    }
    return Environment(**{**values, **settings})


def one_venue(**settings: Any) -> Plan:
    return plan(replace(scenario(SCENARIOS / "e2e_all.yaml"), venues=(FIRST,)), **settings)


def site(made: Plan, own: Environment, **settings: Any) -> Any:
    return open_site(
        made, environment=own, clock=SystemClock(), chance=Chance(1), **{"sims": None, "faults": None, **settings}
    )


def test_an_accounts_name_is_stable_and_gives_no_secret_away():
    """[ours] The venue and a fingerprint: the same for the same keys in any order, another for others."""
    keys = {"api_key": "public", "api_secret": "hidden-secret"}
    name = account_name(FIRST, keys)
    assert name == account_name(FIRST, dict(reversed(keys.items())))
    assert name != account_name(FIRST, {**keys, "api_secret": "other"})
    assert name.startswith(f"{FIRST}:")
    assert "hidden" not in name


def test_missing_keys_are_named_by_their_variables():
    """[client] On live without keys: WrongInput with each variable, and the way back to simulators."""
    with pytest.raises(WrongInput) as told:
        credentials_of(FIRST, environment("live"), None)
    (text,) = told.value.texts
    for variable in open_room(FIRST).CREDENTIALS.values():
        assert variable in text
    assert "simulators" in text


def test_a_simulator_that_is_not_in_the_line_is_named():
    """[client] --sims without this venue says which it has."""
    with pytest.raises(WrongInput) as told:
        credentials_of(FIRST, environment(), {"other": {}})
    assert "other" in told.value.texts[0]


def test_every_secret_is_masked_from_the_moment_it_is_read():
    """[ours] Simulator keys and real keys alike go into the vault; what is public does not."""
    line = line_of(FIRST)
    found = credentials_of(FIRST, environment(), {FIRST: line})
    assert found == {name: str(value) for name, value in line["credentials"].items()}
    secret = next(text for name, text in found.items() if "secret" in name or "private" in name)
    assert secret not in VAULT.mask(f"a text with {secret} in it")
    real = environment("live", keys=lambda venue: Keys({"api_key": "k" * 20, "api_secret": "s3cr3t-" * 5}))
    credentials_of(FIRST, real, None)
    assert "s3cr3t-" * 5 not in VAULT.mask("x " + "s3cr3t-" * 5)


@pytest.mark.parametrize("keys", [{}, {"api_key": "not base64!", "api_secret": "neither"}])
def test_a_key_of_the_wrong_form_is_wrong_input_that_does_not_repeat_it(keys: dict):
    """[ours] The venue is named; the text has nothing of the key."""
    with pytest.raises(WrongInput) as told:
        connector_of(FIRST, "live", keys, None, SystemClock(), Chance(1))
    assert FIRST in told.value.texts[0]
    assert "neither" not in str(told.value)


def test_a_place_that_the_venue_does_not_have_is_wrong_input():
    """[client] sim without a simulator, said in words."""
    keys = {name: str(value) for name, value in line_of(FIRST)["credentials"].items()}
    with pytest.raises(WrongInput):
        connector_of(FIRST, "sim", keys, None, SystemClock(), Chance(1))


def test_all_missing_keys_of_all_venues_are_told_at_once():
    """[client] Two venues without keys: two texts, nothing reached."""
    made = replace(one_venue(on="live"), venues=(FIRST, FIRST))

    async def story() -> None:
        async with site(made, environment("live")):
            raise AssertionError("opened without keys")

    with pytest.raises(WrongInput) as told:
        anyio.run(story)
    assert len(told.value.texts) == 2


@pytest.mark.sockets
def test_a_simulated_run_brings_its_simulators_and_a_heartbeat_receiver_and_takes_them_away():
    """[client] No key, no address needed: connected inside the block, unreachable after it."""

    async def story() -> None:
        with anyio.fail_after(15):
            async with site(one_venue(), environment()) as (reach, heartbeat):
                reached = await reach(FIRST)
                await reached.venue.start()
                assert reached.venue.synced
                assert reached.account.startswith(f"{FIRST}:")
                (endpoint,) = heartbeat.endpoints
                assert endpoint.url.startswith("http://127.0.0.1:")
                await reached.venue.stop()
            again = connector_of(
                FIRST, "sim", keys, {FIRST: {**line, "rest": "http://127.0.0.1:9", "ws": "ws://127.0.0.1:9"}},
                SystemClock(), Chance(1),
            )  # fmt: skip
            again._start_timeout_secs = 1
            with pytest.raises(LocalRuleError) as told:
                await again.start()
            assert told.value.code == "UNREACHABLE"

    line = line_of(FIRST)
    keys = {name: str(value) for name, value in line["credentials"].items()}
    anyio.run(story)


@pytest.mark.sockets
def test_a_configured_heartbeat_is_left_as_it_is():
    """[client] An endpoint from the config is used also on simulators."""
    wanted = HeartbeatSettings(endpoints=(Endpoint(url="http://127.0.0.1:9/mine"),))

    async def story() -> None:
        with anyio.fail_after(15):
            async with site(one_venue(), environment(heartbeat=wanted)) as (_, heartbeat):
                assert heartbeat is wanted

    anyio.run(story)
