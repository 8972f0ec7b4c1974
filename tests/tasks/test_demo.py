"""A demo fails when the embedded AWS ignored a property that the scenario does not list."""

from __future__ import annotations

import contextlib
import io
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from localaws import Dropped
from scenarios.framework import ScenarioFailed
from stacks.catalogue import ARCHITECTURES, Architecture, find
from tasks import demo
from tasks.demo import check_dropped, show
from tasks.errors import TaskError
from tasks.progress import step
from tasks.verify import scenario_of

_DROPPED = Dropped("thumbnailer", "Table", "AWS::DynamoDB::Table", "TableClass")


def test_an_ignored_property_that_the_scenario_knows_is_accepted() -> None:
    check_dropped([_DROPPED], {"AWS::DynamoDB::Table.TableClass": "a matter of price"})


def test_an_ignored_property_that_the_scenario_does_not_know_is_refused_with_its_resource() -> None:
    with pytest.raises(TaskError, match=r"AWS::DynamoDB::Table\.TableClass of Table"):
        check_dropped([_DROPPED], {"AWS::DynamoDB::Table.Tags": "another one"})


def test_results_are_named_relative_to_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    show([out / "sheet.png", out / "a.webp", out / "b.webp"])
    assert capsys.readouterr().out == "\nResults:\n  out/sheet.png\n  out/*.webp (2)\n"


@pytest.mark.parametrize("name", ["sheet.png", "shares.svg"])
def test_the_page_gets_the_first_picture_of_a_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "ROOT", tmp_path)
    row = find("canary-alias")
    page = tmp_path / "docs" / row.family
    page.mkdir(parents=True)
    files = [tmp_path / "rows.json", tmp_path / name, tmp_path / "another.png"]
    for file in files:
        file.write_text(file.name)
    demo.keep_picture(row, files)
    [kept] = page.iterdir()
    assert (kept.name, kept.read_text()) == (f"canary-alias-run.{name.partition('.')[2]}", name)
    demo.keep_picture(row, files[:1])
    assert "canary-alias: the run makes no picture" in capsys.readouterr().out


def test_an_unknown_architecture_ends_the_demo_before_anything_starts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit, match="2"):
        demo.main(["nonesuch"])
    assert "There is no architecture 'nonesuch'" in capsys.readouterr().err


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for the logs of demos."""
    monkeypatch.setattr(demo, "_LOGS", tmp_path / "logs")
    return tmp_path / "logs"


@pytest.mark.parametrize(
    "error", [TaskError("ignored"), ScenarioFailed("saw 3 of 4"), ValueError("unforeseen")], ids=str
)
def test_a_demo_that_fails_names_the_log_with_all_that_it_printed(
    error: Exception, logs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: Architecture, log_file: Path) -> None:
        with step("a step"):
            print("one fact → another")
        raise error

    monkeypatch.setattr(demo, "demonstrate", fail)
    assert demo.main(["alb-function"]) == 1
    shown = capsys.readouterr()
    assert "one fact → another" in shown.out
    assert f"The output of this demo: {logs / 'alb-function.log'}" in shown.err
    assert str(logs / "aws-alb-function.log") in shown.err
    kept = (logs / "alb-function.log").read_text("utf-8")
    for part in ("one fact → another", "done    a step", "alb-function", str(error)):
        assert part in kept
    assert ("Traceback" in kept) == (not isinstance(error, TaskError))


def test_lines_that_are_redrawn_are_not_in_the_log(logs: Path) -> None:
    terminal, log = io.StringIO(), io.StringIO()
    tee = demo._Tee(terminal, log)
    for text in ("\r\x1b[2K| step 0.1 s", "\r\x1b[2K/ step 0.2 s", "\r\x1b[2Kdone step\n", "more\n"):
        tee.write(text)
    assert log.getvalue() == "done step\nmore\n"
    assert "| step 0.1 s" in terminal.getvalue()


def test_a_second_demo_of_an_architecture_waits_for_the_first(
    logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running: list[str] = []
    most: list[int] = []

    def demonstrate(row: Architecture, _: Path) -> None:
        running.append(row.id)
        time.sleep(0.2)  # in which the other one would begin; it begins later on a busy machine, or never
        most.append(len(running))
        running.remove(row.id)

    monkeypatch.setattr(demo, "demonstrate", demonstrate)
    monkeypatch.setattr(demo, "_recorded", contextlib.nullcontext)  # threads share standard output
    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(demo.try_to_demonstrate, [ARCHITECTURES[0]] * 2))
    assert most == [1, 1]


def test_a_row_that_is_only_synthesised_has_nothing_to_run(capsys: pytest.CaptureFixture[str]) -> None:
    row = next(row for row in ARCHITECTURES if not row.has_scenario)
    assert demo.try_to_demonstrate(row)
    assert f"docs/{row.family}/{row.id}.md says why" in capsys.readouterr().out
    with pytest.raises(TaskError, match=f"{row.id} has no scenario"):
        scenario_of(row.id)
