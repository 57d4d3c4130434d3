"""Runs made known to a server: registered, found again by name, continued.

::

    init ──> add ──┐ the first goes at once
    init ──> add ──┤
    init ──> add ──┴── what came while it was on its way makes up the next request

64 ranks that open their runs at the same moment cost the server two requests and two
commits, not 64.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from simvue.delivery import Outcome, Reply, Send, Then, get_to_know, judge
from simvue.exception import ServerError
from simvue.remote import Remote, route
from simvue.wire import TERMINAL, is_id

TOGETHER_MAX: Final = 128
"""Runs in one request: registered within about a tenth of a second, so nobody waits for long."""

_SHARING: Final = frozenset({"process", "writers"})
"""Members of a run that a server with the feature ``ranks`` knows."""


class Registrations:
    """Open calls that wait; *submit* has one request sent.  All methods are the main thread's."""

    def __init__(self, submit: Callable[[Send, Then], None]) -> None:
        self._submit = submit
        self._waiting: list[tuple[Mapping[str, Any], Then]] = []
        self._sending = False

    def add(self, call: Mapping[str, Any], then: Then) -> None:
        """Have the run of an open *call* registered, and *then* called with what became of it."""
        self._waiting.append((call, then))
        if not self._sending:
            self._send()

    def _send(self) -> None:
        batch, self._waiting = self._waiting[:TOGETHER_MAX], self._waiting[TOGETHER_MAX:]
        calls = [call for call, _ in batch]
        self._sending = True

        def answered(reply: Reply) -> None:
            self._sending = False
            # Without an answer of its own each has that of all; what waits would find no other.
            replies = reply.content if reply.outcome is Outcome.DONE else None
            if replies is None:
                batch.extend(self._waiting)
                self._waiting = []
            for place, (_, then) in enumerate(batch):
                then(replies[place] if replies is not None else reply)
            if self._waiting and not self._sending:
                self._send()

        self._submit(lambda remote: register(remote, calls), answered)


def register(remote: Remote, calls: Sequence[Mapping[str, Any]]) -> Reply:
    """Register the runs of several open *calls*.  Never raises.

    DONE with the reply to each call in its content, or what became of all of them.
    """
    unknown = get_to_know(remote)
    if unknown is not None:
        return unknown
    try:
        if len(calls) > 1 and "run-id" in remote.features:
            runs = [as_known(remote, call["run"]) for call in calls]
            reply = judge(remote.send("POST", "/runs", json=runs))
            if reply.outcome is Outcome.DONE:
                each = [Reply(Outcome.DONE, content=answer) for answer in reply.content]
                return Reply(Outcome.DONE, content=each)
            if reply.outcome in (Outcome.LATER, Outcome.REFUSED):
                return reply
            # One of them is refused, and all with it: each is told what the server says of it.
        replies = []
        for call in calls:
            reply = _create(remote, call["run"])
            if reply.outcome in (Outcome.LATER, Outcome.REFUSED):
                # What was registered before it is found so the next time.
                return reply
            replies.append(reply)
    except ServerError as trouble:
        return Reply(Outcome.LATER, str(trouble))
    return Reply(Outcome.DONE, content=replies)


def open_run(remote: Remote, run: str, call: Mapping[str, Any]) -> Reply:
    """Carry out an open *call*: create its run, or change one that is there.

    With ``find`` that one is yet to be found; with ``remote_run`` the server gave it an id of
    its own before.
    """
    if call.get("remote_run"):
        reply = judge(remote.send("GET", route("runs", call["remote_run"])))
        gone = reply.outcome is Outcome.UNKNOWN_RUN
        return Reply(Outcome.REJECTED, reply.detail) if gone else reply
    if call.get("run") is not None:
        return _create(remote, call["run"])
    if call.get("find"):
        return _resume(remote, call)
    if not call.get("changes"):
        return Reply(Outcome.DONE)
    reply = judge(remote.send("PUT", route("runs", run), json=call["changes"]))
    if reply.outcome is Outcome.UNKNOWN_RUN:
        # What creates it may lie on another disk, and come later.
        return Reply(Outcome.UNRESOLVED, f"there is no run {run}")
    return reply


def find_run(remote: Remote, name: str, provisional: str = "") -> Reply:
    """Look *name* up for a reconnect: DONE with ``id`` and ``name``, or UNRESOLVED with a reason.

    The run of that id if there is one, else the newest in ``created`` of that name, else the
    only run of that name; but first of all one that was started as *provisional* already, of
    which the content says ``started``.  Never raises.
    """
    try:
        if is_id(name):
            reply = judge(remote.send("GET", route("runs", name)))
            if reply.outcome is Outcome.DONE:
                return Reply(Outcome.DONE, content={"id": name, "name": reply.content["name"]})
        reply = _list_runs(remote, f"name == {name}")
    except ServerError as trouble:
        return Reply(Outcome.LATER, str(trouble))
    if reply.outcome is not Outcome.DONE:
        return reply
    runs = reply.content["data"]
    started = [run for run in runs if provisional in _provisional_ids(run)]
    waiting = [run for run in runs if run["status"] == "created"]
    for candidates in (started, waiting, runs if len(runs) == 1 else []):
        if candidates:
            found = {"id": candidates[0]["id"], "name": name, "started": candidates is started}
            return Reply(Outcome.DONE, content=found)
    if not runs:
        return Reply(Outcome.UNRESOLVED, f"there is no run named {name!r}")
    ids = ", ".join(run["id"] for run in runs[:5])
    return Reply(
        Outcome.UNRESOLVED,
        f"{len(runs)} runs are named {name!r} and none is waiting to start; say which by its id: "
        f"{ids}",
    )


def as_known(remote: Remote, members: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return *members* of a run without what only servers of ours know.

    Elsewhere the ranks of a job have a run each, whose status is its process's.
    """
    if "ranks" in remote.features or _SHARING.isdisjoint(members):
        return members
    known = {name: value for name, value in members.items() if name not in _SHARING}
    status = members.get("process", {}).get("status")
    return {"status": status, **known} if status in TERMINAL else known


def _create(remote: Remote, run: Mapping[str, Any]) -> Reply:
    run = as_known(remote, run)
    if "run-id" not in remote.features:
        # Such a server names the run itself, and wants the folder made before it.
        judge(remote.send("POST", "/folders", json={"path": run["folder"]}))
        run = {key: value for key, value in run.items() if key != "id"}
    return judge(remote.send("POST", "/runs", json=run))


def _resume(remote: Remote, call: Mapping[str, Any]) -> Reply:
    """Find the run of a reconnect that was made while nobody could be asked, and start it.

    Whoever does so first leaves the provisional id in the run's metadata.  All others, with the
    call anew or from another file, find it there and change nothing.
    """
    provisional = call["provisional"]
    reply = _list_runs(remote, f"metadata.simvue.provisional.{provisional} exists")
    if reply.outcome in (Outcome.LATER, Outcome.REFUSED):
        return reply
    if reply.outcome is Outcome.DONE and reply.content["data"]:
        run = reply.content["data"][0]
        return Reply(Outcome.DONE, content={"id": run["id"], "name": run["name"]})
    # Another sender may do so at this moment.  One answer says which run waits and whether it
    # was that one, so that the next run of the name is not taken for it.
    found = find_run(remote, call["find"], provisional)
    if found.outcome is not Outcome.DONE or found.content.get("started"):
        return found
    # A later file of the run may come first, and its call has no changes left to make.
    changes = {"status": "running", **(call.get("changes") or {})}
    metadata = changes.get("metadata") or {}
    mark = {**metadata.get("simvue", {}), "provisional": {provisional: True}}
    changes["metadata"] = {**metadata, "simvue": mark}
    reply = judge(remote.send("PUT", route("runs", found.content["id"]), json=changes))
    if reply.outcome is Outcome.UNKNOWN_RUN:
        return Reply(Outcome.UNRESOLVED, f"{found.content['id']} was deleted just now")
    return found if reply.outcome is Outcome.DONE else reply


def _provisional_ids(run: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the ids under which *run* was started by those who could not ask which it is."""
    ours = (run.get("metadata") or {}).get("simvue") or {}
    ids: Mapping[str, Any] = ours.get("provisional") or {}
    return ids


def _list_runs(remote: Remote, condition: str) -> Reply:
    """Ask for the user's own runs that meet *condition*, the newest first."""
    query = {
        "filters": json.dumps([condition, "user == self"]),
        "sorting": '[{"id": "created", "desc": true}]',
        "count": 100,
        "start": 0,
    }
    return judge(remote.send("GET", "/runs", params=query))
