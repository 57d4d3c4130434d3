"""Heritage: the forms in which ``Client`` answered before 1.0, for scripts that still ask so."""

from __future__ import annotations

from collections.abc import Mapping

from .frames import Row, Values


def condition(text: str) -> str:
    """Return a filter as the wire has it: a bare path was a folder, a bare word a tag."""
    if text.startswith("/"):
        return f"folder.path == {text}"
    if text != "starred" and " " not in text.strip():
        return f"has tag.{text}"
    return text


def rows(values: Values, labels: Mapping[str, str]) -> list[Row]:
    """Return what ``get_metric_values`` gives one after the other, runs by their *labels*."""
    return [
        (x, value, labels[run], metric)
        for metric, column in values.items()
        for (x, run), value in column.items()
    ]
