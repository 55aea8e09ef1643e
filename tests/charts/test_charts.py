import re
import xml.etree.ElementTree as ET

import pytest

from windvane.charts.panels import BOTTOM, LEFT, RIGHT, TOP, Axis, Point, Series, chart, nice_ticks, tick_text


def drawn(*points, **extra):
    svg = chart("k", "A <title>", "What & how", [Series("S", "true", (points,))], Axis("x"), Axis("y"), **extra)
    return ET.fromstring(str(svg))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (3, 97, [20, 40, 60, 80]),
        (-0.5, 0.5, [-0.4, -0.2, 0, 0.2, 0.4]),
        (2, 7, [2, 3, 4, 5, 6, 7]),
    ],
)
def test_ticks_are_round_and_inside(low, high, expected):
    assert nice_ticks(low, high) == pytest.approx(expected)


def test_tick_texts():
    assert tick_text(0.55, "percent", 0.05) == "55%"
    assert tick_text(0.525, "percent", 0.005) == "52.5%"
    assert tick_text(-0.2, "number", 0.2) == "−0.2"
    assert tick_text(12000, "whole", 4000) == "12,000"
    assert tick_text(0.5, "number", 0.25) == "0.5" or tick_text(0.25, "number", 0.25) == "0.25"


def test_points_stand_where_the_scale_says():
    """x from 0 to 10 and y from 0 to 1, room of 6% each side: y = 0.5 is the middle of the plot, and so is x = 5."""
    svg = drawn(Point(0, 0.0), Point(5, 0.5, 0.0, 1.0), Point(10, 1.0))
    circles = [(float(c.get("cx")), float(c.get("cy"))) for c in svg.iter("circle")]
    assert circles[1][0] == pytest.approx((LEFT + 8 + RIGHT - 6) / 2, abs=0.06)
    assert circles[1][1] == pytest.approx((TOP + BOTTOM) / 2, abs=0.06)
    assert circles[0][1] == pytest.approx(BOTTOM - 0.06 / 1.12 * (BOTTOM - TOP), abs=0.06)
    span = next(line for line in svg.iter("line") if line.get("class") == "span")
    assert float(span.get("y1")) == pytest.approx(circles[0][1]) and float(span.get("y2")) == pytest.approx(
        circles[2][1]
    )


def test_title_and_description_for_screen_readers():
    svg = drawn(Point(1, 1.0))
    assert svg.get("role") == "img" and svg.get("aria-labelledby") == "k-t k-d"
    assert svg.find("title").text == "A <title>" and svg.find("desc").text == "What & how"


def test_ticks_out_of_sight_are_not_drawn():
    svg = chart(
        "k",
        "t",
        "d",
        [Series("S", "true", ((Point(5, 1), Point(6, 2)),))],
        Axis("x", "whole", ticks=(0, 5, 6)),
        Axis("y"),
    )
    bottoms = re.findall(rf'x="([\d.-]+)" y="{BOTTOM + 15}">(\d+)<', svg)
    assert [text for _, text in bottoms] == ["5", "6"]


def test_nothing_to_draw_is_no_chart():
    assert chart("k", "t", "d", [Series("S", "true", ((),))], Axis("x"), Axis("y")) is None


def test_equal_values_still_have_a_range():
    assert [float(c.get("cy")) for c in drawn(Point(0, 2.0), Point(1, 2.0)).iter("circle")] == [(TOP + BOTTOM) / 2] * 2


def name_of_rule(*points):
    svg = chart(
        "k", "t", "d", [Series("S", "true", (points,))], Axis("x"), Axis("y", include=(-1, 1)), rule=(0.0, "zero")
    )
    x, y = re.search(r'class="tick halo" x="([\d.]+)" y="([\d.]+)">zero', str(svg)).groups()
    return ("left" if float(x) < (LEFT + RIGHT) / 2 else "right"), (
        "under" if float(y) > (TOP + BOTTOM) / 2 else "over"
    )


def test_the_name_of_a_rule_stands_where_nothing_is_drawn():
    """The rule is at the middle of the plot; a line just under it, then one just over it, then both at the right end."""
    assert name_of_rule(Point(0, 1.0), Point(10, 1.0)) == ("right", "under")
    assert name_of_rule(Point(0, -0.1), Point(10, -0.1)) == ("right", "over")
    assert name_of_rule(Point(0, 1.0), Point(8, 1.0), Point(9.5, 0.0, -0.2, 0.2)) == ("left", "under")
