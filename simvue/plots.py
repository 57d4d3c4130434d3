"""Figures of metrics; only who draws one needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .frames import Values

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LABELS = {"step": "step", "time": "time / s", "timestamp": "time (UTC)"}


def plot_values(values: Values, runs: Sequence[str], xaxis: str) -> Figure:
    """Draw a line for each metric and run of what `frames.by_run` returns.

    Raises ImportError that says what to install.
    """
    try:
        from matplotlib import pyplot
    except ImportError:
        raise ImportError(
            "a plot needs matplotlib: pip install 'simvue[plot]'", name="matplotlib"
        ) from None
    figure, axes = pyplot.subplots()
    for metric, column in values.items():
        for run in runs:
            points = [(x, value) for (x, of), value in column.items() if of == run]
            if points:
                label = metric if len(runs) == 1 else f"{run}: {metric}"
                axes.plot(*_columns(points, xaxis), label=label)
    axes.set_xlabel(_LABELS[xaxis])
    if len(values) == 1:
        axes.set_ylabel(next(iter(values)))
    axes.legend()
    return figure


def _columns(points: Sequence[tuple[Any, Any]], xaxis: str) -> tuple[list[Any], list[Any]]:
    x, y = (list(column) for column in zip(*points, strict=True))
    if xaxis == "timestamp":
        from .records import moment

        x = [moment(str(text)) for text in x]
    return x, y
