"""A demo fails when the embedded AWS ignored a property that the scenario does not list."""

from __future__ import annotations

from pathlib import Path

import pytest

from localaws import Dropped
from scenarios.framework import Outcome
from tasks import demo
from tasks.demo import check_dropped, show
from tasks.errors import TaskError

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
    show(Outcome("title", [], files=[out / "sheet.png", out / "a.webp", out / "b.webp"]))
    assert capsys.readouterr().out == "\nResults:\n  out/sheet.png\n  out/*.webp (2)\n"


def test_an_unknown_architecture_ends_the_demo_before_anything_starts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert demo.main(["nonesuch"]) == 1
    assert "no such architecture" in capsys.readouterr().err
