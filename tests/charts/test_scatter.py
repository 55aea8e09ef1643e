"""The picture shows the numbers: bins by hand, well-formed SVG, names escaped."""

import xml.etree.ElementTree as ET

import pytest

from windvane.charts.scatter import binned, length_plot


def test_bins_by_hand():
    """Ten rows in two bins of five: the shorter half wins 1 of 5, the longer 4 of 5; sd of (1,0,0,0,0) is sqrt(0.2)."""
    found = binned([5, 4, 3, 2, 1, -1, -2, -3, -4, -5], [1, 1, 1, 1, 0, 1, 0, 0, 0, 0], bins=2)
    assert [(x, y, n) for x, y, _, n in found] == [(-3, 0.2, 5), (3, 0.8, 5)]
    assert found[0][2] == pytest.approx(1.96 * (0.2 / 5) ** 0.5)


@pytest.mark.parametrize("differences", [[0.0] * 30, [float(i) for i in range(30)], [-1e6, 3.0], [7.0]])
def test_well_formed(differences):
    shares = [i % 2 for i in range(len(differences))]
    svg = length_plot({"<a> & b": (differences, shares), "other": (differences, shares)}, "x < y", "tokens")
    root = ET.fromstring(svg)
    texts = [t.text for t in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "<a> & b" in texts and "x < y" in texts and "nan" not in svg
    assert len(list(root.iter("{http://www.w3.org/2000/svg}polyline"))) == 2
