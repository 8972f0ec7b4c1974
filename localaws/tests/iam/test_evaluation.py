"""IAM for boundaries, topics, SSM parameters, log groups, and versions and aliases of functions."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from helpers.lambda_functions import Functions
from helpers.stacks import Resources, deploy, policy, ref, session_of
from localaws import LocalAws
from localaws.server.clients import make_session

pytestmark = pytest.mark.local

DENIED = "AccessDenied|AuthorizationError"


def limited_role(aws: LocalAws, *, with_boundary: bool = True) -> Resources:
    """A role that may do anything with queues, and whose boundary allows only listing them."""
    trusted = {"AWS": f"arn:aws:iam::{aws.account}:root"}
    role: dict[str, Any] = {
        "AssumeRolePolicyDocument": {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": trusted}],
        },
        "Policies": [{"PolicyName": "own", "PolicyDocument": policy(("sqs:*", "*"))}],
    }
    if with_boundary:
        role["PermissionsBoundary"] = ref("Limit")
    limit = {"PolicyDocument": policy(("sqs:ListQueues", "*"))}
    return {
        "Role": {"Type": "AWS::IAM::Role", "Properties": role},
        "Limit": {"Type": "AWS::IAM::ManagedPolicy", "Properties": limit},
    }


ROLE_OUTPUTS = {"Name": ref("Role"), "Arn": {"Fn::GetAtt": ["Role", "Arn"]}, "Limit": ref("Limit")}


def assumed(aws: LocalAws, role_arn: str) -> boto3.Session:
    answer = aws.client("sts").assume_role(RoleArn=role_arn, RoleSessionName="test")["Credentials"]
    base = make_session(aws.endpoint_url, str(aws.ca_file), "", "", aws.region)
    return boto3.Session(
        aws_access_key_id=answer["AccessKeyId"],
        aws_secret_access_key=answer["SecretAccessKey"],
        aws_session_token=answer["SessionToken"],
        region_name=aws.region,
        botocore_session=base._session,
    )


def may_create_queues(aws: LocalAws, role_arn: str) -> bool:
    sqs = assumed(aws, role_arn).client("sqs")
    sqs.list_queues()  # allowed by policy and boundary: the role itself works
    try:
        sqs.create_queue(QueueName=f"queue-{uuid.uuid4().hex[:8]}")
    except ClientError as error:
        if "AccessDenied" not in error.response["Error"]["Code"]:
            raise
        return False
    return True


def test_a_permissions_boundary_of_a_template_limits_its_role(local_aws: LocalAws) -> None:
    stack = deploy(local_aws, limited_role(local_aws), ROLE_OUTPUTS)
    role = local_aws.client("iam").get_role(RoleName=stack.outputs["Name"])["Role"]
    assert role["PermissionsBoundary"]["PermissionsBoundaryArn"] == stack.outputs["Limit"]
    assert not may_create_queues(local_aws, stack.outputs["Arn"])


def test_a_boundary_is_set_and_removed_with_the_template(local_aws: LocalAws) -> None:
    stack = deploy(local_aws, limited_role(local_aws, with_boundary=False), ROLE_OUTPUTS)
    assert may_create_queues(local_aws, stack.outputs["Arn"])
    stack.update(limited_role(local_aws), ROLE_OUTPUTS)
    assert not may_create_queues(local_aws, stack.outputs["Arn"])
    stack.update(limited_role(local_aws, with_boundary=False), ROLE_OUTPUTS)
    assert may_create_queues(local_aws, stack.outputs["Arn"])


def topic_of(aws: LocalAws) -> str:
    return deploy(aws, {"Topic": {"Type": "AWS::SNS::Topic"}}, {"Arn": ref("Topic")}).outputs["Arn"]


def test_publishing_needs_a_permission(local_aws: LocalAws) -> None:
    topic = topic_of(local_aws)
    with pytest.raises(ClientError, match=DENIED):
        session_of(local_aws).client("sns").publish(TopicArn=topic, Message="hello")
    session_of(local_aws, ("sns:Publish", topic)).client("sns").publish(TopicArn=topic, Message="hello")


def test_a_topic_policy_replaces_the_default_policy(local_aws: LocalAws) -> None:
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": "*"},
        "Action": "sns:Publish",
        "Resource": ref("Topic"),
    }
    own = {"Topics": [ref("Topic")], "PolicyDocument": {"Version": "2012-10-17", "Statement": [statement]}}
    resources: Resources = {
        "Topic": {"Type": "AWS::SNS::Topic"},
        "Policy": {"Type": "AWS::SNS::TopicPolicy", "Properties": own},
    }
    topic = deploy(local_aws, resources, {"Arn": ref("Topic")}).outputs["Arn"]
    session_of(local_aws).client("sns").publish(TopicArn=topic, Message="hello")


def parameters(aws: LocalAws) -> tuple[list[str], str]:
    """The names of two parameters, and the common prefix of their ARNs."""
    names = [f"/{uuid.uuid4().hex[:8]}/{name}" for name in ("one", "two")]
    for name in names:
        aws.client("ssm").put_parameter(Name=name, Value="value", Type="String")
    return names, f"arn:aws:ssm:us-east-1:{aws.account}:parameter"


def test_several_parameters_are_read_and_deleted_with_a_permission_on_each(local_aws: LocalAws) -> None:
    names, prefix = parameters(local_aws)
    allowed = [
        (action, prefix + name) for name in names for action in ("ssm:GetParameters", "ssm:DeleteParameters")
    ]
    ssm = session_of(local_aws, *allowed).client("ssm")
    assert len(ssm.get_parameters(Names=names)["Parameters"]) == 2
    assert sorted(ssm.delete_parameters(Names=names)["DeletedParameters"]) == sorted(names)


@pytest.mark.parametrize("allowed", [0, 1])
def test_one_parameter_without_a_permission_refuses_all(local_aws: LocalAws, allowed: int) -> None:
    names, prefix = parameters(local_aws)
    ssm = session_of(local_aws, ("ssm:GetParameters", prefix + names[allowed])).client("ssm")
    with pytest.raises(ClientError, match=f"AccessDenied.*{names[1 - allowed]}"):
        ssm.get_parameters(Names=names)


def test_parameters_below_a_path_are_read_with_a_permission_on_the_path(local_aws: LocalAws) -> None:
    names, prefix = parameters(local_aws)
    path = names[0].rpartition("/")[0]
    ssm = session_of(local_aws, ("ssm:GetParametersByPath", prefix + path)).client("ssm")
    assert {each["Name"] for each in ssm.get_parameters_by_path(Path=path)["Parameters"]} == {names[0]}
    with pytest.raises(ClientError, match=f"AccessDenied.*on resource: {prefix}/another"):
        ssm.get_parameters_by_path(Path="/another")


def log_group(aws: LocalAws) -> tuple[str, str]:
    """A log group's name, and its ARN without anything after the name."""
    name = f"/group/{uuid.uuid4().hex[:8]}"
    aws.client("logs").create_log_group(logGroupName=name)
    return name, f"arn:aws:logs:us-east-1:{aws.account}:log-group:{name}"


def test_a_log_group_needs_a_permission_with_a_suffix_after_its_name(local_aws: LocalAws) -> None:
    name, arn = log_group(local_aws)
    logs = session_of(local_aws, ("logs:PutRetentionPolicy", f"{arn}:*")).client("logs")
    logs.put_retention_policy(logGroupName=name, retentionInDays=7)
    logs = session_of(local_aws, ("logs:PutRetentionPolicy", arn)).client("logs")
    with pytest.raises(ClientError, match=f"AccessDenied.*on resource: {arn}:log-stream:"):
        logs.put_retention_policy(logGroupName=name, retentionInDays=7)


def test_a_single_log_stream_can_be_allowed(local_aws: LocalAws) -> None:
    name, arn = log_group(local_aws)
    logs = session_of(local_aws, ("logs:CreateLogStream", f"{arn}:log-stream:mine")).client("logs")
    logs.create_log_stream(logGroupName=name, logStreamName="mine")
    with pytest.raises(ClientError, match="AccessDenied"):
        logs.create_log_stream(logGroupName=name, logStreamName="yours")


def test_a_log_groups_tags_are_asked_for_on_the_group(local_aws: LocalAws) -> None:
    name, arn = log_group(local_aws)
    local_aws.client("logs").tag_resource(resourceArn=arn, tags={"team": "photos"})
    tagged = {"StringEquals": {"aws:ResourceTag/team": "photos"}}
    session = session_of(local_aws, ("logs:PutRetentionPolicy", f"{arn}:*"), condition=tagged)
    session.client("logs").put_retention_policy(logGroupName=name, retentionInDays=7)


def published(aws: LocalAws) -> tuple[str, str]:
    """A function with a version, and its ARN."""
    functions = Functions(aws)
    name = functions.make("def handler(event, context): return 'done'")
    aws.client("lambda").publish_version(FunctionName=name)
    return name, functions.arn("lambda", f"function:{name}")


@pytest.mark.parametrize("named", [("{}", "1"), ("{}:1", None)])
def test_a_version_needs_a_permission_with_a_suffix_after_the_functions_name(
    local_aws: LocalAws, named: tuple[str, str | None]
) -> None:
    name, arn = published(local_aws)
    version = {"FunctionName": named[0].format(name)} | ({"Qualifier": named[1]} if named[1] else {})
    allowed = session_of(local_aws, ("lambda:InvokeFunction", f"{arn}:*")).client("lambda")
    assert allowed.invoke(**version)["StatusCode"] == 200
    with pytest.raises(ClientError, match="AccessDenied"):
        allowed.invoke(FunctionName=name)
    with pytest.raises(ClientError, match="AccessDenied"):
        session_of(local_aws, ("lambda:InvokeFunction", arn)).client("lambda").invoke(**version)


def test_a_permission_to_delete_versions_does_not_allow_deleting_the_function(local_aws: LocalAws) -> None:
    name, arn = published(local_aws)
    client = session_of(local_aws, ("lambda:DeleteFunction", f"{arn}:*")).client("lambda")
    client.delete_function(FunctionName=name, Qualifier="1")
    with pytest.raises(ClientError, match="AccessDenied"):
        client.delete_function(FunctionName=name)


@pytest.mark.parametrize("action", ["GetAlias", "UpdateAlias", "DeleteAlias", "ListAliases"])
def test_each_action_on_aliases_is_a_permission_of_its_own(local_aws: LocalAws, action: str) -> None:
    name, arn = published(local_aws)
    local_aws.client("lambda").create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    client = session_of(local_aws, (f"lambda:{action}", arn)).client("lambda")
    one = {"FunctionName": name, "Name": "live"}
    calls: dict[str, Callable[[], Any]] = {
        "GetAlias": lambda: client.get_alias(**one),
        "UpdateAlias": lambda: client.update_alias(**one, FunctionVersion="1"),
        "ListAliases": lambda: client.list_aliases(FunctionName=name),
        "DeleteAlias": lambda: client.delete_alias(**one),
    }
    calls.pop(action)()
    for call in calls.values():
        with pytest.raises(ClientError, match="AccessDenied"):
            call()


_SETTINGS = {"MaximumRetryAttempts": 1}
CALLS: dict[str, tuple[str, Callable[[Any, str, str], object]]] = {
    "UpdateEventSourceMapping": (
        "event-source-mapping:*",
        lambda client, _, mapping: client.update_event_source_mapping(UUID=mapping, BatchSize=2),
    ),
    "DeleteEventSourceMapping": (
        "event-source-mapping:*",
        lambda client, _, mapping: client.delete_event_source_mapping(UUID=mapping),
    ),
    "GetEventSourceMapping": (
        "event-source-mapping:*",
        lambda client, _, mapping: client.get_event_source_mapping(UUID=mapping),
    ),
    "PutFunctionEventInvokeConfig": (
        "function:*",
        lambda client, name, _: client.put_function_event_invoke_config(FunctionName=name, **_SETTINGS),
    ),
    "UpdateFunctionEventInvokeConfig": (
        "function:*",
        lambda client, name, _: client.update_function_event_invoke_config(FunctionName=name, **_SETTINGS),
    ),
    "DeleteFunctionEventInvokeConfig": (
        "function:*",
        lambda client, name, _: client.delete_function_event_invoke_config(FunctionName=name),
    ),
    "PutFunctionConcurrency": (
        "function:*",
        lambda client, name, _: client.put_function_concurrency(
            FunctionName=name, ReservedConcurrentExecutions=1
        ),
    ),
    "DeleteFunctionConcurrency": (
        "function:*",
        lambda client, name, _: client.delete_function_concurrency(FunctionName=name),
    ),
    "InvokeFunction": ("function:*", lambda client, name, _: client.invoke(FunctionName=name)),
}


@pytest.mark.parametrize("action", CALLS)
def test_every_operation_of_lambda_needs_the_permission_of_its_name(
    functions: Functions, action: str
) -> None:
    aws, queue = functions.aws, functions.queue()
    name = functions.make("def handler(event, context): pass", role=functions.role(("sqs:*", "*")))
    functions.settle(name)
    mapping = aws.client("lambda").create_event_source_mapping(
        FunctionName=name, EventSourceArn=queue.arn, Enabled=False
    )["UUID"]
    resource, call = CALLS[action]
    others = [(f"lambda:{other}", "*") for other in (*CALLS, "UpdateFunctionCode", "DeleteFunction")]
    others.remove((f"lambda:{action}", "*"))
    with pytest.raises(ClientError, match=DENIED):
        call(session_of(aws, *others).client("lambda"), name, mapping)
    allowed = session_of(aws, (f"lambda:{action}", functions.arn("lambda", resource)))
    call(allowed.client("lambda"), name, mapping)


def test_the_emulator_still_ignores_boundaries_of_templates(stock_aws: LocalAws) -> None:
    stack = deploy(stock_aws, limited_role(stock_aws), ROLE_OUTPUTS)
    assert may_create_queues(stock_aws, stack.outputs["Arn"])


def test_still_needed_the_emulator_allows_every_role_to_publish(stock_aws: LocalAws) -> None:
    session_of(stock_aws).client("sns").publish(TopicArn=topic_of(stock_aws), Message="hello")


def test_the_emulator_still_denies_lists_of_parameters(stock_aws: LocalAws) -> None:
    names, prefix = parameters(stock_aws)
    ssm = session_of(stock_aws, *(("ssm:GetParameters", prefix + name) for name in names)).client("ssm")
    with pytest.raises(ClientError, match="AccessDenied"):
        ssm.get_parameters(Names=names)


def test_the_emulator_still_denies_log_groups_as_policies_name_them(stock_aws: LocalAws) -> None:
    name, arn = log_group(stock_aws)
    logs = session_of(stock_aws, ("logs:PutRetentionPolicy", f"{arn}:*")).client("logs")
    with pytest.raises(ClientError, match="AccessDenied"):
        logs.put_retention_policy(logGroupName=name, retentionInDays=7)


def test_the_emulator_still_takes_a_version_for_its_function(stock_aws: LocalAws) -> None:
    name, arn = published(stock_aws)
    client = session_of(stock_aws, ("lambda:InvokeFunction", arn)).client("lambda")
    assert client.invoke(FunctionName=name, Qualifier="1")["StatusCode"] == 200


def test_still_needed_in_the_emulator_list_permission_allows_changing_aliases(stock_aws: LocalAws) -> None:
    name, arn = published(stock_aws)
    stock_aws.client("lambda").create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    client = session_of(stock_aws, ("lambda:ListAliases", arn)).client("lambda")
    client.update_alias(FunctionName=name, Name="live", FunctionVersion="1")
