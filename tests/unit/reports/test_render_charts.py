"""The charts are drawn from the outcome, can be read without eyes, and survive any number."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from reports.charts import MOST_QUOTES, lanes_chart, price_chart
from runner.outcome import to_json

HERE = Path(__file__).resolve().parent
_spec = importlib.util.spec_from_file_location("outcome_builder", HERE / "outcome_builder.py")
assert _spec is not None
assert _spec.loader is not None
builder = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(builder)


def plays(name):
    return json.loads((HERE / "outcomes" / f"{name}.json").read_bytes())["plays"]


def marks(svg, kind):
    return re.findall(rf'class="{kind}"', svg)


def test_the_price_chart_draws_every_order_and_fill():
    """[client] One line per resting order, one triangle per fill, a band from bid to ask."""
    svg = price_chart(plays("accepted")[0], "p")
    assert len(marks(svg, "order")) == 2  # the market order has no price to rest at
    assert len(marks(svg, "fill")) == 4
    assert len(marks(svg, "band")) == 1
    assert "Order 4000001: buy 0.05 at 140.16, FILLED" in svg


def test_the_lanes_draw_steps_orders_fills_cancels_and_breaks():
    """[client] Everything that happened has its mark, breaks of the stream included."""
    good, bad = plays("accepted")[0], plays("not_proven_flat")[0]
    svg = lanes_chart(good, "p")
    assert (len(marks(svg, "step")), len(marks(svg, "order")), len(marks(svg, "fill"))) == (5, 3, 4)
    assert len(marks(svg, "cancel")) == 1
    assert "up all the time" in svg
    broken = lanes_chart(bad, "p")
    assert len(marks(broken, "bad")) == 3  # the failed step and two breaks
    assert "lost: no ping for 5 s" in broken


@pytest.mark.parametrize("chart", [price_chart, lanes_chart])
@pytest.mark.parametrize("name", ["accepted", "not_proven_flat", "hostile"])
def test_a_chart_is_sound_xml_with_a_text_alternative(chart, name):
    """[client] Title and description are there and named by the image, whatever words are in it."""
    svg = ElementTree.fromstring(chart(plays(name)[0], "key"))
    names = svg.get("aria-labelledby").split()
    found = {one.get("id"): one.text for one in svg.iter() if one.get("id")}
    assert svg.get("role") == "img"
    assert sorted(found) == sorted(names)
    assert all(found.values())
    assert any("fills" in words for words in found.values())


def test_what_never_happened_is_not_drawn():
    """[ours] A play that never began has no chart."""
    empty = plays("accepted")[0] | {"quotes": [], "steps": [], "orders": []}
    assert price_chart(empty, "p") is None
    assert lanes_chart(empty, "p") is None


def test_thousands_of_quotes_are_thinned_out():
    """[ours] The size of a chart is bounded; the last quote stays."""
    play = plays("accepted")[0]
    start = play["quotes"][0]["ts_ms"]
    play["quotes"] = [{"ts_ms": start + n, "bid": "140", "ask": "140.1"} for n in range(50_000)]
    svg = price_chart(play, "p")
    points = re.search(r'class="quote" points="([^"]+)"', svg)[1].split()
    assert len(points) <= 2 * (MOST_QUOTES + 1)
    assert "50000 samples" in svg


def test_a_missing_side_breaks_the_band():
    """[ours] No line is drawn over a time without a bid or ask."""
    play = plays("accepted")[0]
    play["quotes"][10]["bid"] = None
    assert len(marks(price_chart(play, "p"), "band")) == 2


@pytest.mark.parametrize(
    ("bid", "ask"),
    [
        ("0", "0"),
        ("1" + "0" * 70, "1" + "0" * 69 + "1"),
        ("0." + "0" * 60 + "1", "0." + "0" * 60 + "2"),
        ("-5", "9" * 79),
    ],
)
def test_absurd_prices_are_drawn_all_the_same(bid, ask):
    """[ours] No division by nothing, no float, no endless label: all coordinates lie within the picture."""
    play = plays("accepted")[0] | {"orders": []}
    play["quotes"] = [{"ts_ms": 5, "bid": bid, "ask": ask}, {"ts_ms": 5, "bid": ask, "ask": bid}]
    svg = price_chart(play, "p")
    points = re.search(r'class="quote" points="([^"]+)"', svg)[1].split()
    assert all(0 <= float(number) <= 640 for point in points for number in point.split(","))
    assert max(len(label) for label in re.findall(r'text-anchor="end">([^<]+)<', svg)) <= 12


def test_a_chart_does_not_change_with_the_run():
    """[ours] The same play gives the same picture."""
    one, two = (json.loads(to_json(builder.accepted()))["plays"][0] for _ in range(2))
    assert price_chart(one, "p") == price_chart(two, "p")
