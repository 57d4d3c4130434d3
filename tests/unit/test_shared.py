"""The id on which all ranks of a job agree, and nobody else's."""

import random
import re

import pytest

from simvue import names, shared
from simvue.exception import InvalidValueError
from simvue.launch import Launch
from simvue.shared import shared_name, shared_run_id
from simvue.wire import is_id, new_id

URL = "http://localhost:7468"
RANKS = [Launch(rank=rank, size=4, group="slurm-alps-4711-3", attempt="1") for rank in range(4)]


@pytest.fixture(autouse=True)
def first_init(monkeypatch):
    """Each test is a process of its own, as far as the count of its runs goes."""
    monkeypatch.setattr(shared, "_ordinals", type(shared._ordinals)(shared.itertools.count))
    monkeypatch.delenv("SIMVUE_RUN_ID", raising=False)


def of_new_process(*arguments):
    shared._ordinals.clear()
    return shared_run_id(*arguments)


def test_all_ranks_make_the_same_id():
    made = {of_new_process(True, launch, URL) for launch in RANKS}
    assert len(made) == 1
    assert is_id(made.pop())


@pytest.mark.parametrize(
    ("launch", "url"),
    [
        (RANKS[0]._replace(group="slurm-alps-4711-4"), URL),
        (RANKS[0]._replace(attempt="2"), URL),
        (RANKS[0], "http://localhost:7469"),
        (RANKS[0], None),
    ],
)
def test_another_job_attempt_or_server_makes_another(launch, url):
    assert of_new_process(True, launch, url) != of_new_process(True, RANKS[0], URL)


def test_another_user_makes_another(monkeypatch):
    mine = of_new_process(True, RANKS[0], URL)
    monkeypatch.setattr(shared.os, "getuid", lambda: 123456)
    assert of_new_process(True, RANKS[0], URL) != mine


def test_the_nth_run_of_a_rank_is_the_nth_of_all():
    def three(launch):
        shared._ordinals.clear()
        return [shared_run_id(True, launch, URL) for _ in range(3)]

    assert three(RANKS[0]) == three(RANKS[3])
    assert len(set(three(RANKS[0]))) == 3


def test_without_being_asked_for_a_run_is_its_process_own(monkeypatch):
    assert shared_run_id(None, RANKS[0], URL) is None
    assert shared_run_id(False, RANKS[0], URL) is None
    monkeypatch.setenv("SIMVUE_RUN_ID", "tuesday")
    assert shared_run_id(False, RANKS[0], URL) is None


def test_where_nothing_unique_is_known_a_name_is_asked_for():
    lonely = Launch(launcher="pmi", rank=1, size=4)
    with pytest.raises(InvalidValueError, match=r"shared='some-id'.*SIMVUE_RUN_ID"):
        shared_run_id(True, lonely, URL)
    with pytest.raises(InvalidValueError, match="SIMVUE_RUN_ID"):
        shared_run_id(True, Launch(), URL)


def test_a_text_or_the_variable_joins_whoever_has_the_same(monkeypatch):
    text = of_new_process("tuesday", Launch(), URL)
    assert is_id(text)
    # Whatever launched them: a text is unique because somebody says so.
    assert of_new_process("tuesday", RANKS[2], URL) == text
    assert of_new_process("wednesday", Launch(), URL) != text
    monkeypatch.setenv("SIMVUE_RUN_ID", "tuesday")
    assert of_new_process(None, Launch(), URL) == text
    assert of_new_process(True, Launch(), URL) == text
    assert of_new_process("wednesday", Launch(), URL) != text
    with pytest.raises(InvalidValueError, match="not empty"):
        shared_run_id(" ", Launch(), URL)


def test_an_id_is_taken_as_it_stands_by_the_first_run(monkeypatch):
    run = new_id()
    monkeypatch.setenv("SIMVUE_RUN_ID", run)
    assert shared_run_id(None, Launch(), URL) == run
    second = shared_run_id(None, Launch(), URL)
    assert second != run
    assert is_id(second)


def test_ids_use_all_letters_and_names_come_from_the_lists(rng: random.Random):
    ids = [of_new_process(f"run {rng.random()}", Launch(), URL) for _ in range(400)]
    assert len(set(ids)) == 400
    # 8,800 letters of 62: one that is missing has a chance of 62 exp(-142).
    assert len(set("".join(ids))) == 62
    for run in ids:
        adjective, noun = re.split("-", shared_name(run))
        assert adjective in names.ADJECTIVES
        assert noun in names.NOUNS
    assert shared_name(ids[0]) == shared_name(ids[0])
    assert len(set(map(shared_name, ids))) > 350
