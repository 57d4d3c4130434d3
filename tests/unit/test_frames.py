import math

import pytest

from simvue import frames

ANSWER = {
    "r1": {"a": [{"step": 0, "value": 1.0}, {"step": 2, "value": 3.0}]},
    "r2": {
        "a": [{"step": 0, "value": 5}, {"step": 1, "value": True}],
        "b": [{"step": 1, "value": math.inf}],
    },
}


def test_by_run_has_what_was_logged_and_no_more_x_ascending():
    values = frames.by_run(ANSWER, "step", {"r2": "second"})
    assert list(values["a"].items()) == [
        ((0, "r1"), 1.0),
        ((0, "second"), 5),
        ((1, "second"), True),
        ((2, "r1"), 3.0),
    ]
    assert values["b"] == {(1, "second"): math.inf}
    assert frames.by_run({}, "step", {}) == {}


def test_values_frame_has_a_row_for_each_x_and_run():
    pytest.importorskip("pandas")
    frame = frames.values_frame(frames.by_run(ANSWER, "step", {}), "step")
    assert list(frame.index) == [(0, "r1"), (0, "r2"), (1, "r2"), (2, "r1")]
    assert list(frame.index.names) == ["step", "run"]
    assert frame["a"].tolist() == [1.0, 5, True, 3.0]
    assert frame["b"].isna().tolist() == [True, True, False, True]


def test_aggregates_frame_has_a_row_for_each_x_and_a_column_for_each_kind():
    pytest.importorskip("pandas")
    points = [{"step": k, "average": k + 0.5, "min": k, "max": k + 1} for k in range(3)]
    values = frames.by_aggregate({"a": points}, "step")
    assert values["a"][1, "average"] == 1.5
    frame = frames.aggregates_frame(values, "step")
    assert list(frame.columns) == [("a", "average"), ("a", "min"), ("a", "max")]
    assert frame.loc[2, ("a", "max")] == 3
    assert frame.index.name == "step"


def test_runs_frame_makes_columns_of_nested_members():
    pytest.importorskip("pandas")
    frame = frames.runs_frame(
        [{"name": "x", "metadata": {"a": {"b": 1}}, "tags": ["t"]}, {"name": "y", "metadata": {}}]
    )
    assert list(frame["metadata.a.b"].fillna(0)) == [1, 0]
    assert frame["tags"][0] == ["t"]
