"""What `run.py compat` tries, and what it says."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tasks import compat
from tasks.compat import Check, failures, oldest
from tasks.errors import TaskError

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
DEPENDENCIES = tomllib.loads(PROJECT.read_text("utf-8"))["project"]["dependencies"]


def test_the_oldest_release_is_the_lower_bound_of_the_constructs() -> None:
    assert oldest(["constructs>=10.5.0,<11", "aws-cdk-lib>=2.269.0,<3"]) == "2.269.0"
    with pytest.raises(TaskError, match="no dependency aws-cdk-lib>="):
        oldest(["aws-cdk-lib==2.275.0"])


@pytest.mark.parametrize(
    ("code", "output", "said"),
    [
        (0, "12 passed\n", []),
        (1, "E\nFAILED a.py::test - assert 1\nERROR b.py - no\n", ["a.py::test - assert 1", "b.py - no"]),
        (0, "FAILED sqs-consumer - no such argument\n", ["sqs-consumer - no such argument"]),
        (
            1,
            "ministack 2 is not as expected:\nsqs._poll has gone\n",
            ["ministack 2 is not as expected:", "sqs._poll has gone"],
        ),
    ],
)
def test_what_failed_is_named(code: int, output: str, said: list[str]) -> None:
    assert failures(code, output) == [f"    {line}" for line in said]


def test_only_what_is_broken_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compat, "_LOGS", tmp_path)
    monkeypatch.setattr(compat, "_install", lambda folder, library: library)
    monkeypatch.setattr(compat, "OF_BOTH", (Check("rows", ["rows"]),))
    monkeypatch.setattr(compat, "OF_THE_EMULATOR", (Check("bridges", ["bridges"], "not needed"),))
    failing = {"bridges"}
    monkeypatch.setattr(
        compat,
        "_run",
        lambda python, what, log: (1, f"FAILED {what[0]}") if what[0] in failing else (0, python),
    )
    assert compat.main([]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines() == [
        "",
        "aws-cdk-lib",
        "  bridges: not needed",
        "    bridges",
        "  rows: yes",
        "",
        f"aws-cdk-lib=={oldest(DEPENDENCIES)}",
        "  rows: yes",
    ]
    failing.add("rows")
    assert compat.main([]) == 1
