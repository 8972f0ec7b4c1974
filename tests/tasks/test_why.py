"""`run.py why`: what was denied, and what would allow it; nothing is deployed here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from localaws import Explanation
from localaws.explanations import Grant as Missing
from scenarios.framework import Covered, DeployedStack, ScenarioFailed
from scenarios.support.faults import Faults, Grant
from tasks import why
from tasks.errors import TaskError

STACK = DeployedStack("thumbnailer", {}, session=None)  # type: ignore[arg-type]
HELD = Grant("worker", "own", 0, "s3:GetObject", ("*",))
DENIED = Explanation(
    "arn:aws:sts::1:assumed-role/worker/now",
    "s3:GetObject",
    "arn:aws:s3:::photos/cat.jpg",
    "no policy of the principal allows this action",
    grants=(Missing("identity policy", ("s3:GetObject",), ("*",), "role.add_to_policy(...)"),),
)


class Account:
    """An account in which nothing is denied until a scenario runs without its permission."""

    def __init__(self) -> None:
        self.denied: list[Explanation] = []

    def explain(self, since: float = 0) -> list[Explanation]:
        return self.denied


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Account:
    """The account of a stack with one role, from which the permission can be taken."""
    account = Account()

    @contextmanager
    def without(self: Faults, *removed: Grant) -> Iterator[None]:
        yield

    monkeypatch.setattr(Faults, "__init__", lambda self, session: None)
    monkeypatch.setattr(Faults, "without", without)
    monkeypatch.setattr(why, "_grants", lambda stack: [HELD])
    return account


def scenario(monkeypatch: pytest.MonkeyPatch, run: Any) -> None:
    row = SimpleNamespace(run=run, ROLES=(Covered("FunctionName", run),))
    monkeypatch.setattr(why, "scenario_of", lambda name: row)


def test_for_a_healthy_architecture_the_actions_of_its_roles_are_listed(
    account: Account, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario(monkeypatch, lambda stack: None)
    assert why._as_it_is(STACK, account) == 0  # type: ignore[arg-type]
    printed = capsys.readouterr().out
    assert "IAM has denied nothing" in printed
    assert "s3:GetObject" in printed


def test_a_scenario_that_fails_shows_what_was_denied(
    account: Account, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(stack: DeployedStack) -> None:
        account.denied.append(DENIED)
        raise ScenarioFailed("no thumbnail")

    scenario(monkeypatch, run)
    assert why._as_it_is(STACK, account) == 1  # type: ignore[arg-type]
    printed = capsys.readouterr()
    assert "FAILED: no thumbnail" in printed.err
    assert "role.add_to_policy(...)" in printed.out


def test_the_permission_that_is_taken_away_is_explained(
    account: Account, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(stack: DeployedStack) -> None:
        account.denied.append(DENIED)
        raise ScenarioFailed("no thumbnail")

    scenario(monkeypatch, run)
    assert why._without(STACK, "s3:GetObject", account) == 0  # type: ignore[arg-type]
    assert "role.add_to_policy(...)" in capsys.readouterr().out


def test_a_permission_that_nothing_needs_is_reported(
    account: Account, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario(monkeypatch, lambda stack: None)
    assert why._without(STACK, "s3:GetObject", account) == 1  # type: ignore[arg-type]
    assert "Nothing that the scenario does needs s3:GetObject" in capsys.readouterr().out


def test_an_action_that_no_role_has_is_refused_with_those_that_they_have(account: Account) -> None:
    with pytest.raises(TaskError, match=r"did you mean 's3:GetObject'\?.*\(s3:GetObject\)"):
        why._without(STACK, "s3:getobject", account)  # type: ignore[arg-type]


def test_an_action_that_the_page_does_not_have_is_refused_before_the_deployment() -> None:
    why.check("thumbnailer", "s3:GetObject")
    why.check("thumbnailer", "xray:PutTraceSegments")
    with pytest.raises(TaskError, match="bogus:Nope"):
        why.check("thumbnailer", "bogus:Nope")
