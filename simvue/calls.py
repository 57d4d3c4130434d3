"""Calls: what a run does besides logging rows, as a server is told of it.

::

    open          POST /runs, or a run that is there: registrations.py
    update        PUT /runs/{id}
    tags          the tags there are -> PUT their union
    event         one of the shipper's own: a body of one row
    end           nothing: no more follows
    artifact      POST /artifacts -> the bytes to where it says -> PUT uploaded -> PUT to the run
    alerts        POST /alerts, an equal one is taken -> PUT the run's list
    alert status  the same -> PUT its status for the run
    folder        POST /folders, or the one there is -> PUT
    grid, tensor  POST /grids once a server -> PUT to the run, or POST the array

Each may be carried out twice, by two programs at once, and changes nothing the second time.  So a
call holds all that it needs: the definition of an alert or a grid, say, and not an id that some
other program was told.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO, Final

import msgpack

from simvue.delivery import Outcome, Reply, deliver_body, get_to_know, judge
from simvue.exception import ServerError
from simvue.registrations import as_known, open_run
from simvue.remote import Remote, route
from simvue.staging import digest, unstage
from simvue.wire import ROWS_HEADER, WRITER_HEADER, body_header, derived_id, rows_header

Call = Mapping[str, Any]


class _Unfinished(Exception):
    """A step of a call was not done; ``reply`` is why."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.detail)
        self.reply = reply


def deliver_call(remote: Remote, run: str, call: Call) -> Reply:
    """Carry out one call on *run* of the server, of whichever kind it is.  Never raises."""
    try:
        unknown = get_to_know(remote)
        if unknown is not None:
            return unknown
        if call["call"] == "open":
            return open_run(remote, run, call)
        carry_out = _KINDS.get(call["call"])
        if carry_out is None:
            kind = call["call"]
            return Reply(Outcome.REJECTED, f"a newer simvue wrote a call of the kind {kind!r}")
        carry_out(remote, run, call)
        return Reply(Outcome.DONE)
    except _Unfinished as unfinished:
        return unfinished.reply
    except ServerError as trouble:
        return Reply(Outcome.LATER, str(trouble))


def _ask(remote: Remote, method: str, path: str, json: Any = None, **params: Any) -> Any:
    """Make a request of which nothing but success lets the call go on; return its content."""
    reply = judge(remote.send(method, path, json=json, params=params or None))
    if reply.outcome is not Outcome.DONE:
        raise _Unfinished(reply)
    return reply.content


def _ask_of_run(remote: Remote, run: str, method: str, path: str, json: Any = None) -> Any:
    """Make a request that names *run* and something else: a 404 may be about either."""
    reply = judge(remote.send(method, path, json=json))
    if reply.outcome is Outcome.UNKNOWN_RUN:
        _ask(remote, "GET", route("runs", run))
        reply = Reply(Outcome.REJECTED, reply.detail)
    if reply.outcome is not Outcome.DONE:
        raise _Unfinished(reply)
    return reply.content


# ---- The run itself ------------------------------------------------------------------------


def _deliver_update(remote: Remote, run: str, call: Call) -> None:
    changes = as_known(remote, call["changes"])
    if changes:
        _ask(remote, "PUT", route("runs", run), dict(changes))


def _deliver_tags(remote: Remote, run: str, call: Call) -> None:
    there = _ask(remote, "GET", route("runs", run)).get("tags") or []
    union = [*there, *(tag for tag in dict.fromkeys(call["tags"]) if tag not in there)]
    _ask(remote, "PUT", route("runs", run), {"tags": union})


def _deliver_event(remote: Remote, run: str, call: Call) -> None:
    body = body_header(run, "events", 1) + msgpack.packb(call["event"])
    reply = deliver_body(remote, "events", call["writer"], 0, 1, body)
    if reply.outcome is not Outcome.DONE:
        raise _Unfinished(reply)


def _tell_nothing(remote: Remote, run: str, call: Call) -> None:
    """Do nothing: that no more follows, and what to measure or end, is for the shipper alone."""


# ---- Artifacts -----------------------------------------------------------------------------


def _deliver_artifact(remote: Remote, run: str, call: Call) -> None:
    # Opened before the server is asked: whoever else sends it removes it when the server has it.
    with _content(call) as content:
        made = _make_artifact(remote, run, call)
        if made is None:
            unstage(call)
            return
        if made.get("url"):
            if isinstance(content, OSError):
                reason = f"{call['file']}: {content.strerror}"
                raise _Unfinished(Reply(Outcome.REJECTED, reason))
            _send_content(remote, call, made, content)
            reply = judge(
                remote.send("PUT", route("artifacts", made["id"]), json={"uploaded": True})
            )
            if reply.outcome is not Outcome.DONE:
                raise _Unfinished(Reply(Outcome.LATER, reply.detail, None, reply.retry_after))
    attach = route("runs", run, "artifacts", made["id"])
    _ask_of_run(remote, run, "PUT", attach, {"category": call["category"]})
    unstage(call)


@contextlib.contextmanager
def _content(call: Call) -> Iterator[BinaryIO | OSError]:
    """Have the file that a call refers to open, or know why that cannot be."""
    try:
        file = open(call["file"], "rb")  # noqa: SIM115 - closed below
    except OSError as error:
        yield error
        return
    with file:
        yield file


def _make_artifact(remote: Remote, run: str, call: Call) -> Any:
    """Return the server's id of an artifact and where its bytes go; None if the run has it."""
    artifact = dict(call["artifact"])
    if "artifact-id" not in remote.features:
        # Such a server makes a new one each time; this may have been there before.
        if _has_artifact(remote, run, artifact):
            return None
        del artifact["id"]
    return _ask(remote, "POST", "/artifacts", artifact)


def _has_artifact(remote: Remote, run: str, artifact: Call) -> bool:
    there = _ask(remote, "GET", route("runs", run, "artifacts"))
    wanted = (artifact["name"], artifact["checksum"], True)
    return any(
        (other["name"], other.get("checksum"), bool(other.get("uploaded"))) == wanted
        for other in there or ()
    )


def _send_content(remote: Remote, call: Call, made: Call, file: BinaryIO) -> None:
    """Send the bytes; a trouble of the place they go to is none of the server's token or run."""
    path = call["file"]
    changed = f"{path} was changed after it was saved by reference; it is not uploaded"
    if not call["staged"] and not _holds(file, call):
        raise _Unfinished(Reply(Outcome.REJECTED, changed))
    size = os.fstat(file.fileno()).st_size
    answer = remote.upload(made["url"], file, size, made.get("fields"))
    if answer.ok:
        return
    detail = f"{answer.status} {answer.detail}".strip()
    if answer.status == 413:
        raise _Unfinished(Reply(Outcome.TOO_LARGE, detail))
    if 400 <= answer.status < 500 and not _holds(file, call):
        damaged = f"{path} was damaged on disk; it is not uploaded"
        raise _Unfinished(Reply(Outcome.REJECTED, damaged if call["staged"] else changed))
    # Its address may have expired, or the bytes were cut on their way: asked for anew.
    raise _Unfinished(Reply(Outcome.LATER, detail, None, answer.retry_after))


def _holds(file: BinaryIO, call: Call) -> bool:
    return digest(file.fileno()) == str(call["artifact"]["checksum"])


# ---- Alerts ----------------------------------------------------------------------------------


def _deliver_alerts(remote: Remote, run: str, call: Call) -> None:
    ids = [_alert_id(remote, alert) for alert in call["alerts"]]
    ids += [_find_alert(remote, run, name) for name in call.get("names", ())]
    if not call["attach"]:
        return
    there = [entry["alert"]["id"] for entry in _ask(remote, "GET", route("runs", run))["alerts"]]
    union = list(dict.fromkeys([*there, *ids]))
    if union != there:
        _ask(remote, "PUT", route("runs", run), {"alerts": union})


def _deliver_alert_status(remote: Remote, run: str, call: Call) -> None:
    alert = call.get("alert")
    found = _alert_id(remote, alert) if alert else _find_alert(remote, run, call["name"])
    path = route("alerts", found, "status", run)
    _ask_of_run(remote, run, "PUT", path, {"status": call["status"]})


def _alert_id(remote: Remote, alert: str | Call) -> str:
    """Return the server's id of an alert: that of an equal one, if it has one, or a new one's."""
    if isinstance(alert, str):
        return alert
    new = dict(alert)
    if "alert-id" in remote.features:
        reply = judge(remote.send("POST", "/alerts", json=new, params={"deduplicate": True}))
        if reply.outcome is Outcome.DONE:
            return str(reply.content["id"])
        if reply.outcome is not Outcome.REJECTED:
            raise _Unfinished(reply)
    # The id is another user's, or of an alert that was changed since: the server makes one.
    del new["id"]
    return str(_ask(remote, "POST", "/alerts", new, deduplicate=True)["id"])


def _find_alert(remote: Remote, run: str, name: str) -> str:
    """Return the alert of that name: the run's own, or the only one there is."""
    attached = _ask(remote, "GET", route("runs", run))["alerts"]
    own = {entry["alert"]["id"] for entry in attached if entry["alert"].get("name") == name}
    every = _ask(remote, "GET", "/alerts")["data"]
    found = own or {alert["id"] for alert in every if alert.get("name") == name}
    if len(found) == 1:
        return str(found.pop())
    many = f"{len(found)} alerts are" if found else "no alert is"
    raise _Unfinished(Reply(Outcome.REJECTED, f"{many} named {name!r}"))


# ---- Folders ---------------------------------------------------------------------------------


def _deliver_folder(remote: Remote, run: str, call: Call) -> None:
    path = call["path"] or _ask(remote, "GET", route("runs", run))["folder"]
    folder = _ask(remote, "POST", "/folders", {"path": path})["id"]
    _ask(remote, "PUT", route("folders", folder), call["changes"])


# ---- Grids -----------------------------------------------------------------------------------


def _deliver_grid(remote: Remote, run: str, call: Call) -> None:
    path = route("runs", run, "grids", _grid_id(remote, run, call["grid"]))
    _ask_of_run(remote, run, "PUT", path, {"metric": call["metric"]})


def _deliver_tensor(remote: Remote, run: str, call: Call) -> None:
    row = {**call["row"], "metric": call["metric"], "grid": _grid_id(remote, run, call["grid"])}
    headers = {}
    if "rows" in remote.features:
        first = call["number"]
        headers = {WRITER_HEADER: call["writer"], ROWS_HEADER: rows_header(first, first + 1)}
    path = route("runs", run, "metrics")
    reply = judge(remote.send("POST", path, body=msgpack.packb([row]), headers=headers))
    if reply.outcome is not Outcome.DONE:
        raise _Unfinished(reply)


def _grid_id(remote: Remote, run: str, grid: Call) -> str:
    """Return the server's id of a grid of *run*: of an equal one that it has, or a new one's."""
    key = derived_id(run, json.dumps(grid, sort_keys=True))
    if key not in remote.grids:
        there = _ask(remote, "GET", route("runs", run, "grids")) or ()
        equal = (other for other in there if grid.items() <= other.items())
        found = next(equal, None) or _ask(remote, "POST", "/grids", dict(grid))
        remote.grids[key] = str(found["id"])
    return remote.grids[key]


_KINDS: Final[dict[str, Callable[[Remote, str, Call], None]]] = {
    "update": _deliver_update,
    "tags": _deliver_tags,
    "event": _deliver_event,
    "end": _tell_nothing,
    "child": _tell_nothing,
    "resources": _tell_nothing,
    "artifact": _deliver_artifact,
    "alerts": _deliver_alerts,
    "alert_status": _deliver_alert_status,
    "folder": _deliver_folder,
    "grid": _deliver_grid,
    "tensor": _deliver_tensor,
}
