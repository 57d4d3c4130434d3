"""Filters and sorting -> SQL: what wire.md section 7 asks, as WHERE and ORDER BY.

Values always travel as parameters; what stands in the SQL comes from the tables below.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeVar

from . import Filter, Query
from .attributes import TEXT_SIZE_MAX

_COMPARISONS: Final = ("==", "!=", "<", "<=", ">", ">=")
T = TypeVar("T")

ALL: Final = 2**62
"""More than there can be of anything: the LIMIT of who sets none."""

# As many parameters as any SQLite takes in a statement, and some more (999).
_KEYS_MAX: Final = 900
# What few of many answer to: who has it finds candidates.
_SELECTIVE: Final = ("==", "has")
# Columns for which the order of what lacks them is no question.
_NEVER_EMPTY: Final = ("name", "created", "modified", "path")
_AGE_UNITS: Final = {"h": 3_600, "d": 86_400, "y": 365 * 86_400}
_SUMMARIES: Final = {
    "count": "{0}.count",
    "min": "{0}.min",
    "max": "{0}.max",
    "average": "CASE WHEN {0}.finite > 0 THEN {0}.total / {0}.finite END",
    "last": "{0}.last",
}


@dataclass(frozen=True)
class Subject:
    """What can be asked of one kind of object: its table and the columns behind wire names."""

    table: str
    texts: Mapping[str, str]
    moments: Mapping[str, str]
    families: tuple[str, ...]
    sortable: Mapping[str, str] = field(default_factory=dict)


RUN: Final = Subject(
    table="run",
    texts={
        "name": "run.name",
        "description": "run.description",
        "status": "run.status",
        "user": "run.owner",
        "folder.path": "folder.path",
    },
    moments={
        "created": "run.created",
        "started": "run.started",
        "modified": "run.modified",
        "ended": "run.endtime",
    },
    families=("metadata.", "system."),
    sortable={
        "name": "run.name",
        "created": "run.created",
        "started": "run.started",
        "endtime": "run.endtime",
        "modified": "run.modified",
    },
)
FOLDER: Final = Subject(
    table="folder",
    texts={"path": "folder.path", "name": "folder.name", "description": "folder.description"},
    moments={"created": "folder.created", "modified": "folder.modified"},
    families=("metadata.",),
    sortable={
        "created": "folder.created",
        "modified": "folder.modified",
        "path": "folder.path",
    },
)
TAG: Final = Subject(
    table="tag",
    texts={"name": "tag.name"},
    moments={"created": "tag.created"},
    families=(),
    sortable={"name": "tag.name", "created": "tag.created"},
)
ARTIFACT: Final = Subject(
    table="artifact",
    texts={
        "name": "artifact.name",
        "user": "artifact.owner",
        "artifact.id": "artifact.id",
        "artifact.checksum": "artifact.checksum",
    },
    moments={"created": "artifact.created"},
    families=("metadata.",),
    sortable={"name": "artifact.name", "created": "artifact.created"},
)


def _plain(table: str, name: str) -> Subject:
    """Return what is only ever sorted, by its name or its age."""
    columns = {"name": f"{table}.{name}", "created": f"{table}.created"}
    return Subject(table, texts={}, moments={}, families=(), sortable=columns)


ALERT: Final = _plain("alert", "name")
TENANT: Final = _plain("tenant", "name")
USER: Final = _plain('"user"', "username")
TOKEN: Final = _plain("token", "name")

# What a run is asked about the alerts that it has.
_OF_ALERTS: Final = {"alert.name": "alert.name", "alert.status": "run_alert.status"}
# What a run is asked about the artifacts that it has: which, or which bytes.
_OF_ARTIFACTS: Final = {"artifact.id": "artifact.id", "artifact.checksum": "artifact.checksum"}

Clause = tuple[str, list[Any]]


def where(subject: Subject, filters: Sequence[Filter], user: str, now: int) -> Clause:
    """Translate *filters*, ANDed, into a condition and its parameters.

    *user* is whom ``self`` means, *now* the microseconds that ages count from.  Raises
    ValueError with a reason for a filter that cannot be served.
    """
    # One condition finds candidates, the others look at each: of many runs with alpha < 0.5 only
    # those with seed = 7 are asked.
    first = next((place for place, item in enumerate(filters) if item.op in _SELECTIVE), 0)
    clauses = [
        _condition(subject, item, user, now, before, finds=place == first)
        for place, (item, before) in enumerate(zip(filters, [None, *filters], strict=False))
    ]
    if not clauses:
        return "TRUE", []
    return (
        " AND ".join(f"({sql})" for sql, _ in clauses),
        [value for _, values in clauses for value in values],
    )


class Order(NamedTuple):
    """What to sort by, in ORDER BY, and what to join for it, with its parameters."""

    by: str
    joins: str = ""
    values: tuple[Any, ...] = ()


def order(subject: Subject, query: Query, default: str) -> Order:
    """Translate the sorting of *query*; what lacks a column comes last, in the order *default*."""
    parts: list[str] = []
    joins: list[str] = []
    values: list[Any] = []
    for place, (column, descending) in enumerate(query.sorting):
        direction = "DESC" if descending else "ASC"
        if column in subject.sortable:
            key = subject.sortable[column]
            # An index serves a column that is never empty.
            lacks = [] if column in _NEVER_EMPTY else [f"{key} IS NULL"]
            parts += [*lacks, f"{key} {direction}"]
            continue
        keys, joined, given = _joined_keys(subject, column, f"sort{place}")
        lacks = [" AND ".join(f"{key} IS NULL" for key in keys)]
        # Numbers before texts: the two do not compare.
        kinds = [f"{keys[0]} IS NULL {direction}"] if len(keys) > 1 else []
        parts += [*lacks, *kinds, *(f"{key} {direction}" for key in keys)]
        joins.append(joined)
        values += given
    return Order(", ".join([*parts, default]), " ".join(joins), tuple(values))


def page(query: Query) -> Clause:
    """Translate offset and page size into LIMIT."""
    return "LIMIT ? OFFSET ?", [ALL if query.count is None else query.count, query.start]


def among(column: str, values: Iterable[str]) -> Clause:
    """Return the condition that *column* is one of *values*, of which there may be any number."""
    return f"{column} IN (SELECT value FROM json_each(?))", [json.dumps(list(values))]


def marks(values: Sequence[Any]) -> str:
    """Return a mark for each of *values*, which is what stands in ``IN (...)``."""
    return ", ".join("?" * len(values)) or "NULL"


def below(path: str) -> tuple[str, str]:
    """Return the bounds of the paths of folders below *path*: the first, and what is past the last.

    All that lies under /a is between "/a/" and "/a0": 0 is the character after the slash.  Text
    comparison sees no wildcards in names and uses the index.
    """
    return f"{path.rstrip('/')}/", f"{path.rstrip('/')}0"


def slices(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield *rows* in slices, of each of which the keys fit into one statement."""
    for first in range(0, len(rows), _KEYS_MAX):
        yield rows[first : first + _KEYS_MAX]


def _condition(
    subject: Subject, item: Filter, user: str, now: int, before: Filter | None, finds: bool
) -> Clause:
    key, op, value = item.key, item.op, item.value
    if key == "starred" and op == "is" and subject in (RUN, FOLDER):
        return f"{subject.table}.starred", []
    if key == "tag" and op in ("has", "has not") and subject in (RUN, FOLDER):
        link = f"{subject.table}_tag"
        sql = f"SELECT link.{subject.table} FROM {link} link JOIN tag ON tag.key = link.tag"
        negation = "" if op == "has" else "NOT "
        return f"{subject.table}.key {negation}IN ({sql} WHERE tag.name = ?)", [value]
    if key in _OF_ALERTS and op in ("==", "!=") and subject is RUN:
        return _alert_condition(item, before)
    if key in _OF_ARTIFACTS and op == "==" and subject is RUN:
        link = "SELECT run FROM run_artifact JOIN artifact ON artifact.key = run_artifact.artifact"
        return f"run.key IN ({link} WHERE {_OF_ARTIFACTS[key]} = ?)", [value]
    if key in subject.texts:
        if key == "user" and value == "self":
            value = user
        return _text_condition(subject.texts[key], item, value)
    if key in subject.moments and op in ("<", ">"):
        # An age: "created < 3d" is younger than three days, so later than that moment.
        moment = now - _microseconds(item)
        return f"{subject.moments[key]} {'>' if op == '<' else '<='} ?", [moment]
    if key.startswith(subject.families):
        return _attribute_condition(subject.table, item, finds)
    raise ValueError(f"{subject.table}s cannot be filtered by {key!r} {op}")


def _alert_condition(item: Filter, before: Filter | None) -> Clause:
    """Translate a question about the alerts attached to a run.

    The status asked for right after a name is that of the alert with that name: clients write
    "this alert is critical" in two filters.
    """
    found, values = f"{_OF_ALERTS[item.key]} = ?", [item.value]
    if item.key == "alert.status" and before is not None and before.key == "alert.name":
        found, values = f"{found} AND alert.name = ?", [*values, before.value]
    negation = "" if item.op == "==" else "NOT "
    link = "SELECT run FROM run_alert JOIN alert ON alert.key = run_alert.alert"
    return f"run.key {negation}IN ({link} WHERE place IS NOT NULL AND {found})", values


def _text_condition(column: str, item: Filter, value: str) -> Clause:
    if item.op == "==":
        return f"{column} = ?", [value]
    if item.op == "!=":
        return f"{column} IS NULL OR {column} != ?", [value]
    if item.op == "within" and item.key in ("folder.path", "path"):
        # What lies in the root is below it, and the root too.
        same = f"{column} = ? OR ({column} >= ? AND {column} < ?)"
        return same, [value.rstrip("/"), *below(value)]
    if item.op == "contains":
        return f"instr({column}, ?) > 0", [value]
    if item.op == "not contains":
        return f"coalesce(instr({column}, ?), 0) = 0", [value]
    raise ValueError(
        f"{item.key} is a text: it takes ==, !=, contains, not contains; not {item.op}"
    )


def _microseconds(item: Filter) -> int:
    try:
        return int(float(item.value[:-1]) * _AGE_UNITS[item.value[-1:]] * 1_000_000)
    except (KeyError, ValueError, OverflowError):
        raise ValueError(
            f"{item.key} {item.op} takes an age like 12h, 3d or 1y; got {item.value[:60]!r}"
        ) from None


# Every attribute meets one of these, and each is what an index covers.
_VALUED: Final = ("num IS NOT NULL", "txt IS NOT NULL", "num IS NULL AND txt IS NULL")


def _attribute_condition(table: str, item: Filter, finds: bool) -> Clause:
    """Translate a question about an attribute; where it *finds*, nothing else has narrowed down."""
    negated = item.op in ("not exists", "not contains", "!=")
    answers = _attribute_answers(item)
    if finds and not negated:
        source = f"SELECT {table} FROM attr WHERE {table} IS NOT NULL AND name = ? AND "
        # Each has an index of its own.
        sql = " UNION ALL ".join(source + answer for answer, _ in answers)
        values = [one for _, given in answers for one in (item.key, *given)]
        return f"{table}.key IN ({sql})", values
    # Excluding a value keeps the runs that lack the attribute, as excluding a tag does.
    any_of = " OR ".join(answer for answer, _ in answers)
    sql = f"SELECT {any_of} FROM attr WHERE attr.{table} = {table}.key AND name = ?"
    return (
        f"{'NOT ' if negated else ''}coalesce(({sql}), FALSE)",
        [*(one for _, given in answers for one in given), item.key],
    )


def _attribute_answers(item: Filter) -> list[Clause]:
    """Return the conditions of which an attribute meets one if it answers, or is excluded."""
    text = item.value[:TEXT_SIZE_MAX]
    if item.op in ("exists", "not exists"):
        return [(valued, []) for valued in _VALUED]
    if item.op in ("contains", "not contains"):
        return [("txt IS NOT NULL AND instr(txt, ?) > 0", [text])]
    if item.op not in _COMPARISONS:
        raise ValueError(f"{item.key} cannot be compared by {item.op!r}")
    number = _number(item.value)
    if item.op in ("==", "!="):
        if item.value in ("True", "False"):
            text = text.lower()
        # A NULL equals nothing, so what is no number is compared as a text alone.
        return [("txt = ?", [text]), ("num = ?", [number])]
    if number is None:
        return [(f"txt {item.op} ?", [text])]
    return [(f"num {item.op} ?", [number])]


def _number(text: str) -> float | None:
    """Read *text* as a number, exactly where SQL can hold it; None if it is none, or NaN."""
    try:
        whole = int(text)
        return whole if -(2**63) <= whole < 2**63 else float(whole)
    except (ValueError, OverflowError):
        pass
    try:
        number = float(text)
    except ValueError:
        return None
    return number if number == number else None


def _joined_keys(subject: Subject, column: str, alias: str) -> tuple[list[str], str, list[Any]]:
    """Return what to sort by, the most important first, and the join that has it, as *alias*."""
    table = subject.table
    if column.startswith(subject.families):
        join = f"LEFT JOIN attr {alias} ON {alias}.{table} = {table}.key AND {alias}.name = ?"
        return [f"{alias}.num", f"{alias}.txt"], join, [column]
    if column.startswith("metrics.") and subject is RUN:
        name = column.removeprefix("metrics.")
        join = f"LEFT JOIN metric {alias} ON {alias}.run = run.key AND {alias}.name = ?"
        stem, _, summary = name.rpartition(".")
        if summary not in _SUMMARIES:
            return [f"{alias}.last"], join, [name]
        # A metric may well be called "loss.max"; the summary of "loss" is asked for first.
        other = f"{alias}_whole"
        join += f" LEFT JOIN metric {other} ON {other}.run = run.key AND {other}.name = ?"
        key = f"coalesce({_SUMMARIES[summary].format(alias)}, {other}.last)"
        return [key], join, [stem, name]
    raise ValueError(f"""{table.strip('"')}s cannot be sorted by {column!r}""")
