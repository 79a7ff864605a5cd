"""
Whatever stands in an answer, a talk ends in sound values or in an error that its contract names.

The rule of money on top: an answer that is broken never proves that an order does not exist. A submit that was taken
is never read as refused, and a look-up never says "absent" unless every answer says so whole.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.forms import sound
from tests.fuzz.mutations import (
    NOTHING,
    PAGES,
    Literal,
    Mutated,
    Pairs,
    at,
    mutated,
    parsed,
    places,
    profile,
    rendered,
    replaced,
)
from tests.fuzz.recorded import FIXTURES, knowing, payloads
from tests.fuzz.sessions import ROOMS, Scene, cancelled, fork, hold, placed, session
from venues.dialect import HttpCall, HttpReply, OrderKey, PlaceOrder
from venues.errors import OutcomeUnknown, Refused, VenueError, WireError

every_room = pytest.mark.parametrize("venue", ROOMS)

# Another status may say "no"; 429 does, whoever wrote the page.
STATUSES = (200, 200, 200, 200, 202, 204, 400, 403, 404, 408, 418, 425, 429, 500, 502, 503, 504)
# Where an answer says whose order it is. Another whole value there is another order, and no broken answer.
IDENTITY = {"clientId", "clOrdId", "cloid", "clientOrderId", "client_order_index"}
SLIPS = (*NOTHING, True, "zzz", Literal("-1"), Literal("1"), Literal("1e400"), Literal("9" * 60))
UNKNOWN = "went on asking"


class Asked(Exception):
    """The talk asks for more than was recorded."""


def ended(scene: Scene, replies: list[HttpReply]) -> Any:
    """The value of a talk, its error, or UNKNOWN; anything but the errors of the contract comes out as it is."""
    waiting = list(replies)

    def answer(call: HttpCall) -> HttpReply:
        assert isinstance(call, HttpCall)
        if not waiting:
            raise Asked
        return waiting.pop(0)

    try:
        value = hold(scene.begin(fork(scene.dialect)), answer)
    except Asked:
        return UNKNOWN
    except (WireError, Refused, OutcomeUnknown) as error:
        value = error
    if not isinstance(value, VenueError):
        sound(value)
        return value
    assert value.hint
    assert len(value.raw) <= 600
    str(value).encode()
    return value


def scenes(venue: str, *said: str) -> list[Scene]:
    return [scene for scene in session(venue).scenes if scene.replies and (not said or scene.says in said)]


def broken(draw: Any, scene: Scene) -> tuple[list[HttpReply], int, Mutated]:
    """The answers of a scene, one of them changed."""
    step = draw(st.integers(0, len(scene.replies) - 1))
    change = draw(mutated(scene.replies[step].body))
    replies = list(scene.replies)
    replies[step] = HttpReply(replies[step].status, change.data, replies[step].headers)
    return replies, step, change


@every_room
@profile(300)
@given(data=st.data())
def test_a_broken_answer_ends_a_talk_as_its_contract_says(venue, data):
    """[ours] Any answer of a day, changed, with its own or another status: sound values, or a documented error."""
    scene = data.draw(st.sampled_from(scenes(venue)))
    replies, step, change = broken(data.draw, scene)
    status = data.draw(st.sampled_from((replies[step].status, *STATUSES)))
    headers = data.draw(st.sampled_from(({}, {"x-total": "9" * 30}, {"x-total": "²"}, {"x-total": "-1"})))
    replies[step] = HttpReply(status, change.data, headers)
    ended(scene, replies)


@every_room
@pytest.mark.skipif(not FIXTURES.is_dir(), reason="../shared is not there: no captured answers")
@profile(300)
@given(data=st.data())
def test_a_captured_answer_to_any_question_ends_a_talk_as_its_contract_says(venue, data):
    """[venue] Every captured answer, whole or broken, to every question: sound values, or a documented error."""
    scene = data.draw(st.sampled_from(scenes(venue)))
    _, payload = data.draw(st.sampled_from(payloads(venue)))
    if data.draw(st.booleans()):
        payload = data.draw(mutated(payload)).data
    status = data.draw(st.sampled_from((200, 200, 200, 400)))
    wide = knowing(venue)
    known = Scene(scene.name, scene.says, wide, scene.begin, scene.replies)
    for name in ("_orders", "_cancels", "_nonces", "_signed_ms", "_sent_ms", "_next_nonce", "_unanswered"):
        if hasattr(scene.dialect, name):
            setattr(wide, name, getattr(fork(scene.dialect), name))
    ended(known, [HttpReply(status, payload)] * data.draw(st.integers(1, 3)))


@every_room
@profile(300)
@given(data=st.data())
def test_a_broken_yes_is_never_a_proven_no(venue, data):
    """[client] A submit that was taken: its answer, changed, under any status but 429, never says "refused"."""
    scene = data.draw(st.sampled_from(scenes(venue, "taken")))
    replies, step, change = broken(data.draw, scene)
    status = data.draw(st.sampled_from((replies[step].status, *(each for each in STATUSES if each not in (418, 429)))))
    replies[step] = HttpReply(status, change.data)
    assert not isinstance(ended(scene, replies), Refused), change


@every_room
@profile(300)
@given(data=st.data())
def test_a_broken_look_up_never_says_absent(venue, data):
    """[client] An order that the venue has: with one of the answers changed it is found, or nothing is proven."""
    scene = data.draw(st.sampled_from(scenes(venue, "found")))
    replies, _, change = broken(data.draw, scene)
    value = ended(scene, replies)
    assert value is not None or _is_another_order(change), change


def _is_another_order(change: Mutated) -> bool:
    """One whole id was put in place of the order's own; or a whole empty list in place of the list."""
    kinds = {kind for kind, _ in change.changes}
    if any(key in IDENTITY and kind in ("value", "twist", "double") for kind, key in change.changes):
        return True
    # A list that is left empty, or the answer of one: the venue's own word for "nothing".
    return bool(kinds & {"value", "twist", "double", "page", "cut"}) and _says_nothing(change.data)


def _says_nothing(body: bytes) -> bool:
    try:
        root = json.loads(body)
    except ValueError:
        return False
    lists = (
        [root]
        if isinstance(root, list)
        else [each for each in root.values() if isinstance(each, list)] if (isinstance(root, dict)) else []
    )
    return any(each == [] for each in lists)


@every_room
def test_no_single_slip_hides_an_order(venue):
    """[client] An order that the venue has: each value of each answer dropped, renamed or replaced, one at a time."""
    tried = 0
    # One of each kind: known by its id, found in the list of open orders, found in history.
    kinds = {scene.name.rstrip("0123456789 "): scene for scene in scenes(venue, "found")}
    for scene in kinds.values():
        for step, reply in enumerate(scene.replies):
            for path in places(parsed(reply.body)):
                for new in ("drop", "rename", *SLIPS):
                    root = parsed(reply.body)
                    old = at(root, path)
                    if new in ("drop", "rename"):
                        if not path or not isinstance(path[-1], tuple):
                            continue
                        index, key = path[-1]
                        at(root, path[:-1])[index : index + 1] = [] if new == "drop" else [(key + "_", old)]
                    elif _is_whole(new, old, path):
                        continue
                    else:
                        root = replaced(root, path, new)
                    replies = list(scene.replies)
                    replies[step] = HttpReply(reply.status, rendered(root).encode(), reply.headers)
                    tried += 1
                    assert ended(scene, replies) is not None, (scene.name, step, path, new)
    assert tried > 300


def _is_whole(new: Any, old: Any, path: tuple[Any, ...]) -> bool:
    """This value makes it the honest answer about another order, or about none."""
    if new == [] and isinstance(old, list) and not isinstance(old, Pairs):
        return True
    key = path[-1][1] if path and isinstance(path[-1], tuple) else None
    # An order without a client id has null there, or an empty text.
    return key in IDENTITY and (new is None or type(new) is type(old))


def _holders(scene: Scene) -> list[tuple[int, tuple[Any, ...]]]:
    """(answer, path) of each list or object in the answers of a look-up that holds rows or is the whole answer."""
    found = []
    for step, reply in enumerate(scene.replies):
        root = parsed(reply.body)
        # A "no" needs no list: its code says it.
        if reply.body.startswith(b'{"code":"5'):
            continue
        for path in places(root):
            if len(path) <= 1 and isinstance(at(root, path), list) and reply.status == 200:
                found.append((step, path))
    return found


@every_room
def test_a_look_up_without_its_list_proves_nothing(venue):
    """[client] The list of an honest "absent" dropped, renamed, null, text, a number, an object: not absent."""
    (scene,) = scenes(venue, "absent")
    assert ended(scene, list(scene.replies)) is None
    tried = 0
    for step, path in _holders(scene):
        for new in (*NOTHING, "drop", "rename"):
            root = parsed(scene.replies[step].body)
            old = at(root, path)
            if isinstance(old, Pairs) is isinstance(new, Pairs) and isinstance(old, list) and isinstance(new, list):
                continue
            if new in ("drop", "rename"):
                if not path or not isinstance(path[-1], tuple):
                    continue
                index, key = path[-1]
                holder = at(root, path[:-1])
                if new == "drop":
                    del holder[index]
                else:
                    holder[index] = (key + "_", old)
            else:
                root = replaced(root, path, new)
            replies = list(scene.replies)
            replies[step] = HttpReply(200, rendered(root).encode())
            tried += 1
            assert ended(scene, replies) is not None, (step, path, new)
    assert tried >= 6


@every_room
@pytest.mark.parametrize("status", [200, 400, 404, 500, 502])
def test_a_page_in_place_of_an_answer_proves_nothing(venue, status):
    """[client] HTML, plain text, empty, half a word, with any status: no order is refused or absent for it."""
    for scene in scenes(venue, "taken", "found", "absent"):
        for page in PAGES:
            # An empty list is a whole answer, and [] may be one.
            if page == b"[]":
                continue
            for step in range(len(scene.replies)):
                replies = list(scene.replies)
                replies[step] = HttpReply(status, page)
                value = ended(scene, replies)
                assert value is not None, (scene.name, page)
                assert scene.says != "taken" or not isinstance(value, Refused), (scene.name, page)


@every_room
@profile(150)
@given(data=st.data())
def test_any_bytes_answer_a_submit_and_a_cancel(venue, data):
    """[ours] Bytes without form, under any status, for an order and for its cancel."""
    scene = data.draw(st.sampled_from(scenes(venue, "taken", "refused")))
    reply = HttpReply(data.draw(st.sampled_from(STATUSES)), data.draw(st.binary(max_size=60)))
    assert isinstance(ended(scene, [reply]), VenueError | tuple | list)


def test_the_talks_of_a_day_are_all_there():
    """[ours] The recording holds every talk of the contract, so that no reading goes untried."""
    for venue in ROOMS:
        names = " ".join(scene.name for scene in session(venue).scenes)
        for talk in ("place", "cancel", "look_up", "open_orders", "fills", "positions", "balances", "margin"):
            assert talk in names
        assert {scene.says for scene in scenes(venue)} == {"taken", "refused", "found", "absent", "read"}
        assert placed(PlaceOrder(symbol="", client_id=1, is_ask=False, size_i=1, price_i=1))
        assert cancelled(OrderKey(symbol="", client_id=1))
