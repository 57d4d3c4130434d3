"""Paper: a stand-in for ``Run`` that writes down what a script says, and sends nothing.

``simvue demo`` runs each example twice: as a process of its own against a server, and
here on paper.  What the store gives back is then held against what was said, by a road
that shares nothing with the shipper, the wire or the store.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Number = float | int


@dataclass
class Column:
    """What was said of one metric, in the order it was said; None where nothing was."""

    values: list[Number] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    times: list[float | None] = field(default_factory=list)
    timestamps: list[str | None] = field(default_factory=list)


@dataclass
class Sheet:
    """What was said of one run."""

    name: str
    metadata: dict[str, Any]
    tags: list[str]
    description: str | None
    folder: str
    status: str = "completed"
    shapes: Counter[tuple[str, ...]] = field(default_factory=Counter)
    """How many rows there were of each set of names."""
    metrics: dict[str, Column] = field(default_factory=dict)
    events: list[tuple[str, str | None, str]] = field(default_factory=list)
    """Message, timestamp or None, level."""

    @property
    def rows(self) -> int:
        """How many rows were logged."""
        return sum(self.shapes.values())


class Paper:
    """The sheets of one script; ``paper.Run()`` is what the script takes for ``simvue.Run``."""

    def __init__(self) -> None:
        self.sheets: list[Sheet] = []

    def Run(self) -> PaperRun:
        """Make a run that writes here."""
        return PaperRun(self)

    def find(self, name: str) -> Sheet:
        """Return the newest sheet of that name, as ``reconnect`` finds a run."""
        return next(sheet for sheet in reversed(self.sheets) if sheet.name == name)


class PaperRun:
    """The calls of ``simvue.Run`` that the examples make, each with the meaning it promises."""

    def __init__(self, paper: Paper) -> None:
        self._paper = paper
        self._sheet: Sheet | None = None
        self._step = 0

    def __enter__(self) -> PaperRun:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close()

    @property
    def sheet(self) -> Sheet:
        """The sheet of this run; a call before ``init`` has none."""
        if self._sheet is None:
            raise RuntimeError("a run is written to before init")
        return self._sheet

    @property
    def name(self) -> str:
        """The name that ``init`` was given."""
        return self.sheet.name

    def init(
        self,
        name: str,
        metadata: Mapping[str, Any] | None = None,
        tags: Sequence[str] | None = None,
        description: str | None = None,
        folder: str | None = None,
        status: str = "running",
    ) -> bool:
        """Begin a sheet; every example names its runs, because that is how the demo finds them."""
        self._sheet = Sheet(
            name=name,
            metadata=dict(metadata or {}),
            tags=list(tags or []),
            description=description,
            folder=folder or "/",
            status=status,
        )
        self._paper.sheets.append(self._sheet)
        return True

    def reconnect(self, name: str) -> bool:
        """Go on with the newest run of that name; steps count from 0 again."""
        self._sheet = self._paper.find(name)
        self._step = 0
        return True

    def log_metrics(
        self,
        metrics: Mapping[str, Number],
        step: int | None = None,
        time: float | None = None,
        timestamp: str | None = None,
    ) -> bool:
        """Write down one row."""
        sheet = self.sheet
        for metric, value in metrics.items():
            column = sheet.metrics.get(metric)
            if column is None:
                column = sheet.metrics[metric] = Column()
            column.values.append(value)
            column.steps.append(self._step if step is None else step)
            column.times.append(time)
            column.timestamps.append(timestamp)
        sheet.shapes[tuple(metrics)] += 1
        # The counter takes a step for every call, also for one that names its own.
        self._step += 1
        return True

    def bind_metrics(self, *names: str) -> Callable[..., bool]:
        """Return a function that writes down one value for each of *names*."""

        def log(*values: Number, **place: Any) -> bool:
            return self.log_metrics(dict(zip(names, values, strict=True)), **place)

        return log

    def log_event(
        self, message: str, timestamp: str | None = None, log_level: str | None = None
    ) -> bool:
        """Write down one event; without a level it is an ``info``."""
        self.sheet.events.append((message, timestamp, log_level or "info"))
        return True

    def update_metadata(self, metadata: Mapping[str, Any]) -> bool:
        """Replace what has the same name, keep the rest."""
        self.sheet.metadata.update(metadata)
        return True

    def update_tags(self, tags: Sequence[str]) -> bool:
        """Add tags to those that are there."""
        self.sheet.tags += [tag for tag in tags if tag not in self.sheet.tags]
        return True

    def close(self) -> bool:
        """End the run."""
        self.sheet.status = "completed"
        return True
