"""
The heartbeat: every few seconds one POST per venue says that we are alive and what we hold.

It runs beside the trading and never disturbs it: nothing here raises into the caller, a beat is given up before the
next one is due, and a beat that no endpoint takes goes to a local file. docs/HEARTBEAT.md tells receivers the rest.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import SplitResult, urlsplit

import anyio
import msgspec

from core.chance import Chance
from core.clock import Clock
from core.log import get
from core.precision import plain
from core.retry import backoff
from core.secrets import Secret

if TYPE_CHECKING:
    import httpx

log = get(__name__)

# A beat is given up after this share of the interval, so that it is over when the next one is due.
BUDGET_SHARE: Final = 0.9
# Two deliveries further apart than this many intervals are listed as a gap.
GAP_INTERVALS: Final = 1.5
MAX_GAPS: Final = 1000
# An endpoint that says it is busy is asked again; any other "no" will be the same in a second.
TRY_AGAIN: Final = frozenset({408, 425, 429})
MAX_ANSWER_BYTES: Final = 65_536


class Auth(StrEnum):
    """How an endpoint knows us."""

    NONE = "none"
    BEARER = "bearer"
    HMAC = "hmac"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One receiver. ``key`` is the token or the signing secret; it shows itself in no text."""

    url: str
    auth: Auth = Auth.NONE
    token_env: str | None = None
    """Name of the environment variable with the Bearer token."""
    secret_env: str | None = None
    """Name of the environment variable with the signing secret."""
    key: Secret | None = None

    @property
    def host(self) -> str:
        """Host and port: all of the address that may be printed. The rest may hold a token."""
        parts = urlsplit(self.url)
        return (parts.hostname or "") + (f":{parts.port}" if parts.port else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatSettings:
    """The ``heartbeat`` section of the config; without endpoints there is no heartbeat."""

    interval_secs: float = 10.0
    endpoints: tuple[Endpoint, ...] = ()
    """In order of preference: the next one is asked when the one before does not take the beat."""
    timeout_secs: float = 3.0
    """For one try at one endpoint."""
    retries: int = 2
    """Rounds over all endpoints after the first round."""
    fallback_file: Path = Path("logs/heartbeat.jsonl")
    strategy: str = "roundtrip"


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """A position as the heartbeat tells it."""

    symbol: str
    qty: Decimal
    """Base units, negative when short."""
    notional: Decimal | None
    """USD at the mark price, with the sign of ``qty``; None while no mark price is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueState:
    """What one beat says about one venue."""

    venue: str
    positions: Sequence[Holding] = ()
    balance: Decimal | None = None
    """Equity in USD; None before the first reading."""
    available: Decimal | None = None
    """Free margin in USD; None before the first reading."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A time without a delivered beat, longer than 1.5 intervals."""

    venue: str
    from_ms: int
    """Unix milliseconds of the delivery before it (of the start, when there was none)."""
    to_ms: int
    """Unix milliseconds of the delivery after it (of the reading, when there was none yet)."""
    secs: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatRecord:
    """What the acceptance line is judged by. One beat is one body for one venue."""

    configured: bool
    interval_secs: float
    beats: int
    """Bodies that were due; those still under way are in neither ``sent`` nor ``failed``."""
    sent: int
    """Taken by an endpoint."""
    failed: int
    """Taken by none, written to the file or not."""
    filed: int
    """Of the failed ones: written to the file."""
    max_gap_secs: float | None
    """Longest time without a delivery at any venue, from its first due beat to now; None before the first."""
    gaps: tuple[Gap, ...]
    endpoints: tuple[str, ...]
    """Hosts only."""
    fallback_file: str


class Post(Protocol):
    """Sends one body; gives the HTTP status, raises anything when there is none."""

    def __call__(self, url: str, body: bytes, headers: Mapping[str, str]) -> Awaitable[int]: ...


def checked_url(url: str) -> str:
    """
    ``url`` if a heartbeat may go there.

    Raises:
        ValueError: says why not, without repeating the address.
    """
    try:
        parts = urlsplit(url)
        port_fits = parts.port != 0
    except ValueError:
        raise ValueError("this is no web address") from None
    if not url.isascii() or not url.isprintable() or " " in url or not parts.hostname or not port_fits:
        raise ValueError("this is no web address")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a name or password does not belong in the address; use auth: bearer or auth: hmac")
    if parts.scheme not in ("http", "https"):
        raise ValueError("the address must start with https://")
    if parts.scheme == "http" and not _is_loopback(parts):
        raise ValueError("http:// is for this computer only (127.0.0.1, localhost); use https://")
    return url


def _is_loopback(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def body_of(state: VenueState, *, ts_ms: int, strategy: str) -> bytes:
    """
    The JSON of one beat. Numbers are JSON numbers, written digit by digit from decimals; an unknown one is null.

    Raises:
        ValueError: a number is not finite.
    """
    return msgspec.json.encode(
        {
            "ts": ts_ms,
            "strategy": strategy,
            "venue": state.venue,
            "positions": [
                {"symbol": held.symbol, "qty": _number(held.qty), "notional": _number(held.notional)}
                for held in state.positions
            ],
            "margin": {"balance": _number(state.balance), "available": _number(state.available)},
        }
    )


def _number(value: Decimal | None) -> msgspec.Raw:
    if value is None:
        return msgspec.Raw(b"null")
    if not value.is_finite():
        raise ValueError("a heartbeat number is not finite")
    return msgspec.Raw(plain(value).encode("ascii"))


def signature(secret: Secret, ts_ms: int, body: bytes) -> str:
    """HMAC-SHA256 over ``<ts>.<body>``, lower-case hex."""
    return hmac.new(secret.reveal().encode(), f"{ts_ms}.".encode() + body, hashlib.sha256).hexdigest()


def headers_of(endpoint: Endpoint, ts_ms: int, body: bytes) -> dict[str, str]:
    """The headers of one POST, authentication included."""
    headers = {"Content-Type": "application/json"}
    if endpoint.auth is Auth.BEARER and endpoint.key:
        headers["Authorization"] = f"Bearer {endpoint.key.reveal()}"
    elif endpoint.auth is Auth.HMAC and endpoint.key:
        headers["X-Timestamp"] = str(ts_ms)
        headers["X-Signature"] = signature(endpoint.key, ts_ms, body)
    return headers


class HttpPost:
    """The real way out: one httpx client, no redirects, no proxies from the environment."""

    def __init__(self) -> None:
        self._client: httpx.AsyncClient | None = None

    async def __call__(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        if self._client is None:
            import httpx

            # The heartbeat sets one limit around the whole try; httpx would count each phase afresh.
            self._client = httpx.AsyncClient(timeout=None, trust_env=False, follow_redirects=False)  # noqa: S113
        async with self._client.stream("POST", url, content=body, headers=dict(headers)) as answer:
            # Read to the end, so that the connection can serve the next beat; a flood is cut off instead.
            seen = 0
            async for chunk in answer.aiter_raw():
                seen += len(chunk)
                if seen > MAX_ANSWER_BYTES:
                    break
            return answer.status_code

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None


@dataclass(slots=True)
class _Since:
    """The last delivery at one venue, or its first due beat while there was none."""

    mono: float
    ms: int


@dataclass(slots=True)
class _Tally:
    beats: int = 0
    sent: int = 0
    failed: int = 0
    filed: int = 0
    max_gap_secs: float | None = None
    gaps: list[Gap] = field(default_factory=list)


class Heartbeat:
    """
    Beats from :meth:`run` until it is cancelled; :meth:`record` may be read at any time, also afterwards.

    Args:
        clock: The machine's, not a paced one: whoever receives the beats lives in real time.
        snapshot: The state of every running venue, now. It must not block.
        post: How a body leaves; httpx when left out.
    """

    def __init__(
        self,
        settings: HeartbeatSettings,
        *,
        clock: Clock,
        chance: Chance,
        snapshot: Callable[[], Sequence[VenueState]],
        post: Post | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._chance = chance
        self._snapshot = snapshot
        self._post = post
        self._tally = _Tally()
        self._since: dict[str, _Since] = {}
        self._under_way: set[str] = set()
        self._failing: set[str] = set()

    async def run(self) -> None:
        """Beat on a fixed schedule, the first at once. Returns only when no endpoint is configured."""
        if not self._settings.endpoints:
            return
        post = self._post or HttpPost()
        interval = self._settings.interval_secs
        try:
            async with anyio.create_task_group() as beats:
                start, slot = self._clock.monotonic(), 0
                while True:
                    for state in self._states():
                        # Only a post that refuses to be cancelled can still be under way here.
                        if state.venue not in self._under_way:
                            self._under_way.add(state.venue)
                            beats.start_soon(self._beat, post, state)
                    # Slots missed while the machine slept are left out, never made up for in a burst.
                    slot = max(slot, int((self._clock.monotonic() - start) / interval)) + 1
                    await self._clock.sleep(start + slot * interval - self._clock.monotonic())
        finally:
            self._close_gaps(keep=())
            if isinstance(post, HttpPost):
                with anyio.CancelScope(shield=True), anyio.move_on_after(1):
                    await post.aclose()

    def record(self) -> HeartbeatRecord:
        """The count so far, with the time since the last delivery as a gap of its own while running."""
        tally, settings = self._tally, self._settings
        now, now_ms = self._clock.monotonic(), self._clock.now_ms()
        open_gaps = [self._gap(venue, since, now, now_ms) for venue, since in self._since.items()]
        longest = [gap.secs for gap in open_gaps]
        if tally.max_gap_secs is not None:
            longest.append(tally.max_gap_secs)
        return HeartbeatRecord(
            configured=bool(settings.endpoints),
            interval_secs=settings.interval_secs,
            beats=tally.beats,
            sent=tally.sent,
            failed=tally.failed,
            filed=tally.filed,
            max_gap_secs=max(longest, default=None),
            gaps=(*tally.gaps, *(gap for gap in open_gaps if self._is_long(gap))),
            endpoints=tuple(endpoint.host for endpoint in settings.endpoints),
            fallback_file=str(settings.fallback_file),
        )

    def _states(self) -> list[VenueState]:
        try:
            states = list({state.venue: state for state in self._snapshot()}.values())
        except Exception as error:
            # The gap keeps growing: a heart that cannot be read does not beat.
            log.warning("heartbeat has no state to send", error=type(error).__name__)
            return []
        now = _Since(self._clock.monotonic(), self._clock.now_ms())
        for state in states:
            self._since.setdefault(state.venue, now)
        self._close_gaps(keep=[state.venue for state in states])
        return states

    async def _beat(self, post: Post, state: VenueState) -> None:
        """One body to the first endpoint that takes it; never raises, never lasts beyond its slot."""
        self._tally.beats += 1
        venue, ts_ms = state.venue, self._clock.now_ms()
        body, delivered = b"", False
        tried: list[str] = []
        try:
            body = body_of(state, ts_ms=ts_ms, strategy=self._settings.strategy)
            with anyio.move_on_after(self._settings.interval_secs * BUDGET_SHARE):
                delivered = await self._deliver(post, venue, ts_ms, body, tried)
        except Exception as error:
            tried.append(f"{type(error).__name__} before sending")
        finally:
            self._under_way.discard(venue)
        if delivered:
            self._tally.sent += 1
            self._delivered(venue)
        else:
            self._tally.failed += 1
            self._file(venue, body, tried)

    async def _deliver(self, post: Post, venue: str, ts_ms: int, body: bytes, tried: list[str]) -> bool:
        """Rounds over the endpoints that may still say yes, with a jittered wait between rounds."""
        waits = backoff(self._chance.fork(f"{venue}/{ts_ms}"), first_secs=0.25, ceiling_secs=2.0)
        asked = list(self._settings.endpoints)
        for retry in range(self._settings.retries + 1):
            if retry:
                await self._clock.sleep(next(waits))
            again = []
            for endpoint in asked:
                outcome, worth_another = await self._try(post, endpoint, ts_ms, body)
                if outcome is None:
                    return True
                tried.append(f"{endpoint.host}: {outcome}")
                if worth_another:
                    again.append(endpoint)
            asked = again
            if not asked:
                break
        return False

    async def _try(self, post: Post, endpoint: Endpoint, ts_ms: int, body: bytes) -> tuple[str | None, bool]:
        """``(None, _)`` when taken, else the reason and whether another try may help."""
        status = 0
        try:
            with anyio.move_on_after(self._settings.timeout_secs) as limit:
                status = await post(endpoint.url, body, headers_of(endpoint, ts_ms, body))
            if limit.cancelled_caught:
                return "no answer in time", True
        except Exception as error:
            # Only the kind: the text of an HTTP error repeats the address, and the address may hold a token.
            return type(error).__name__, True
        if 200 <= status < 300:
            return None, False
        return f"HTTP {status}", status >= 500 or status in TRY_AGAIN

    def _delivered(self, venue: str) -> None:
        now, now_ms = self._clock.monotonic(), self._clock.now_ms()
        since = self._since.get(venue)
        if since is not None:
            self._count(self._gap(venue, since, now, now_ms))
            self._since[venue] = _Since(now, now_ms)
        if venue in self._failing:
            self._failing.discard(venue)
            log.info("heartbeat is back", venue=venue)

    def _file(self, venue: str, body: bytes, tried: list[str]) -> None:
        if venue not in self._failing:
            # Once per series: a receiver that is down all night must not fill the log.
            self._failing.add(venue)
            log.warning("heartbeat not delivered", venue=venue, tried=tried)
        try:
            beat = msgspec.Raw(body or b"null")
            line = msgspec.json.encode({"beat": beat, "tried": tried}) + b"\n"
            path = self._settings.fallback_file
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                file.write(line)
            self._tally.filed += 1
        except Exception as error:
            log.warning("heartbeat not filed either", venue=venue, error=type(error).__name__)

    def _close_gaps(self, *, keep: Sequence[str]) -> None:
        """Count the last stretch of venues that stopped; what happens after that is no gap."""
        now, now_ms = self._clock.monotonic(), self._clock.now_ms()
        for venue in [venue for venue in self._since if venue not in keep]:
            self._count(self._gap(venue, self._since.pop(venue), now, now_ms))

    def _gap(self, venue: str, since: _Since, now: float, now_ms: int) -> Gap:
        return Gap(venue=venue, from_ms=since.ms, to_ms=now_ms, secs=round(now - since.mono, 3))

    def _is_long(self, gap: Gap) -> bool:
        return gap.secs > self._settings.interval_secs * GAP_INTERVALS

    def _count(self, gap: Gap) -> None:
        tally = self._tally
        tally.max_gap_secs = gap.secs if tally.max_gap_secs is None else max(tally.max_gap_secs, gap.secs)
        if self._is_long(gap) and len(tally.gaps) < MAX_GAPS:
            tally.gaps.append(gap)
