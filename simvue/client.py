"""Client: read runs, metrics and events back, and delete what is no longer wanted.

A run is named by its id or its name; a text of 22 letters and digits is taken for an id.
Every method raises UnauthorisedError for a refused token, ObjectNotFoundError for what does
not exist, InvalidValueError for a wrong argument, and ServerError for trouble of the server
or the network, after some attempts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, overload

from . import config, frames
from .exception import InvalidValueError, ObjectNotFoundError, ServerError
from .records import FolderRecord, Record, RunRecord, TagRecord
from .remote import Remote, route
from .series import Buckets, Series, decode_buckets, decode_series
from .wire import is_id

if TYPE_CHECKING:
    import pandas as pd

Axis = Literal["step", "time", "timestamp"]
Sorting = Sequence[tuple[str, bool]]
"""Columns to sort by, the first first, and whether each is descending."""

PAGE: Final = 100
"""Entries of a list in one request: the most that the wire allows."""

_RUNS_MAX: Final = 100
"""Runs in one request for metrics: their ids make some 3 kB of address, of 8 kB that every
proxy takes."""

_SHOWN_MAX: Final = 5
"""Ids that a message lists before it says that there are more."""

_AnyRecord = TypeVar("_AnyRecord", bound=Record)


class Client:
    """The reading half of a server; opens no connection until the first call.

    Address and token come from the arguments, the environment or a file, as for `Run`;
    *server_token* is a text or anything with ``get_secret_value()``.  Raises ConfigurationError
    if one is missing.
    May be used by several threads, and as a context manager, which closes its connections.
    """

    def __init__(
        self,
        *,
        server_token: object = None,
        server_url: str | None = None,
        server_profile: str | None = None,
    ) -> None:
        settings = config.load(url=server_url, token=server_token, profile=server_profile)
        url, token = settings.require_server()
        self._remote = Remote(
            url, token, token_source=settings.token_source, ca_file=settings.ca_file
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; a later call opens them anew."""
        self._remote.close()

    # ---- Runs ------------------------------------------------------------------------

    def get_run(self, run_id: str) -> RunRecord:
        """Return everything about a run but its rows and events."""
        return RunRecord(self._remote.get(route("runs", self._find_run(run_id))))

    def get_run_id_from_name(self, name: str) -> str:
        """Return the id of the only run called *name*; InvalidValueError if it is not the only."""
        found = self._only_run_called(name)
        if found is None:
            raise InvalidValueError(f"no run is called {name!r}")
        return found

    def get_run_name_from_id(self, run_id: str) -> str:
        """Return the name of the run with that id."""
        return str(self._remote.get(route("runs", run_id))["name"])

    def get_runs(
        self,
        filters: Sequence[str] | None = None,
        *,
        attributes: Sequence[str] | None = None,
        metadata: bool = False,
        metrics: bool = False,
        alerts: bool = False,
        system_info: bool = False,
        timing_info: bool = False,
        output_format: Literal["objects", "dict", "dataframe"] = "objects",
        count_limit: int | None = 100,
        start_index: int = 0,
        show_shared: bool = True,
        sort_by_columns: Sorting | None = None,
    ) -> Iterator[tuple[str, RunRecord]] | list[dict[str, Any]] | pd.DataFrame:
        """Return the runs that fulfil every one of *filters*, such as ``status == running``.

        As objects: an iterator of (id, run), which asks for 100 runs at a time as it is read;
        as dict: a list of dicts; as dataframe: one row a run, nested members as columns like
        ``metadata.beta``.  The flags ask the server for more of each run; it may send it anyway.
        *count_limit* None means all.  Without *show_shared* only the caller's own.
        """
        _among("output_format", output_format, ("objects", "dict", "dataframe"))
        conditions = _texts("filters", filters)
        if not show_shared:
            conditions.append("user == self")
        params = {
            "filters": _array(conditions),
            "attributes": _array(_texts("attributes", attributes)) if attributes else None,
            "return_basic": True,
            "return_metadata": metadata,
            "return_metrics": metrics,
            "return_alerts": alerts,
            "return_system": system_info,
            "return_timing": timing_info,
            "sorting": _sorting(sort_by_columns),
        }
        runs = self._list("/runs", params, start_index, count_limit)
        if output_format == "dict":
            return list(runs)
        if output_format == "dataframe":
            return frames.runs_frame(runs)
        return _records(RunRecord, runs)

    def abort_run(self, run_id: str, reason: str) -> Any:
        """Ask the run to end, with *reason*; it notices when it next hears from the server."""
        return self._remote.put(route("runs", self._find_run(run_id), "abort"), {"reason": reason})

    def delete_run(self, run_id: str) -> Any:
        """Delete a run and all that it recorded; returns the server's answer, which is empty."""
        return self._remote.delete(route("runs", self._find_run(run_id)))

    def delete_runs(self, folder_path: str) -> list[str]:
        """Delete every run in a folder but not the folder; return the ids of those deleted.

        Raises InvalidValueError if there is no such folder.
        """
        folder = self.get_folder(folder_path)
        if folder is None:
            raise InvalidValueError(f"there is no folder {folder_path!r} to delete runs from")
        flags = {"recursive": False, "runs": True, "runs_only": True}
        answer = self._remote.delete(route("folders", folder["id"]), flags)
        return list(answer.get("runs", []))

    # ---- Metrics and events ------------------------------------------------------------

    def get_metrics_names(self, run_id: str) -> list[str]:
        """Return the names of the run's metrics, sorted."""
        answer = self._remote.get("/metrics/names", {"runs": _array([self._find_run(run_id)])})
        return sorted(answer)

    def get_metric_values(
        self,
        metric_names: Sequence[str],
        xaxis: Axis,
        *,
        output_format: Literal["dict", "dataframe"] = "dict",
        run_ids: Sequence[str] | None = None,
        run_filters: Sequence[str] | None = None,
        use_run_names: bool = False,
        aggregate: bool = False,
        max_points: int | None = None,
    ) -> frames.Values | pd.DataFrame | None:
        """Return the values of metrics in several runs, one for each x; None if there are none.

        As dict: metric -> (x, run) -> value; as dataframe: a row for each (x, run), a column for
        each metric.  *run* is the id, or with *use_run_names* the name, where runs of one name
        cover each other.  With *aggregate* the values of all runs become one: metric ->
        (x, ``average`` | ``min`` | ``max``) -> value, or a frame with a row for each x and columns
        (metric, kind).  A timestamp is the text of the wire.  Without *run_ids* and *run_filters*
        the runs are all that the caller can see.

        Of several rows at one x this has one, and integers beyond 2**53 may be rounded on the way;
        `get_series` has every row exactly.
        """
        _among("output_format", output_format, ("dict", "dataframe"))
        _among("xaxis", xaxis, ("step", "time", "timestamp"))
        names = _texts("metric_names", metric_names)
        if not names:
            raise InvalidValueError("metric_names is empty: name one metric or more")
        if run_ids is not None and run_filters is not None:
            raise InvalidValueError("run_ids and run_filters exclude each other: give one")
        if aggregate and xaxis == "timestamp":
            raise InvalidValueError("aggregate needs an xaxis that runs share: step or time")
        _positive("max_points", max_points)

        labels: dict[str, str] = {}
        if run_ids is not None:
            runs = [self._find_run(run) for run in _texts("run_ids", run_ids)]
            if use_run_names:
                labels = {run: self.get_run_name_from_id(run) for run in runs}
        else:
            conditions = _array(_texts("run_filters", run_filters))
            labels = {
                run["id"]: run["name"]
                for run in self._list("/runs", {"filters": conditions}, 0, None)
            }
            runs = list(labels)

        params = {"metrics": _array(names), "xaxis": xaxis, "max_points": max_points}
        if aggregate:
            answer = self._get_values(runs, {**params, "aggregate": True})
            values = frames.by_aggregate(answer, xaxis)
        else:
            answer = {}
            for first in range(0, len(runs), _RUNS_MAX):
                answer.update(self._get_values(runs[first : first + _RUNS_MAX], params))
            values = frames.by_run(answer, xaxis, labels if use_run_names else {})
        if not values:
            return None
        if output_format == "dict":
            return values
        return (frames.aggregates_frame if aggregate else frames.values_frame)(values, xaxis)

    def _get_values(self, runs: Sequence[str], params: Mapping[str, Any]) -> dict[str, Any]:
        if not runs:
            return {}
        answer = self._remote.get("/metrics", {**params, "runs": _array(runs)})
        if not isinstance(answer, dict):
            raise ServerError("the server's answer for /metrics is not a table of runs")
        return answer

    @overload
    def get_series(
        self,
        run: str,
        metric: str,
        *,
        xaxis: Axis | None = None,
        max_points: None = None,
        start: float | None = None,
        end: float | None = None,
    ) -> Series: ...

    @overload
    def get_series(
        self,
        run: str,
        metric: str,
        *,
        xaxis: Axis | None = None,
        max_points: int,
        start: float | None = None,
        end: float | None = None,
    ) -> Buckets: ...

    def get_series(
        self,
        run: str,
        metric: str,
        *,
        xaxis: Axis | None = None,
        max_points: int | None = None,
        start: float | None = None,
        end: float | None = None,
    ) -> Series | Buckets:
        """Return every row of *metric* exactly as it was logged, or at most *max_points* buckets.

        *start* and *end* cut to a range of the x axis, which is the step if *xaxis* is None.  A
        million rows are 32 MB on the way and here.  Only a server of ours can answer; any other is
        a ServerError that says so.
        """
        if xaxis is not None:
            _among("xaxis", xaxis, ("step", "time", "timestamp"))
        _positive("max_points", max_points)
        if "series" not in self._remote.features:
            raise ServerError(
                f"{self._remote.url} (version {self._remote.version}) cannot send whole series; "
                "get_metric_values works with every server"
            )
        params = {
            "metrics": _array([metric]),
            "xaxis": xaxis,
            "max_points": max_points,
            "start": start,
            "end": end,
        }
        answer = self._remote.get(route("runs", self._find_run(run), "series"), params)
        if metric not in answer:
            raise ObjectNotFoundError("Metric", metric, f"run {run!r} has not logged it")
        decode = decode_series if max_points is None else decode_buckets
        return decode(metric, answer[metric])

    def get_events(
        self,
        run_id: str,
        *,
        message_contains: str | None = None,
        start_index: int | None = None,
        count_limit: int | None = None,
    ) -> list[dict[str, str]]:
        """Return the run's events, oldest first: message, timestamp (UTC) and log_level of each."""
        _positive("count_limit", count_limit)
        condition = f"event.message contains {message_contains}"
        params = {
            "run": self._find_run(run_id),
            "filters": _array([condition]) if message_contains else None,
            "start": start_index or 0,
            "count": count_limit or 0,
        }
        return list(self._remote.get("/events", params)["data"])

    # ---- Folders and tags ------------------------------------------------------------------

    def get_folder(self, folder_path: str) -> FolderRecord | None:
        """Return the folder at that path, None if there is none."""
        filters = _array([f"path == {folder_path}"])
        found = next(self._list("/folders", {"filters": filters}, 0, 1), None)
        return FolderRecord(found) if found else None

    def get_folders(
        self,
        *,
        filters: Sequence[str] | None = None,
        count: int | None = 100,
        start_index: int = 0,
        sort_by_columns: Sorting | None = None,
    ) -> Iterator[tuple[str, FolderRecord]]:
        """Return an iterator of (id, folder); *count* None means all."""
        params = {
            "filters": _array(_texts("filters", filters)),
            "sorting": _sorting(sort_by_columns),
        }
        return _records(FolderRecord, self._list("/folders", params, start_index, count))

    def delete_folder(
        self,
        folder_path: str,
        *,
        recursive: bool = False,
        remove_runs: bool = False,
        allow_missing: bool = False,
    ) -> list[str] | None:
        """Delete a folder, with the folders and the runs in it if told so.

        Returns the ids of the runs deleted, None for a folder that may be missing and is.  Raises
        ServerError if the folder is not empty and the flag for what is in it was not given.
        """
        folder = self.get_folder(folder_path)
        if folder is None:
            if allow_missing:
                return None
            raise ObjectNotFoundError("Folder", folder_path)
        flags = {"recursive": recursive, "runs": remove_runs, "runs_only": False}
        answer = self._remote.delete(route("folders", folder["id"]), flags)
        return list(answer.get("runs", []))

    def get_tags(
        self,
        *,
        start_index: int | None = None,
        count_limit: int | None = None,
        sort_by_columns: Sorting | None = None,
    ) -> Iterator[tuple[str, TagRecord]]:
        """Return an iterator of (id, tag)."""
        params = {"sorting": _sorting(sort_by_columns)}
        return _records(TagRecord, self._list("/tags", params, start_index or 0, count_limit))

    def get_tag(self, tag_id: str) -> TagRecord:
        """Return the tag with that id."""
        return TagRecord(self._remote.get(route("tags", tag_id)))

    def delete_tag(self, tag_id: str) -> None:
        """Delete the tag with that id, and take it off every run."""
        self._remote.delete(route("tags", tag_id))

    # ---- The road to the server ----------------------------------------------------------------

    def _find_run(self, run: str) -> str:
        if is_id(run):
            return run
        found = self._only_run_called(run)
        if found is None:
            raise ObjectNotFoundError("Run", run)
        return found

    def _only_run_called(self, name: str) -> str | None:
        filters = _array([f"name == {name}"])
        ids = [run["id"] for run in self._list("/runs", {"filters": filters}, 0, _SHOWN_MAX + 1)]
        if len(ids) > 1:
            shown = ", ".join(ids[:_SHOWN_MAX]) + (", ..." if len(ids) > _SHOWN_MAX else "")
            raise InvalidValueError(f"{name!r} is the name of several runs; use an id: {shown}")
        return str(ids[0]) if ids else None

    def _list(
        self, path: str, params: Mapping[str, Any], start: int, limit: int | None
    ) -> Iterator[dict[str, Any]]:
        """Return an iterator over the entries of a list, *limit* at most, a page at a time."""
        _positive("the number of entries", limit)
        return self._pages(path, params, start, limit)

    def _pages(
        self, path: str, params: Mapping[str, Any], start: int, limit: int | None
    ) -> Iterator[dict[str, Any]]:
        # What is made while we read moves the entries down, so that a page repeats some.
        seen: set[str] = set()
        while limit is None or len(seen) < limit:
            size = PAGE if limit is None else min(PAGE, limit - len(seen))
            answer = self._remote.get(path, {**params, "start": start, "count": size})
            if not isinstance(answer, dict) or not isinstance(answer.get("data"), list):
                raise ServerError(f"the server's answer for {path} is not a list")
            entries = answer["data"]
            for entry in entries:
                if entry["id"] not in seen:
                    seen.add(entry["id"])
                    yield entry
            start += len(entries)
            if not entries or start >= answer.get("count", 0):
                return


def _records(
    kind: type[_AnyRecord], entries: Iterable[Mapping[str, Any]]
) -> Iterator[tuple[str, _AnyRecord]]:
    return ((entry["id"], kind(entry)) for entry in entries)


# ---- Arguments ---------------------------------------------------------------------------------


def _array(texts: Iterable[str]) -> str:
    return json.dumps(list(texts))


def _sorting(columns: Sorting | None) -> str | None:
    if not columns:
        return None
    return json.dumps([{"id": column, "desc": descending} for column, descending in columns])


def _texts(name: str, texts: Sequence[str] | None) -> list[str]:
    # A single text is a sequence of texts as well, and never what was meant.
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts or ()):
        raise InvalidValueError(f"{name} must be a list of texts, not {texts!r}")
    return list(texts or ())


def _among(name: str, value: str, words: Sequence[str]) -> None:
    if value not in words:
        raise InvalidValueError(f"{name} must be one of {', '.join(words)}, not {value!r}")


def _positive(name: str, value: int | None) -> None:
    if value is not None and value < 1:
        raise InvalidValueError(f"{name} must be 1 or more, not {value!r}")
