"""The palette: each colour is seen on its ground, and no two of the runs' are taken for one."""

from __future__ import annotations

import math
import re
from itertools import combinations
from pathlib import Path

import pytest

STYLE = Path(__file__).parent.parent.parent / "simvue" / "ui" / "style.css"
PAIR = re.compile(r"(--[\w-]+): light-dark\((#\w+), (#\w+)\)")
HUES = [f"--hue-{i}" for i in range(12)]

# What is left of linear red, green and blue for those who lack one kind of cones, fully:
# G. M. Machado, M. M. Oliveira, L. A. F. Fernandes, "A Physiologically-based Model for Simulation
# of Color Vision Deficiency", IEEE TVCG 15(6), 2009, table 1, severity 1.0.
EYES = {
    "all cones": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}

# sRGB (IEC 61966-2-1) to CIE XYZ; the rows' sums are its white, D65.
XYZ = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)

# About six times what can just be told apart where two patches touch; thin lines do not touch.
APART_LEAST = 14

Three = tuple[float, float, float]
Matrix = tuple[Three, Three, Three]


def colours(theme: int) -> dict[str, str]:
    """The style sheet's colours by name; *theme* is 0 for light and 1 for dark."""
    return {name: pair[theme] for name, *pair in PAIR.findall(STYLE.read_text())}


def linear(colour: str) -> Three:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return red, green, blue


def times(matrix: Matrix, vector: Three) -> Three:
    one, two, three = (sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix)
    return one, two, three


def contrast(one: str, other: str) -> float:
    """The contrast of two colours as WCAG 2 defines it: 1 to 21."""
    light, dark = sorted((times(XYZ, linear(colour))[1] for colour in (one, other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def lab(light: Three) -> Three:
    """CIELAB of linear red, green and blue, by CIE 15:2004."""
    parts = [part / sum(row) for part, row in zip(times(XYZ, light), XYZ, strict=True)]
    x, y, z = (p ** (1 / 3) if p > 216 / 24389 else (24389 / 27 * p + 16) / 116 for p in parts)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def apart(one: str, other: str, eyes: Matrix) -> float:
    """How far two colours are apart for *eyes*: CIE 1976, the distance in CIELAB."""
    seen = [times(eyes, linear(colour)) for colour in (one, other)]
    within = [lab((min(1, max(0, r)), min(1, max(0, g)), min(1, max(0, b)))) for r, g, b in seen]
    return math.dist(*within)


# WCAG AA: 4.5 for text, 3 for lines of a chart.
@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_colours_stand_out_from_their_ground(theme: int) -> None:
    found = colours(theme)
    texts = ["--ink", "--muted", "--accent", "--good", "--bad", "--warn", "--odd"]
    least = dict.fromkeys(texts, 4.5) | dict.fromkeys(HUES, 3.0)
    faint = {
        (name, ground): contrast(found[name], found[ground])
        for name, wanted in least.items()
        for ground in ("--ground", "--panel", "--sunk")
        if contrast(found[name], found[ground]) < wanted
    }
    assert faint == {}


@pytest.mark.parametrize("eyes", EYES)
@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_no_two_hues_of_runs_are_taken_for_one(theme: int, eyes: str) -> None:
    found = colours(theme)
    near = {
        (one, other): round(apart(found[one], found[other], EYES[eyes]), 1)
        for one, other in combinations(HUES, 2)
    }
    assert len(near) == 66
    assert {pair: away for pair, away in near.items() if away < APART_LEAST} == {}
