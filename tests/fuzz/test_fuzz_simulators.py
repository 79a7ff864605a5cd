"""
Whatever a client sends, a simulator answers in its venue's own shape: no exception, no 5xx of our making, and a
request that was refused has changed nothing.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.clock import run_virtual
from tests.fuzz.mutations import PAGES, mutated, profile
from tests.fuzz.sessions import ROOMS, Recorder, hold, session
from venues.dialect import HttpCall, HttpReply

every_room = pytest.mark.parametrize("venue", ROOMS)

WORDS = ("", "0", "-1", "1e400", "NaN", "9" * 60, "zzz", "²", "é", "\x00", "%", "%FF", "null", "[]", "x" * 5_000, "SOL")
NUMBERS = (-1, 0, 1, 2, 3, 99, 255, 2**31, 2**48, 2**63, 2**64, 10**30, -(10**30))


def standing(recorder: Recorder) -> Any:
    """Everything that a refused request must leave as it was."""
    engine = recorder.sim.engine
    return [
        (
            name,
            {asset: (held.free, held.locked) for asset, held in account.balances.items()},
            {symbol: held.net_i for symbol, held in account.positions.items()},
            [(order.id, order.left_i, order.price_i) for order in engine.open_orders(name)],
        )
        for name, account in engine.accounts.items()
    ]


def refused(reply: HttpReply) -> bool:
    """The answer says "no" to all of it; what a stream's order or a part of a batch says counts as yes."""
    if reply.status >= 400:
        return True
    try:
        body = json.loads(reply.body)
    except ValueError:
        return False
    if not isinstance(body, dict):
        return False
    if body.get("status") == "err":
        return True
    return str(body.get("code", "0")) not in ("0", "2", "200")


def answered(reply: HttpReply) -> None:
    assert 200 <= reply.status < 500, reply
    kind = reply.headers.get("content-type", "")
    if reply.body and "json" in kind:
        json.loads(reply.body)
    else:
        reply.body.decode()


async def begun(venue: str) -> Recorder:
    """A simulator with a client that has lines open and an order resting."""
    recorder = Recorder(venue)
    recorder.dialect.markets = hold(recorder.dialect.facts(), recorder.answer)
    hold(recorder.dialect.prepare(), recorder.answer)
    recorder.open_lines()
    facts = recorder.dialect.markets[recorder.symbol]
    best = hold(recorder.dialect.top_of_book(recorder.symbol), recorder.answer)
    step = facts.price_step(best.bid_i)
    low = best.bid_i * 97 // 100 // step * step
    await recorder.order(7, "taken", is_ask=False, size_i=20 * facts.min_size_i, price_i=low, post_only=True)
    return recorder


def changed(draw: Any, call: HttpCall) -> HttpCall:
    """A request with its body, its query or its parameters broken, before it is signed."""
    path, mark, query = call.path.partition("?")
    body, params, auth = call.body, call.params, call.auth
    if body and body[:1] in b"{[":
        told = json.loads(body)
        # A signed envelope: what is in it is broken and signed again.
        if isinstance(told, dict) and "action" in told and "nonce" in told:
            body, auth = json.dumps(told["action"]).encode(), "action"
        body = draw(mutated(body, most=2)).data
    elif body:
        pairs = body.decode().split("&")
        body = "&".join(_pairs(draw, pairs)).encode()
    if query:
        path = path + mark + "&".join(_pairs(draw, query.split("&")))
    if params:
        rows = list(params)
        at = draw(st.integers(0, len(rows) - 1))
        number = rows[at][1].lstrip("-").isdigit()
        new = str(draw(st.sampled_from(NUMBERS))) if number else draw(st.sampled_from(WORDS))
        rows[at] = (rows[at][0], new)
        params = tuple(rows)
    return HttpCall(call.method, path, body, call.headers, auth, params, call.host)


def _pairs(draw: Any, pairs: list[str]) -> list[str]:
    at = draw(st.integers(0, len(pairs) - 1))
    name, _, _ = pairs[at].partition("=")
    kind = draw(st.sampled_from(("value", "drop", "double", "raw", "rename")))
    word = draw(st.sampled_from(WORDS))
    new = {
        "value": [f"{name}={quote(word)}"],
        "drop": [],
        "double": [pairs[at], f"{name}={quote(word)}"],
        "raw": [f"{name}={word}"],
        "rename": [f"{name}_={quote(word)}"],
    }[kind]
    return pairs[:at] + new + pairs[at + 1 :]


def signed(recorder: Recorder, call: HttpCall) -> HttpCall:
    """Signed as the venue would have it; as it stands where a client could not sign such a thing."""
    try:
        return recorder.dialect.sign(call, recorder.clock.now_ms())
    except Exception:
        return call


@every_room
@profile(20)
@given(data=st.data())
def test_a_broken_request_is_answered_and_changes_nothing_when_refused(venue, data):
    """[ours] Requests of a day with body, query or parameters broken and signed again: an answer of the venue's."""
    calls = session(venue).calls

    async def main():
        recorder = await begun(venue)
        for _ in range(data.draw(st.integers(1, 5))):
            call = changed(data.draw, data.draw(st.sampled_from(calls)))
            before = standing(recorder)
            reply = recorder.send(signed(recorder, call))
            answered(reply)
            if refused(reply):
                assert standing(recorder) == before, (call, reply)
            recorder.sim.advance()

    run_virtual(main())


@every_room
@profile(20)
@given(data=st.data())
def test_a_request_with_a_broken_envelope_is_refused_and_changes_nothing(venue, data):
    """[ours] Method, path, headers or body changed after signing: no order comes or goes by a refused one."""
    calls = session(venue).calls
    words = st.sampled_from((*WORDS[:-2], "x" * 500))

    async def main():
        recorder = await begun(venue)
        for _ in range(data.draw(st.integers(1, 5))):
            call = signed(recorder, data.draw(st.sampled_from(calls)))
            kind = data.draw(st.sampled_from(("method", "path", "header", "page", "body", "headers")))
            headers = list(call.headers)
            method, path, body = call.method, call.path, call.body
            if kind == "method":
                method = data.draw(st.sampled_from(("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "zzz")))
            elif kind == "path":
                path = data.draw(st.sampled_from(("", "/", "//", path + "/", path + "x", path.upper(), "/" + "x" * 99)))
            elif kind == "header" and headers:
                at = data.draw(st.integers(0, len(headers) - 1))
                headers[at] = (headers[at][0], data.draw(words))
            elif kind == "page":
                body = data.draw(st.sampled_from(PAGES))
            elif kind == "headers":
                headers = []
            else:
                body = data.draw(st.binary(max_size=40))
            before = standing(recorder)
            reply = recorder.send(HttpCall(method, path, body, tuple(headers), host=call.host))
            answered(reply)
            if refused(reply):
                assert standing(recorder) == before, (call, reply)

    run_virtual(main())


@every_room
@profile(20)
@given(data=st.data())
def test_a_broken_text_on_a_stream_is_survived(venue, data):
    """[ours] Logins, subscriptions and orders of a day, broken, on any line: answers that can be read, no exception."""
    texts = session(venue).texts

    async def main():
        recorder = await begun(venue)
        for _ in range(data.draw(st.integers(1, 5))):
            line, text = data.draw(st.sampled_from(texts))
            broken = data.draw(mutated(text.encode(), most=2)).data.decode(errors="replace")
            before = standing(recorder)
            recorder.sim.text_kind(broken)
            for back in recorder.say(data.draw(st.sampled_from((line, *recorder.ears))), broken):
                assert back == "pong" or json.loads(back) is not None
                recorder.sim.message_kind(back)
            try:
                json.loads(broken)
            except (ValueError, RecursionError):
                assert standing(recorder) == before

    run_virtual(main())
