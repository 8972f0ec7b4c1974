"""The thumbnailer, deployed with the real CDK CLI and driven with real events, IAM enforced."""

from __future__ import annotations

import json

import pytest

from localaws import LocalAws
from scenarios.faults import Faults
from scenarios.framework import DeployedStack, ScenarioFailed
from scenarios.storage import thumbnailer
from tasks.demo import check_dropped, deploy
from tests.local.least_privilege import superfluous, try_without_each

pytestmark = pytest.mark.local


@pytest.fixture(scope="module")
def stack(local_aws: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> DeployedStack:
    folder = tmp_path_factory.mktemp("thumbnailer")
    outputs = deploy("thumbnailer", local_aws, folder)
    return DeployedStack("thumbnailer", outputs, local_aws.session, out=folder / "out", patience=40)


@pytest.fixture
def faults(local_aws: LocalAws) -> Faults:
    return Faults(local_aws.session)


def test_everything_that_the_template_asks_for_was_looked_at(
    stack: DeployedStack, local_aws: LocalAws
) -> None:
    check_dropped(local_aws.dropped_properties(), thumbnailer.ACCEPTED_NOT_EMULATED)


def test_photographs_become_thumbnails_and_nothing_is_left_behind(stack: DeployedStack) -> None:
    outcome = thumbnailer.run(stack)
    sheet, *thumbnails = outcome.files
    assert sheet.name == "contact-sheet.png"
    assert len(thumbnails) == 3 * len(thumbnailer.PHOTOGRAPHS)
    assert all(file.stat().st_size > 0 for file in outcome.files)
    for line in leftovers(stack):
        pytest.fail(line)


def role_of(stack: DeployedStack) -> str:
    function = stack.client("lambda").get_function_configuration(FunctionName=stack.output("FunctionName"))
    role: str = function["Role"].rpartition("/")[2]
    return role


def leftovers(stack: DeployedStack) -> list[str]:
    """What is in the buckets, in the table and in the queue."""
    s3, queue = stack.client("s3"), stack.output("FailureQueueUrl")
    versions = s3.list_object_versions(Bucket=stack.output("SourceBucketName"))
    thumbnails = s3.list_objects_v2(Bucket=stack.output("DestinationBucketName"))
    rows = stack.client("dynamodb").scan(TableName=stack.output("TableName"))
    messages = stack.client("sqs").receive_message(QueueUrl=queue, VisibilityTimeout=0)
    found = {
        "versions": versions.get("Versions", []),
        "delete markers": versions.get("DeleteMarkers", []),
        "thumbnails": thumbnails.get("Contents", []),
        "rows": rows["Items"],
        "messages": messages.get("Messages", []),
    }
    return [f"left behind: {kind}: {things}" for kind, things in found.items() if things]


def test_a_failure_is_kept_until_it_is_mended_and_redriven(stack: DeployedStack, faults: Faults) -> None:
    outcome = thumbnailer.drill(stack, faults)
    assert any("3 attempts" in line for line in outcome.story)
    assert leftovers(stack) == []


def test_a_role_that_may_not_read_the_photographs_fails_the_scenario_with_access_denied(
    stack: DeployedStack, faults: Faults
) -> None:
    configuration = stack.client("lambda").get_function_configuration(
        FunctionName=stack.output("FunctionName")
    )
    role = configuration["Role"].rpartition("/")[2]
    with faults.without_permission(role, "s3:GetObject"), pytest.raises(ScenarioFailed, match="AccessDenied"):
        thumbnailer.run(stack)


def test_the_role_needs_every_one_of_its_grants_and_a_planted_one_is_found(stack: DeployedStack) -> None:
    iam, role = stack.client("iam"), role_of(stack)
    statement = {"Effect": "Allow", "Action": "dynamodb:Scan", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_role_policy(RoleName=role, PolicyName="planted", PolicyDocument=document)
    try:
        findings = try_without_each(stack, stack.output("FunctionName"), thumbnailer.smoke)
    finally:
        iam.delete_role_policy(RoleName=role, PolicyName="planted")
    assert [grant.action for grant in superfluous(findings)] == ["dynamodb:Scan"]
