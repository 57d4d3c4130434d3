"""Grids, and which arrays fit on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from simvue import grids
from simvue.exception import InvalidValueError


def test_a_grid_is_made_of_lists_or_arrays() -> None:
    grid = grids.make_grid("g", [np.array([0.0, 0.5]), (1, 2, 3)], ["x", "y"])
    assert grid == {"name": "g", "grid": [[0.0, 0.5], [1.0, 2.0, 3.0]], "labels": ["x", "y"]}


@pytest.mark.parametrize(
    ("ticks", "labels", "told"),
    [
        ([[0, 0]], ["x"], "ascend"),
        ([[1, 0]], ["x"], "ascend"),
        ([[0, float("nan")]], ["x"], "ascend"),
        ([[]], ["x"], "ascend"),
        ([["a"]], ["x"], "are numbers"),
        ([1, 2], ["x"], "are numbers"),
        ([[0], [0], [0]], ["x", "y", "z"], "one or two axes"),
        ([], [], "one or two axes"),
        ([[0, 1]], ["x", "y"], "as many labels"),
        ([[0, 1]], [1], "as many labels"),
        ([[0, 1]], "x", "an entry for each axis"),
    ],
)
def test_what_is_no_grid_is_refused(ticks: Any, labels: Any, told: str) -> None:
    with pytest.raises(InvalidValueError, match=told):
        grids.make_grid("g", ticks, labels)


def test_the_last_axis_of_an_array_is_the_first_of_its_grid() -> None:
    grid = grids.make_grid("g", [[0, 1, 2], [0, 1]], ["x", "y"])
    array = np.arange(6).reshape(2, 3)
    assert grids.check_array("T", array, grid) == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(InvalidValueError, match=r"shape is \(3, 2\), and that of its grid 'g'"):
        grids.check_array("T", array.T, grid)
    assert grids.check_array("T", array, grids.default_grid("T", array))


def test_arrays_are_told_from_numbers(caplog: pytest.LogCaptureFixture) -> None:
    field, scalar = np.zeros(3), np.float32(1)
    zero = np.array(2.0)
    metrics = {"T": field, "x": scalar, "zero": zero, "huge": np.zeros(50_001), "n": 1}
    arrays, numbers = grids.take_arrays(metrics)
    assert arrays == {"T": field}
    assert numbers == {"x": scalar, "zero": zero, "n": 1}
    assert "an array of 50001 elements is not recorded" in caplog.text
    for bad in (np.zeros((2, 2, 2)), np.zeros((0, 2))):
        with pytest.raises(InvalidValueError, match="one or two axes, none of them empty"):
            grids.take_arrays({"T": bad})
    # A name that no row may have is found before any array is logged.
    with pytest.raises(InvalidValueError, match="metric name"):
        grids.take_arrays({"T": field, "a[0]": 1.0})
