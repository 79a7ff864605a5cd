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
from runner.site import account_lock, account_name, connector_of, credentials_of, locked_accounts, open_site
from tests.e2e.virtual import FIRST, SCENARIOS
from tests.unit.runner.test_plan import plan, scenario
from tests.unit.venues.test_rooms import line_of
from venues import VENUES, open_room
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
        "locks_dir": Path("locks"),
        "log_level": "INFO",
        "log_json": False,
        "control_port": None,
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


def line_at(port: int, venue: str = FIRST) -> dict[str, Any]:
    return {**line_of(venue), "rest": f"http://127.0.0.1:{port}"}


def test_a_run_holds_all_its_accounts_or_none(tmp_path: Path):
    """[client] Two exchanges, one of them in use: refused with the owner's name, and the other one is free again."""
    first, second, *_ = VENUES
    own, sims = environment(locks_dir=tmp_path), {venue: line_at(1, venue) for venue in (first, second)}
    clock = SystemClock()
    with locked_accounts([second], own, sims, ("play", "one.yaml"), clock) as name_run:
        name_run("the-first-run")
        for venues in ([first, second], [second, first]):
            with pytest.raises(LocalRuleError) as refused, locked_accounts(venues, own, sims, (), clock):
                raise AssertionError("both hold it")
            assert refused.value.code == "ACCOUNT_LOCKED"
            for words in (second, "run the-first-run", "runner play one.yaml"):
                assert words in refused.value.hint
        assert len(list(tmp_path.iterdir())) == 1
    with locked_accounts([first, second], own, sims, (), clock):
        assert len(list(tmp_path.iterdir())) == 2
    assert list(tmp_path.iterdir()) == []


def test_simulators_of_the_runs_own_need_no_lock_and_others_are_told_apart_by_their_address(tmp_path: Path):
    """[client] The same seed gives the same keys; only the same server is the same account."""
    own, clock = environment(locks_dir=tmp_path), SystemClock()
    with locked_accounts([FIRST], own, None, (), clock), locked_accounts([FIRST], own, None, (), clock):
        assert list(tmp_path.iterdir()) == []
    with (
        locked_accounts([FIRST], own, {FIRST: line_at(1)}, (), clock),
        locked_accounts([FIRST], own, {FIRST: line_at(2)}, (), clock),
    ):
        assert len(list(tmp_path.iterdir())) == 2


def test_two_keys_of_one_account_share_its_lock_where_a_key_names_the_account(tmp_path: Path):
    """[ours] An agent's key with the account's address, another API key of the same account number."""
    own = environment("live", locks_dir=tmp_path)

    def path(venue: str, **keys: str) -> Path:
        return account_lock(venue, own, keys, None).path

    assert path("hyperliquid", private_key="a", address="0x1") == path("hyperliquid", private_key="b", address="0x1")
    assert path("lighter", account_index="7", api_key_index="1") == path(
        "lighter", account_index="7", api_key_index="2"
    )
    assert path("okx", api_key="a", api_secret="s") == path("okx", api_key="a", api_secret="rotated")
    assert path("okx", api_key="a") != path("okx", api_key="b")
    assert (
        path("okx", api_key="a")
        != account_lock("okx", environment("testnet", locks_dir=tmp_path), {"api_key": "a"}, None).path
    )


def test_a_lock_holds_no_secret_of_the_command_line(tmp_path: Path):
    """[ours] Somebody types a key as an input: dots in the lock file."""
    own, sims = environment(locks_dir=tmp_path), {FIRST: line_at(1)}
    secret = VAULT.remember("canary-lock-5d21").reveal()
    with locked_accounts([FIRST], own, sims, ("play", "--set", f"k={secret}"), SystemClock()):
        (file,) = tmp_path.iterdir()
        assert "k=•••" in file.read_text()
        assert "canary" not in file.read_text()


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
