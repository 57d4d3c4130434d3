"""SQLStore: the store in SQL, the same for every engine: which transaction each call makes.

::

    SQLStore     what a call reads and writes: the statements stand in runs.py, rows.py ...
       ├── SQLiteStore      a connection that sees one moment; one writer, group commit
       └── PostgresStore    a connection that sees one moment; writers that take turns

A write of rows changes what belongs to one run and takes the run for itself (runs.touch), so
an engine may have many of them at work.  All others see the store as if they were alone.
What is written is decoded, compressed and summed up in the caller's thread before it begins.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO, Final, TypeVar

from simvue.exception import StoreError

from . import (
    AlertStatus,
    Attached,
    ChecksumDiffers,
    Event,
    Object,
    Query,
    Series,
    Span,
    Store,
    Stored,
    Tensor,
    Token,
    Watched,
    folding,
)
from . import alerts as alert_sql
from . import artifacts as artifact_sql
from . import folders as folder_sql
from . import grids as grid_sql
from . import processes as process_sql
from . import rows as row_sql
from . import runs as run_sql
from . import storages as storage_sql
from . import users as user_sql
from . import zoom as zoom_sql
from .blobs import Blobs, Direct, Form, Upload, take_sent
from .buckets import Window
from .connection import Connection
from .packs import Packing
from .room import Room

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from simvue._columns import Rows

    from .buckets import Axis, Cut, MetricAxis, Number

T = TypeVar("T")

SCHEMA: Final = 4
"""The version of sqlite.sql and postgres.sql, which every database names."""

# While a write fails or takes so long, as when a database restarts, no sign of life is written
# either; most take a hundredth of a second (chosen).
_DEAF_S: Final = 3.0
# What began to be written so long ago has no writer any more (chosen): nothing says so for sure,
# because the server that took it may be another, and a slow line is no reason to cut it off.
_UPLOAD_MAX_US: Final = 86_400 * 1_000_000
# Each deletes a slice of what deleted runs leave behind, and tells whether more is left.
_SWEEPERS: Final = (row_sql.sweep, grid_sql.sweep)


class SQLStore(Store):
    """What all engines share; *clock* tells seconds, artifacts lie in *blobs*.

    An engine is ready to read and write before it calls this.
    """

    def __init__(self, blobs: Blobs, clock: Callable[[], float] = time.time) -> None:
        self._blobs = blobs
        self._clock = clock
        self._opened = clock()
        self._room = Room()
        self._folding = folding.Folding(self._reading, self._write, clock)
        self._packing = Packing(self._reading, self._write, blobs, clock)

    # ---- What an engine brings -----------------------------------------------------

    @abstractmethod
    def _reading(self) -> AbstractContextManager[Connection]:
        """Lend a connection that sees one moment of the store.  Raises StoreError."""

    @abstractmethod
    def _write(self, work: Callable[[Connection], T], size: int = 0) -> T:
        """Run *work* in a transaction, as if nobody else wrote; return its result once committed.

        Blocks.  *size* is about how many bytes it writes.  An exception of *work* takes back
        what it wrote and is raised here; StoreError means that the store itself failed.
        """

    @abstractmethod
    def _write_rows(self, work: Callable[[Connection], T], size: int = 0) -> T:
        """Run *work*, which touches one run before all else, in the same way."""

    @property
    def _now(self) -> int:
        return int(self._clock() * 1e6)

    # ---- Runs --------------------------------------------------------------------

    def create_run(self, run: Object, owner: str) -> tuple[str, bool]:
        """See Store."""
        return self._write(lambda connection: run_sql.create(connection, run, owner, self._now))

    def create_runs(self, runs: Sequence[Object], owner: str) -> list[tuple[str, bool]]:
        """See Store."""
        now = self._now
        return self._write(
            lambda connection: [run_sql.create(connection, run, owner, now) for run in runs]
        )

    def get_run(self, run: str) -> Object:
        """See Store."""
        with self._reading() as connection:
            return run_sql.get(connection, run, self._now)

    def processes(self, run: str) -> list[Object]:
        """See Store."""
        with self._reading() as connection:
            return process_sql.of_run(connection, run_sql.find(connection, run))

    def list_runs(self, query: Query, owner: str) -> tuple[int, list[Object]]:
        """See Store."""
        with self._reading() as connection:
            return run_sql.select(connection, query, owner, self._now)

    def update_run(self, run: str, changes: Object) -> None:
        """See Store."""

        def work(connection: Connection) -> None:
            run_sql.update(connection, run, changes, self._now)
            if changes.get("writers"):
                row_sql.introduce(connection, run, changes["writers"])

        self._write(work)

    def delete_run(self, run: str) -> None:
        """See Store."""
        self._write(lambda connection: run_sql.delete(connection, run, self._now))
        self._sweep()

    def tidy(self) -> None:
        """See Store."""
        now = self._now
        self._write(lambda connection: artifact_sql.recover(connection, now, now - _UPLOAD_MAX_US))
        while self._write(lambda connection: row_sql.forget(connection, now)):
            pass
        self._sweep()

    def _sweep(self) -> None:
        """Delete what deleted runs leave behind, in slices between which others write."""
        while self._write(lambda connection: any(sweep(connection) for sweep in _SWEEPERS)):
            pass
        self._remove_litter()

    def beat(self, run: str) -> Stored:
        """See Store."""
        _, abort = self._write_rows(lambda connection: run_sql.touch(connection, run, self._now))
        return Stored(0, abort)

    def set_abort(self, run: str, reason: str) -> None:
        """See Store."""
        self._write(lambda connection: run_sql.abort(connection, run, reason))

    def mark_lost(self, now: float) -> list[str]:
        """See Store."""
        begun, heard = self._clock(), False
        try:
            lost = self._write(lambda connection: run_sql.lose(connection, now, self._opened))
            heard = self._clock() - begun < _DEAF_S
            return lost
        finally:
            if not heard:
                self._opened = self._clock()

    def delete_expired(self, now: float) -> list[str]:
        """See Store."""
        gone: list[str] = []
        while some := self._write(lambda connection: run_sql.expire(connection, now)):
            gone += some
        if gone:
            self._sweep()
        return gone

    # ---- Rows --------------------------------------------------------------------

    def add_metrics(
        self, run: str, rows: Rows, span: Span | None, digest: bytes | None = None
    ) -> Stored:
        """See Store."""
        _check_span(span, rows.count)
        with self._room.take(rows.nbytes):
            first = span.first if span else 0
            chosen = [(first, first + rows.count)] if rows.count else []
            while True:
                kept = rows
                if span and chosen != [(first, span.end)]:
                    kept = rows.keep([(begin - first, end - first) for begin, end in chosen])
                answer = self._add(run, kept, span, chosen, digest)
                if isinstance(answer, Stored):
                    return answer
                chosen = answer

    def _add(
        self,
        run: str,
        kept: Rows,
        span: Span | None,
        chosen: list[tuple[int, int]],
        digest: bytes | None,
    ) -> Stored | list[tuple[int, int]]:
        blocks = row_sql.encode(kept)
        return self._write_rows(
            lambda connection: row_sql.add_metrics(
                connection, run, blocks, kept.count, span, chosen, digest, self._now
            ),
            sum(len(block.chunk) for block in blocks),
        )

    def add_events(
        self, run: str, events: Sequence[Event], span: Span | None, digest: bytes | None = None
    ) -> Stored:
        """See Store."""
        _check_span(span, len(events))
        size = sum(len(event.message) for event in events)
        with self._room.take(size):
            return self._write_rows(
                lambda connection: row_sql.add_events(
                    connection, run, events, span, digest, self._now
                ),
                size,
            )

    def writers(self, run: str) -> dict[str, list[tuple[int, int]]]:
        """See Store."""
        with self._reading() as connection:
            return row_sql.writers(connection, run)

    def metric_names(self, runs: Sequence[str]) -> list[str]:
        """See Store."""
        with self._reading() as connection:
            return sorted({name for run in runs for name in row_sql.metric_names(connection, run)})

    def series(self, run: str, names: Sequence[str]) -> dict[str, Series]:
        """See Store."""
        with self._reading() as connection:
            return row_sql.series(connection, run, names)

    def cut(
        self,
        run: str,
        names: Sequence[str],
        axis: Axis | MetricAxis,
        most: int,
        start: Number | None = None,
        end: Number | None = None,
        rank: int | None = None,
        log: bool = False,
    ) -> dict[str, Cut]:
        """See Store."""
        window = Window(most, start, end, log)
        with self._reading() as connection:
            return zoom_sql.cut(connection, run, names, axis, window, rank)

    def fold(self) -> bool:
        """See Store."""
        return self._folding.step()

    def pack(self) -> bool:
        """See Store."""
        return self._blobs.remote and self._packing.step()

    def extent(self, run: str) -> dict[str, tuple[float, float]]:
        """See Store."""
        with self._reading() as connection:
            return row_sql.extent(connection, run)

    def list_events(
        self,
        run: str,
        contains: Sequence[str],
        start: int,
        count: int | None,
        levels: Sequence[str] | None = None,
    ) -> tuple[int, list[Event]]:
        """See Store."""
        with self._reading() as connection:
            return row_sql.list_events(connection, run, contains, start, count, levels)

    def count_events(
        self,
        run: str,
        contains: Sequence[str],
        begin: int,
        window: int,
        bars: int,
        levels: Sequence[str] | None = None,
    ) -> list[int]:
        """See Store."""
        with self._reading() as connection:
            return row_sql.count_events(connection, run, contains, begin, window, bars, levels)

    # ---- Folders and tags ----------------------------------------------------------

    def create_folder(self, folder: Object) -> tuple[str, bool]:
        """See Store."""
        return self._write(lambda connection: folder_sql.create(connection, folder, self._now))

    def get_folder(self, folder: str) -> Object | None:
        """See Store."""
        with self._reading() as connection:
            return folder_sql.get(connection, folder)

    def list_folders(self, query: Query) -> tuple[int, list[Object]]:
        """See Store."""
        with self._reading() as connection:
            return folder_sql.select(connection, query, self._now)

    def update_folder(self, folder: str, changes: Object) -> bool:
        """See Store."""
        return self._write(
            lambda connection: folder_sql.update(connection, folder, changes, self._now)
        )

    def delete_folder(self, folder: str, recursive: bool, runs: bool, keep: bool) -> Object:
        """See Store."""
        answer = self._write(
            lambda connection: _delete_folder(
                connection, folder, recursive, runs or keep, keep, self._now
            )
        )
        self._sweep()
        return answer

    def create_tag(self, tag: Object) -> tuple[str, bool]:
        """See Store."""
        return self._write(lambda connection: folder_sql.create_tag(connection, tag, self._now))

    def get_tag(self, tag: str) -> Object | None:
        """See Store."""
        with self._reading() as connection:
            return folder_sql.get_tag(connection, tag)

    def list_tags(self, query: Query) -> tuple[int, list[Object]]:
        """See Store."""
        with self._reading() as connection:
            return folder_sql.select_tags(connection, query, self._now)

    def update_tag(self, tag: str, changes: Object) -> bool:
        """See Store."""
        return self._write(lambda connection: folder_sql.update_tag(connection, tag, changes))

    def delete_tag(self, tag: str) -> bool:
        """See Store."""
        return self._write(lambda connection: folder_sql.delete_tag(connection, tag))

    # ---- Alerts --------------------------------------------------------------------

    def create_alert(self, alert: Object, owner: str, deduplicate: bool) -> tuple[str, bool]:
        """See Store."""
        return self._write(
            lambda connection: alert_sql.create(connection, alert, owner, deduplicate, self._now)
        )

    def get_alert(self, alert: str) -> Object | None:
        """See Store."""
        with self._reading() as connection:
            return alert_sql.get(connection, alert)

    def list_alerts(self, query: Query) -> tuple[int, list[Object]]:
        """See Store."""
        with self._reading() as connection:
            return alert_sql.select(connection, query)

    def update_alert(self, alert: str, changes: Object) -> bool:
        """See Store."""
        return self._write(lambda connection: alert_sql.update(connection, alert, changes))

    def delete_alert(self, alert: str) -> bool:
        """See Store."""
        return self._write(lambda connection: alert_sql.delete(connection, alert))

    def alert_status(self, alert: str, run: str) -> AlertStatus | None:
        """See Store."""
        with self._reading() as connection:
            return alert_sql.status(connection, alert, run_sql.find(connection, run))

    def set_alert_status(self, alert: str, run: str, status: AlertStatus) -> str | None:
        """See Store."""
        return self._write(
            lambda connection: alert_sql.set_status(
                connection, alert, run_sql.find(connection, run), status
            )
        )

    def watched_alerts(self, runs: Collection[str] | None) -> list[Watched]:
        """See Store."""
        with self._reading() as connection:
            return alert_sql.watched(connection, runs)

    def recent_values(
        self, run: str, names: Sequence[str], window: int
    ) -> dict[str, NDArray[np.float64]]:
        """See Store."""
        with self._reading() as connection:
            return alert_sql.recent(connection, run_sql.find(connection, run), names, window)

    def find_event(self, run: str, pattern: str, after: int) -> tuple[bool, int]:
        """See Store."""
        with self._reading() as connection:
            return alert_sql.find_event(connection, run_sql.find(connection, run), pattern, after)

    # ---- Artifacts -------------------------------------------------------------------

    def create_artifact(self, artifact: Object, owner: str) -> tuple[str, bool]:
        """See Store."""
        return self._write(
            lambda connection: artifact_sql.create(connection, artifact, owner, self._now)
        )

    def get_artifact(self, artifact: str) -> Object | None:
        """See Store."""
        with self._reading() as connection:
            return artifact_sql.get(connection, artifact)

    def list_artifacts(self, query: Query, runs: Sequence[str]) -> tuple[int, list[Object]]:
        """See Store."""
        with self._reading() as connection:
            return artifact_sql.select(connection, query, runs, self._now)

    def update_artifact(self, artifact: str, changes: Object) -> bool:
        """See Store."""
        if changes.get("uploaded") and self._blobs.direct is not None:
            self._take_sent(artifact, self._blobs.direct)
        return self._write(lambda connection: artifact_sql.update(connection, artifact, changes))

    def delete_artifact(self, artifact: str) -> bool:
        """See Store."""
        deleted = self._write(lambda connection: artifact_sql.delete(connection, artifact))
        self._remove_litter()
        return deleted

    def attach_artifact(self, run: str, artifact: str, category: str) -> bool:
        """See Store."""
        return self._write(
            lambda connection: artifact_sql.attach(connection, run, artifact, category)
        )

    def run_artifacts(self, run: str) -> list[Object]:
        """See Store."""
        with self._reading() as connection:
            return artifact_sql.of_run(connection, run)

    def artifact_category(self, run: str, artifact: str) -> str | None:
        """See Store."""
        with self._reading() as connection:
            return artifact_sql.category(connection, run, artifact)

    def lineage(self, checksum: str) -> list[Attached]:
        """See Store."""
        with self._reading() as connection:
            return artifact_sql.lineage(connection, checksum)

    def begin_upload(self, artifact: str) -> Upload:
        """See Store."""
        place, checksum = self._write(
            lambda connection: artifact_sql.begin(connection, artifact, self._now)
        )

        def keep(size: int) -> None:
            self._write(lambda connection: artifact_sql.keep(connection, artifact, place, size))
            # The file, if equal bytes were there already.
            self._remove_litter()

        def drop() -> None:
            self._write(lambda connection: artifact_sql.forget(connection, [place]))

        return Upload(self._blobs, place, checksum, keep, drop)

    def open_artifact(self, artifact: str) -> tuple[BinaryIO, int]:
        """See Store."""
        with self._reading() as connection:
            found = artifact_sql.place(connection, artifact)
        if found is None:
            raise KeyError(artifact)
        try:
            return self._blobs.open(found[0]), found[1]
        except FileNotFoundError:
            # Deleted since it was looked up.
            raise KeyError(artifact) from None
        except OSError as error:
            raise StoreError(f"the artifact cannot be read: {error.strerror}") from error

    def upload_form(self, artifact: str) -> Form | None:
        """See Store."""
        direct, found = self._blobs.direct, self.get_artifact(artifact)
        if direct is None or found is None or found["size"] > direct.size_max:
            return None
        # A place is not litter before its form has ceased to work.
        until = self._now + direct.lifetime_s * 1_000_000
        place = self._write(lambda connection: artifact_sql.await_sent(connection, artifact, until))
        with _unsignable():
            return direct.upload_form(place, found["checksum"])

    def _take_sent(self, artifact: str, direct: Direct) -> None:
        """Give *artifact* what a client itself sent to the storage, if it is what it should be."""
        with self._reading() as connection:
            places = artifact_sql.sent(connection, artifact)
        for sent in places:
            with suppress(FileNotFoundError, KeyError):
                self._take(artifact, sent, direct)
                break

    def _take(self, artifact: str, sent: str, direct: Direct) -> None:
        place, checksum = self._write(
            lambda connection: artifact_sql.begin(connection, artifact, self._now)
        )
        useless = [place]
        try:
            size = take_sent(self._blobs, direct, sent, place, checksum)
            self._write(lambda connection: artifact_sql.keep(connection, artifact, place, size))
            useless = [sent]
        except ChecksumDiffers:
            useless = [sent, place]
            raise
        finally:
            self._write(lambda connection: artifact_sql.spoil(connection, *useless))
            self._remove_litter()

    def artifact_url(self, artifact: str, media_type: str, disposition: str) -> str | None:
        """See Store."""
        if self._blobs.direct is None:
            return None
        with self._reading() as connection:
            found = artifact_sql.place(connection, artifact)
        if found is None:
            raise KeyError(artifact)
        with _unsignable():
            return self._blobs.direct.download_url(found[0], media_type, disposition)

    def _remove_litter(self) -> None:
        """Remove the files that nothing needs; those that will not go are tried again later."""
        with self._reading() as connection:
            places = artifact_sql.litter(connection)
        gone = []
        for place in places:
            with suppress(OSError):
                self._blobs.remove(place)
                gone.append(place)
        if gone:
            self._write(lambda connection: artifact_sql.forget(connection, gone))

    # ---- Storages --------------------------------------------------------------------

    def create_storage(self, storage: Object, owner: str) -> str:
        """See Store."""
        return self._write(
            lambda connection: storage_sql.create(connection, storage, owner, self._now)
        )

    def get_storage(self, storage: str) -> Object | None:
        """See Store."""
        with self._reading() as connection:
            return storage_sql.get(connection, storage)

    def list_storages(self) -> list[Object]:
        """See Store."""
        with self._reading() as connection:
            return storage_sql.select(connection)

    def update_storage(self, storage: str, changes: Object) -> bool:
        """See Store."""
        return self._write(lambda connection: storage_sql.update(connection, storage, changes))

    def delete_storage(self, storage: str) -> bool:
        """See Store."""
        return self._write(lambda connection: storage_sql.delete(connection, storage))

    # ---- Grids -----------------------------------------------------------------------

    def create_grid(self, grid: Object, owner: str) -> str:
        """See Store."""
        return self._write(lambda connection: grid_sql.create(connection, grid, owner, self._now))

    def get_grid(self, grid: str) -> Object | None:
        """See Store."""
        with self._reading() as connection:
            return grid_sql.get(connection, grid)

    def list_grids(self, start: int, count: int) -> tuple[int, list[Object]]:
        """See Store."""
        with self._reading() as connection:
            return grid_sql.select(connection, start, count)

    def delete_grid(self, grid: str) -> bool:
        """See Store."""
        return self._write(lambda connection: grid_sql.delete(connection, grid))

    def attach_grid(self, run: str, grid: str, name: str) -> bool:
        """See Store."""
        return self._write(lambda connection: grid_sql.attach(connection, run, grid, name))

    def run_grids(self, run: str) -> list[Object]:
        """See Store."""
        with self._reading() as connection:
            return grid_sql.of_run(connection, run)

    def add_tensors(
        self, run: str, tensors: Sequence[Tensor], span: Span | None, digest: bytes | None = None
    ) -> Stored:
        """See Store."""
        _check_span(span, len(tensors))
        with self._room.take(sum(len(tensor.values) for tensor in tensors)):
            data = [grid_sql.compress(tensor) for tensor in tensors]
            return self._write_rows(
                lambda connection: grid_sql.add(
                    connection, run, tensors, data, span, digest, self._now
                ),
                sum(map(len, data)),
            )

    def tensor(self, run: str, name: str, step: int | None) -> Tensor | None:
        """See Store."""
        with self._reading() as connection:
            return grid_sql.values(connection, run, name, step)

    def tensor_span(self, run: str, name: str) -> Object | None:
        """See Store."""
        with self._reading() as connection:
            return grid_sql.span(connection, run, name)

    # ---- Tenants, users, tokens ------------------------------------------------------

    def create_tenant(self, tenant: Object) -> str:
        """See Store."""
        return self._write(lambda connection: user_sql.create_tenant(connection, tenant, self._now))

    def get_tenant(self, tenant: str) -> Object | None:
        """See Store."""
        with self._reading() as connection:
            return user_sql.get_tenant(connection, tenant)

    def list_tenants(self, query: Query) -> tuple[int, list[Object]]:
        """See Store."""
        with self._reading() as connection:
            return user_sql.select_tenants(connection, query)

    def update_tenant(self, tenant: str, changes: Object) -> bool:
        """See Store."""
        return self._write(lambda connection: user_sql.update_tenant(connection, tenant, changes))

    def delete_tenant(self, tenant: str) -> bool:
        """See Store."""
        return self._write(lambda connection: user_sql.delete_tenant(connection, tenant))

    def create_user(self, user: Object) -> str:
        """See Store."""
        return self._write(lambda connection: user_sql.create_user(connection, user, self._now))

    def get_user(self, user: str) -> Object | None:
        """See Store."""
        with self._reading() as connection:
            return user_sql.get_user(connection, user)

    def list_users(self, query: Query) -> tuple[int, list[Object]]:
        """See Store."""
        with self._reading() as connection:
            return user_sql.select_users(connection, query)

    def update_user(self, user: str, changes: Object) -> bool:
        """See Store."""
        return self._write(lambda connection: user_sql.update_user(connection, user, changes))

    def delete_user(self, user: str) -> bool:
        """See Store."""
        return self._write(lambda connection: user_sql.delete_user(connection, user))

    def usage(self, tenant: str | None) -> dict[str, Object]:
        """See Store."""
        with self._reading() as connection:
            return user_sql.usage(connection, tenant)

    def add_token(self, digest: str, token: Token) -> None:
        """See Store."""
        self._write(lambda connection: user_sql.add_token(connection, digest, token, self._now))

    def find_token(self, digest: str) -> Token | None:
        """See Store."""
        with self._reading() as connection:
            return user_sql.find_token(connection, digest)

    def list_tokens(self, query: Query, user: str | None) -> tuple[int, list[Object]]:
        """See Store."""
        with self._reading() as connection:
            return user_sql.select_tokens(connection, query, user)

    def delete_token(self, token: str, user: str | None) -> bool:
        """See Store."""
        return self._write(lambda connection: user_sql.delete_token(connection, token, user))


@contextmanager
def _unsignable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"no address can be signed: {error.strerror}") from error


def _check_span(span: Span | None, count: int) -> None:
    if span is not None and span.end - span.first != count:
        raise ValueError(
            f"rows {span.first}-{span.end} are {span.end - span.first}, but the body has {count}"
        )


def _delete_folder(
    connection: Connection,
    folder: str,
    recursive: bool,
    with_runs: bool,
    keep: bool,
    now: int,
) -> Object:
    path, below, held = folder_sql.contents(connection, folder, recursive)
    if below and not recursive and not keep:
        raise ValueError(f"folder {path} has sub-folders: delete it recursively, or them first")
    if held and not with_runs:
        raise ValueError(f"folder {path} holds {len(held)} runs: delete them with it, or first")
    for run in held:
        run_sql.delete(connection, run, now)
    deleted = [] if keep else [folder, *below]
    folder_sql.delete(connection, deleted)
    return {"folders": deleted, "runs": held}
