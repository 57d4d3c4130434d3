"""Alerts: what is watched, and how it stands on a run; attached by the ``alerts`` of a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec
from litestar import Response, delete, get, post, put

from .. import query
from ..alerts import note, read_rule
from ..forms import (
    AlertChanges,
    AlertState,
    NewAlert,
    Refused,
    answer,
    check_id,
    invalid,
    members,
    read_form,
)
from ..ingest import faulty
from ..parameters import Deduplication, Sorted
from ..shapes import Alert, AlertStatus, Empty, Made, Page
from ..store import NoSuchAlert
from . import Asked, threaded

_DEFAULTS: Final = {
    "description": None,
    "notification": "none",
    "enabled": True,
    "abort": False,
    "auto": False,
}


@post("/alerts", query=Deduplication, body=NewAlert, answer=Made)
@threaded
def create_alert(asked: Asked) -> Response[bytes]:
    """Create an alert; asked to deduplicate, 409 with the id of one that is just like it."""
    given = members(read_form(asked.body, NewAlert))
    given = {name: value for name, value in given.items() if value is not None}
    frequency = given.pop("frequency", None)
    definition = given.get("alert") or {}
    if frequency is not None:
        definition = {"frequency": frequency, **definition}
    alert = {**_DEFAULTS, **given, "alert": _definition(given["source"], definition)}
    deduplicate = query.flag(asked.parameters, "deduplicate")
    made, created = asked.store.create_alert(alert, asked.owner, deduplicate)
    if not created and made != given.get("id"):
        return answer({"id": made, "detail": "there is an alert just like it"}, 409)
    return answer({"id": made})


def _definition(source: str, definition: Any) -> Any:
    rule = read_rule(source, definition)
    return None if rule is None else msgspec.to_builtins(rule)


@get("/alerts", query=Sorted, answer=Page[Alert])
@threaded
def list_alerts(asked: Asked) -> Response[bytes]:
    """Answer alerts, all of them if no ``count`` is given: clients look for names in one go."""
    wanted = query.listing(asked.parameters, filtered=False, paged=False)
    return answer(query.fetch(asked.store.list_alerts, wanted))


@get("/alerts/{alert:str}", answer=Alert)
@threaded
def get_alert(asked: Asked, alert: str) -> Response[bytes]:
    """Answer one alert."""
    return answer(_get(asked, alert))


@put("/alerts/{alert:str}", body=AlertChanges, answer=Made)
@threaded
def update_alert(asked: Asked, alert: str) -> Response[bytes]:
    """Change what the body names; a definition is replaced as a whole."""
    changes = members(read_form(asked.body, AlertChanges))
    changes = {
        name: value for name, value in changes.items() if value is not None or name == "description"
    }
    source = _get(asked, alert)["source"]
    if changes.pop("source", source) != source:
        raise invalid(f"the source of an alert stays {source!r}", "body", "source")
    if "alert" in changes:
        changes["alert"] = _definition(source, changes["alert"])
    if not asked.store.update_alert(alert, changes):
        raise _missing(alert)
    return answer({"id": alert})


@delete("/alerts/{alert:str}", status_code=200, answer=Empty)
@threaded
def delete_alert(asked: Asked, alert: str) -> Response[bytes]:
    """Delete an alert and detach it from every run."""
    if not asked.store.delete_alert(check_id(alert, "path", "id")):
        raise _missing(alert)
    return answer({})


@get("/alerts/{alert:str}/status/{run:str}", answer=AlertStatus)
@threaded
def get_status(asked: Asked, alert: str, run: str) -> Response[bytes]:
    """Answer how an alert stands on a run; null until somebody has said."""
    check_id(alert, "path", "id"), check_id(run, "path", "run")
    with _known():
        return answer({"status": asked.store.alert_status(alert, run)})


@put(
    "/alerts/{alert:str}/status/{run:str}",
    exception_handlers={Exception: faulty},
    body=AlertState,
    answer=Made,
)
@threaded
def set_status(asked: Asked, alert: str, run: str) -> Response[bytes]:
    """Say how an alert of a user stands on a run; those of other sources the server judges."""
    status = read_form(asked.body, AlertState).status
    check_id(run, "path", "run")
    source = _get(asked, alert)["source"]
    if source != "user":
        raise invalid(f"the server itself judges alerts of {source}", "path", "id")
    with _known():
        note(asked.store, asked.live, alert, run, status)
    return answer({"id": alert})


def _get(asked: Asked, alert: str) -> dict[str, Any]:
    found = asked.store.get_alert(check_id(alert, "path", "id"))
    if found is None:
        raise _missing(alert)
    return found


@contextmanager
def _known() -> Iterator[None]:
    try:
        yield
    except NoSuchAlert as error:
        raise _missing(str(error)) from None


def _missing(alert: str) -> Refused:
    return Refused(404, f"there is no alert {alert}")


HANDLERS: Final = [
    create_alert,
    list_alerts,
    get_alert,
    update_alert,
    delete_alert,
    get_status,
    set_status,
]
