import copy
import pickle
from datetime import datetime, timedelta, timezone

import pytest

from simvue.records import FolderRecord, RunRecord

RUN = {
    "id": "a" * 22,
    "name": "brave-otter",
    "status": "completed",
    "created": "2026-01-31T12:00:00.000001",
    "started": "2026-01-31T12:00:01.000000",
    "endtime": None,
    "runtime": "26:00:00.500000",
    "metadata": {"beta": 2.5},
    "items": "hidden by the mapping's own items()",
}


def test_a_member_is_a_key_and_an_attribute():
    run = RunRecord(RUN)
    assert run.name == run["name"] == "brave-otter"
    assert run.metadata == {"beta": 2.5}
    assert dict(run) == run.to_dict() == RUN
    assert len(run) == len(RUN)
    assert run.get("nothing") is None
    assert callable(run.items)
    assert run["items"] == RUN["items"]


def test_moments_are_texts_as_keys_and_datetimes_as_attributes():
    run = RunRecord(RUN)
    assert run["created"] == "2026-01-31T12:00:00.000001"
    assert run.created == datetime(2026, 1, 31, 12, 0, 0, 1, timezone.utc)
    assert run.endtime is None
    assert run.modified is None
    assert run.runtime == timedelta(hours=26, seconds=0.5)
    assert RunRecord({}).runtime is None


def test_an_unknown_attribute_names_itself_and_copies_work():
    run = RunRecord(RUN)
    with pytest.raises(AttributeError, match="this RunRecord has no 'nmae'"):
        _ = run.nmae
    assert copy.deepcopy(run) == pickle.loads(pickle.dumps(run)) == run
    assert type(copy.copy(run)) is RunRecord
    assert "metadata" in dir(run)


def test_repr_shows_which_object_it_is():
    assert repr(RunRecord(RUN)) == (
        "RunRecord(id='aaaaaaaaaaaaaaaaaaaaaa', name='brave-otter', status='completed')"
    )
    assert repr(FolderRecord({"id": "x", "path": "/a"})) == "FolderRecord(id='x', path='/a')"


def test_a_record_does_not_follow_the_dict_it_was_made_of():
    members = dict(RUN)
    run = RunRecord(members)
    members["name"] = "other"
    assert run.name == "brave-otter"
