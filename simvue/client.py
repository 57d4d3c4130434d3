"""Client: read runs and all that they recorded back, and delete what is no longer wanted.

A run is named by its id or its name; a text of 22 letters and digits is taken for an id.
Every method raises UnauthorisedError for a refused token, ObjectNotFoundError for what does
not exist, InvalidValueError for a wrong argument, and ServerError for trouble of the server
or the network, after some attempts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, overload

from . import config, downloads, frames, heritage
from .exception import InvalidValueError, ObjectNotFoundError, ServerError
from .listing import (
    Sorting,
    array,
    check_among,
    check_positive,
    check_texts,
    entries,
    sorted_by,
)
from .points import read_aggregate, read_points
from .records import AlertRecord, ArtifactRecord, FolderRecord, Record, RunRecord, TagRecord
from .remote import Remote, route
from .series import Buckets, Series, decode_buckets, decode_series
from .wire import is_id

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from .api.objects import Folder
    from .config.user import SimvueConfiguration

Axis = Literal["step", "time", "timestamp"]
Category = Literal["input", "output", "code"]

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
        self._settings = config.load(url=server_url, token=server_token, profile=server_profile)
        url, token = self._settings.require_server()
        self._remote = Remote(
            url,
            token,
            token_source=self._settings.token_source,
            ca_file=self._settings.ca_file,
            proxy=self._settings.proxy,
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; a later call opens them anew."""
        self._remote.close()

    # ---- Runs ------------------------------------------------------------------------

    @property
    def _user_config(self) -> SimvueConfiguration:
        """Return the configuration as simvue-cli reads it off a client."""
        from .config.user import SimvueConfiguration

        return SimvueConfiguration.made_of(self._settings)

    def get_run(
        self, run_id: str, system: bool = True, tags: bool = True, metadata: bool = True
    ) -> RunRecord:
        """Return everything about a run but its rows and events, whatever older flags say."""
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
        system: bool | None = None,
        tags: bool | None = None,
        format: Literal["dict", "dataframe"] | None = None,
    ) -> Iterator[tuple[str, RunRecord]] | list[dict[str, Any]] | pd.DataFrame:
        """Return the runs that fulfil every one of *filters*, such as ``status == running``.

        As objects: an iterator of (id, run), which asks for 100 runs at a time as it is read;
        as dict: a list of dicts; as dataframe: one row a run, nested members as columns like
        ``metadata.beta``.  The flags ask the server for more of each run; it may send it anyway.
        *count_limit* None means all.  Without *show_shared* only the caller's own.

        As before 1.0, a bare path among the filters is a folder and a bare word a tag, and whoever
        says *system*, *tags* or *format* gets dicts.
        """
        if system is not None or tags is not None or format is not None:
            output_format = format or "dict"
        check_among("output_format", output_format, ("objects", "dict", "dataframe"))
        conditions = [heritage.condition(text) for text in check_texts("filters", filters)]
        if not show_shared:
            conditions.append("user == self")
        params = {
            "filters": array(conditions),
            "attributes": array(check_texts("attributes", attributes)) if attributes else None,
            "return_basic": True,
            "return_metadata": metadata,
            "return_metrics": metrics,
            "return_alerts": alerts,
            "return_system": system_info or bool(system),
            "return_timing": timing_info,
            "sorting": sorted_by(sort_by_columns),
        }
        runs = entries(self._remote, "/runs", params, start_index, count_limit)
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
        answer = self._remote.get("/metrics/names", {"runs": array([self._find_run(run_id)])})
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
        check_among("output_format", output_format, ("dict", "dataframe"))
        check_among("xaxis", xaxis, ("step", "time", "timestamp"))
        names = check_texts("metric_names", metric_names)
        if not names:
            raise InvalidValueError("metric_names is empty: name one metric or more")
        if run_ids is not None and run_filters is not None:
            raise InvalidValueError("run_ids and run_filters exclude each other: give one")
        if aggregate and xaxis == "timestamp":
            raise InvalidValueError("aggregate needs an xaxis that runs share: step or time")
        check_positive("max_points", max_points)

        labels: dict[str, str] = {}
        if run_ids is not None:
            runs = [self._find_run(run) for run in check_texts("run_ids", run_ids)]
            if use_run_names:
                labels = {run: self.get_run_name_from_id(run) for run in runs}
        else:
            conditions = array(check_texts("run_filters", run_filters))
            labels = {
                run["id"]: run["name"]
                for run in entries(self._remote, "/runs", {"filters": conditions}, 0, None)
            }
            runs = list(labels)

        if aggregate:
            values = read_aggregate(self._remote, runs, names, xaxis, max_points)
        else:
            shown = labels if use_run_names else {}
            values = read_points(self._remote, runs, names, xaxis, max_points, shown)
        if not values:
            return None
        if output_format == "dict":
            return values
        return (frames.aggregates_frame if aggregate else frames.values_frame)(values, xaxis)

    def plot_metrics(
        self,
        run_ids: Sequence[str] | str,
        metric_names: Sequence[str] | str,
        xaxis: Axis,
        *,
        max_points: int | None = None,
    ) -> Figure:
        """Return a matplotlib figure with a line for each run and metric, one or several.

        Lines of several runs bear their names.  Raises InvalidValueError if there is nothing to
        draw, ImportError where matplotlib is missing.
        """
        from .plots import plot_values

        run_ids = [run_ids] if isinstance(run_ids, str) else run_ids
        metric_names = [metric_names] if isinstance(metric_names, str) else metric_names
        labels = {run: self.get_run(run)["name"] for run in check_texts("run_ids", run_ids)}
        values = self.get_metric_values(
            metric_names,
            xaxis,
            run_ids=list(labels),
            max_points=max_points,
            use_run_names=len(set(labels.values())) == len(labels),
        )
        if not isinstance(values, dict):
            raise InvalidValueError(f"runs {list(labels)} have no values of {metric_names}")
        runs = dict.fromkeys(run for column in values.values() for _, run in column)
        return plot_values(values, list(runs), xaxis)

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
        rank: int | None = None,
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
        rank: int | None = None,
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
        rank: int | None = None,
    ) -> Series | Buckets:
        """Return every row of *metric* exactly as it was logged, or at most *max_points* buckets.

        *start* and *end* cut to a range of the x axis, which is the step if *xaxis* is None; *rank*
        to what one rank logged into a run that ranks share, which may be nothing.  A
        million rows are 32 MB on the way and here.  Only a server of ours can answer; any other is
        a ServerError that says so.
        """
        if xaxis is not None:
            check_among("xaxis", xaxis, ("step", "time", "timestamp"))
        check_positive("max_points", max_points)
        if "series" not in self._remote.features:
            raise ServerError(
                f"{self._remote.url} (version {self._remote.version}) cannot send whole series; "
                "get_metric_values works with every server"
            )
        params = {
            "metrics": array([metric]),
            "xaxis": xaxis,
            "max_points": max_points,
            "start": start,
            "end": end,
            "rank": rank,
        }
        answer = self._remote.get(route("runs", self._find_run(run), "series"), params)
        if metric not in answer:
            raise ObjectNotFoundError("Metric", metric, f"run {run!r} has not logged it")
        decode = decode_series if max_points is None else decode_buckets
        return decode(metric, answer[metric])

    def get_metrics(
        self,
        run_id: str,
        metric_name: str,
        xaxis: Axis,
        max_points: int | None = None,
        format: Literal["list", "dataframe"] = "list",
    ) -> list[frames.Row] | pd.DataFrame:
        """Return one metric of one run, as before 1.0; see `get_metric_values`.

        As list: (x, value, name of the run, metric); as dataframe: a column for x and one with
        the metric's name.
        """
        rows = self._rows([run_id], [metric_name], xaxis, max_points, format)
        return rows if format == "list" else frames.metric_frame(rows, xaxis, metric_name)

    def get_metrics_multiple(
        self,
        run_ids: Sequence[str],
        metric_names: Sequence[str],
        xaxis: Axis,
        max_points: int | None = None,
        format: Literal["list", "dataframe"] = "list",
    ) -> list[frames.Row] | pd.DataFrame:
        """Return metrics of several runs, as before 1.0; see `get_metric_values`.

        As list like `get_metrics`; as dataframe: columns (name of the run, metric, x) and
        (name of the run, metric, ``value``).
        """
        rows = self._rows(run_ids, metric_names, xaxis, max_points, format)
        return rows if format == "list" else frames.metrics_frame(rows, xaxis)

    def _rows(
        self,
        run_ids: Sequence[str],
        metric_names: Sequence[str],
        xaxis: Axis,
        max_points: int | None,
        format: str,
    ) -> list[frames.Row]:
        check_among("format", format, ("list", "dataframe"))
        # Nought meant all of them.
        labels = {
            (run := self._find_run(one)): self.get_run_name_from_id(run)
            for one in check_texts("run_ids", run_ids)
        }
        values = self.get_metric_values(
            metric_names, xaxis, run_ids=list(labels), max_points=max_points or None
        )
        return heritage.rows(values, labels) if isinstance(values, dict) else []

    def get_metrics_summaries(self, run_id: str, metric_name: str) -> dict[str, Any]:
        """Return what is known of a metric without its rows: its last value, minimum, ..."""
        summaries = self.get_run(run_id)["metrics"]
        if metric_name not in summaries:
            raise ObjectNotFoundError("Metric", metric_name, f"run {run_id!r} has not logged it")
        return dict(summaries[metric_name])

    def get_events(
        self,
        run_id: str,
        *,
        message_contains: str | None = None,
        start_index: int | None = None,
        count_limit: int | None = None,
        filter: str | None = None,
        start: int | None = None,
        num: int | None = None,
    ) -> list[dict[str, str]]:
        """Return the run's events, oldest first: message, timestamp (UTC) and log_level of each.

        *filter*, *start* and *num* are older names of the three before them.
        """
        message_contains = message_contains or filter
        start_index, count_limit = start_index or start, count_limit or num or None
        check_positive("count_limit", count_limit)
        condition = f"event.message contains {message_contains}"
        params = {
            "run": self._find_run(run_id),
            "filters": array([condition]) if message_contains else None,
            "start": start_index or 0,
            "count": count_limit or 0,
        }
        return list(self._remote.get("/events", params)["data"])

    # ---- Artifacts ---------------------------------------------------------------------

    def list_artifacts(
        self,
        run_id: str,
        sort_by_columns: Sorting | Category | None = None,
        category: Category | None = None,
    ) -> Iterator[ArtifactRecord]:
        """Return an iterator over the run's artifacts, of one category or all.

        To sort by are ``name``, ``created``, ``size`` and ``metadata.<key>``.  By position the
        category may be the second, as it was before 1.0.
        """
        if isinstance(sort_by_columns, str):
            category, sort_by_columns = sort_by_columns, None
        run = self._find_run(run_id)
        return iter(downloads.of_run(self._remote, run, category, sort_by_columns))

    def get_artifact(self, run_id: str, name: str, *, allow_pickle: bool = False) -> Any:
        """Return the object that was saved as *name*; the bytes of a file, or of a pickle.

        A pickle is read only with *allow_pickle*: it runs whatever code it holds.
        """
        from .artifacts import decode

        artifact = self._artifact(run_id, name)
        return decode(downloads.fetch(self._remote, artifact), artifact.mime_type, allow_pickle)

    def get_artifact_as_file(
        self,
        run_id: str,
        name: str,
        output_dir: Path | str | None = None,
        *,
        path: Path | str | None = None,
    ) -> Path:
        """Write the artifact *name* into *output_dir* (or *path*), by default the working one.

        Returns the file's path.  A file that is there and has the same bytes is left alone.
        """
        artifact = self._artifact(run_id, name)
        directory = Path(output_dir or path or ".")
        return downloads.save(self._remote, artifact, downloads.place(artifact, directory))

    def get_artifacts_as_files(
        self,
        run_id: str,
        category: Category | None = None,
        output_dir: Path | str | None = None,
        *,
        path: Path | str | None = None,
        startswith: str | None = None,
        contains: str | None = None,
        endswith: str | None = None,
    ) -> list[Path]:
        """Write the run's artifacts into *output_dir* (or *path*), some at once.

        Those of *category*, and whose names begin with, contain and end with the texts given.  A
        ``/`` in a name makes a directory.  Returns the files' paths.
        """
        chosen = [
            artifact
            for artifact in self.list_artifacts(run_id, category=category)
            if artifact.name.startswith(startswith or "")
            and (contains or "") in artifact.name
            and artifact.name.endswith(endswith or "")
        ]
        return downloads.save_all(self._remote, chosen, Path(output_dir or path or "."))

    def _artifact(self, run_id: str, name: str) -> ArtifactRecord:
        return downloads.find(self._remote, self._find_run(run_id), name)

    # ---- Alerts --------------------------------------------------------------------------

    def get_alerts(
        self,
        run_id: str | None = None,
        *,
        critical_only: bool = True,
        names_only: bool = True,
        start_index: int | None = None,
        count_limit: int | None = None,
        sort_by_columns: Sorting | None = None,
    ) -> list[str] | list[AlertRecord]:
        """Return the alerts of a run, or with ``critical_only=False`` of all; names or records.

        With *critical_only* those that the run has raised, at the price of a request for each that
        it has.  Of a run they come as they were attached; *sort_by_columns*, by ``name`` or
        ``created``, is for all.
        """
        if run_id is None:
            if critical_only:
                raise InvalidValueError(
                    "an alert is critical in a run: give run_id, or critical_only=False"
                )
            params = {"sorting": sorted_by(sort_by_columns)}
            listed = entries(self._remote, "/alerts", params, start_index or 0, count_limit)
            found = [AlertRecord(entry) for entry in listed]
        else:
            check_positive("count_limit", count_limit)
            run = self.get_run(run_id)
            attached = [AlertRecord(entry["alert"]) for entry in run["alerts"]]
            if critical_only:
                attached = [one for one in attached if self._is_critical(one["id"], run["id"])]
            start = start_index or 0
            found = attached[start : None if count_limit is None else start + count_limit]
        return [alert.name for alert in found] if names_only else found

    def _is_critical(self, alert: str, run: str) -> bool:
        answer = self._remote.get(route("alerts", alert, "status", run))
        return bool(answer.get("status") == "critical")

    def delete_alert(self, alert_id: str) -> None:
        """Delete the alert with that id, and take it off every run."""
        self._remote.delete(route("alerts", alert_id))

    # ---- Folders and tags ------------------------------------------------------------------

    @overload
    def get_folder(
        self, folder_path: str, *, read_only: Literal[True] = True
    ) -> FolderRecord | None: ...

    @overload
    def get_folder(self, folder_path: str, *, read_only: Literal[False]) -> Folder | None: ...

    def get_folder(
        self, folder_path: str, *, read_only: bool = True
    ) -> FolderRecord | Folder | None:
        """Return the folder at that path, None if there is none.

        With ``read_only=False`` as an object whose members can be set, and sent by ``commit()``.
        """
        filters = array([f"path == {folder_path}"])
        found = next(entries(self._remote, "/folders", {"filters": filters}, 0, 1), None)
        if found is None or read_only:
            return FolderRecord(found) if found else None
        from .api.objects import Folder

        return Folder(_remote=self._remote, _read_only=False, **found)

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
            "filters": array(check_texts("filters", filters)),
            "sorting": sorted_by(sort_by_columns),
        }
        return _records(FolderRecord, entries(self._remote, "/folders", params, start_index, count))

    def delete_folder(
        self,
        folder_path: str,
        *,
        recursive: bool = False,
        remove_runs: bool = False,
        allow_missing: bool = False,
        runs: bool = False,
    ) -> list[str] | None:
        """Delete a folder, with the folders and the runs in it if told so.

        *runs* is an older name of *remove_runs*.
        Returns the ids of the runs deleted, None for a folder that may be missing and is.  Raises
        ServerError if the folder is not empty and the flag for what is in it was not given.
        """
        folder = self.get_folder(folder_path)
        if folder is None:
            if allow_missing:
                return None
            raise ObjectNotFoundError("Folder", folder_path)
        flags = {"recursive": recursive, "runs": remove_runs or runs, "runs_only": False}
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
        params = {"sorting": sorted_by(sort_by_columns)}
        return _records(
            TagRecord, entries(self._remote, "/tags", params, start_index or 0, count_limit)
        )

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
        filters = array([f"name == {name}"])
        ids = [
            run["id"]
            for run in entries(self._remote, "/runs", {"filters": filters}, 0, _SHOWN_MAX + 1)
        ]
        if len(ids) > 1:
            shown = ", ".join(ids[:_SHOWN_MAX]) + (", ..." if len(ids) > _SHOWN_MAX else "")
            raise InvalidValueError(f"{name!r} is the name of several runs; use an id: {shown}")
        return str(ids[0]) if ids else None


def _records(
    kind: type[_AnyRecord], entries: Iterable[Mapping[str, Any]]
) -> Iterator[tuple[str, _AnyRecord]]:
    return ((entry["id"], kind(entry)) for entry in entries)
