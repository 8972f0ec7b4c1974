"""The stack of the notes behind function URLs: who may call, with and without context."""

from __future__ import annotations

from pathlib import Path

import pytest
from aws_cdk import App

from stacks.catalogue import find
from tasks.synthesis import app_context
from tests.templates import Assembly, Resources, read_templates


@pytest.fixture
def deployed(catalogue: Assembly) -> Resources:
    """The stack without context."""
    return catalogue.stacks["function-url"]


def test_only_the_public_url_is_open(deployed: Resources) -> None:
    urls = {one["Qualifier"]: one["AuthType"] for one in deployed.all("AWS::Lambda::Url").values()}
    assert urls == {"public": "NONE", "live": "AWS_IAM"}
    permissions = list(deployed.all("AWS::Lambda::Permission").values())
    assert sorted(one["Action"] for one in permissions) == [
        "lambda:InvokeFunction",
        "lambda:InvokeFunctionUrl",
    ]
    assert all("PublicAlias" in str(one["FunctionName"]) for one in permissions)


def test_the_editor_has_both_permissions(deployed: Resources) -> None:
    actions = {one["Action"] for one in deployed.statements("Editor")}
    assert actions == {"lambda:InvokeFunction", "lambda:InvokeFunctionUrl"}


def test_the_context_limits_readers_and_admits_an_organization(tmp_path: Path) -> None:
    context = {"cidrs": "198.51.100.0/24,2001:db8::/32", "organization": "o-a1b2c3d4e5"}
    app = App(
        context={**app_context(), **context}, outdir=str(tmp_path), builtin_cloud_formation_validation=False
    )
    find("function-url").make_stack(app)
    app.synth()
    resources = read_templates(tmp_path)["function-url"]
    permissions = resources.all("AWS::Lambda::Permission").values()
    assert {(one["Principal"], one["PrincipalOrgID"]) for one in permissions} == {("*", "o-a1b2c3d4e5")}
    (policy,) = resources.all("AWS::Lambda::ResourcePolicy").values()
    addresses = [one["Condition"]["IpAddress"] for one in policy["PolicyDocument"]["Statement"]]
    assert addresses == [{"aws:SourceIp": ["198.51.100.0/24", "2001:db8::/32"]}] * 2
