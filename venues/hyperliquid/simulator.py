"""
Hyperliquid, simulated: ``/info``, ``/exchange`` and the stream as the sheet and the recorded payloads show them, on the
shared matching engine. Written from those alone; it shares no code with the dialect that talks to it.

What no recording shows is a switch in :class:`Choices`. Left out: trigger orders, vaults and sub-accounts, funding,
liquidation, builder fees, other dexes, candles, and every rate limit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec
from coincurve import PrivateKey

from core.chance import Chance
from core.clock import Clock
from core.precision import OffGrid, plain, scaled
from venues.simulation.accounts import Account
from venues.simulation.app import Peer, Reply, Request
from venues.simulation.desk import Agenda
from venues.simulation.engine import MatchingEngine
from venues.simulation.faults import Faults
from venues.simulation.forms import json_reply, text_reply
from venues.simulation.front import Front, quoted
from venues.simulation.hyperliquid_rows import (
    ANCHORS,
    ASSETS,
    CASH,
    META,
    MIN_VALUE,
    SIGNIFICANT_FIGURES,
    SPOT_CASH,
    SPOT_META,
    HyperliquidRows,
    listings,
    money,
)
from venues.simulation.hyperliquid_signers import (
    USER_SIGNED,
    Malformed,
    Signers,
    address_bytes,
    address_text,
    digests,
    keccak,
    recover,
)
from venues.simulation.hyperliquid_streams import HyperliquidStreams, message_kind, read_object, request_kind
from venues.simulation.market import Street
from venues.simulation.records import Listing, Order, Reason, Ticket, TimeInForce

START_BALANCES: Final = {CASH: Decimal(10_000), SPOT_CASH: Decimal(10_000), "SOL": Decimal(10)}
PAGE: Final = 2000
"""Rows of one history answer at most."""
LONGEST_BAND: Final = Decimal("0.95")
SWITCH_AHEAD_MS: Final = 5_000
SWITCH_VOLUME: Final = 1_000_000
UNREADABLE: Final = "Failed to deserialize the JSON body into the target type"

REFUSALS: Final[Mapping[str, str]] = {
    "INSUFFICIENT_MARGIN": "Insufficient margin to place order.",
    "INSUFFICIENT_BALANCE": "Insufficient spot balance",
    "PRECISION": "Price must be divisible by tick size.",
    "SIZE": "Order has invalid size.",
    "MIN_NOTIONAL": "Order must have minimum value of $10.",
    "MIN_NOTIONAL_SPOT": "Order must have minimum value of 10 USDC.",
    "REDUCE_ONLY": "Reduce only order would increase position.",
    "UNFILLED": "Order could not immediately match against any resting orders.",
    "PRICE_BAND": "Order price cannot be more than 95% away from the reference price",
    "ORDER_NOT_FOUND": "Order was never placed, already canceled, or filled.",
}
"""What one order or cancel is refused with; a ``reject`` fault names one of the keys as its ``reason``."""
ACTION_REFUSALS: Final[Mapping[str, str]] = {
    "RATE_LIMITED": "Too many cumulative requests sent (10437 > 10436) for cumulative volume traded $437.92. "
    "Place taker orders to free up 1 request per USDC traded.",
    "VENUE_UNAVAILABLE": "Only post-only orders allowed immediately after a network upgrade",
    "AUTH": "Must deposit before performing actions. User: 0x0000000000000000000000000000000000000000",
}
"""What a whole action is refused with."""
_REFUSED_FOR: Final[Mapping[Reason, str]] = {
    Reason.REDUCE_ONLY: "REDUCE_ONLY",
    Reason.REDUCE_ONLY_SIZE: "REDUCE_ONLY",
    Reason.FUNDS: "INSUFFICIENT_BALANCE",
    Reason.MARGIN: "INSUFFICIENT_MARGIN",
    Reason.IMMEDIATE: "UNFILLED",
    Reason.NO_LIQUIDITY: "UNFILLED",
}
_SHOWN: Final = frozenset({Reason.WOULD_CROSS, Reason.IMMEDIATE, Reason.NO_LIQUIDITY})
"""Refused orders that all the same get an id and a row in the history, as recorded."""
_TIFS: Final = {"Gtc": TimeInForce.GTC, "Ioc": TimeInForce.IOC, "Alo": TimeInForce.GTC}
_CLOID: Final = re.compile(r"0x[0-9a-f]{32}", re.ASCII)
DEFAULT: Final = {"type": "default"}


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """What the venue does where nobody recorded it."""

    duplicate_client_id: str = "accept"
    """``refuse``: a cloid that was used before is refused."""
    reduce_only_oversize: str = "clip"
    """``refuse``: a reduce-only order larger than the position is refused instead of cut to it."""
    expired_action: str = "Action expired: its expiresAfter has passed."
    traded_usd: Decimal = Decimal(2_000_000)
    """What the account has traded before: below 1,000,000 it may not use scheduleCancel."""
    abstraction: str = "default"


class Refused(Exception):
    """The whole action is refused with this sentence."""


class HyperliquidSimulator(Front):
    """
    One Hyperliquid with one account, whose own key signs.

    Args:
        clock: The real time; ``clock_offset_ms`` is how far the venue's clock is ahead of it.
        chance: Seeds the market, the counters and, unless ``key`` (32 bytes) is given, the throwaway key.
        faults: Asked for engine faults; the shells ask it for theirs.
        speed: Multiplies the activity of the market, nothing else.
        bases: Coins whose markets are quoted; empty: all.
    """

    name: str = "hyperliquid"
    message_kind = staticmethod(message_kind)

    def __init__(
        self,
        clock: Clock,
        chance: Chance,
        faults: Faults | None = None,
        speed: float = 1.0,
        *,
        choices: Choices | None = None,
        key: bytes | None = None,
        balances: Mapping[str, Decimal] | None = None,
        clock_offset_ms: int = 0,
        bases: Collection[str] = (),
    ) -> None:
        self._clock = clock
        self._offset_ms = clock_offset_ms
        self.faults = faults or Faults()
        self.choices = choices or Choices()
        # The key is public by design: it trades play money on loopback and repeats with the seed.
        self._key = PrivateKey(key or chance.fork("key").bytes(32))
        self.owner = address_text(keccak(self._key.public_key.format(compressed=False)[1:])[-20:])
        self.signers = Signers(self.owner)
        counters = chance.fork("counters")
        self._agenda = Agenda()
        self.engine = MatchingEngine(
            listings(),
            lambda: self.now_ms() * 1000,
            lambda event: self._streams.on_event(event),
            first_order_id=counters.integer(50_000_000_000, 200_000_000_000),
            first_trade_id=counters.integer(1_000_000, 9_000_000),
            clip_reduce_only=self.choices.reduce_only_oversize == "clip",
            portion=self._portion,
        )
        self.account = self.engine.open_account(
            Account(self.owner, balances or START_BALANCES, weights={CASH: Decimal(1)})
        )
        self._rows = HyperliquidRows(self.engine, self.account)
        self._streams = HyperliquidStreams(
            self.engine, self._rows, self._agenda, clock, owner=self.owner, post=self._post, now_ms=self.now_ms
        )
        self._street = Street(
            self.engine, clock, chance.fork("street"), quoted(ANCHORS, bases), heard=self._streams.hears, speed=speed
        )
        self._by_cloid: dict[str, int] = {}
        self._switch = 0
        self._info = self._make_info()
        self._actions: Mapping[str, Callable[[dict[str, Any]], Any]] = {
            "order": lambda action: self._statuses("order", map(self._one(self._place), action["orders"])),
            "cancel": lambda action: self._cancels(action, "a", "o"),
            "cancelByCloid": lambda action: self._cancels(action, "asset", "cloid"),
            "batchModify": lambda action: self._statuses("order", map(self._one(self._modify), action["modifies"])),
            "scheduleCancel": self._schedule_cancel,
            "updateLeverage": self._update_leverage,
            "approveAgent": self._approve_agent,
            "usdClassTransfer": self._transfer,
            **dict.fromkeys(("noop", "setReferrer", "approveBuilderFee"), lambda action: DEFAULT),
        }

    # -- what the shells ask

    def ws_open(self, peer: Peer, path: str, headers: Mapping[str, str]) -> None:
        self._streams.opened(peer)

    def ws_text(self, peer: Peer, text: str) -> None:
        self._streams.said(peer, text)

    def ws_closed(self, peer: Peer) -> None:
        self._streams.closed(peer)

    def advance(self) -> None:
        super().advance()
        self._streams.flush()

    def http_kind(self, request: Request) -> str:
        body = read_object(request.body)
        return request_kind(body.get("action") if request.path == "/exchange" else body)

    def text_kind(self, text: str) -> str:
        if '"post"' not in text:
            return "other"
        request = read_object(text).get("request")
        payload = request.get("payload") if isinstance(request, dict) else None
        if isinstance(payload, dict) and isinstance(request, dict) and request.get("type") == "action":
            payload = payload.get("action")
        return request_kind(payload)

    def bootstrap(self, rest: str, ws: str) -> dict[str, Any]:
        credentials = {"private_key": f"0x{self._key.to_hex()}", "address": self.owner}
        return {"rest": rest, "ws": f"{ws}/ws", "credentials": credentials}

    # -- what a fault lets the venue do

    def refused_login(self, asked: Request | str) -> str | None:
        """There is no login; an account's stream is refused as to one who watches too many."""
        return self._streams.refused(asked) if isinstance(asked, str) else None

    def forced(self, origin: str) -> tuple[None, Mapping[str, Any]]:
        return None, {"tif": "LiquidationMarket"}

    # -- requests

    def http(self, request: Request) -> Reply:
        handle = {"/info": self._read, "/exchange": self._exchange}.get(request.path)
        if handle is None or request.method != "POST":
            return text_reply("Not Found" if handle is None else "Method Not Allowed", 404 if handle is None else 405)
        try:
            return json_reply(handle(read_object(request.body)))
        except Malformed:
            return text_reply(UNREADABLE, 422)
        finally:
            self._streams.flush()

    def _post(self, request: dict[str, Any]) -> Any:
        """The payload that answers a request over the stream; None for one that cannot be read."""
        payload = request.get("payload")
        if not isinstance(payload, dict):
            return None
        try:
            if request.get("type") == "action":
                return self._exchange(payload)
            if request.get("type") == "info":
                return {"type": payload.get("type"), "data": self._read(payload)}
        except Malformed:
            pass
        return None

    def _read(self, body: dict[str, Any]) -> Any:
        kind = body.get("type")
        if not isinstance(kind, str) or kind not in self._info:
            raise Malformed(str(kind))
        return self._info[kind](body)

    def _exchange(self, body: dict[str, Any]) -> dict[str, Any]:
        action, nonce, expires_ms = body.get("action"), body.get("nonce", -1), body.get("expiresAfter")
        kind = action.get("type") if isinstance(action, dict) else None
        if not _whole(nonce) or not (expires_ms is None or _whole(expires_ms)) or not isinstance(action, dict):
            raise Malformed("exchange")
        if not isinstance(kind, str) or kind not in self._actions:
            raise Malformed(f"action {kind!r}")
        vault = b"" if body.get("vaultAddress") is None else address_bytes(body["vaultAddress"])
        try:
            self._authorise(action, body.get("signature"), nonce, vault, expires_ms)
            if expires_ms is not None and self.now_ms() > expires_ms:
                raise Refused(self.choices.expired_action)
            return {"status": "ok", "response": self._actions[kind](action)}
        except Refused as refused:
            return {"status": "err", "response": str(refused)}
        except (KeyError, TypeError, ValueError, InvalidOperation, AttributeError) as broken:
            # An action whose parts are of other types.
            raise Malformed(str(broken)) from None

    def _authorise(
        self, action: dict[str, Any], signature: Any, nonce: int, vault: bytes, expires_ms: int | None
    ) -> None:
        """Raises Refused unless somebody who may act for the account signed this, with a nonce of its own."""
        own_key = action["type"] in USER_SIGNED
        if own_key and action.get("nonce", nonce) != nonce:
            raise Malformed("nonce")
        found = [recover(digest, signature) for digest in digests(action, nonce, vault, expires_ms)]
        if not any(found):
            raise Refused("Unable to recover signer.")
        signer = next((each for each in found if self.signers.account_of(each, own_key=own_key)), None)
        if signer is None:
            raise Refused(f"User or API Wallet {found[0]} does not exist.")
        if vault and address_text(vault) != self.owner:
            raise Refused(f"Vault not registered: {address_text(vault)}")
        refusal = self.signers.burn(signer, nonce, self.now_ms())
        if refusal:
            raise Refused(refusal)

    # -- actions

    def _statuses(self, kind: str, statuses: Any) -> dict[str, Any]:
        return {"type": kind, "data": {"statuses": list(statuses)}}

    @staticmethod
    def _one(handle: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
        """One part of a batch: what it is refused with concerns that part alone."""

        def handled(row: dict[str, Any]) -> Any:
            try:
                return handle(row)
            except _PartRefused as refused:
                return {"error": f"{refused} asset={refused.asset}"}

        return handled

    def _place(self, row: dict[str, Any]) -> dict[str, Any]:
        asset = row["a"]
        rule = self.faults.engine("place")
        if rule is not None:
            reason = rule.params["reason"]
            if reason in ACTION_REFUSALS:
                raise Refused(ACTION_REFUSALS[reason])
            raise _PartRefused(REFUSALS.get(reason, REFUSALS["INSUFFICIENT_MARGIN"]), asset)
        ticket = self._ticket(row)
        verdict = self.engine.check(ticket)
        if verdict is not None and verdict not in _SHOWN:
            raise _PartRefused(REFUSALS[_REFUSED_FOR[verdict]], asset)
        listing, book = self.engine.listings[ticket.symbol], self.engine.books[ticket.symbol]
        best = [plain(listing.price(each[0])) for each in (book.best_bid, book.best_ask) if each is not None]
        order = self.engine.place(ticket)
        if isinstance(order.client_id, str):
            self._by_cloid[order.client_id] = order.id
        if verdict is Reason.WOULD_CROSS:
            bbo = "@".join(best)
            raise _PartRefused(f"Post only order would have immediately matched, bbo was {bbo}.", asset)
        if verdict is not None:
            raise _PartRefused(REFUSALS[_REFUSED_FOR[verdict]], asset)
        told: dict[str, Any] = {"oid": order.id}
        if order.client_id is not None:
            told["cloid"] = order.client_id
        if order.live:
            return {"resting": told}
        size = listing.size(order.filled_i)
        average = order.filled_quote / size if size else Decimal(0)
        return {"filled": {"totalSz": money(size), "avgPx": money(round(average, listing.price_decimals)), **told}}

    def _ticket(self, row: dict[str, Any]) -> Ticket:
        """Read and check an order up to what only the engine knows."""
        asset, is_buy, reduce_only, cloid = row["a"], row["b"], row["r"], row.get("c")
        if type(asset) is not int or not isinstance(is_buy, bool) or not isinstance(reduce_only, bool):
            raise Malformed("order")
        if cloid is not None and not (isinstance(cloid, str) and _CLOID.fullmatch(cloid)):
            raise Malformed("cloid")
        symbol = ASSETS.get(asset)
        if symbol is None:
            raise _PartRefused("Asset is not traded", asset)
        if "trigger" in row["t"]:
            raise _PartRefused("Trigger orders are not simulated", asset)
        tif = row["t"]["limit"]["tif"]
        if tif not in _TIFS:
            raise Malformed("tif")
        listing = self.engine.listings[symbol]
        price_i = _price(row["p"], listing, asset)
        try:
            size_i = scaled(row["s"], listing.size_decimals)
        except OffGrid:
            size_i = 0
        if size_i <= 0:
            zero = Decimal(row["s"]) == 0
            raise _PartRefused("Order has zero size." if zero else REFUSALS["SIZE"], asset)
        mark = self.engine.mark(symbol)
        # An Ioc is priced far from where it trades; what its value is measured at is in no recording.
        value = listing.size(size_i) * (mark if tif == "Ioc" else listing.price(price_i))
        if value < MIN_VALUE:
            raise _PartRefused(REFUSALS["MIN_NOTIONAL" if listing.is_perp else "MIN_NOTIONAL_SPOT"], asset)
        if abs(listing.price(price_i) - mark) > mark * LONGEST_BAND:
            raise _PartRefused(REFUSALS["PRICE_BAND"], asset)
        if reduce_only and not listing.is_perp:
            raise _PartRefused(REFUSALS["REDUCE_ONLY"], asset)
        if cloid in self._by_cloid and self.choices.duplicate_client_id == "refuse":
            raise _PartRefused("Duplicate cloid", asset)
        return Ticket(
            owner=self.owner,
            symbol=symbol,
            is_ask=not is_buy,
            size_i=size_i,
            price_i=price_i,
            time_in_force=_TIFS[tif],
            post_only=tif == "Alo",
            reduce_only=reduce_only,
            client_id=cloid,
            notes={"tif": tif},
        )

    def _find(self, name: Any) -> Order | None:
        """The order under an oid or a cloid."""
        number = self._by_cloid.get(name.lower()) if isinstance(name, str) else name
        return self.engine.orders.get(number) if type(number) is int else None

    def _live(self, asset: Any, name: Any) -> Order:
        order = self._find(name)
        if order is None or not order.live or ASSETS.get(asset, order.symbol) != order.symbol:
            raise _PartRefused(REFUSALS["ORDER_NOT_FOUND"], asset)
        return order

    def _cancels(self, action: dict[str, Any], asset_key: str, id_key: str) -> dict[str, Any]:
        rule = self.faults.engine("cancel")

        def cancel(row: dict[str, Any]) -> str:
            order = self._live(row[asset_key], row[id_key])
            if rule is not None and rule.action == "reject":
                reason = rule.params["reason"]
                raise _PartRefused(REFUSALS.get(reason, REFUSALS["ORDER_NOT_FOUND"]), row[asset_key])
            if rule is not None:
                self._agenda.at(self._clock.now_ms() + rule.params["ms"], lambda: self.engine.cancel(order))
            else:
                self.engine.cancel(order)
            return "success"

        return self._statuses("cancel", map(self._one(cancel), action["cancels"]))

    def _modify(self, row: dict[str, Any]) -> dict[str, Any]:
        """Cancel and replace: the new order has an id of its own."""
        old, new = self._find(row["oid"]), row["order"]
        if old is None or not old.live:
            raise _PartRefused("Cannot modify canceled or filled order", new["a"])
        self._ticket(new)
        self.engine.cancel(old)
        return self._place(new)

    def _schedule_cancel(self, action: dict[str, Any]) -> Any:
        if self.choices.traded_usd < SWITCH_VOLUME:
            traded = plain(self.choices.traded_usd)
            raise Refused(
                "Cannot set scheduled cancel time until enough volume traded. "
                f"Required: ${SWITCH_VOLUME}. Traded: ${traded}."
            )
        time_ms = action.get("time")
        if time_ms is not None and (not _whole(time_ms) or time_ms < self.now_ms() + SWITCH_AHEAD_MS):
            raise Refused("Scheduled cancel time too early, must be at least 5 seconds from now.")
        self._switch = armed = self._switch + 1
        if time_ms is not None:
            self.later(time_ms - self.now_ms(), lambda: self._fire(armed))
        return DEFAULT

    def _fire(self, armed: int) -> None:
        """The dead-man's switch goes off, unless it was set again meanwhile."""
        if armed == self._switch:
            for order in self.engine.open_orders(self.owner):
                self._rows.scheduled.add(order.id)
                self.engine.cancel(order)

    def _update_leverage(self, action: dict[str, Any]) -> Any:
        leverage = action["leverage"]
        if type(leverage) is not int or leverage < 1:
            raise Refused("Invalid leverage value")
        # One for all markets: the engine's account has no other.
        self.account.leverage = Decimal(leverage)
        return DEFAULT

    def _approve_agent(self, action: dict[str, Any]) -> Any:
        agent = address_text(address_bytes(action["agentAddress"]))
        self.signers.approve(self.owner, agent, action.get("agentName") or "")
        return DEFAULT

    def _transfer(self, action: dict[str, Any]) -> Any:
        amount = Decimal(action["amount"])
        source, target = (SPOT_CASH, CASH) if action["toPerp"] else (CASH, SPOT_CASH)
        free = self.account.balance(source).free
        if source == CASH:
            free = min(free, self.engine.margin(self.owner).available)
        if not 0 < amount <= free:
            raise Refused("Insufficient balance for token transfer")
        self.account.balance(source).free -= amount
        self.account.balance(target).free += amount
        self._streams.wallets_changed()
        return DEFAULT

    # -- readings

    def _make_info(self) -> Mapping[str, Callable[[dict[str, Any]], Any]]:
        rows, streams = self._rows, self._streams

        def of(user: Callable[[str], Any]) -> Callable[[dict[str, Any]], Any]:
            return lambda body: user(address_text(address_bytes(body.get("user"))))

        def own(read: Callable[[dict[str, Any]], list[Any]]) -> Callable[[dict[str, Any]], Any]:
            """A list that strangers have nothing in."""
            return lambda body: read(body) if of(lambda user: user == self.owner)(body) else []

        return {
            "meta": lambda body: META,
            "spotMeta": lambda body: SPOT_META,
            "metaAndAssetCtxs": lambda body: [META, rows.asset_contexts()],
            "spotMetaAndAssetCtxs": lambda body: [SPOT_META, rows.spot_contexts()],
            "perpDexs": lambda body: [None],
            "exchangeStatus": lambda body: {"specialStatuses": None, "time": self.now_ms()},
            "allMids": lambda body: rows.mids(),
            "l2Book": self._book,
            "userRole": of(self._role),
            "userAbstraction": of(lambda user: self.choices.abstraction),
            "extraAgents": of(self._agents),
            "userRateLimit": of(
                lambda user: {"cumVlm": money(self.choices.traded_usd), "nRequestsUsed": 0, "nRequestsCap": 10_000}
            ),
            "clearinghouseState": of(streams.clearinghouse),
            "spotClearinghouseState": of(streams.spot),
            "openOrders": own(
                lambda body: [rows.short_order(order) for order in self.engine.open_orders(self.owner)[::-1]]
            ),
            "frontendOpenOrders": of(streams.open_orders),
            "orderStatus": self._order_status,
            "historicalOrders": own(lambda body: self._known(streams.history)[: -PAGE - 1 : -1]),
            "userFills": own(lambda body: self._known(streams.fills)[: -PAGE - 1 : -1]),
            "userFillsByTime": own(self._fills_by_time),
        }

    def _book(self, body: dict[str, Any]) -> dict[str, Any]:
        symbol = body.get("coin")
        if not isinstance(symbol, str) or symbol not in self.engine.listings:
            raise Malformed("coin")
        return self._rows.book(symbol)

    def _role(self, user: str) -> dict[str, Any]:
        if user in self.signers.accounts:
            return {"role": "user"}
        master = self.signers.agents.get(user)
        return {"role": "agent", "data": {"user": master}} if master else {"role": "missing"}

    def _agents(self, user: str) -> list[dict[str, Any]]:
        named = [(name, agent) for (master, name), agent in self.signers.names.items() if master == user and name]
        valid_ms = self.now_ms() + 180 * 86_400_000
        return [{"name": name, "address": agent, "validUntil": valid_ms} for name, agent in named]

    def _order_status(self, body: dict[str, Any]) -> dict[str, Any]:
        user, name = address_text(address_bytes(body.get("user"))), body.get("oid")
        if not isinstance(name, int | str) or (isinstance(name, str) and not _CLOID.fullmatch(name.lower())):
            raise Malformed("oid")
        order = self._find(name) if user == self.owner else None
        if order is None:
            return {"status": "unknownOid"}
        return {"status": "order", "order": self._rows.with_state(self._rows.order(order), order)}

    def _fills_by_time(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        """Oldest first."""
        start_ms, end_ms = body.get("startTime"), body.get("endTime")
        if not _whole(start_ms) or not (end_ms is None or _whole(end_ms)):
            raise Malformed("startTime")
        until_ms = 1 << 64 if end_ms is None else end_ms
        return [row for row in self._known(self._streams.fills) if start_ms <= row["time"] <= until_ms][:PAGE]

    def _known(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Those whose order can be read now."""
        orders = self.engine.orders
        return [row for row in rows if row.get("order", row)["oid"] in orders]


class _PartRefused(Exception):
    """One order or cancel of an action is refused."""

    def __init__(self, sentence: str, asset: Any) -> None:
        super().__init__(sentence)
        self.asset = asset


def _price(text: str, listing: Listing, asset: int) -> int:
    """A legal price: five figures within the decimals, or a whole number."""
    try:
        price_i = scaled(text, listing.price_decimals)
    except OffGrid:
        raise _PartRefused(REFUSALS["PRECISION"], asset) from None
    if price_i <= 0:
        raise _PartRefused("Order has invalid price.", asset)
    figures = len(str(price_i).rstrip("0"))
    if figures > SIGNIFICANT_FIGURES and price_i % 10**listing.price_decimals:
        raise _PartRefused(REFUSALS["PRECISION"], asset)
    return int(price_i)


def _whole(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 63
