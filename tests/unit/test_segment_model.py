"""Every interleaving of a writer and a shipper over the words of a segment's header.

The shipper's side is the real `Intake`, run on stand-in segments: each load or store of a
word that the other side can see is one step, and between any two of them the writer may do
any number of its own.  The shipper may die between any two steps; its successor is a new
`Intake`.  The writer's side is a model of ``Stream.switch`` and ``publish``, whose order of
stores test_batch_is_c.py finds in the generated C.

Goal: no row is ever taken that is torn, unpublished, skipped or doubled; no segment is filled
again before all of it is safe; ``settled`` never runs ahead; a new shipper repeats at most.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest

from simvue.queue import Intake, Runtime

PAGE = Path(__file__).parents[2] / "docs" / "design" / "queue.md"

HALF_WRITTEN = -1
"""What stands where a row is being written."""


# ---- The shared memory, and the writer's steps ------------------------------------------


class Words(NamedTuple):
    """One segment: its header's words, and its rows; a row is one byte, which is its number."""

    number: int = 0
    first_row: int = 0
    published: int = 0
    shipped: int = 0
    returned: int = 0
    rows: tuple[int, ...] = ()


Memory = tuple[Words, ...]


class Pen(NamedTuple):
    """Where the writer is; ``todo`` are the stores of a switch that are still to come."""

    next_row: int = 0
    segment: int = -1
    used: int = 0
    number: int = 0
    todo: tuple[tuple[str, int], ...] = ()
    half: bool = False


def put(memory: Memory, segment: int, **words: Any) -> Memory:
    return (*memory[:segment], memory[segment]._replace(**words), *memory[segment + 1 :])


class Broken(AssertionError):
    """A promise of the protocol does not hold."""


@dataclass(frozen=True)
class Rules:
    """The sizes of one model, and how it may be spoilt to see that it notices."""

    segments: int
    capacity: int
    rows: int
    deaths: int = 1
    # Relaxed stores may be seen in any order; the release store is seen last.
    relaxed: tuple[str, ...] = ("published", "first_row")
    release: tuple[str, ...] = ("number",)
    publish_first: bool = False
    return_first: bool = False
    reuse_early: bool = False

    def write(self, memory: Memory, pen: Pen, safe: frozenset[int]) -> Iterator[tuple[Memory, Pen]]:
        """Yield what each possible next step of the writer leads to."""
        if pen.todo:
            (word, value), *rest = pen.todo
            yield (put(memory, pen.segment, **{word: value}), pen._replace(todo=tuple(rest)))
        elif pen.next_row == self.rows:
            return
        elif pen.segment >= 0 and pen.used < self.capacity:
            yield self._append(memory, pen)
        else:
            for segment in range(self.segments):
                if self._is_free(memory[segment]) and segment != pen.segment:
                    yield from self._switch(memory, pen, segment, safe)

    def _append(self, memory: Memory, pen: Pen) -> tuple[Memory, Pen]:
        rows = memory[pen.segment].rows[: pen.used]
        half, whole = (*rows, HALF_WRITTEN), (*rows, pen.next_row)
        publish = {"published": pen.used + 1}
        if not pen.half:
            early = publish if self.publish_first else {}
            return put(memory, pen.segment, rows=half, **early), pen._replace(half=True)
        memory = put(memory, pen.segment, rows=whole, **publish)
        return memory, pen._replace(next_row=pen.next_row + 1, used=pen.used + 1, half=False)

    def _is_free(self, words: Words) -> bool:
        return words.returned == words.number or (
            self.reuse_early and words.shipped == words.published > 0
        )

    def _switch(
        self, memory: Memory, pen: Pen, segment: int, safe: frozenset[int]
    ) -> Iterator[tuple[Memory, Pen]]:
        words = memory[segment]
        if not safe.issuperset(words.rows[: words.published]):
            raise Broken(f"segment {segment} is filled again before {words.rows} are safe")
        values = {"published": 0, "first_row": pen.next_row, "number": pen.number + 1}
        for relaxed in permutations(self.relaxed):
            todo = tuple((word, values[word]) for word in (*relaxed, *self.release))
            yield memory, Pen(pen.next_row, segment, 0, pen.number + 1, todo)


# ---- The shipper's steps: real code, stopped at every word -------------------------------


class Stop(BaseException):
    """The code has come to a word that the other side can see."""


class Machine:
    """Runs one operation of an `Intake` up to the next word, from what its loads gave so far."""

    memory: Memory
    rules: Rules
    seen: list[Any]
    at: int
    steps: int

    def start(self, rules: Rules, memory: Memory, seen: tuple[Any, ...], steps: int) -> None:
        self.rules, self.memory, self.seen, self.at, self.steps = (
            rules,
            memory,
            list(seen),
            0,
            steps,
        )

    def load(self, segment: int, word: str) -> Any:
        if self.at == len(self.seen):
            # Words that only the shipper writes are its own: nothing comes between.
            if word not in ("shipped", "returned"):
                self._step()
            self.seen.append(getattr(self.memory[segment], word))
        self.at += 1
        return self.seen[self.at - 1]

    def store(self, segment: int, word: str, value: int) -> None:
        if self.at == len(self.seen):
            self._step()
            self.memory = put(self.memory, segment, **{word: value})
            self.seen.append(0)
        self.at += 1

    def _step(self) -> None:
        if self.steps == 0:
            raise Stop
        self.steps -= 1


MACHINE = Machine()


class StandIn:
    """What `Segment` is to an `Intake`, word for word."""

    def __init__(self, place: int) -> None:
        self.place = place

    def __reduce__(self) -> tuple[type[StandIn], tuple[int]]:
        return StandIn, (self.place,)

    @property
    def number(self) -> int:
        return MACHINE.load(self.place, "number")

    @property
    def first_row(self) -> int:
        return MACHINE.load(self.place, "first_row")

    @property
    def published(self) -> tuple[int, int]:
        count = MACHINE.load(self.place, "published")
        return count, count

    @property
    def shipped(self) -> tuple[int, int]:
        count = MACHINE.load(self.place, "shipped")
        return count, count

    @property
    def returned(self) -> int:
        return MACHINE.load(self.place, "returned")

    @property
    def is_free(self) -> bool:
        return MACHINE.load(self.place, "returned") == MACHINE.load(self.place, "number")

    def copy(self, header: bytes, start: int, end: int) -> bytes:
        # One step: a filling whose bytes could change meanwhile is caught by the writer's side.
        rows = MACHINE.load(self.place, "rows")[start:end]
        if HALF_WRITTEN in rows:
            raise Broken(f"row {start + rows.index(HALF_WRITTEN)} of the filling is torn")
        return header + bytes(rows)

    def ship(self, rows: int, size: int) -> None:
        MACHINE.store(self.place, "shipped", rows)

    def hand_back(self) -> None:
        number = MACHINE.load(self.place, "number")
        stores = [("shipped", 0), ("returned", number)]
        for word, value in reversed(stores) if MACHINE.rules.return_first else stores:
            MACHINE.store(self.place, word, value)


class Directory:
    """What `Runtime` is to an `Intake`."""

    def map_segment(self, name: str) -> StandIn:
        return StandIn(int(name))


def new_intake() -> bytes:
    runtime = cast(Runtime, Directory())
    return pickle.dumps(Intake(runtime, "process", "run", "metrics", "writer"))


def operate(intake: Intake, operation: str) -> None:
    """Do one of the things that a shipper does with a writer's segments, to its end."""
    if operation == "take":
        list(intake.take(0.0, 0.0, 1, lambda count: b""))
    elif operation == "settle":
        intake.settle()
    else:
        intake.adopt(operation)


# ---- All of it together -------------------------------------------------------------------


class State(NamedTuple):
    """One moment: the shipper is within ``doing`` after loads that gave ``seen``, or idle."""

    memory: Memory
    pen: Pen
    intake: bytes
    doing: str = ""
    seen: tuple[Any, ...] = ()
    to_adopt: tuple[str, ...] = ()
    safe: frozenset[int] = frozenset()
    taken: frozenset[int] = frozenset()
    deaths: int = 0


@dataclass
class Explorer:
    """Walks all states that *rules* lead to; ``changes`` are the changes of a segment it saw."""

    rules: Rules
    known: dict[bytes, Intake] = field(default_factory=dict)
    changes: set[tuple[str, str, str]] = field(default_factory=set)
    states: int = 0

    def walk(self) -> None:
        rules = self.rules
        names = tuple(map(str, range(rules.segments)))
        start = State((Words(),) * rules.segments, Pen(), new_intake(), to_adopt=names)
        seen, waiting = {start}, [start]
        while waiting:
            state = waiting.pop()
            ends = True
            for after in self._next(state):
                self._note(state, after)
                if after not in seen:
                    seen.add(after)
                    waiting.append(after)
                ends = ends and after == state
            if ends:
                self._check_end(state)
        self.states = len(seen)

    def _next(self, state: State) -> Iterator[State]:
        for memory, pen in self.rules.write(state.memory, state.pen, state.safe):
            yield state._replace(memory=memory, pen=pen)
        if state.doing:
            yield self._go_on(state, 1)
        elif state.to_adopt:
            # The listing of a directory has no order.
            for name in state.to_adopt:
                rest = tuple(other for other in state.to_adopt if other != name)
                yield self._go_on(state._replace(doing=name, to_adopt=rest), 0)
        else:
            for operation in ("take", "settle"):
                yield self._go_on(state._replace(doing=operation), 0)
            yield from self._acknowledge(state)
        if state.deaths < self.rules.deaths:
            yield self._die(state)

    def _go_on(self, state: State, steps: int) -> State:
        """Run the operation under way past *steps* words, and up to the next."""
        intake: Intake = pickle.loads(state.intake)
        before = {(piece.first, piece.end) for piece in intake.waiting()}
        MACHINE.start(self.rules, state.memory, state.seen, steps)
        try:
            operate(intake, state.doing)
        except Stop:
            return state._replace(memory=MACHINE.memory, seen=tuple(MACHINE.seen))
        taken = state.taken
        for piece in intake.waiting():
            if (piece.first, piece.end) in before:
                continue
            rows = list(range(piece.first, piece.end))
            if list(piece.body) != rows:
                raise Broken(f"rows {rows} were taken as {list(piece.body)}")
            if not taken.isdisjoint(rows):
                raise Broken(f"rows {rows} were taken twice by one shipper")
            taken = taken.union(rows)
        self._check_settled(intake, state.safe)
        return state._replace(
            memory=MACHINE.memory, intake=pickle.dumps(intake), doing="", seen=(), taken=taken
        )

    def _acknowledge(self, state: State) -> Iterator[State]:
        """Answers come in any order."""
        count = len(pickle.loads(state.intake).waiting())
        for place in range(count):
            intake: Intake = pickle.loads(state.intake)
            piece = intake.waiting()[place]
            piece.done = True
            safe = state.safe.union(range(piece.first, piece.end))
            yield state._replace(intake=pickle.dumps(intake), safe=safe)

    def _die(self, state: State) -> State:
        names = tuple(map(str, range(self.rules.segments)))
        return State(
            state.memory,
            state.pen,
            new_intake(),
            "",
            (),
            names,
            state.safe,
            deaths=state.deaths + 1,
        )

    def _check_settled(self, intake: Intake, safe: frozenset[int]) -> None:
        if not safe.issuperset(range(intake.settled)):
            raise Broken(f"rows below {intake.settled} count as settled, safe are {sorted(safe)}")

    def _check_end(self, state: State) -> None:
        if state.pen.next_row < self.rules.rows or state.pen.todo:
            raise Broken(f"the writer waits for ever at row {state.pen.next_row}")
        if len(state.safe) != self.rules.rows:
            raise Broken(f"rows were skipped: only {sorted(state.safe)} arrived")
        settled = pickle.loads(state.intake).settled
        if settled != self.rules.rows:
            raise Broken(f"calls would wait for ever: {settled} of {self.rules.rows} rows settled")

    def _note(self, before: State, after: State) -> None:
        """Keep what one store did to each segment, and who did it."""
        who = "writer" if before.pen != after.pen else "shipper"
        for place in range(self.rules.segments):
            old, new = self._name(before, place), self._name(after, place)
            if old != new:
                self.changes.add((old, new, who))

    @staticmethod
    def _name(state: State, place: int) -> str:
        words = state.memory[place]
        if words.number == 0:
            return "new"
        if words.returned == words.number:
            return "free"
        if words.number == max(other.number for other in state.memory):
            return "filling"
        return "shipped" if words.shipped == words.published else "sealed"


SIZES = [
    # A segment is filled a second time.
    Rules(segments=2, capacity=2, rows=5),
    # Its filling has begun when the shipper dies, and dies again.
    Rules(segments=2, capacity=1, rows=4, deaths=2),
    # A later filling may be handed back before an earlier one.
    Rules(segments=3, capacity=1, rows=4),
]
