"""The charts are drawn from the outcome, can be read without eyes, and survive any number."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from reports.charts import MOST_QUOTES, lanes_chart, margin_chart, position_chart, price_chart
from reports.language import tongue
from reports.timing import measures, spread_chart
from runner.outcome import to_json

HERE = Path(__file__).resolve().parent
_spec = importlib.util.spec_from_file_location("outcome_builder", HERE / "outcome_builder.py")
assert _spec is not None
assert _spec.loader is not None
builder = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(builder)


def plays(name):
    return json.loads((HERE / "outcomes" / f"{name}.json").read_bytes())["plays"]


T = tongue("en")


def lanes(play, key="key", t=T):
    return lanes_chart([play], key, t)


def prices(play, key="key", t=T):
    return price_chart(play, key, t)


def marks(svg, kind):
    return re.findall(rf'class="{kind}"', svg)


def test_the_price_chart_draws_every_order_and_fill():
    """[client] One line per resting order, one triangle per fill, a band from bid to ask."""
    svg = prices(plays("accepted")[0]).svg
    assert len(marks(svg, "order")) == 2  # the market order has no price to rest at
    assert len(marks(svg, "fill")) == 4
    assert len(marks(svg, "band")) == 1
    assert "4000001: buy 0.05 at 140.16, FILLED" in svg


def test_the_lanes_draw_steps_orders_fills_cancels_and_breaks():
    """[client] Everything that happened has its mark, breaks of the stream included."""
    good, bad = plays("accepted")[0], plays("not_proven_flat")[0]
    svg = lanes(good).svg
    assert (len(marks(svg, "step")), len(marks(svg, "order")), len(marks(svg, "fill"))) == (5, 3, 4)
    assert len(marks(svg, "cancel")) == 1
    assert "up all the time" in svg
    broken = lanes(bad).svg
    assert len(marks(broken, "bad")) == 3  # the failed step and two breaks
    assert "lost: no ping for 5 s" in broken


@pytest.mark.parametrize("chart", [prices, lanes])
@pytest.mark.parametrize("name", ["accepted", "not_proven_flat", "hostile"])
def test_a_chart_is_sound_xml_with_a_text_alternative(chart, name):
    """[client] Title and description are there and named by the image, whatever words are in it."""
    svg = ElementTree.fromstring(chart(plays(name)[0]).svg)
    names = svg.get("aria-labelledby").split()
    found = {one.get("id"): one.text for one in svg.iter() if one.get("id")}
    assert svg.get("role") == "img"
    assert sorted(found) == sorted(names)
    assert all(found.values())
    assert any("fill" in words for words in found.values())


def test_what_never_happened_is_not_drawn():
    """[ours] A play that never began has no chart."""
    empty = plays("accepted")[0] | {"quotes": [], "steps": [], "orders": []}
    assert prices(empty) is None
    assert lanes(empty) is None


def test_thousands_of_quotes_are_thinned_out():
    """[ours] The size of a chart is bounded; the last quote stays."""
    play = plays("accepted")[0]
    start = play["quotes"][0]["ts_ms"]
    play["quotes"] = [{"ts_ms": start + n, "bid": "140", "ask": "140.1"} for n in range(50_000)]
    svg = prices(play).svg
    points = re.search(r'class="quote" points="([^"]+)"', svg)[1].split()
    assert len(points) <= 2 * (MOST_QUOTES + 1)
    assert "50000 samples" in svg


def test_a_missing_side_breaks_the_band():
    """[ours] No line is drawn over a time without a bid or ask."""
    play = plays("accepted")[0]
    play["quotes"][10]["bid"] = None
    assert len(marks(prices(play).svg, "band")) == 2


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
    svg = prices(play).svg
    points = re.search(r'class="quote" points="([^"]+)"', svg)[1].split()
    assert all(0 <= float(number) <= 640 for point in points for number in point.split(","))
    assert max(len(label) for label in re.findall(r'text-anchor="end">([^<]+)<', svg)) <= 12


def test_a_chart_does_not_change_with_the_run():
    """[ours] The same play gives the same picture."""
    one, two = (json.loads(to_json(builder.accepted()))["plays"][0] for _ in range(2))
    assert prices(one) == prices(two)


def test_the_lanes_of_all_exchanges_share_one_axis():
    """[client] One picture shows every exchange, each with its own five lanes and its own words."""
    chart = lanes_chart(plays("not_proven_flat"), "run", T)
    assert len(marks(chart.svg, "venue")) == 2
    assert len(marks(chart.svg, "lane")) == 10
    assert "backpack, SOL perp: 1 step, 1 order, 0 fills, 0 cancels, 2 breaks." in chart.words
    assert "okx, SOL perp: 5 steps, 3 orders, 4 fills, 1 cancel, stream never lost." in chart.words


def test_position_and_margin_are_drawn_over_time():
    """[client] The position follows our fills back to zero; the margin shows its least free part."""
    play = plays("accepted")[0]
    position, margin = position_chart(play, "p", T), margin_chart(play, "p", T)
    assert position.words == "Position by our own fills: 0 at first, between 0 and 0.05, 0 at last."
    assert len(marks(position.svg, "proof")) == 1
    assert margin.words == "Balance from 1000 to 999.99431, least free margin 999.2979, 4 readings."
    empty = play | {"orders": [], "margin": {"before": None, "after": None, "changes": []}}
    assert position_chart(empty, "p", T) is None
    assert margin_chart(empty, "p", T) is None


def test_latencies_are_read_off_the_orders_stories():
    """[client] Submit to ack, cancel to ack, age of news and interval errors, each with its spread."""
    found = {measure.key: measure for measure in measures(plays("accepted"))}
    (ack,), (cancel,), (interval,) = (found[key].rows for key in ("ack", "cancel", "interval"))
    assert (ack.measured, ack.least, ack.median, ack.most) == (3, "41", "41", "41")
    assert (cancel.measured, cancel.median) == (1, "38")
    assert (interval.least, interval.median, interval.ninth, interval.most) == ("-8.1", "-8.1", "12.4", "12.4")
    (lag,) = found["lag"].rows
    assert (lag.measured, lag.least, lag.most) == (8, "20.5", "41")
    chart = spread_chart(found["ack"], "run", T)
    assert chart.words == "backpack: 3 measurements, median 41 ms, most 41 ms."
    assert spread_chart(measures([])[0], "run", T) is None


def test_thousands_of_measurements_stay_a_small_picture():
    """[ours] Dots are thinned by rank and both ends are kept; the table still counts them all."""
    play = plays("accepted")[0]
    play["tracking"][0]["interval_errors_ms"] = [n / 10 for n in range(-5_000, 5_000)]
    measure = measures([play])[3]
    svg = spread_chart(measure, "run", T).svg
    assert measure.rows[0].measured == 10_000
    assert svg.count("<circle") == 160
    assert (measure.rows[0].least, measure.rows[0].most) == ("-500.0", "499.9")
