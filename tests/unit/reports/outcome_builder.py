"""
Outcomes to test the report with, built from the runner's own Structs. Run this file to write outcomes/*.json again.

Prices and ids are made up by a fixed recipe; no text here claims to be an exchange's answer.
"""

from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "outcomes"
if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from core.clock import VIRTUAL_EPOCH_MS as T0  # noqa: E402
from core.clock import iso_utc  # noqa: E402
from core.precision import plain  # noqa: E402
from runner.outcome import (  # noqa: E402
    EXIT_CODES,
    AttemptMade,
    ConnectionRecord,
    Criterion,
    Failure,
    Gap,
    HeartbeatLog,
    MarginChange,
    MarginReading,
    Move,
    Notice,
    OrderStory,
    Outcome,
    Play,
    PositionChange,
    Proof,
    Quote,
    Reconnect,
    ScenarioPlayed,
    StepDone,
    Tracking,
    Trade,
    to_json,
)

TEXT = """\
scenario: e2e_all
title: Open, wait and close at the smallest size on every venue
venues: all
market: perp
symbol: SOL
side: buy
size: min
steps:
  - tracking_open: {interval_secs: 10, timeout_secs: 120}
  - random_wait: {min_secs: 1, max_secs: 30}
  - market_close
  - assert_flat
finally:
  - cancel_all
  - flatten
"""
HOSTILE = (
    "<script>alert(1)</script> <img src=x onerror=alert(2)> [click](https://evil.example/a) "
    "![pic](https://evil.example/b.png) | a | b |\n# heading\n- item\n```\ncode ~~~~ `tick` &lt;b&gt; "
    "\u202egpj.exe\u2066 \u200bzero \x00\x07\x1b[31m ]]> --> <!-- www.evil.example \u05e9\u05dc\u05d5\u05dd"
)


def price(index: int, half_spread: str = "0") -> str:
    """A seesaw around 140, in cents."""
    return plain(Decimal("140.20") + Decimal((index * 7) % 23 - 11) / 100 + Decimal(half_spread))


def order(n: int, start_ms: int, *, filled: bool, side: str = "buy", market: bool = False) -> OrderStory:
    """One order of 0.05 that is filled in two parts, or cancelled after ten seconds."""
    at = price(n)
    history = [
        Move(ts_ms=start_ms, from_="SUBMITTING", to="SUBMITTING", cause="sent", source="local"),
        Move(
            ts_ms=start_ms + 41, from_="SUBMITTING", to="OPEN", cause="accept", source="ws", engine_us=start_ms * 1000
        ),
    ]
    fills = []
    if filled:
        for part, (size, after) in enumerate((("0.02", "PARTIALLY_FILLED"), ("0.03", "FILLED"))):
            ms = start_ms + 2_000 + 1_500 * part
            before = "OPEN" if part == 0 else "PARTIALLY_FILLED"
            cause = "fill_part" if part == 0 else "fill_rest"
            engine = ms * 1000 - 20_500
            history.append(Move(ts_ms=ms, from_=before, to=after, cause=cause, source="ws", engine_us=engine))
            fills.append(
                Trade(
                    trade_id=f"{n}{part}",
                    size=size,
                    price=at,
                    fee="0.00056",
                    fee_asset="USDC",
                    is_maker=not market,
                    ts_ms=ms,
                )
            )
    else:
        ms = start_ms + 10_000
        history += [
            Move(ts_ms=ms, from_="OPEN", to="OPEN", cause="cancel_requested", source="local"),
            Move(ts_ms=ms + 38, from_="OPEN", to="CANCELLED", cause="cancel", source="ws", engine_us=ms * 1000),
            Move(ts_ms=ms + 80, from_="CANCELLED", to="CANCELLED", cause="settled", source="rest", detail="filled 0"),
        ]
    return OrderStory(
        client_id=4_000_000 + n,
        venue_id=f"114{n:06d}",
        kind="market" if market else "limit",
        side=side,  # type: ignore[arg-type]
        size="0.05",
        price=None if market else at,
        state="FILLED" if filled else "CANCELLED",
        filled="0.05" if filled else "0",
        average_price=at if filled else None,
        history=tuple(history),
        fills=tuple(fills),
        sent_ms=start_ms,
        ack_ms=start_ms + 41,
        cancel_ack_ms=None if filled else start_ms + 10_038,
        timeline_file=f"logs/orders/backpack-SOL-{4_000_000 + n}.jsonl",
    )


def play(venue: str = "backpack", *, orders: int = 3) -> Play:
    """``orders - 2`` cancelled attempts, the attempt that fills, and the market close."""
    tries = [order(n, T0 + 500 + 10_200 * n, filled=n == orders - 2) for n in range(orders - 1)]
    filled_ms = tries[-1].fills[-1].ts_ms
    close = order(orders - 1, filled_ms + 9_000, filled=True, side="sell", market=True)
    end = close.fills[-1].ts_ms
    attempts = tuple(
        AttemptMade(
            n=n + 1,
            client_id=one.client_id,
            price=one.price or "0",
            size=one.size,
            filled=one.filled,
            placed_ms=one.sent_ms or 0,
            ended_ms=one.history[-1].ts_ms,
            end_reason="filled" if one.state == "FILLED" else "interval over",
        )
        for n, one in enumerate(tries)
    )
    tracking = Tracking(
        side="buy",
        quantity="0.05",
        filled="0.05",
        attempts=attempts,
        price_sequence=tuple(one.price for one in attempts),
        average_price=attempts[-1].price,
        mid_at_start="140.2",
        slippage_bps="-0.71326676",
        reason="FILLED",
        interval_errors_ms=(12.4, -8.1),
    )
    steps = (
        StepDone(
            index=0,
            verb="tracking_open",
            words="Buy the smallest size with a tracking limit",
            status="passed",
            started_ms=T0 + 200,
            ended_ms=filled_ms + 60,
            detail=f"0.05 bought in {len(attempts)} attempts",
            numbers={"filled": "0.05", "attempts": len(attempts)},
        ),
        StepDone(
            index=1,
            verb="random_wait",
            words="Wait 1 to 30 s",
            status="passed",
            started_ms=filled_ms + 60,
            ended_ms=filled_ms + 8_900,
            detail="waited 8.84 s",
            numbers={"secs": 8.84},
        ),
        StepDone(
            index=2,
            verb="market_close",
            words="Close at market",
            status="passed",
            started_ms=filled_ms + 8_900,
            ended_ms=end + 50,
            detail="0.05 sold",
        ),
        StepDone(
            index=3,
            verb="assert_flat",
            words="The exchange shows no position and no order",
            status="passed",
            started_ms=end + 50,
            ended_ms=end + 400,
            detail="position 0, 0 open orders",
        ),
        StepDone(
            index=0,
            phase="finally",
            verb="cancel_all",
            words="Cancel what is left",
            status="passed",
            started_ms=end + 400,
            ended_ms=end + 600,
            detail="nothing to cancel",
        ),
        StepDone(
            index=1,
            phase="finally",
            verb="flatten",
            words="Close what is left",
            status="skipped",
            detail="flat already",
        ),
    )
    samples = range((end - T0) // 500)
    return Play(
        venue=venue,
        symbol="SOL",
        venue_symbol="SOL_USDC_PERP",
        verdict="accepted",
        sentence=f"0.05 SOL bought in {len(attempts)} attempts, sold at market, flat by the exchange's own reading.",
        steps=steps,
        tracking=(tracking,),
        orders=(*tries, close),
        fees={"USDC": "0.00224"},
        position=PositionChange(
            before="0",
            after="0",
            flat=True,
            proof=Proof(source="rest", read_ms=end + 380, quantity="0", open_orders=0),
        ),
        margin=MarginChange(
            before=MarginReading(balance="1000", available="1000", ts_ms=T0 + 100),
            after=MarginReading(balance="999.99431", available="999.99431", ts_ms=end + 390),
            changes=(
                MarginReading(balance="999.9989", available="999.2979", ts_ms=filled_ms),
                MarginReading(balance="999.99431", available="999.99431", ts_ms=end),
            ),
        ),
        quotes=tuple(Quote(ts_ms=T0 + 500 * n, bid=price(n // 5, "-0.01"), ask=price(n // 5, "0.01")) for n in samples),
    )


def acceptance(plays: tuple[Play, ...]) -> tuple[Criterion, ...]:
    lines = []
    for one in plays:
        for name, wanted, evidence in (
            ("round_trip", "at least 1", "1 opened and closed"),
            ("flat", "yes", "position 0 and 0 open orders by the exchange's own reading"),
        ):
            lines.append(Criterion(criterion=name, wanted=wanted, evidence=evidence, verdict="passed", venue=one.venue))
    for name, evidence in (
        ("no_unhandled_errors", "none recorded"),
        ("logs_complete", "every order has its timeline"),
    ):
        lines.append(Criterion(criterion=name, wanted="yes", evidence=evidence, verdict="passed"))
    return tuple(lines)


def outcome(plays: tuple[Play, ...], **changed: object) -> Outcome:
    """An accepted, simulated run of ``plays``; ``changed`` fields win."""
    end = max((step.ended_ms or T0 for one in plays for step in one.steps), default=T0 + 1_200)
    fields: dict[str, object] = {
        "run_id": "20260105-000000-e2e_all-7",
        "started": iso_utc(T0),
        "started_ms": T0,
        "ended": iso_utc(end),
        "ended_ms": end,
        "duration_secs": (end - T0) / 1000,
        "command": ("runner", "play", "scenarios/e2e_all.yaml", "--seed", "7"),
        "on": "sim",
        "seed": 7,
        "verdict": "accepted",
        "sentence": f"Every acceptance line passed on {len(plays)} exchange{'s' if len(plays) != 1 else ''}.",
        "versions": {"roundtrip": "0.1.0", "python": "3.11", "anyio": "4.12.0", "websockets": "17.0"},
        "scenario": ScenarioPlayed(
            name="e2e_all",
            title="Open, wait and close at the smallest size on every venue",
            path="scenarios/e2e_all.yaml",
            sha256="3b" * 32,
            text=TEXT,
        ),
        "plan_hash": "9f" * 32,
        "plays": plays,
        "heartbeat": HeartbeatLog(
            configured=True,
            interval_secs=10,
            sent=4,
            failed=1,
            max_gap_secs=20.013,
            gaps=(Gap(venue="backpack", from_ms=T0 + 10_000, to_ms=T0 + 30_013, secs=20.013),),
            endpoints=("127.0.0.1:8080",),
            fallback_file="logs/heartbeat.jsonl",
        ),
        "acceptance": acceptance(plays),
        "not_tested": ("Spot was not tested: the scenario asks for perp.", "The real exchanges were not tested."),
    } | changed
    return Outcome(**{"exit_code": EXIT_CODES[fields["verdict"]], **fields})  # type: ignore[index]


def accepted() -> Outcome:
    return outcome((play(),))


def not_proven_flat() -> Outcome:
    """One exchange of three lost its stream and left an order in doubt."""
    good, bad = play("okx"), play("backpack")
    lost = bad.orders[0].sent_ms or 0
    doubtful = OrderStory(
        client_id=4_000_009,
        kind="limit",
        side="buy",
        size="0.05",
        price="140.2",
        state="SUBMITTING",
        in_doubt=True,
        sent_ms=lost,
        history=(
            Move(ts_ms=lost, from_="SUBMITTING", to="SUBMITTING", cause="sent", source="local"),
            Move(
                ts_ms=lost + 3000, from_="SUBMITTING", to="SUBMITTING", cause="doubt", source="local", detail="timeout"
            ),
        ),
        timeline_file="logs/orders/backpack-SOL-4000009.jsonl",
    )
    sentence = "An order is in doubt on backpack and its position is not proven flat."
    broken = Play(
        venue="backpack",
        symbol="SOL",
        venue_symbol="SOL_USDC_PERP",
        verdict="not_proven_flat",
        sentence=sentence,
        error=Failure(
            code="IN_DOUBT",
            message="Order 4000009 was sent and its fate is not proven.",
            next_move="Run `runner recover`.",
        ),
        steps=(
            StepDone(
                index=0,
                verb="tracking_open",
                words="Buy the smallest size",
                status="failed",
                started_ms=T0 + 200,
                ended_ms=T0 + 33_000,
                detail="IN_DOUBT after 1 attempt",
            ),
            StepDone(index=1, verb="random_wait", status="skipped", detail="a step before failed"),
        ),
        tracking=(Tracking(side="buy", quantity="0.05", reason="IN_DOUBT"),),
        orders=(doubtful,),
        position=PositionChange(before="0"),
        quotes=bad.quotes[:60],
        connection=ConnectionRecord(
            losses=2,
            reconnects=(
                Reconnect(lost_ms=T0 + 2_000, synced_ms=T0 + 6_400, why="no ping for 5 s"),
                Reconnect(lost_ms=T0 + 21_000, why="connection refused"),
            ),
        ),
        errors=(Notice(ts_ms=lost + 3000, code="IN_DOUBT", text="no answer within 3 s", source="rest"),),
        alarms=(Notice(ts_ms=T0 + 21_000, code="WS_TIMEOUT", text="the stream is down"),),
    )
    failed = Criterion(criterion="flat", wanted="yes", evidence="no reading", verdict="failed", venue="backpack")
    open_line = Criterion(criterion="heartbeat", wanted="gap ≤ 15 s", evidence="not configured", verdict="not_tested")
    made = outcome((broken, good), verdict="not_proven_flat", sentence=sentence, heartbeat=None)
    lines = tuple(line for line in made.acceptance if line.venue != "backpack")
    return outcome(
        (broken, good),
        verdict="not_proven_flat",
        sentence=sentence,
        heartbeat=None,
        on="testnet",
        acceptance=(failed, *lines, open_line),
        errors=(Notice(ts_ms=T0, code="CLOCK_SKEW", text="offset 1.2 s, applied", source="runner"),),
    )


def environment_failed() -> Outcome:
    """Nothing was played at all."""
    return outcome(
        (),
        verdict="environment_failed",
        sentence="No exchange could be reached; nothing was sent.",
        acceptance=(),
        heartbeat=None,
        not_tested=("Everything: no play began.",),
        seed=None,
        plan_hash=None,
    )


def hostile() -> Outcome:
    """Strangers' words at every place where a stranger may speak."""
    word = HOSTILE
    bad = Play(
        venue=word,
        symbol=word,
        venue_symbol=word,
        size=word,
        verdict="not_accepted",
        sentence=word,
        error=Failure(code=word, message=word, next_move=word),
        steps=(
            StepDone(
                index=0,
                verb=word,
                words=word,
                status="failed",
                started_ms=T0,
                ended_ms=T0 + 9000,
                detail=word,
                numbers={word: word},
            ),
            StepDone(index=1, verb=word, words=word, status="interrupted", started_ms=T0, detail=word),
        ),
        tracking=(Tracking(side="sell", quantity="1", reason=word),),
        orders=(
            OrderStory(
                client_id=1,
                venue_id=word,
                kind="limit",
                side="sell",
                size="1",
                price="140.1",
                state="FILLED",
                history=(Move(ts_ms=T0, from_="OPEN", to="FILLED", cause=word, source=word, detail=word),),
                fills=(Trade(trade_id=word, size="1", price="140.1", fee_asset=word, ts_ms=T0 + 5, late=True),),
                timeline_file=word,
            ),
        ),
        fees={word: "-0.1"},
        position=PositionChange(
            before="1", after="2", flat=False, proof=Proof(source=word, read_ms=T0, quantity="2", open_orders=1)
        ),
        connection=ConnectionRecord(losses=1, reconnects=(Reconnect(lost_ms=T0, why=word),)),
        errors=(Notice(ts_ms=T0, code=word, text=word, source=word),),
        alarms=(Notice(ts_ms=T0, code=word, text=word, source=word),),
    )
    return outcome(
        (bad,),
        verdict="not_accepted",
        sentence=word,
        run_id=word,
        command=(word,),
        interrupted=word,
        scenario=ScenarioPlayed(name=word, title=word, path=word, sha256="00" * 32, text=word),
        versions={"roundtrip": word, "python": word, word: word},
        acceptance=(
            Criterion(criterion=word, wanted=word, evidence=word, verdict="failed", venue=word),
            Criterion(criterion=word, wanted=word, evidence=word, verdict="not_tested"),
        ),
        not_tested=(word,),
        errors=(Notice(ts_ms=T0, code=word, text=word, source=word),),
    )


def large() -> Outcome:
    """Five exchanges with twenty orders each; not kept as a file."""
    return outcome(tuple(play(venue, orders=20) for venue in ("backpack", "binance", "hyperliquid", "lighter", "okx")))


SAMPLES = {
    "accepted": accepted,
    "not_proven_flat": not_proven_flat,
    "environment_failed": environment_failed,
    "hostile": hostile,
}

if __name__ == "__main__":
    for name, make in SAMPLES.items():
        (FOLDER / f"{name}.json").write_bytes(to_json(make()))
