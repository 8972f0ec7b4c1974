"""The stack of the charges: who may call, with and without context."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App

from stacks.catalogue import find
from tasks.synthesis import app_context
from tests.templates import Assembly, Resources, read_templates


@pytest.fixture
def deployed(catalogue: Assembly) -> Resources:
    """The stack without context."""
    return catalogue.stacks["direct-invoke"]


def test_the_caller_may_invoke_the_alias_and_nothing_else(deployed: Resources) -> None:
    (alias,) = deployed.all("AWS::Lambda::Alias")
    own = [one for one in deployed.statements("CallerServiceRole") if "lambda:" in str(one["Action"])]
    assert [(one["Action"], one["Resource"]) for one in own] == [("lambda:InvokeFunction", {"Ref": alias})]


def test_without_context_no_other_account_may_call(deployed: Resources) -> None:
    assert not deployed.all("AWS::Lambda::Permission")


def test_the_context_admits_another_account_and_an_organization(tmp_path: Path) -> None:
    context: dict[str, Any] = {"caller-account": "111122223333", "organization": "o-a1b2c3d4e5"}
    app = App(
        context={**app_context(), **context}, outdir=str(tmp_path), builtin_cloud_formation_validation=False
    )
    find("direct-invoke").make_stack(app)
    app.synth()
    resources = read_templates(tmp_path)["direct-invoke"]
    (alias,) = resources.all("AWS::Lambda::Alias")
    permissions = resources.all("AWS::Lambda::Permission").values()
    assert {one["Principal"]: one.get("PrincipalOrgID") for one in permissions} == {
        "111122223333": None,
        "*": "o-a1b2c3d4e5",
    }
    assert all(one["FunctionName"] == {"Ref": alias} for one in permissions)
