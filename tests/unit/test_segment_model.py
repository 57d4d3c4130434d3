"""Every interleaving of a writer and a shipper over the words of a segment's header.

The shipper's side is the real `Intake`, run on stand-ins for its segments: each load of a
word that the writer writes, and each store, is a step.  It may die between any two, and its
successor is a new `Intake`; answers come in any order.  The writer's side is a model of
``Stream.switch`` and ``publish``, store by store; test_batch_is_c.py finds the same order in
the generated C.

Method: before each load of a word, the writer runs on to any moment at which that word has
just changed, or not at all.  All other interleavings give the same loads, so that these few
stand for all.

Goal: no row is taken that is torn, unpublished or taken before, none is skipped, no segment
is handed back before all of it is safe, rows count as settled only once they are safe, and
the successor of a shipper that died repeats rows at most.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import permutations
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest

from simvue.intake import Intake
from simvue.runtime import Runtime

PAGE = Path(__file__).parents[2] / "docs" / "design" / "queue.md"

HALF_WRITTEN = 255
"""What stands where a row is being written."""


# ---- The shared memory, and the writer's steps ------------------------------------------


class Words(NamedTuple):
    """One segment: its header's words, and its rows; a row is one byte, which is its number."""

    number: int = 0
    first_row: int = 0
    published: int = 0
    sealed: int = 0
    shipped: int = 0
    returned: int = 0
    rows: bytes = b""


Memory = tuple[Words, ...]


class Pen(NamedTuple):
    """Where the writer is; ``todo`` are the stores of a switch that are still to come."""

    next_row: int = 0
    segment: int = -1
    used: int = 0
    number: int = 0
    todo: tuple[tuple[str, int], ...] = ()
    half: bool = False


class Broken(AssertionError):
    """A promise of the protocol does not hold."""


def put(memory: Memory, segment: int, **words: Any) -> Memory:
    return (*memory[:segment], memory[segment]._replace(**words), *memory[segment + 1 :])


@dataclass(frozen=True)
class Rules:
    """The sizes of one model; below them, how it is spoilt to see that it notices."""

    segments: int
    capacity: int
    rows: int
    deaths: int = 1
    # Relaxed stores may be seen in any order, but before the release store.
    relaxed: tuple[str, ...] = ("published", "first_row")
    release: tuple[str, ...] = ("number",)
    publish_first: bool = False
    seal_first: bool = False
    return_first: bool = False

    def write(self, memory: Memory, pen: Pen) -> Iterator[tuple[Memory, Pen]]:
        """Yield what each possible next step of the writer leads to."""
        if pen.todo:
            (word, value), *rest = pen.todo
            yield put(memory, pen.segment, **{word: value}), pen._replace(todo=tuple(rest))
        elif pen.next_row == self.rows:
            return
        elif pen.segment >= 0 and self._is_to_seal(memory, pen):
            yield put(memory, pen.segment, sealed=pen.number), pen
        elif pen.segment >= 0 and pen.used < self.capacity:
            yield self._append(memory, pen)
        else:
            for segment, words in enumerate(memory):
                if words.returned == words.number:
                    yield from self._switch(memory, pen, segment)

    def _is_to_seal(self, memory: Memory, pen: Pen) -> bool:
        if memory[pen.segment].sealed == pen.number:
            return False
        return pen.used == self.capacity or (self.seal_first and pen.used == self.capacity - 1)

    def _append(self, memory: Memory, pen: Pen) -> tuple[Memory, Pen]:
        rows = memory[pen.segment].rows[: pen.used]
        if not pen.half:
            early = {"published": pen.used + 1} if self.publish_first else {}
            memory = put(memory, pen.segment, rows=rows + bytes([HALF_WRITTEN]), **early)
            return memory, pen._replace(half=True)
        rows += bytes([pen.next_row])
        memory = put(memory, pen.segment, rows=rows, published=pen.used + 1)
        return memory, pen._replace(next_row=pen.next_row + 1, used=pen.used + 1, half=False)

    def _switch(self, memory: Memory, pen: Pen, segment: int) -> Iterator[tuple[Memory, Pen]]:
        values = {"published": 0, "first_row": pen.next_row, "number": pen.number + 1}
        for relaxed in permutations(self.relaxed):
            todo = tuple((word, values[word]) for word in (*relaxed, *self.release))
            yield from self.write(memory, Pen(pen.next_row, segment, 0, pen.number + 1, todo))


# ---- The shipper's steps: real code, stopped at every word -------------------------------


class Stop(BaseException):
    """The code has come to its next step."""


STORE, CALL = "store", "call"


class Step(NamedTuple):
    """A load of a word, of the first *end* rows, or of how many rows a call says; or a store."""

    segment: int
    word: str
    end: int = 0

    def look(self, memory: Memory, pen: Pen) -> Any:
        if self.word == CALL:
            return pen.next_row
        value = getattr(memory[self.segment], self.word)
        return value[: self.end] if self.word == "rows" else value


NOWHERE = Step(-1, "")


class Machine:
    """Runs an operation of an `Intake` again, from what its loads gave, and one step further."""

    memory: Memory
    seen: list[Any]
    next: Step
    """The step it stopped at."""

    def start(self, memory: Memory, seen: tuple[Any, ...], steps: int, rules: Rules) -> None:
        self.memory, self.seen, self.rules = memory, list(seen), rules
        self._at, self._steps = 0, steps

    def load(self, segment: int, word: str, end: int = 0) -> Any:
        if self._at == len(self.seen):
            # Nothing comes between for a word that only the shipper writes.
            if word not in ("shipped", "returned"):
                self._step(Step(segment, word, end))
            self.seen.append(getattr(self.memory[segment], word))
        self._at += 1
        return self.seen[self._at - 1]

    def store(self, segment: int, word: str, value: int) -> None:
        if self._at == len(self.seen):
            self._step(Step(segment, STORE))
            self.memory = put(self.memory, segment, **{word: value})
            self.seen.append(None)
        self._at += 1

    def _step(self, step: Step) -> None:
        if self._steps == 0:
            self.next = step
            raise Stop
        self._steps -= 1


MACHINE = Machine()


class StandIn:
    """What `Segment` is to an `Intake`, word for word."""

    def __init__(self, place: int) -> None:
        self.place = place

    def __reduce__(self) -> tuple[type[StandIn], tuple[int]]:
        return StandIn, (self.place,)

    @property
    def number(self) -> int:
        return cast(int, MACHINE.load(self.place, "number"))

    @property
    def first_row(self) -> int:
        return cast(int, MACHINE.load(self.place, "first_row"))

    @property
    def published(self) -> tuple[int, int]:
        count = MACHINE.load(self.place, "published")
        return count, count

    @property
    def shipped(self) -> tuple[int, int]:
        count = MACHINE.load(self.place, "shipped")
        return count, count

    @property
    def sealed(self) -> int:
        return cast(int, MACHINE.load(self.place, "sealed"))

    @property
    def returned(self) -> int:
        return cast(int, MACHINE.load(self.place, "returned"))

    @property
    def is_free(self) -> bool:
        return self.returned == self.number

    def copy(self, header: bytes, start: int, end: int) -> bytes:
        rows = MACHINE.load(self.place, "rows", end)
        return header + cast(bytes, rows[start:end])

    def ship(self, rows: int, size: int) -> None:
        MACHINE.store(self.place, "shipped", rows)

    def hand_back(self) -> None:
        stores = [("shipped", 0), ("returned", self.number)]
        if MACHINE.rules.return_first:
            stores.reverse()
        for word, value in stores:
            MACHINE.store(self.place, word, value)


class Directory:
    """What `Runtime` is to an `Intake`."""

    def map_segment(self, name: str) -> StandIn:
        return StandIn(int(name))


class Done(NamedTuple):
    """What an operation came to: at its ``next`` step, or at its end."""

    memory: Memory
    intake: bytes
    seen: tuple[Any, ...] = ()
    next: Step = NOWHERE
    pieces: tuple[tuple[int, int, bytes], ...] = ()
    settled: bool = False


def operate(
    memory: Memory, pickled: bytes, doing: str, seen: tuple[Any, ...], steps: int, rules: Rules
) -> Done:
    """Do one of the things that a shipper does with a writer's segments, *steps* steps further."""
    intake: Intake = pickle.loads(pickled)
    before = {piece.first for piece in intake.waiting()}
    settled = False
    MACHINE.start(memory, seen, steps, rules)
    try:
        if doing == "take":
            list(intake.take(0.0, 0.0, 1, lambda count: b""))
        elif doing.startswith("settled "):
            settled = intake.is_settled(int(doing.removeprefix("settled ")))
        else:
            for place in range(len(memory)):
                intake.adopt(str(place))
    except Stop:
        return Done(MACHINE.memory, pickled, tuple(MACHINE.seen), MACHINE.next)
    pieces = tuple((p.first, p.end, p.body) for p in intake.waiting() if p.first not in before)
    return Done(MACHINE.memory, pickle.dumps(intake), pieces=pieces, settled=settled)


# ---- All of it together -------------------------------------------------------------------


class State(NamedTuple):
    """One moment; ``doing`` is the shipper's latest operation, ``next`` its next step if any."""

    memory: Memory
    pen: Pen
    intake: bytes
    doing: str
    seen: tuple[Any, ...] = ()
    next: Step = NOWHERE
    safe: frozenset[int] = frozenset()
    taken: frozenset[int] = frozenset()
    deaths: int = 0


@dataclass
class Explorer:
    """Walks all states that *rules* lead to; ``changes`` are the segments' changes it saw."""

    rules: Rules
    changes: set[tuple[str, str, str]] = field(default_factory=set)
    count: int = 0
    # The same code on the same words does the same.
    _done: dict[Any, Done] = field(default_factory=dict)
    _ahead: dict[Any, list[tuple[Memory, Pen]]] = field(default_factory=dict)
    _noted: set[Any] = field(default_factory=set)

    def walk(self) -> None:
        start = self._begin(State((Words(),) * self.rules.segments, Pen(), b"", ""))
        came_from: dict[State, list[State]] = {start: []}
        waiting = [start]
        while waiting:
            state = waiting.pop()
            for after in self._next(state):
                if after not in came_from:
                    came_from[after] = []
                    waiting.append(after)
                came_from[after].append(state)
        self.count = len(came_from)
        # Whatever happened, what comes then can bring all rows to their end.
        waiting = [state for state in came_from if self._is_end(state)]
        well = set(waiting)
        while waiting:
            for before in came_from[waiting.pop()]:
                if before not in well:
                    well.add(before)
                    waiting.append(before)
        for state in came_from:
            if state not in well:
                raise Broken(f"rows or calls wait for ever: {state}")

    def _next(self, state: State) -> Iterator[State]:
        # To die between two loads is to die before the first.
        if (state.next is NOWHERE or state.next.word == STORE) and state.deaths < self.rules.deaths:
            yield self._begin(state._replace(deaths=state.deaths + 1))
        if state.next is not NOWHERE:
            for ahead in self._run_ahead(state):
                yield self._go_on(ahead, 1)
        else:
            yield from self._start(state)
            yield from self._acknowledge(state)

    def _start(self, state: State) -> Iterator[State]:
        if state.doing != "take":
            yield self._go_on(state._replace(doing="take"), 0)
            return
        # A call says how many rows were logged before it: so many are published when it is read.
        # To ask whether those are settled settles what is done first.
        reading = state._replace(next=Step(0, CALL))
        for ahead in self._run_ahead(reading):
            doing = f"settled {ahead.pen.next_row}"
            yield self._go_on(ahead._replace(doing=doing, next=NOWHERE), 0)

    def _begin(self, state: State) -> State:
        """A new shipper: it knows nothing but the segments."""
        intake = Intake(cast(Runtime, Directory()), "process", "run", "metrics", "writer")
        state = state._replace(
            intake=pickle.dumps(intake), doing="adopt", seen=(), taken=frozenset(), next=NOWHERE
        )
        return self._go_on(state, 0)

    def _run_ahead(self, state: State) -> Iterator[State]:
        """Yield *state*, and every moment ahead at which the next word to be loaded changes."""
        yield state
        if state.next.word == STORE:
            return
        key = (state.memory, state.pen, state.next)
        if key not in self._ahead:
            self._ahead[key] = list(self._changes_ahead(*key))
        for memory, pen in self._ahead[key]:
            yield state._replace(memory=memory, pen=pen)

    def _changes_ahead(self, memory: Memory, pen: Pen, step: Step) -> Iterator[tuple[Memory, Pen]]:
        waiting = [(memory, pen)]
        known = set(waiting)
        while waiting:
            memory, pen = waiting.pop()
            old = step.look(memory, pen)
            for after in self.rules.write(memory, pen):
                self._note(memory, after[0], "writer")
                if after not in known:
                    known.add(after)
                    waiting.append(after)
                    if step.look(*after) != old:
                        yield after

    def _go_on(self, state: State, steps: int) -> State:
        """Do *steps* steps of the operation under way, and go on to the next."""
        key = (state.memory, state.intake, state.doing, state.seen, steps)
        done = self._done.get(key)
        if done is None:
            done = self._done[key] = operate(*key, self.rules)
        after = state._replace(
            memory=done.memory, intake=done.intake, seen=done.seen, next=done.next
        )
        for first, end, body in done.pieces:
            after = self._check_piece(after, first, end, body)
        if done.settled and not state.safe.issuperset(range(int(state.doing.split()[1]))):
            raise Broken(f"rows count as {state.doing}, but safe are {set(state.safe)}")
        self._check_returned(state, after)
        self._note(state.memory, after.memory, "shipper")
        return after

    def _acknowledge(self, state: State) -> Iterator[State]:
        for place in range(len(pickle.loads(state.intake).waiting())):
            intake: Intake = pickle.loads(state.intake)
            piece = intake.waiting()[place]
            piece.done = True
            safe = state.safe.union(range(piece.first, piece.end))
            yield state._replace(intake=pickle.dumps(intake), safe=safe)

    # ---- What must hold -----------------------------------------------------------------

    @staticmethod
    def _check_piece(state: State, first: int, end: int, body: bytes) -> State:
        rows = range(first, end)
        if list(body) != list(rows):
            raise Broken(f"rows {first}-{end} were taken as {list(body)}")
        if not state.taken.isdisjoint(rows):
            raise Broken(f"rows {first}-{end} were taken twice by one shipper")
        return state._replace(taken=state.taken.union(rows))

    @staticmethod
    def _check_returned(before: State, after: State) -> None:
        for old, new in zip(before.memory, after.memory, strict=True):
            rows = old.rows[: old.published]
            if old.returned != new.returned and not before.safe.issuperset(rows):
                raise Broken(f"rows {list(rows)} were handed back before they were safe")

    def _is_end(self, state: State) -> bool:
        if state.next is not NOWHERE or len(state.safe) < self.rules.rows:
            return False
        every_step, doing = 1000, f"settled {self.rules.rows}"
        return operate(state.memory, state.intake, doing, (), every_step, self.rules).settled

    def _note(self, before: Memory, after: Memory, who: str) -> None:
        """Keep what one store did to each segment, and who did it."""
        if before == after or (before, after) in self._noted:
            return
        self._noted.add((before, after))
        for place in range(len(before)):
            old, new = name_state(before, place), name_state(after, place)
            if old != new:
                self.changes.add((old, new, who))


def name_state(memory: Memory, place: int) -> str:
    words = memory[place]
    if words.number == 0:
        return "new"
    if words.returned == words.number:
        return "free"
    if words.sealed != words.number:
        return "filling"
    return "shipped" if words.shipped == words.published else "sealed"


# ---- The tests ------------------------------------------------------------------------------

# Both may be sealed at once, and the second may be handed back before the first.
TWICE_FILLED = Rules(segments=2, capacity=1, rows=3)
TAKEN_IN_PARTS = Rules(segments=2, capacity=2, rows=3)


def documented_changes() -> set[tuple[str, str, str]]:
    """The rows of the table in docs/design/queue.md: from, to, who."""
    lines = PAGE.read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| from | to | by"))
    rows = set()
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        old, new, who, *_ = (cell.strip() for cell in line.strip("|").split("|"))
        rows.add((old, new, who))
    return rows


def test_a_segment_that_is_filled_twice_passes_through_the_states_of_the_page() -> None:
    explorer = Explorer(TWICE_FILLED)
    explorer.walk()
    assert explorer.changes == documented_changes()
    # Fewer mean that the stand-ins no longer stop where the real code looks.
    assert explorer.count > 20_000


def test_rows_taken_in_parts_all_arrive_whole_whenever_the_shipper_dies() -> None:
    Explorer(TAKEN_IN_PARTS).walk()


@pytest.mark.parametrize(
    ("spoilt", "noticed"),
    [
        ({"publish_first": True}, "were taken as"),
        ({"relaxed": ("published", "number"), "release": ("first_row",)}, "taken|settled|ever"),
        ({"relaxed": ("number", "first_row"), "release": ("published",)}, "taken|settled|ever"),
        ({"seal_first": True}, "handed back|settled|ever"),
        ({"return_first": True}, "settled|ever"),
    ],
    ids=[
        "publish before the row",
        "first_row last",
        "published last",
        "seal before the last row",
        "returned before shipped",
    ],
)
def test_the_model_notices_when_one_store_is_out_of_order(
    spoilt: dict[str, Any], noticed: str
) -> None:
    with pytest.raises(Broken, match=noticed):
        Explorer(replace(TWICE_FILLED, **spoilt)).walk()
