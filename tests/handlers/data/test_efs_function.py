"""Readings in shared files: whatever happens between two of them, each counts once."""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.efs_function import journal as journals
from data.efs_function.journal import Journal, Reading, Summary
from data.efs_function.model import Model
from tests.handlers.importing import import_handler


def reading(number: int, value: int = 1) -> Reading:
    return Reading(str(number), "s", value)


class Killed(BaseException):
    """The environment ends: nothing that comes after runs, as nothing catches it."""


def killed(*_: object) -> None:
    raise Killed


def total(folder: Path) -> int:
    """What a new environment says."""
    return Journal(folder).append([])[0].totals.get("s", 0)


@pytest.mark.parametrize("where", ["time.sleep", "os.fsync", "Path.replace"])
def test_a_writer_that_is_killed_between_the_files_loses_nothing(
    tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Journal(tmp_path).append([reading(1)])
    with monkeypatch.context() as patch:
        owner, _, name = where.partition(".")
        patch.setattr(getattr(journals, owner), name, killed)
        with pytest.raises(Killed):
            Journal(tmp_path).append([reading(2)])
    assert total(tmp_path) == 2
    assert Journal(tmp_path).append([reading(2), reading(3)])[1] == 1
    assert total(tmp_path) == 3
    assert Journal(tmp_path).uncounted() == 0
    assert {one.name for one in tmp_path.iterdir()} == {"journal.jsonl", "summary.json"}


def test_the_beginning_of_a_line_is_dropped_and_its_sender_sends_it_again(tmp_path: Path) -> None:
    Journal(tmp_path).append([reading(1)])
    file = tmp_path / "journal.jsonl"
    complete = file.read_bytes()
    file.write_bytes(complete + complete[:-1])  # killed within the write
    assert Journal(tmp_path).uncounted() == len(complete) - 1
    assert Journal(tmp_path).append([reading(2)])[1] == 1
    assert file.read_bytes().count(b"\n") == 2
    assert total(tmp_path) == 2


def test_without_its_summary_the_journal_is_counted_again(tmp_path: Path) -> None:
    Journal(tmp_path).append([reading(number) for number in range(5)])
    (tmp_path / "summary.json").unlink()
    assert total(tmp_path) == 5


def append_many(folder: Path, first: int) -> None:
    journal = Journal(folder)
    for number in range(first, first + 20):
        journal.append([reading(number)], pause=0.005)


@pytest.mark.parametrize(("apart", "readings"), [(20, 80), (0, 20)], ids=["their own", "the same"])
def test_processes_that_write_at_once_lose_and_repeat_nothing(
    tmp_path: Path, apart: int, readings: int
) -> None:
    started = multiprocessing.get_context("fork")
    processes = [started.Process(target=append_many, args=(tmp_path, n * apart)) for n in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert total(tmp_path) == readings
    assert len((tmp_path / "journal.jsonl").read_text().splitlines()) == readings


def test_duplicates_count_once_also_within_one_batch(tmp_path: Path) -> None:
    assert Journal(tmp_path).append([reading(1), reading(1), reading(2)])[1] == 2
    assert Journal(tmp_path).append([reading(2), reading(1)])[1] == 0
    assert total(tmp_path) == 2


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from("ab"), st.integers(-5, 5))), st.integers(0, 500))
def test_a_summary_does_not_depend_on_how_the_journal_is_cut(
    given_: list[tuple[int, str, int]], cut: int
) -> None:
    lines = [
        f'{{"id": "{name}", "sensor": "{sensor}", "value": {value}}}\n' for name, sensor, value in given_
    ]
    text = "".join(lines).encode()
    end = text.rfind(b"\n", 0, cut) + 1
    whole, parts = Summary(), Summary()
    whole.count(text)
    parts.count(text[:end])
    parts.count(text[end:])
    assert parts == whole
    assert whole.counted == len(text)


@pytest.fixture
def function(tmp_path: Path) -> ModuleType:
    """The handler's module, in a new environment."""
    return environment(tmp_path)


def environment(folder: Path) -> ModuleType:
    return import_handler("data.efs_function.handler", {"MOUNT_PATH": str(folder)})


def invoke(function: ModuleType, event: object) -> Any:
    return function.handler(event, SimpleNamespace(log_stream_name="one"))


def test_a_bad_reading_costs_that_reading_only(function: ModuleType) -> None:
    good = {"id": "1", "sensor": "s", "value": 7}
    bad = [
        7,
        {},
        {**good, "id": 1},
        {**good, "sensor": "x" * 101},
        {**good, "value": 1.5},
        {**good, "id": ""},
        {**good, "value": True},
        {**good, "id": "\ud800"},
        {**good, "sensor": "a\udfff"},
    ]
    answer = invoke(function, {"readings": [*bad, good]})
    assert (answer["new"], answer["duplicates"], answer["totals"]) == (1, 0, {"s": 7})
    assert [one["number"] for one in answer["bad"]] == list(range(len(bad)))
    assert answer["bad"][2]["reason"] == "id must be a string of 1 to 100 characters"
    assert "not true, false" in answer["bad"][6]["reason"]
    json.dumps(answer, ensure_ascii=False).encode()  # as Lambda returns it


def test_an_answer_has_the_totals_of_the_sensors_in_the_event_only(function: ModuleType) -> None:
    invoke(function, {"readings": [{"id": str(n), "sensor": f"s{n}", "value": n} for n in range(9)]})
    answer = invoke(
        function, {"readings": [{"id": "a", "sensor": "s2", "value": 1}], "sensors": ["s5", "none"]}
    )
    assert answer["totals"] == {"s2": 3, "s5": 5}


def test_a_batch_is_remembered_while_nine_others_come(function: ModuleType) -> None:
    batches = [
        [{"id": f"{batch}-{n}", "sensor": "s", "value": 1} for n in range(journals.MAX_BATCH)]
        for batch in range(10)
    ]
    for batch in batches:
        invoke(function, {"readings": batch})
    assert invoke(function, {"readings": batches[0]})["duplicates"] == journals.MAX_BATCH


def test_of_two_readings_with_one_id_the_first_counts(tmp_path: Path) -> None:
    Journal(tmp_path).append([reading(1, 5), reading(1, 7)])
    Journal(tmp_path).append([reading(1, 9)])
    assert total(tmp_path) == 5


@pytest.mark.parametrize(("version", "factors"), [(1, {"s": 1}), (2, {"s": 3})])
def test_a_model_of_an_earlier_or_the_same_version_is_refused(
    tmp_path: Path, version: int, factors: dict[str, int]
) -> None:
    path = tmp_path / "model.json"
    for _ in range(2):  # a retry of the same model is none
        Model(2, {"s": 1}).publish(path)
    with pytest.raises(ValueError, match=f"version 2 is published, and this is {version}"):
        Model(version, factors).publish(path)
    assert Model.load(path).factors == {"s": 1}


def test_the_model_is_loaded_when_an_environment_starts(function: ModuleType, tmp_path: Path) -> None:
    assert invoke(function, {"model": {"version": 2, "factors": {"s": 10}}}) == {"published": 2}
    given = {"readings": [{"id": "1", "sensor": "s", "value": 7}]}
    assert invoke(function, given)["model"] == 0
    assert invoke(environment(tmp_path), {**given, "readings": [{**given["readings"][0], "id": "2"}]})[
        "totals"
    ] == {"s": 77}


def test_a_model_is_replaced_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Model(1, {"s": 2}).publish(path := tmp_path / "model.json")
    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(Killed):
        Model(2, {"s": 3}).publish(path)
    assert Model.load(path).version == 1
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ([], "give {"),
        ({"readings": {}}, "give {"),
        ({"readings": [], "pause": -1}, "pause must be"),
        ({"readings": [], "pause": "1"}, "pause must be"),
        ({"model": {"version": "1", "factors": {}}}, "a model is a JSON object"),
        ({"model": {"version": 1, "factors": {"s": 1.5}}}, "whole numbers"),
        ({"model": None}, "a model is"),
        ({"model": {"version": -1, "factors": {}}}, "from 1 to"),
        ({"model": {"version": True, "factors": {}}}, "from 1 to"),
        ({"model": {"version": 1, "factors": {"s": 10**4000}}}, "from -1,000,000"),
        ({"readings": [], "sensors": "s"}, "lists of at most 100"),
        ({"readings": [], "sensors": ["\ud800"]}, "lone surrogate"),
        ({"readings": [{}] * 101}, "lists of at most 100"),
    ],
)
def test_what_is_no_event_is_refused_with_what_to_give(
    function: ModuleType, event: object, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        invoke(function, event)


def test_the_function_says_how_far_the_summary_is_behind(function: ModuleType, tmp_path: Path) -> None:
    assert invoke(function, {}) == {"uncounted": 0, "model": 0}
    line = json.dumps({"id": "1", "sensor": "s", "value": 7}) + "\n"
    (tmp_path / "journal/journal.jsonl").write_text(line)
    assert invoke(function, {})["uncounted"] == len(line)
