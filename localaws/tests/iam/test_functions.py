"""Execution roles: PassRole, trust and event source mappings."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from helpers.lambda_functions import Functions, eventually, zipped
from helpers.stacks import (
    DeploymentFailedError,
    Resources,
    arn,
    deploy,
    function,
    role,
    session_of,
    template,
)
from localaws import LocalAws

pytestmark = pytest.mark.local

SOURCE = "def handler(event, context): pass"
NOT_ASSUMABLE = "cannot be assumed by Lambda"


def create_function(session: boto3.Session, role_arn: str) -> str:
    name = f"function-{uuid.uuid4().hex[:8]}"
    session.client("lambda").create_function(
        FunctionName=name,
        Role=role_arn,
        Runtime="python3.13",
        Handler="index.handler",
        Code={"ZipFile": zipped({"index.py": SOURCE})},
    )
    return name


def passing(aws: LocalAws, role_arn: str, to: str) -> boto3.Session:
    """A user who may do anything with Lambda, and pass the role to the service."""
    session = session_of(aws, ("lambda:*", "*"))
    user = session.client("sts").get_caller_identity()["Arn"].rsplit("/", 1)[-1]
    statement = {
        "Effect": "Allow",
        "Action": "iam:PassRole",
        "Resource": role_arn,
        "Condition": {"StringEquals": {"iam:PassedToService": to}},
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    aws.client("iam").put_user_policy(UserName=user, PolicyName="passing", PolicyDocument=document)
    return session


# --- Handing a role over


def test_creating_a_function_needs_permission_to_pass_its_role(functions: Functions) -> None:
    role_arn = functions.role()
    with pytest.raises(ClientError, match=f"AccessDenied.*iam:PassRole on resource: {role_arn}"):
        create_function(session_of(functions.aws, ("lambda:*", "*")), role_arn)
    create_function(passing(functions.aws, role_arn, "lambda.amazonaws.com"), role_arn)


def test_permission_to_pass_a_role_to_another_service_or_another_role_is_not_enough(
    functions: Functions,
) -> None:
    mine, other = functions.role(), functions.role()
    with pytest.raises(ClientError, match="iam:PassRole"):
        create_function(passing(functions.aws, mine, "ec2.amazonaws.com"), mine)
    with pytest.raises(ClientError, match="iam:PassRole"):
        create_function(passing(functions.aws, mine, "lambda.amazonaws.com"), other)


def test_giving_a_function_another_role_needs_permission_to_pass_it(functions: Functions) -> None:
    name, other = functions.make(SOURCE), functions.role()
    client = session_of(functions.aws, ("lambda:*", "*")).client("lambda")
    client.update_function_configuration(FunctionName=name, Timeout=5)
    with pytest.raises(ClientError, match="iam:PassRole"):
        client.update_function_configuration(FunctionName=name, Role=other)


# --- Trust


def test_lambda_refuses_a_role_that_does_not_trust_it(functions: Functions) -> None:
    aws = functions.aws
    stranger = deploy(aws, {"Role": role(service="ec2.amazonaws.com")}, {"Arn": arn("Role")}).outputs["Arn"]
    with pytest.raises(ClientError, match=NOT_ASSUMABLE):
        create_function(aws.session, stranger)
    with pytest.raises(ClientError, match=NOT_ASSUMABLE):
        create_function(aws.session, stranger + "-that-is-not-there")
    with pytest.raises(ClientError, match=NOT_ASSUMABLE):
        aws.client("lambda").update_function_configuration(FunctionName=functions.make(SOURCE), Role=stranger)


def distrusted() -> Resources:
    return {"Role": role(service="ec2.amazonaws.com"), "Function": function("Role")}


def test_a_template_whose_function_has_such_a_role_fails(local_aws: LocalAws) -> None:
    with pytest.raises(DeploymentFailedError, match=NOT_ASSUMABLE):
        deploy(local_aws, distrusted())


# --- Event source mappings

RECEIVE = "sqs:ReceiveMessage"
POLL = (RECEIVE, "sqs:DeleteMessage", "sqs:GetQueueAttributes")


def map_source(functions: Functions, name: str, source: str, **more: Any) -> None:
    functions.aws.client("lambda").create_event_source_mapping(
        FunctionName=name, EventSourceArn=source, **more
    )


@pytest.mark.parametrize("missing", POLL)
def test_a_mapping_needs_each_permission_of_its_poller_on_the_queue(
    functions: Functions, missing: str
) -> None:
    queue = functions.queue()
    elsewhere = functions.role(*((action, queue.arn + ("-other" * (action == missing))) for action in POLL))
    with pytest.raises(ClientError, match=f"permissions to call {missing.removeprefix('sqs:')} on SQS"):
        map_source(functions, functions.make(SOURCE, role=elsewhere), queue.arn)


def mapping_in_template(*allowed: str) -> Resources:
    mapping = {"FunctionName": {"Ref": "Function"}, "EventSourceArn": arn("Queue")}
    return {
        "Queue": {"Type": "AWS::SQS::Queue"},
        "Role": role(*((action, arn("Queue")) for action in allowed)),
        "Function": function("Role"),
        "Mapping": {"Type": "AWS::Lambda::EventSourceMapping", "Properties": mapping},
    }


def test_a_template_with_such_a_mapping_fails(local_aws: LocalAws) -> None:
    deploy(local_aws, mapping_in_template(*POLL))
    with pytest.raises(DeploymentFailedError, match="permissions to call GetQueueAttributes on SQS"):
        deploy(local_aws, mapping_in_template(*POLL[:2]))


def test_a_mapping_of_a_stream_needs_what_lambda_lists(functions: Functions) -> None:
    aws, name = functions.aws, f"stream-{uuid.uuid4().hex[:8]}"
    aws.client("kinesis").create_stream(StreamName=name, ShardCount=1)
    stream = functions.arn("kinesis", f"stream/{name}")
    reader = functions.role(("kinesis:GetRecords", stream))
    with pytest.raises(ClientError, match=r"Cannot access stream.*kinesis:GetShardIterator"):
        map_source(functions, functions.make(SOURCE, role=reader), stream, StartingPosition="LATEST")
    able = functions.role(("kinesis:*", stream))
    map_source(functions, functions.make(SOURCE, role=able), stream, StartingPosition="LATEST")


def test_a_mapping_of_a_table_needs_to_list_its_streams(functions: Functions) -> None:
    aws, name = functions.aws, f"table-{uuid.uuid4().hex[:8]}"
    table = aws.client("dynamodb").create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )["TableDescription"]
    stream = table["LatestStreamArn"]
    reading = [
        (f"dynamodb:{action}", stream) for action in ("GetRecords", "GetShardIterator", "DescribeStream")
    ]
    for listing in ([], [("dynamodb:ListStreams", stream)]):
        partly = functions.make(SOURCE, role=functions.role(*reading, *listing))
        with pytest.raises(ClientError, match=r"Cannot access stream.*dynamodb:ListStreams"):
            map_source(functions, partly, stream, StartingPosition="LATEST")
    for streams in ("*", f"{table['TableArn']}/stream/*"):  # the latter is in AWS's documentation
        able = functions.make(SOURCE, role=functions.role(*reading, ("dynamodb:ListStreams", streams)))
        map_source(functions, able, stream, StartingPosition="LATEST")


def test_a_mapping_whose_role_lost_a_permission_stops_reading(
    functions: Functions, shared_folder: Path
) -> None:
    aws, queue, notes = functions.aws, functions.queue(), shared_folder / "notes"
    poller = functions.role(*((action, queue.arn) for action in POLL))
    source = f"def handler(event, context): open({str(notes)!r}, 'a').write(event['Records'][0]['body'])"
    map_source(functions, functions.make(source, role=poller), queue.arn)
    aws.client("sqs").send_message(QueueUrl=queue.url, MessageBody="first.")
    eventually(notes.exists)

    aws.client("iam").delete_role_policy(RoleName=poller.rsplit("/", 1)[-1], PolicyName="own")
    aws.client("sqs").send_message(QueueUrl=queue.url, MessageBody="second.")

    def problem() -> bool:
        mappings = aws.client("lambda").list_event_source_mappings(EventSourceArn=queue.arn)
        return "sqs:ReceiveMessage" in mappings["EventSourceMappings"][0]["LastProcessingResult"]

    eventually(problem)
    assert queue.wait()["Body"] == "second."
    assert notes.read_text() == "first."


# --- Still needed


def test_still_needed_the_emulator_allows_any_caller_to_pass_roles(stock_functions: Functions) -> None:
    session = session_of(stock_functions.aws, ("lambda:*", "*"), ("cloudformation:*", "*"))
    create_function(session, stock_functions.role())
    session.client("cloudformation").create_stack(
        StackName=f"stack-{uuid.uuid4().hex[:8]}",
        TemplateBody=json.dumps(template({"Queue": {"Type": "AWS::SQS::Queue"}})),
        RoleARN=stock_functions.role(),
    )


def test_the_emulator_still_runs_functions_whose_role_trusts_others(stock_aws: LocalAws) -> None:
    deploy(stock_aws, distrusted())


def test_the_emulator_still_polls_without_permission(stock_functions: Functions, shared_folder: Path) -> None:
    queue, notes = stock_functions.queue(), shared_folder / "notes"
    source = f"def handler(event, context): open({str(notes)!r}, 'a').write('read')"
    map_source(stock_functions, stock_functions.make(source), queue.arn)
    stock_functions.aws.client("sqs").send_message(QueueUrl=queue.url, MessageBody="first")
    eventually(notes.exists)
