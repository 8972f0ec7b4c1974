"""A deployment needs the permission to pass the roles in its template."""

from __future__ import annotations

import json
import uuid
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from helpers.lambda_functions import eventually
from helpers.stacks import Resources, arn, deploy, function, ref, role, session_of, template
from localaws import LocalAws

pytestmark = pytest.mark.local

EVERYTHING_BUT_PASSING = (("cloudformation:*", "*"), ("lambda:*", "*"), ("states:*", "*"))
SUCCEEDS = json.dumps({"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}})


def outcome(
    aws: LocalAws, session: boto3.Session, resources: Resources, **arguments: str
) -> tuple[str, list[str]]:
    """Deploy with a session; return the final status of the stack and the reasons of failures."""
    name = f"stack-{uuid.uuid4().hex[:8]}"
    session.client("cloudformation").create_stack(
        StackName=name, TemplateBody=json.dumps(template(resources)), **arguments
    )
    client = aws.client("cloudformation")

    def ended() -> str:
        status: str = client.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
        return "" if status.endswith("IN_PROGRESS") else status

    status = eventually(ended)
    events = client.describe_stack_events(StackName=name)["StackEvents"]
    return status, [event.get("ResourceStatusReason") or "" for event in events]


def made_role(aws: LocalAws, *allowed: tuple[str, Any], service: str) -> str:
    return deploy(aws, {"Role": role(*allowed, service=service)}, {"Arn": arn("Role")}).outputs["Arn"]


def handing_over(service: str, role_arn: str) -> Resources:
    if service == "lambda.amazonaws.com":
        handed = function("Role")
        handed["Properties"]["Role"] = role_arn
        return {"Function": handed}
    if service == "codedeploy.amazonaws.com":
        style = {"DeploymentType": "BLUE_GREEN", "DeploymentOption": "WITH_TRAFFIC_CONTROL"}
        group = {"ApplicationName": ref("App"), "ServiceRoleArn": role_arn, "DeploymentStyle": style}
        return {
            "App": {"Type": "AWS::CodeDeploy::Application", "Properties": {"ComputePlatform": "Lambda"}},
            "Group": {"Type": "AWS::CodeDeploy::DeploymentGroup", "Properties": group},
        }
    if service == "rds.amazonaws.com":
        login = {"MasterUsername": "master", "MasterUserPassword": "a-secret-1"}
        roles = [{"RoleArn": role_arn}]
        cluster = {"Engine": "aurora-mysql", "AssociatedRoles": roles, **login}
        return {"Cluster": {"Type": "AWS::RDS::DBCluster", "Properties": cluster}}
    machine = {"RoleArn": role_arn, "DefinitionString": SUCCEEDS}
    return {"Machine": {"Type": "AWS::StepFunctions::StateMachine", "Properties": machine}}


@pytest.mark.parametrize(
    "service",
    ["codedeploy.amazonaws.com", "lambda.amazonaws.com", "rds.amazonaws.com", "states.amazonaws.com"],
)
def test_a_user_deploys_only_roles_that_the_user_may_pass(local_aws: LocalAws, service: str) -> None:
    handed = made_role(local_aws, service=service)
    resources = handing_over(service, handed)
    status, reasons = outcome(local_aws, session_of(local_aws, *EVERYTHING_BUT_PASSING), resources)
    assert status == "ROLLBACK_COMPLETE"
    assert any(f"not authorized to perform: iam:PassRole on resource: {handed}" in why for why in reasons)

    allowed = session_of(local_aws, *EVERYTHING_BUT_PASSING, ("iam:PassRole", handed))
    assert outcome(local_aws, allowed, resources)[0] == "CREATE_COMPLETE"


def test_a_stack_with_a_service_role_may_pass_what_that_role_may_pass(local_aws: LocalAws) -> None:
    handed = made_role(local_aws, service="lambda.amazonaws.com")
    resources = handing_over("lambda.amazonaws.com", handed)
    may_not = made_role(local_aws, *EVERYTHING_BUT_PASSING, service="cloudformation.amazonaws.com")
    status, reasons = outcome(local_aws, local_aws.session, resources, RoleARN=may_not)
    assert status == "ROLLBACK_COMPLETE"
    assert any(f"User: {may_not} is not authorized to perform: iam:PassRole" in why for why in reasons)

    may = made_role(local_aws, ("iam:PassRole", handed), service="cloudformation.amazonaws.com")
    assert outcome(local_aws, local_aws.session, resources, RoleARN=may)[0] == "CREATE_COMPLETE"


def test_a_stack_with_a_role_needs_permission_to_pass_that_one(local_aws: LocalAws) -> None:
    deployer = made_role(local_aws, ("*", "*"), service="cloudformation.amazonaws.com")
    queue: Resources = {"Queue": {"Type": "AWS::SQS::Queue"}}
    without = session_of(local_aws, ("cloudformation:*", "*"))
    with pytest.raises(ClientError, match=f"AccessDenied.*iam:PassRole on resource: {deployer}"):
        outcome(local_aws, without, queue, RoleARN=deployer)
    allowed = session_of(local_aws, ("cloudformation:*", "*"), ("iam:PassRole", deployer))
    assert outcome(local_aws, allowed, queue, RoleARN=deployer)[0] == "CREATE_COMPLETE"


def test_still_needed_the_emulator_allows_passing_any_role(stock_aws: LocalAws) -> None:
    handed = made_role(stock_aws, service="lambda.amazonaws.com")
    without_pass_role = session_of(stock_aws, *EVERYTHING_BUT_PASSING)
    status, _ = outcome(stock_aws, without_pass_role, handing_over("lambda.amazonaws.com", handed))
    assert status == "CREATE_COMPLETE"
