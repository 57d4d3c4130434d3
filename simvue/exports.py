"""Runs and series as tables for other programs: CSV, and Parquet.

A table of runs has a row for each, its metadata and the last value of each metric in columns of
their own.  A table of series is long: a row for each value, so that series of other lengths,
steps and times lie in one table::

    run, metric, step, time, timestamp, value[, rank]
"""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Protocol

from simvue.exception import InvalidValueError
from simvue.wire import format_timestamp

if TYPE_CHECKING:
    import pyarrow as pa

    from simvue.series import Series

FORMATS: Final = ("csv", "parquet")

_MEMBERS: Final = (
    "id", "name", "status", "folder", "user", "tags", "description",
    "created", "started", "endtime", "runtime",
)  # fmt: skip
"""Members of a run that every table of runs has."""


def format_of(path: Path | None, chosen: str | None) -> str:
    """Return the format for *path*: the one that was chosen, or else the one it is named after."""
    if chosen:
        return chosen
    if path is None:
        return "csv"
    if path.suffix.lstrip(".") in FORMATS:
        return path.suffix.lstrip(".")
    raise InvalidValueError(f"{path.name} is named after no format; name one: {', '.join(FORMATS)}")


# ---- Runs --------------------------------------------------------------------------------------


def run_rows(runs: Iterable[Mapping[str, Any]]) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the columns and the rows of a table of runs."""
    rows = []
    columns = dict.fromkeys(_MEMBERS)
    for run in runs:
        row = {name: run.get(name) for name in _MEMBERS}
        row |= _leaves("metadata", run.get("metadata") or {})
        for name, summary in (run.get("metrics") or {}).items():
            row[f"metrics.{name}"] = summary.get("last")
        columns |= dict.fromkeys(row)
        rows.append(row)
    return list(columns), rows


def _leaves(prefix: str, table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(f"{prefix}.{key}", value)
        else:
            yield f"{prefix}.{key}", value


def write_runs(runs: Iterable[Mapping[str, Any]], path: Path | None, format: str) -> int:
    """Write a table of runs to *path*, or standard output; return how many there are."""
    columns, rows = run_rows(runs)
    if format == "csv":
        with _csv_file(path) as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows({name: _text(value) for name, value in row.items()} for row in rows)
        return len(rows)
    pa, parquet = _arrow()
    arrays = [_array(pa, [row.get(name) for row in rows]) for name in columns]
    with _whole(path) as part:
        parquet.write_table(pa.table(dict(zip(columns, arrays, strict=True))), part)
    return len(rows)


def _array(pa: Any, values: list[Any]) -> pa.Array:
    """Return a column of what the values have in common, of texts if that is nothing."""
    kinds = {type(value) for value in values if value is not None}
    if kinds and (kinds <= {int, float} or kinds == {bool}):
        try:
            return pa.array(values)
        except (pa.ArrowInvalid, OverflowError):
            pass  # An integer beyond 64 bits, or beyond what a float holds exactly.
    return pa.array([None if value is None else _text(value) for value in values], pa.string())


def _text(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value) if isinstance(value, dict | list | bool) else repr(value)


# ---- Series ------------------------------------------------------------------------------------


class SeriesWriter(Protocol):
    """What takes one series after the other."""

    def write(self, run: str, series: Series) -> None: ...  # noqa: D102 - see the class


def series_writer(path: Path | None, format: str) -> AbstractContextManager[SeriesWriter]:
    """Open a table of series at *path*, or standard output; one series is in memory at a time.

    The file is there when all of it is: it is written beside, and renamed.
    """
    return _csv_series(path) if format == "csv" else _parquet_series(path)


_COLUMNS: Final = ("run", "metric", "step", "time", "timestamp", "value", "rank")


class _CSVSeries:
    def __init__(self, file: IO[str]) -> None:
        self._rows = csv.writer(file, lineterminator="\n")
        self._rows.writerow(_COLUMNS)

    def write(self, run: str, series: Series) -> None:
        ranks: Sequence[Any] = series.rank or [""] * len(series)
        columns = (series.step, series.time, series.timestamp, series.values, ranks)
        for step, time, stamp, value, rank in zip(*columns, strict=True):
            # Written as repr does, a float is read back as exactly that one.
            self._rows.writerow(
                (run, series.name, step, repr(time), format_timestamp(stamp), repr(value), rank)
            )


class _ParquetSeries:
    def __init__(self, pa: Any, writer: Any, schema: Any) -> None:
        self._pa, self._writer, self._schema = pa, writer, schema

    def write(self, run: str, series: Series) -> None:
        pa, count = self._pa, len(series)

        def named(text: str) -> Any:
            indices = pa.array([0], pa.int32()).take(pa.nulls(count, pa.int32()).fill_null(0))
            return pa.DictionaryArray.from_arrays(indices, pa.array([text]))

        rank = pa.nulls(count, pa.int32())
        if series.rank is not None:
            rank = pa.array(series.rank, pa.int32())
        columns = [
            named(run),
            named(series.name),
            pa.array(series.step, pa.int64()),
            pa.array(series.time, pa.float64()),
            pa.array(series.timestamp, pa.timestamp("us", "UTC")),
            pa.array(map(float, series.values), pa.float64()),
            rank,
        ]
        self._writer.write_batch(pa.record_batch(columns, schema=self._schema))


@contextmanager
def _csv_series(path: Path | None) -> Iterator[SeriesWriter]:
    with _csv_file(path) as file:
        yield _CSVSeries(file)


@contextmanager
def _parquet_series(path: Path | None) -> Iterator[SeriesWriter]:
    pa, parquet = _arrow()
    names = pa.dictionary(pa.int32(), pa.string())
    kinds = (
        names, names, pa.int64(), pa.float64(), pa.timestamp("us", "UTC"), pa.float64(), pa.int32(),
    )  # fmt: skip
    schema = pa.schema(list(zip(_COLUMNS, kinds, strict=True)))
    with _whole(path) as part, parquet.ParquetWriter(part, schema) as writer:
        yield _ParquetSeries(pa, writer, schema)


# ---- Files ---------------------------------------------------------------------------------------


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise InvalidValueError(
            f"Parquet needs {error.name}: pip install 'simvue[parquet]'; CSV needs nothing"
        ) from None
    return pa, parquet


@contextmanager
def _csv_file(path: Path | None) -> Iterator[IO[str]]:
    if path is None:
        yield sys.stdout
        return
    with _whole(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        yield file


@contextmanager
def _whole(path: Path | None) -> Iterator[Path]:
    """Have a file written beside *path*, and renamed when it is whole."""
    if path is None:
        raise InvalidValueError("Parquet is no text for a terminal: name a file with --output")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
