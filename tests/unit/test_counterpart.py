"""What connectors reach for in a run, beside its methods."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

import simvue
from simvue import Run
from simvue.counterpart import Counterpart
from simvue.exception import InvalidValueError
from simvue.runtime import Runtime


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIMVUE_DISABLE_ENVIRONMENT_METRICS", "1")
    monkeypatch.setenv("SIMVUE_SHIPPER", "external")
    monkeypatch.setenv("SIMVUE_CLOSE_TIMEOUT", "0")
    monkeypatch.setenv("SIMVUE_OFFLINE_DIRECTORY", str(tmp_path / "cache"))


def test_what_connectors_reach_for_in_a_run_is_there(runtime: Runtime):
    run = Run(mode="offline")
    # A launch before init is refused by this, and its colours and its patience are set.
    assert run._sv_obj is None
    assert (run._term_color, run._abort_on_alert) == (True, "terminate")
    assert not run._alert_raised_trigger.is_set()
    run.init("n", folder="/f", tags=["t"], no_color=True)
    assert run._sv_obj is not None
    assert run._sv_obj._offline is True
    assert (run._name, run._data["folder"], run._data["tags"]) == ("n", "/f", ["t"])
    assert run._term_color is False
    assert (run._grids, run._executor._alert_ids) == ({}, {})
    assert run._user_config.run.mode == "offline"
    run.config(abort_on_alert="ignore")
    assert run._abort_on_alert == "ignore"
    run.close()


def test_a_disabled_run_has_one_that_does_nothing():
    with Run(mode="disabled") as run:
        run.init("n")
        assert run._sv_obj is not None
        run._sv_obj.started = datetime.now()
        assert run._sv_obj.commit() is True


def test_a_correction_goes_down_the_runs_own_road_in_utc():
    sent: list[Any] = []
    one = Counterpart(False, lambda method, changes: sent.append(changes) or True)
    assert one.commit() is True
    assert sent == []
    noon = datetime(2026, 1, 31, 12)
    one.started, one.endtime = noon, "2026-01-31T13:00:00+00:00"
    assert one.commit() is True
    local = noon.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")
    assert sent == [{"started": local, "endtime": "2026-01-31T13:00:00.000000"}]
    one.started = "noon"
    with pytest.raises(InvalidValueError, match="noon"):
        one.commit()


class Loading(Run):
    """As simvue-fds does: what closes a run corrects it in its turn."""

    def _tidy_run(self):
        done = super()._tidy_run()
        self._sv_obj.started = "2026-01-31T12:00:00"
        self._sv_obj.commit()
        return done


def test_closing_may_correct_the_run_that_is_closed(runtime: Runtime):
    with Loading(mode="offline") as run:
        run.init("n", no_color=True)
    run.set_status("failed")
    assert run.status == "failed"


def test_names_that_simvue_cli_takes_from_the_module_of_the_run_are_there():
    import simvue.run
    from simvue.api import objects
    from simvue.config.user import SimvueConfiguration

    assert simvue.run.RunObject is objects.Run
    assert simvue.run.UserAlert is objects.UserAlert
    assert simvue.run.SimvueConfiguration is SimvueConfiguration
    with pytest.raises(AttributeError, match="nobody"):
        _ = simvue.run.nobody


def test_errors_are_caught_by_what_caught_them_before():
    for error in (
        simvue.SimvueRunError,
        simvue.ConfigurationError,
        simvue.InvalidValueError,
        simvue.NotInitialisedError,
        simvue.UnauthorisedError,
        simvue.ServerError,
    ):
        assert issubclass(error, RuntimeError)
    assert issubclass(simvue.InvalidValueError, ValueError)
    with pytest.raises(ValueError, match="mode"):
        Run(mode="sometimes")  # type: ignore[arg-type]
