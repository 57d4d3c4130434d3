"""Which arguments a run takes, what becomes of them, and that a refused one opens nothing.

No shipper runs here: an offline run writes its open call into shared memory, and that is read.
"""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fix_queue import Shipper

import simvue
from simvue import Run, wire
from simvue.exception import (
    ConfigurationError,
    InvalidValueError,
    NotInitialisedError,
    SimvueRunError,
)
from simvue.runtime import Runtime, parse_segment_name


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file of settings, no shipper, no patience, and nothing recorded unasked of packages."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIMVUE_DISABLE_ENVIRONMENT_METRICS", "1")
    monkeypatch.setenv("SIMVUE_SHIPPER", "external")
    monkeypatch.setenv("SIMVUE_CLOSE_TIMEOUT", "0")
    monkeypatch.setenv("SIMVUE_OFFLINE_DIRECTORY", str(tmp_path / "cache"))


@pytest.fixture
def run(runtime: Runtime) -> Iterator[Run]:
    """A run that is closed in the end, if the test opens it."""
    run = Run(mode="offline")
    yield run
    run.close()


def calls(runtime: Runtime) -> list[dict[str, Any]]:
    """All calls that lie in the runtime directory, decoded."""
    found = []
    for name in sorted(runtime.names()):
        parsed = parse_segment_name(name)
        if parsed is not None and parsed[2] == "calls":
            for piece in Shipper(runtime, parsed[3]).intake.take(0.0, 0.0, 1, lambda count: b""):
                rest = piece.body
                while rest:
                    end = 4 + int.from_bytes(rest[:4], "big")
                    found.append(json.loads(rest[4:end]))
                    rest = rest[end:]
    return found


def opened(runtime: Runtime, run: Run, *arguments: Any, **keywords: Any) -> dict[str, Any]:
    """Init *run* and return what it would have the server create."""
    assert run.init(*arguments, no_color=True, **keywords) is True
    (call,) = calls(runtime)
    assert call["call"] == "open"
    created: dict[str, Any] = call["run"]
    return created


def refused(run: Run, runtime: Runtime, **keywords: Any) -> str:
    """Assert that ``init`` refuses *keywords* and has done nothing; return its words."""
    with pytest.raises(InvalidValueError) as caught:
        run.init(**keywords)
    assert (run.id, run.name, run.status, run.url) == (None, None, None, None)
    assert [name for name in runtime.names() if not name.endswith(".alive")] == []
    with pytest.raises(NotInitialisedError):
        run.log_metrics({"a": 1.0})
    assert len(str(caught.value)) < 300
    return str(caught.value)


# ---- Run() -----------------------------------------------------------------------------------


def test_a_mode_is_one_of_three():
    for mode in ("online", "offline", "disabled"):
        assert Run(mode).mode == mode
    for mode in ("Online", "", None, 1):
        with pytest.raises(InvalidValueError, match="mode is online, offline or disabled"):
            Run(mode)
    with pytest.raises(TypeError):
        Run(mood="online")
    assert Run(disabled=True).mode == "disabled"


def test_a_new_run_contacts_nobody_and_knows_nothing_of_itself(runtime):
    run = Run()
    assert (run.id, run.name, run.status, run.url, run.dropped) == (None, None, None, None, 0)
    assert run.close() is True
    assert all(name.endswith(".alive") for name in runtime.names())


def test_online_needs_an_address_and_a_token(monkeypatch, runtime):
    with pytest.raises(ConfigurationError, match="SIMVUE_URL"):
        Run().init()
    monkeypatch.setenv("SIMVUE_URL", "http://localhost:1")
    with pytest.raises(ConfigurationError, match="SIMVUE_TOKEN"):
        Run().init()
    assert all(name.endswith(".alive") for name in runtime.names())


def test_every_call_before_init_and_after_close_says_so(run, runtime):
    def all_raise() -> None:
        for call in (
            lambda: run.log_metrics({"a": 1.0}),
            lambda: run.log_event("a"),
            lambda: run.update_metadata({}),
            lambda: run.update_tags([]),
            lambda: run.set_tags([]),
        ):
            with pytest.raises(NotInitialisedError, match=r"init\(\) or reconnect\(\)"):
                call()

    all_raise()
    with pytest.raises(NotInitialisedError):
        run.set_status("completed")
    run.init(no_color=True)
    run.close()
    all_raise()


def test_a_run_that_is_open_is_not_opened_again(run):
    run.init(no_color=True)
    first = run.id
    for call in (run.init, lambda: run.reconnect("other")):
        with pytest.raises(SimvueRunError, match="open already"):
            call()
    assert run.id == first


# ---- init ------------------------------------------------------------------------------------


def test_without_arguments_a_run_is_named_by_two_words_in_the_root_folder(run, runtime, capsys):
    created = opened(runtime, run)
    assert wire.is_id(created["id"])
    assert len(created["name"].split("-")) == 2
    assert (run.id, run.name, run.status) == (created["id"], created["name"], "running")
    assert created["system"]["hostname"] == os.uname().nodename
    del created["id"], created["name"], created["system"]
    assert created == {
        "folder": "/", "status": "running", "tags": [], "metadata": {}, "description": None,
        "heartbeat_timeout": 180, "notifications": {"state": "none"}, "ttl": None,
        "visibility": {"users": [], "tenant": False, "public": False},
    }  # fmt: skip
    # no_color keeps quiet.
    assert capsys.readouterr().out == ""


def test_the_seven_arguments_of_the_first_readme_go_by_position(runtime):
    run = Run()
    run.init("a name", {"re": 1000}, ["t"], "words", "/cfd", "running", True, no_color=True)
    created = calls(runtime)[0]["run"]
    run.close()
    assert run.mode == "offline"
    assert created["name"] == "a name"
    assert created["metadata"] == {"re": 1000}
    assert created["tags"] == ["t"]
    assert created["description"] == "words"
    assert created["folder"] == "/cfd"


@pytest.mark.parametrize("name", ["", "a*b", "a+b", "ä", "a\0", 1, b"a", ["a"], "x" * 200 + "*"])
def test_a_bad_name_is_refused(run, runtime, name):
    assert "run name" in refused(run, runtime, name=name)


@pytest.mark.parametrize("folder", ["cfd", " /a", 1, b"/a", ["/a"], "./a"])
def test_a_folder_that_does_not_start_with_a_slash_is_refused(run, runtime, folder):
    assert "does not start with /" in refused(run, runtime, folder=folder)


@pytest.mark.parametrize("tags", ["one", 1, [1], [None], ["a", b"b"], b"ab", [["a"]]])
def test_bad_tags_are_refused(run, runtime, tags):
    assert "text" in refused(run, runtime, tags=tags)


@pytest.mark.parametrize("tags", [["b", "a", "b"], ("b", "a"), {"b": 1, "a": 2}, iter(["b", "a"])])
def test_tags_are_anything_that_holds_texts_each_once_in_their_order(run, runtime, tags):
    assert opened(runtime, run, tags=tags)["tags"] == ["b", "a"]


@pytest.mark.parametrize("description", [1, ["a"], b"a"])
def test_a_description_is_a_text(run, runtime, description):
    assert "description" in refused(run, runtime, description=description)


class Unknown:
    """Something that JSON does not know."""


CIRCLE: dict[str, Any] = {}
CIRCLE["again"] = CIRCLE


@pytest.mark.parametrize(
    "metadata",
    [
        [("a", 1)], "a", 1, {1: "a"}, {None: 1}, {"a": Unknown()}, {"a": {1, 2}}, {"a": b"b"},
        {"a": {"b": [Unknown()]}}, {"a": {(1, 2): 3}}, {"a": 1j}, {"a": datetime(2026, 1, 31)},
        CIRCLE, {"a": np.array([1j])}, {"a": Path("/")},
    ],
    ids=lambda metadata: repr(metadata)[:40],
)  # fmt: skip
def test_metadata_that_json_cannot_hold_are_refused(run, runtime, metadata):
    assert "metadata" in refused(run, runtime, metadata=metadata)


def test_metadata_may_be_nested_not_finite_and_of_numpy(run, runtime):
    given = {
        "text": "ä\0", "nested": {"list": [1, None, True, {"deep": 0.5}]}, "big": 2**100,
        "nan": math.nan, "inf": -math.inf,
        "np": [np.float32(0.5), np.int8(-3), np.bool_(True), np.str_("t"), np.float64(0.25)],
        "array": np.arange(4).reshape(2, 2), "scalar": np.array(7), "empty": {},
    }  # fmt: skip
    found = opened(runtime, run, metadata=given)["metadata"]
    assert math.isnan(found.pop("nan"))
    assert found == {
        "text": "ä\0", "nested": {"list": [1, None, True, {"deep": 0.5}]}, "big": 2**100,
        "inf": -math.inf, "np": [0.5, -3, True, "t", 0.25], "array": [[0, 1], [2, 3]],
        "scalar": 7, "empty": {},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("keywords", "status"),
    [
        ({}, "running"), ({"running": True}, "running"), ({"running": False}, "created"),
        ({"status": "created"}, "created"), ({"status": "running"}, "running"),
        ({"status": "created", "running": False}, "created"),
    ],
)  # fmt: skip
def test_a_run_starts_unless_it_is_told_to_wait(run, runtime, keywords, status):
    created = opened(runtime, run, **keywords)
    assert created["status"] == run.status == status
    # What it will run on is not known yet.
    assert (created["system"] is None) == (status == "created")


@pytest.mark.parametrize(
    "keywords",
    [
        {"status": "completed"}, {"status": "lost"}, {"status": ""}, {"status": True},
        {"status": "created", "running": True}, {"status": "running", "running": False},
    ],
    ids=repr,
)  # fmt: skip
def test_a_status_that_contradicts_is_refused(run, runtime, keywords):
    assert "status" in refused(run, runtime, **keywords)


def test_a_created_run_takes_no_rows(run):
    run.init(running=False, no_color=True)
    with pytest.raises(NotInitialisedError):
        run.log_metrics({"a": 1.0})
    assert run.update_tags(["later"]) is True


@pytest.mark.parametrize(
    ("timeout", "seconds"), [(None, None), (1, 1), (90.7, 90), (0.2, 1), (10**6, 10**6)]
)
def test_a_timeout_is_whole_seconds_or_never(run, runtime, timeout, seconds):
    assert opened(runtime, run, timeout=timeout)["heartbeat_timeout"] == seconds


@pytest.mark.parametrize("timeout", [0, -1, "180", [1], 1j])
def test_a_bad_timeout_is_refused(run, runtime, timeout):
    assert "timeout" in refused(run, runtime, timeout=timeout)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1 second", 1), ("90 minutes", 5400), ("1.5 hours", 5400), (" 5 days ", 432_000),
        ("2weeks", 1_209_600), ("1 year", 31_536_000), (None, None),
    ],
)  # fmt: skip
def test_a_retention_is_a_span_in_words(run, runtime, text, seconds):
    assert opened(runtime, run, retention_period=text)["ttl"] == seconds


@pytest.mark.parametrize(
    "text", ["", "1", "day", "one day", "-1 days", "1 dayss", "1e3 days", "5 d"]
)
def test_a_bad_retention_is_refused(run, runtime, text):
    assert "time span" in refused(run, runtime, retention_period=text)


@pytest.mark.parametrize(
    ("visibility", "expected"),
    [
        (None, ([], False, False)), ("public", ([], False, True)), ("tenant", ([], True, False)),
        (["ann", "bob"], (["ann", "bob"], False, False)),
    ],
)  # fmt: skip
def test_who_may_see_a_run(run, runtime, visibility, expected):
    found = opened(runtime, run, visibility=visibility)["visibility"]
    assert (found["users"], found["tenant"], found["public"]) == expected


@pytest.mark.parametrize("visibility", ["private", "Public", 1, ("ann",), {"ann"}, True])
def test_a_bad_visibility_is_refused(run, runtime, visibility):
    assert "visibility" in refused(run, runtime, visibility=visibility)


def test_shell_variables_are_recorded_by_name_and_pattern(run, runtime, monkeypatch):
    monkeypatch.setenv("CASE_NAME", "cavity")
    monkeypatch.setenv("CASE_SIZE", "9")
    monkeypatch.setenv("OTHER", "no")
    found = opened(runtime, run, record_shell_vars={"CASE_*", "NOT_THERE"}, metadata={"a": 1})
    assert found["metadata"] == {"a": 1, "shell": {"CASE_NAME": "cavity", "CASE_SIZE": "9"}}


def test_arguments_meet_the_defaults_of_the_configuration(run, runtime, tmp_path):
    """Tags are joined, metadata merged; everything else is used where the argument is missing."""
    (tmp_path / "simvue.toml").write_text(
        '[run]\nname = "default"\ndescription = "of the file"\nfolder = "/file"\n'
        'tags = ["file", "both"]\n[run.metadata.custom]\nkept = 1\nboth = "file"\n'
    )
    created = opened(
        runtime, run, tags=["both", "mine"], metadata={"both": "mine"}, description="mine"
    )
    assert created["tags"] == ["both", "mine", "file"]
    assert created["metadata"]["kept"] == 1
    assert (created["name"], created["folder"]) == ("default", "/file")
    assert created["description"] == "mine"


def test_the_open_call_of_an_offline_run_names_no_server(run, runtime, monkeypatch, tmp_path):
    monkeypatch.setenv("SIMVUE_URL", "http://localhost:1")
    monkeypatch.setenv("SIMVUE_TOKEN", "tk-secret")
    run.init(no_color=True)
    (call,) = calls(runtime)
    assert (call["server"], call["offline"]) == (None, True)
    assert call["cache"] == str(tmp_path / "cache")
    assert "tk-secret" not in json.dumps(call)
    assert run.url is None


# ---- Calls -----------------------------------------------------------------------------------


def test_a_call_carries_the_rows_that_were_logged_before_it(run, runtime):
    run.init(no_color=True)
    run.update_tags(["early"])
    run.log_metrics({"a": 1.0})
    run.log_metrics({"a": 2.0})
    run.log_event("b")
    run.update_metadata({"k": np.int64(1)})
    first, tags, update = calls(runtime)
    assert first["after"] == tags["after"] == {}
    assert sorted(update["after"].values()) == [1, 2]
    assert tags["tags"] == ["early"]
    assert update["changes"] == {"metadata": {"k": 1}}


@pytest.mark.parametrize("status", ["running", "created", "lost", "Completed", None, 1])
def test_only_a_terminal_status_can_be_set(run, runtime, status):
    run.init(no_color=True)
    with pytest.raises(InvalidValueError, match="completed, failed, terminated"):
        run.set_status(status)
    assert (len(calls(runtime)), run.status) == (1, "running")


def test_bad_tags_and_metadata_are_refused_later_too(run, runtime):
    run.init(no_color=True)
    for call in (
        lambda: run.update_tags("one"),
        lambda: run.set_tags([1]),
        lambda: run.update_metadata({"a": Unknown()}),
        lambda: run.update_metadata(None),
    ):
        with pytest.raises(InvalidValueError):
            call()
    assert len(calls(runtime)) == 1


def test_close_ends_a_run_once(runtime, caplog):
    run = Run("offline")
    run.init(no_color=True)
    run.set_status("failed")
    run.close()
    assert run.close() is True
    assert run.status == "failed"
    assert [call["call"] for call in calls(runtime)] == ["open", "update", "end"]
    # Nobody took it, and that is said with the place.
    assert any(runtime.path in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (None, "completed", None), (ValueError("of the solver"), "failed", "of the solver"),
        (KeyboardInterrupt(), "terminated", "KeyboardInterrupt"),
        (SystemExit(0), "completed", None), (SystemExit(), "completed", None),
        (SystemExit(3), "failed", "SystemExit: 3"),
    ],
    ids=repr,
)  # fmt: skip
def test_how_a_with_block_ends_is_how_the_run_ends(runtime, error, status, message):
    with pytest.raises(type(error)) if error else open(os.devnull), Run("offline") as run:
        run.init(no_color=True)
        if error is not None:
            raise error
    assert run.status == status
    *_, update, end = calls(runtime)
    assert (update["changes"], end["call"]) == ({"status": status}, "end")
    events = [name for name in runtime.names() if ".events." in name]
    assert len(events) == (0 if message is None else 1)
    if events:
        (row,) = Shipper(runtime, parse_segment_name(events[0])[3]).ship()
        assert row["log_level"] == "error"
        assert message in row["message"]


# ---- config and reconnect --------------------------------------------------------------------


def test_config_takes_the_words_of_older_scripts(run):
    assert run.config(True, False, 10_000) is True
    assert run.config(suppress_errors=True, queue_blocking=True) is True
    assert run.config(queue_policy="drop") is True
    with pytest.raises(InvalidValueError, match="'wait' or 'drop'"):
        run.config(queue_policy="lose")
    with pytest.raises(TypeError):
        run.config(queue_polity="drop")


def test_reconnect_needs_a_run(run, runtime):
    for arguments in ({}, {"name": ""}, {"run_id": None}):
        with pytest.raises(InvalidValueError, match="name or the id"):
            run.reconnect(**arguments)
    with pytest.raises(InvalidValueError, match="run name"):
        run.reconnect("a*b")
    assert run.id is None


def test_an_offline_reconnect_leaves_it_to_the_sender_which_run_it_is_and_says_so(
    run, runtime, caplog
):
    with caplog.at_level(logging.WARNING, "simvue"):
        assert run.reconnect("queued job") is True
    (call,) = calls(runtime)
    assert call["run"] is None
    assert call["find"] == run.name == "queued job"
    assert call["provisional"] == run.id
    assert wire.is_id(run.id)
    assert call["changes"]["status"] == run.status == "running"
    assert "queued job could not be looked up" in caplog.text


def test_an_offline_reconnect_by_id_asks_nobody(run, runtime, caplog):
    known = wire.new_id()
    with caplog.at_level(logging.WARNING, "simvue"):
        assert run.reconnect(run_id=known) is True
    (call,) = calls(runtime)
    assert run.id == known
    assert "find" not in call
    assert not caplog.text


# ---- Disabled --------------------------------------------------------------------------------


def test_a_disabled_run_records_nothing_and_never_raises(runtime, caplog):
    before = set(runtime.names())
    with Run("disabled") as run:
        assert run.init("any * name", tags="text") is True
        assert run.log_metrics({"a": None}) is True
        assert run.log_event(1) is True
        assert run.log_series({"a": 1}) is True
        assert run.update_metadata({"a": 1}) is True
        assert run.update_tags(["a"]) is True
        assert run.set_tags(["a"]) is True
        assert (run.id, run.url, run.dropped, run.mode) == (None, None, 0, "disabled")
    assert Run("disabled").reconnect("other") is True
    assert set(runtime.names()) == before
    assert "nothing will be recorded" in caplog.text


def test_the_front_door_gives_the_same_class():
    assert simvue.Run is Run


# ---- What was let through ----------------------------------------------------------------------


def test_a_disabled_run_can_be_ended_like_any_other(runtime):
    run = Run("disabled")
    run.init()
    assert run.set_status("failed") is True
    assert run.update_metadata({"a": 1}) is True
    assert run.log_metrics({"a": 1.0}) is True
    # What the official client answers: nothing was closed.
    assert run.close() is False


@pytest.mark.parametrize(
    "keywords",
    [
        {"timeout": math.nan}, {"timeout": math.inf}, {"timeout": True}, {"notification": "loud"},
        {"notification": None}, {"visibility": [1]}, {"retention_period": 5},
        {"record_shell_vars": "HOME"}, {"record_shell_vars": [1]}, {"record_shell_vars": 1},
    ],
    ids=repr,
)  # fmt: skip
def test_what_a_server_would_refuse_later_is_refused_at_once(run, runtime, keywords):
    refused(run, runtime, **keywords)


def test_a_refused_init_leaves_the_mode_as_it_was(runtime):
    run = Run()
    with pytest.raises(InvalidValueError):
        run.init("a*b", offline=True)
    assert run.mode == "online"


def test_an_init_that_has_no_place_for_rows_says_so_and_nothing_else(tmp_path, monkeypatch):
    """The end of the block has no run to end, and hides nothing."""
    (tmp_path / "everybodys").mkdir()
    (tmp_path / "everybodys").chmod(0o755)
    monkeypatch.setenv("SIMVUE_RUNTIME_DIRECTORY", str(tmp_path / "everybodys"))
    monkeypatch.setattr("simvue.runtime._process", None)
    with pytest.raises(ConfigurationError, match="not yours alone"), Run(mode="offline") as run:
        run.init("n")


@pytest.mark.parametrize("depth", [200, 5000])
def test_metadata_deeper_than_a_server_reads_are_refused(run, runtime, depth):
    """It takes 100 levels, and would refuse the whole run in the background."""
    deep: dict[str, Any] = {}
    for _ in range(depth):
        deep = {"d": deep}
    refused(run, runtime, metadata={"a": deep})
