"""Objects become bytes and come back; files are named and typed."""

from __future__ import annotations

import json
import sys
from collections import OrderedDict
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from simvue import artifacts
from simvue.exception import InvalidValueError


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.array([1, 2], np.int8),
        np.array(True),
        np.zeros((0, 4)),
        np.array(["text"]),
    ],
)
def test_an_array_comes_back_with_shape_and_type(array: Any) -> None:
    content, mime_type = artifacts.encode(array)
    assert mime_type == "application/vnd.simvue.numpy.v1"
    back = artifacts.decode(content, mime_type)
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert (back == array).all()


def test_a_frame_is_a_table_with_its_index_in_front() -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": [0.5, -1.5]}, index=["x", "y"])
    content, mime_type = artifacts.encode(frame)
    assert mime_type == "application/vnd.simvue.df.v1"
    assert content == b",a,b\nx,1,0.5\ny,2,-1.5\n"
    pd.testing.assert_frame_equal(artifacts.decode(content, mime_type), frame)


@pytest.mark.parametrize("obj", [None, "text", [1, 2.5, {"a": None}], {"a": {"b": [True]}}])
def test_what_json_holds_is_json(obj: Any) -> None:
    content, mime_type = artifacts.encode(obj)
    assert mime_type == "application/json"
    assert json.loads(content) == obj
    assert artifacts.decode(content, mime_type) == obj


@pytest.mark.parametrize("obj", [{1, 2}, 1j, b"bytes", np.array([{}], object)])
def test_anything_else_is_a_pickle_and_only_if_it_is_allowed(obj: Any) -> None:
    with pytest.raises(InvalidValueError, match="allow_pickle=True"):
        artifacts.encode(obj)
    content, mime_type = artifacts.encode(obj, allow_pickle=True)
    assert mime_type == "application/octet-stream"
    assert artifacts.decode(content, mime_type) == content, "nothing is run that nobody allowed"
    assert artifacts.decode(content, mime_type, allow_pickle=True) == obj


def test_what_not_even_a_pickle_holds_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="cannot be pickled"):
        artifacts.encode(lambda: None, allow_pickle=True)


class Figure:
    """As plotly's, as far as it is used here; plotly itself is no part of the tests."""

    def to_json(self) -> str:
        return '{"data": [], "layout": {}}'


def test_a_figure_is_known_once_its_package_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    package = ModuleType("plotly.graph_objs")
    package.Figure = Figure  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "plotly.graph_objs", package)
    assert artifacts.encode(Figure()) == (
        b'{"data": [], "layout": {}}',
        "application/vnd.plotly.v1+json",
    )


def test_an_ordered_dict_of_anything_but_tensors_is_json() -> None:
    assert artifacts.encode(OrderedDict(a=1)) == (b'{"a": 1}', "application/json")


# ---- Files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "mime_type"),
    [
        ("a.txt", "text/plain"),
        ("a.json", "application/json"),
        ("a.png", "image/png"),
        ("a.unknown", "application/octet-stream"),
        ("Makefile", "application/octet-stream"),
    ],
)
def test_a_file_has_the_type_of_its_extension(name: str, mime_type: str) -> None:
    assert artifacts.check_mime_type(None, Path(name)) == mime_type


def test_a_type_that_is_given_has_to_be_known() -> None:
    path = Path("a.txt")
    assert artifacts.check_mime_type("image/png", path) == "image/png"
    assert artifacts.check_mime_type(artifacts.PLOTLY, path) == artifacts.PLOTLY
    with pytest.raises(InvalidValueError, match="'text/plan' is not a MIME type"):
        artifacts.check_mime_type("text/plan", path)


def test_a_file_is_named_by_its_last_part_or_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "work" / "case" / "a b.txt"
    path.parent.mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    assert artifacts.name_of_file(path, None) == "a b.txt"
    assert artifacts.name_of_file(path, "cwd") == "case/a b.txt"
    assert artifacts.name_of_file(path, "git") == "work/case/a b.txt"
    assert artifacts.name_of_file(path, path.parent) == "a b.txt"
    # One that lies elsewhere has no name that leads out of a directory.
    assert artifacts.name_of_file(Path("/etc/host+name"), "cwd") == "etc/host_name"


def test_what_is_no_file_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="does not exist"):
        artifacts.check_file(tmp_path / "missing")
    with pytest.raises(InvalidValueError, match="is not a file"):
        artifacts.check_file(tmp_path)
    with pytest.raises(InvalidValueError, match="named by its path, not by int"):
        artifacts.check_file(3)
    with pytest.raises(InvalidValueError, match="is not a directory"):
        list(artifacts.files_below(tmp_path / "missing"))


@pytest.mark.parametrize("category", ["Output", "", None, 1])
def test_a_category_is_one_of_three(category: Any) -> None:
    with pytest.raises(InvalidValueError, match="input, output, code"):
        artifacts.check_category(category)
