"""Runs out of other programs' files, so that the same file twice is there once.

The run's identifier, and the writer of its rows, are derived from what the file is; the rows are
numbered as they stand in it.  So the server knows what it has already, and a file that has grown
brings only what is new::

    file -> source: identity, rows -> POST /runs with an id -> POST /metrics, rows first-end
"""

from __future__ import annotations

import csv
import hashlib
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import msgpack

from simvue.exception import InvalidValueError, ServerError
from simvue.remote import Remote, route
from simvue.tfevents import FILE_PATTERN, EventFile
from simvue.wire import (
    METRIC_NAME_PATTERN,
    ROWS_HEADER,
    WRITER_HEADER,
    body_header,
    derived_id,
    format_timestamp,
    parse_timestamp,
    rows_header,
)

_BATCH_SIZE: Final = 1 << 20
"""Bytes of rows beyond which a request is full: some 10,000 rows of one number."""

Row = dict[str, Any]
"""A row as the wire has it, but ``timestamp`` in microseconds since the epoch."""


class Source(Protocol):
    """One file: what it is, and its rows in order."""

    @property
    def path(self) -> Path: ...  # noqa: D102 - a protocol's members say all
    @property
    def identity(self) -> str: ...  # noqa: D102
    @property
    def troubles(self) -> list[str]: ...  # noqa: D102
    def rows(self) -> Iterator[Row]: ...  # noqa: D102


class Imported(NamedTuple):
    """What became of one run: its id, how many rows were new, and what there is to say."""

    run: str
    name: str
    rows: int
    new: int
    notes: tuple[str, ...]


# ---- TensorBoard ---------------------------------------------------------------------------------


class EventSource:
    """An event file of TensorBoard."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = EventFile(path)
        self.identity = hashlib.sha256(self._file.read_identity() + path.name.encode()).hexdigest()

    @property
    def troubles(self) -> list[str]:
        """What was found while the rows were read."""
        told = []
        if self._file.left_out:
            names = ", ".join(sorted(self._file.left_out)[:3])
            told.append(
                f"{len(self._file.left_out)} tags hold no numbers, and are left out: {names}"
            )
        if self._file.damage:
            told.append(f"{self.path}: {self._file.damage}; what stands before it is imported")
        return told

    def rows(self) -> Iterator[Row]:
        """Yield a row for each event that holds numbers."""
        begin: int | None = None
        for event in self._file.read():
            begin = event.timestamp if begin is None else begin
            yield {
                "values": {metric_name(tag): value for tag, value in event.values.items()},
                "time": (event.timestamp - begin) / 1e6,
                "timestamp": event.timestamp,
                "step": event.step,
            }


def event_directories(top: Path) -> Iterator[tuple[str, list[Path]]]:
    """Yield each directory with event files, as the name of a run, with these files in order."""
    found: dict[Path, list[Path]] = {}
    for path in sorted(top.rglob(FILE_PATTERN)):
        if path.is_file():
            found.setdefault(path.parent, []).append(path)
    for directory, files in found.items():
        inner = directory.relative_to(top)
        yield (top.resolve().name if inner == Path(".") else inner.as_posix()), files


# ---- CSV ---------------------------------------------------------------------------------------


@dataclass
class TableSource:
    """A CSV file whose first line names the columns; those named like an axis are one.

    Under one *key* it stays the same, however it grows or moves.
    """

    path: Path
    key: str | None = None
    delimiter: str = ","
    step: str = "step"
    time: str = "time"
    timestamp: str = "timestamp"
    troubles: list[str] = field(default_factory=list)

    @property
    def identity(self) -> str:
        """The digest of all that is in it: two tables may well begin alike."""
        if self.key:
            return f"key {self.key}"
        with self.path.open("rb") as file:
            return hashlib.sha256(file.read()).hexdigest()

    def rows(self) -> Iterator[Row]:
        """Yield a row for each line; a field that is no number is left out."""
        with self.path.open(newline="", encoding="utf-8-sig") as file:
            # Of a table that grows, a line without its end is one that is being written.
            lines = (line for line in file if line.endswith("\n") or not self.key)
            reader = csv.DictReader(lines, delimiter=self.delimiter)
            names = reader.fieldnames or []
            if len(names) != len(set(names)):
                raise InvalidValueError(f"{self.path}: two columns have the same name")
            metrics = {
                name: metric_name(name)
                for name in names
                if name and name not in (self.step, self.time, self.timestamp)
            }
            # Without a column of times the whole table is of the moment it was written.
            written = int(self.path.stat().st_mtime * 1e6)
            begin: int | None = None
            texts: set[str] = set()
            for number, line in enumerate(reader):
                values = {}
                for name, metric in metrics.items():
                    value = _number(line.get(name))
                    if value is not None:
                        values[metric] = value
                    elif line.get(name):
                        texts.add(name)
                place = f"{self.path}, line {reader.line_num}"
                step = _axis(line, self.step, place)
                time = _axis(line, self.time, place)
                stamp = _moment(line.get(self.timestamp), place)
                begin = stamp if begin is None else begin
                if time is None:
                    time = (stamp - begin) / 1e6 if stamp is not None and begin is not None else 0.0
                if stamp is None:
                    stamp = written + round(time * 1e6)
                if values:
                    yield {
                        "values": values,
                        "time": time,
                        "timestamp": stamp,
                        "step": number if step is None else int(step),
                    }
            if texts:
                self.troubles = [f"no numbers, and left out: {', '.join(sorted(texts)[:3])}"]


def _number(text: str | None) -> int | float | None:
    try:
        whole = int(text or "")
        # No column, here or on the server, holds more than 64 bits of one.
        return whole if -(1 << 63) <= whole < 1 << 63 else float(whole)
    except ValueError:
        pass
    try:
        return float(text or "")
    except ValueError:
        return None


def _axis(line: dict[str, str], name: str, place: str) -> float | None:
    text = line.get(name)
    if not text:
        return None
    value = _number(text)
    if value is None or not math.isfinite(value):
        raise InvalidValueError(f"{place}: {name} is {text[:60]!r}, which is no number")
    return value


def _moment(text: str | None, place: str) -> int | None:
    if not text:
        return None
    value = _number(text)
    if value is not None and math.isfinite(value):
        return round(value * 1e6)
    try:
        return parse_timestamp(text)
    except ValueError as error:
        raise InvalidValueError(f"{place}: {error}") from None


_FOREIGN_TO_NAMES: Final = re.compile(r"[^a-zA-Z0-9\-_\s/.:]", re.ASCII)
_FOREIGN_TO_METRICS: Final = re.compile(r"[^a-zA-Z0-9\-_\s/.:=><+()%]", re.ASCII)


def metric_name(text: str) -> str:
    """Return *text* with what no metric's name may hold as ``_``."""
    name = _FOREIGN_TO_METRICS.sub("_", text.strip()) or "_"
    assert METRIC_NAME_PATTERN.fullmatch(name)
    return name


# ---- To the server -------------------------------------------------------------------------------


def import_run(
    remote: Remote,
    sources: list[Source],
    *,
    name: str,
    folder: str = "/",
    tags: tuple[str, ...] = (),
    key: str | None = None,
) -> Imported:
    """Make a run of *sources*, or bring what is new in them to the one that was made before.

    *key* stands for what the first of them is, for the run's identifier.  Raises ServerError for a
    server that does not number rows.
    """
    missing = {"run-id", "rows"} - remote.features
    if missing:
        raise ServerError(
            f"{remote.url} (version {remote.version}) does not know which rows it has, so a second "
            "import would double them; import needs a server of ours"
        )
    # All of it is read before anything is made, so that half a table leaves nothing behind.
    surveys = [_survey(source) for source in sources]
    total = sum(survey.rows for survey in surveys)
    if not total:
        raise InvalidValueError(f"{sources[0].path} holds no numbers; nothing was imported")
    who = remote.get("/whoami")
    # Another user's import of the same file is another run.
    owner = f"{who.get('tenant')}/{who.get('user')}"
    run = derived_id("import", owner, key or sources[0].identity)
    begin = min(survey.begin for survey in surveys if survey.rows)
    is_open = _make(remote, run, name, folder, tags, sources, begin)
    there = remote.get(route("runs", run, "writers"))
    new = 0
    for source, survey in zip(sources, surveys, strict=True):
        writer = derived_id("import", run, source.identity)
        known = next((end for first, end in there.get(writer, []) if first == 0), 0)
        first = 0
        # The files of one run have one start.
        for batch in _batches(source.rows(), (survey.begin - begin) / 1e6):
            end = first + len(batch)
            if end > known:
                body = body_header(run, "metrics", len(batch)) + b"".join(batch)
                headers = {WRITER_HEADER: writer, ROWS_HEADER: rows_header(first, end)}
                new += int(remote.post("/metrics", body=body, headers=headers).get("stored", 0))
            first = end
    if new or is_open:
        last = format_timestamp(max(survey.end for survey in surveys))
        remote.put(route("runs", run), {"status": "completed", "endtime": last})
    notes = tuple(note for source in sources for note in source.troubles)
    return Imported(run, name, total, new, notes)


class _Survey(NamedTuple):
    rows: int
    begin: int
    end: int


def _survey(source: Source) -> _Survey:
    rows, begin, end = 0, 1 << 62, 0
    for row in source.rows():
        rows += 1
        begin, end = min(begin, row["timestamp"]), max(end, row["timestamp"])
    return _Survey(rows, begin, end)


def _make(
    remote: Remote,
    run: str,
    name: str,
    folder: str,
    tags: tuple[str, ...],
    sources: list[Source],
    begin: int,
) -> bool:
    """Make the run, unless it is there, whatever it is called by now; True if it has no end yet."""
    answer = remote.send("GET", route("runs", run))
    if answer.ok:
        # Without an end it is one whose import was cut off.
        return bool(answer.content.get("status") == "running")
    described = {
        "id": run,
        "name": _FOREIGN_TO_NAMES.sub("_", name),
        "folder": folder,
        "tags": list(tags),
        "status": "running",
        "started": format_timestamp(begin),
        "metadata": {"import": {"files": [source.path.name for source in sources]}},
    }
    try:
        remote.post("/runs", described)
    except ServerError as error:
        if error.status != 410:
            raise
        raise InvalidValueError(
            f"run {run}, made of {sources[0].path} before, was deleted; --key makes another"
        ) from None
    return True


def _batches(rows: Iterator[Row], shift_s: float) -> Iterator[list[bytes]]:
    """Yield rows as they stand in a body, as many as one request takes."""
    batch: list[bytes] = []
    size = 0
    for row in rows:
        stamp = format_timestamp(row["timestamp"])
        packed = msgpack.packb({**row, "time": row["time"] + shift_s, "timestamp": stamp})
        batch.append(packed)
        size += len(packed)
        if size >= _BATCH_SIZE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
