"""The real CDK CLI bootstraps, deploys and destroys on the embedded AWS, with IAM enforced."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from helpers.processes_of import invoke
from localaws import BootstrapError, CdkError, LocalAws
from localaws.cdk.cli import find_cli
from localaws.server.aws import _deployed
from localaws.server.bootstrap import template_of

pytestmark = pytest.mark.local

# A bucket, and a function with an asset that may write to it.
_APP = """
import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_, aws_s3 as s3

app = cdk.App()
stack = cdk.Stack(app, "tiny")
bucket = s3.Bucket(stack, "Bucket", removal_policy=cdk.RemovalPolicy.DESTROY)
function = lambda_.Function(
    stack, "Function", function_name="f", runtime=lambda_.Runtime.PYTHON_3_13, handler="index.handler",
    code=lambda_.Code.from_asset("code"), environment={"BUCKET": bucket.bucket_name},
)
bucket.grant_put(function)
bucket.grant_delete(function)
app.synth()
"""
_CODE = """
import boto3, os
def handler(event, context):
    s3 = boto3.client("s3")
    s3.put_object(Bucket=os.environ["BUCKET"], Key="photo", Body=b"x")
    s3.delete_object(Bucket=os.environ["BUCKET"], Key="photo")
    return "written"
"""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a synthesised app."""
    folder = tmp_path_factory.mktemp("app")
    (folder / "code").mkdir()
    (folder / "code" / "index.py").write_text(_CODE)
    (folder / "app.py").write_text(_APP)
    command = f"{shlex.quote(sys.executable)} app.py"
    _cdk(folder, "synth", "--quiet", "--app", command, environment=os.environ | {"CDK_VALIDATION": "false"})
    return folder


def _cdk(folder: Path, *words: str, environment: dict[str, str] | os._Environ[str]) -> None:
    ran = _try_cdk(folder, words, environment)
    assert ran.returncode == 0, ran.stdout


def _try_cdk(
    folder: Path, words: Sequence[str], environment: dict[str, str] | os._Environ[str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [find_cli(), *words, "--no-notices", "--ci"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )


_DEPLOY = ("deploy", "--all", "--app", "cdk.out", "--require-approval", "never")


def test_deploy_run_and_destroy(empty_aws: LocalAws, app: Path) -> None:
    environment = os.environ | empty_aws.environment
    empty_aws.bootstrap()
    _cdk(app, *_DEPLOY, environment=environment)
    assert invoke(empty_aws) == "written"
    _cdk(app, "destroy", "--all", "--app", "cdk.out", "--force", environment=environment)
    with pytest.raises(empty_aws.client("lambda").exceptions.ResourceNotFoundException):
        empty_aws.client("lambda").get_function(FunctionName="f")


@pytest.mark.full
def test_our_bootstrap_and_that_of_the_cli_make_the_same(empty_aws: LocalAws, app: Path) -> None:
    empty_aws.bootstrap()
    ours = _toolkit(empty_aws)
    empty_aws.reset()
    environment = os.environ | empty_aws.environment
    _cdk(app, "bootstrap", f"aws://{empty_aws.account}/{empty_aws.region}", environment=environment)
    assert ours == _toolkit(empty_aws)


def _toolkit(aws: LocalAws) -> object:
    cloudformation, iam = aws.client("cloudformation"), aws.client("iam")
    stack = cloudformation.describe_stacks(StackName="CDKToolkit")["Stacks"][0]
    parameters = {each["ParameterKey"]: each["ParameterValue"] for each in stack["Parameters"]}
    outputs = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
    resources = cloudformation.describe_stack_resources(StackName="CDKToolkit")["StackResources"]
    names = {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in resources}
    roles = {role["RoleName"]: role["AssumeRolePolicyDocument"] for role in iam.list_roles()["Roles"]}
    policies = {name: iam.list_role_policies(RoleName=name)["PolicyNames"] for name in roles}
    managed = {name: iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"] for name in roles}
    return parameters, outputs, names, roles, policies, managed


def test_stacks_are_deployed_by_an_administrator(empty_aws: LocalAws) -> None:
    empty_aws.bootstrap()
    name = f"cdk-hnb659fds-cfn-exec-role-{empty_aws.account}-{empty_aws.region}"
    attached = empty_aws.client("iam").list_attached_role_policies(RoleName=name)["AttachedPolicies"]
    assert [policy["PolicyName"] for policy in attached] == ["AdministratorAccess"]


def test_bootstrapping_twice_does_nothing(empty_aws: LocalAws) -> None:
    empty_aws.bootstrap()
    events = empty_aws.client("cloudformation").describe_stack_events(StackName="CDKToolkit")["StackEvents"]
    empty_aws.bootstrap()
    assert (
        events
        == empty_aws.client("cloudformation").describe_stack_events(StackName="CDKToolkit")["StackEvents"]
    )


def test_dropped_properties_omit_the_bootstrap_stack(empty_aws: LocalAws) -> None:
    empty_aws.bootstrap()
    assert empty_aws.dropped_properties() == []


def test_without_the_right_to_publish_assets_a_deployment_is_denied(empty_aws: LocalAws, app: Path) -> None:
    empty_aws.bootstrap()
    iam = empty_aws.client("iam")
    role = next(r["RoleName"] for r in iam.list_roles()["Roles"] if "file-publishing" in r["RoleName"])
    for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        iam.delete_role_policy(RoleName=role, PolicyName=policy)
    ran = _try_cdk(app, _DEPLOY, os.environ | empty_aws.environment)
    assert ran.returncode != 0
    assert "Failed to publish asset" in ran.stdout
    assert "access to it" in ran.stdout


def test_without_a_cli_bootstrap_explains_what_to_do(
    local_aws: LocalAws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)  # no node_modules above it
    with pytest.raises(CdkError, match=r"no `cdk` on the PATH\. Install it with `npm install aws-cdk`"):
        local_aws.bootstrap()


def test_a_cli_of_another_layout_is_asked_for_its_template(tmp_path: Path) -> None:
    cdk = tmp_path / "bin" / "cdk"
    cdk.parent.mkdir()
    cdk.write_text('#!/bin/sh\n[ "$*" = "bootstrap --show-template" ] && echo "Resources: {}"\n')
    cdk.chmod(0o755)
    assert template_of(cdk) == "Resources: {}\n"


def test_a_file_that_is_no_cli_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BootstrapError, match="did not print its bootstrap template"):
        template_of(tmp_path / "cdk")


def test_the_stacks_of_a_deployment_are_in_the_order_of_the_app() -> None:
    said = "".join(
        f"Stack ARN:\narn:aws:cloudformation:us-east-1:123456789012:stack/{name}/1\n"
        for name in ("Orders", "Network", "Named")
    )
    written = {"Orders": {"Url": "x"}}
    stacks = _deployed(said, ["Network", "Other", "Orders"], written)
    assert list(stacks.items()) == [("Network", {}), ("Orders", {"Url": "x"}), ("Named", {})]
