"""The grant that an explanation names is code that runs, and allows exactly what was denied."""

from __future__ import annotations

import json
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

import pytest
from aws_cdk import Stack
from aws_cdk import aws_apigatewayv2 as apigatewayv2
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kinesisfirehose as firehose
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_ssm as ssm
from aws_cdk import aws_stepfunctions as stepfunctions
from aws_cdk.assertions import Template
from ministack.core import iam_evaluator
from ministack.services import cloudformation

from localaws.explanations import Layer, pattern
from localaws.services.iam.grants import EXACT, USUAL, grant

STACK = "arn:aws:cloudformation:us-east-1:123456789012:stack/orders/1"
ROLE = "arn:aws:iam::123456789012:role/handler"
SESSION = "arn:aws:sts::123456789012:assumed-role/handler/now"
RULE = "arn:aws:events:us-east-1:123456789012:rule/nightly"

# What is deployed: the construct, its type, and the attribute with its ARN.
ARNS = {
    "Uploads": ("AWS::S3::Bucket", "Arn", "arn:aws:s3:::uploads-1"),
    "Orders": ("AWS::DynamoDB::Table", "Arn", "arn:aws:dynamodb:us-east-1:123456789012:table/orders-1"),
    "Jobs": ("AWS::SQS::Queue", "Arn", "arn:aws:sqs:us-east-1:123456789012:jobs-1"),
    "Alerts": ("AWS::SNS::Topic", "Ref", "arn:aws:sns:us-east-1:123456789012:alerts-1"),
    "Key": ("AWS::KMS::Key", "Arn", "arn:aws:kms:us-east-1:123456789012:key/1234"),
    "Handler": ("AWS::Lambda::Function", "Arn", "arn:aws:lambda:us-east-1:123456789012:function:handler-1"),
    "Clicks": ("AWS::Kinesis::Stream", "Arn", "arn:aws:kinesis:us-east-1:123456789012:stream/clicks-1"),
    "Log": ("AWS::Logs::LogGroup", "Arn", "arn:aws:logs:us-east-1:123456789012:log-group:log-1:*"),
    "Password": (
        "AWS::SecretsManager::Secret",
        "Ref",
        "arn:aws:secretsmanager:us-east-1:123456789012:secret:password-abcdef",
    ),
    "Bus": ("AWS::Events::EventBus", "Arn", "arn:aws:events:us-east-1:123456789012:event-bus/bus-1"),
    "Flow": (
        "AWS::StepFunctions::StateMachine",
        "Ref",
        "arn:aws:states:us-east-1:123456789012:stateMachine:f",
    ),
    "Images": ("AWS::ECR::Repository", "Arn", "arn:aws:ecr:us-east-1:123456789012:repository/images"),
    "Delivery": (
        "AWS::KinesisFirehose::DeliveryStream",
        "Arn",
        "arn:aws:firehose:us-east-1:123456789012:deliverystream/d",
    ),
    "Api": ("AWS::ApiGatewayV2::Api", "Ref", "a1b2c3"),
    "Rate": ("AWS::SSM::Parameter", "Ref", "/rate"),
    "Role": ("AWS::IAM::Role", "Arn", ROLE),
}
STREAM = f"{ARNS['Orders'][2]}/stream/2026"


@pytest.fixture(scope="module")
def constructs() -> Mapping[str, Any]:
    return one_of_each()


def one_of_each() -> dict[str, Any]:
    """A stack with a construct of each kind, by the variables that the code names."""
    stack = Stack(None, "orders")
    string = dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING)
    uploads = s3.Bucket(stack, "Uploads")
    role = iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    return {
        "stack": stack,
        "uploads": uploads,
        "orders": dynamodb.Table(
            stack, "Orders", partition_key=string, stream=dynamodb.StreamViewType.NEW_IMAGE
        ),
        "jobs": sqs.Queue(stack, "Jobs"),
        "alerts": sns.Topic(stack, "Alerts"),
        "key": kms.Key(stack, "Key"),
        "handler": lambda_.Function(
            stack,
            "Handler",
            runtime=lambda_.Runtime.PYTHON_3_12,
            handler="index.handler",
            code=lambda_.Code.from_inline("handler = None"),
            role=role,
        ),
        "clicks": kinesis.Stream(stack, "Clicks"),
        "log": logs.LogGroup(stack, "Log"),
        "password": secretsmanager.Secret(stack, "Password"),
        "bus": events.EventBus(stack, "Bus"),
        "flow": stepfunctions.StateMachine(
            stack,
            "Flow",
            definition_body=stepfunctions.DefinitionBody.from_string('{"StartAt": "A", "States": {}}'),
        ),
        "images": ecr.Repository(stack, "Images"),
        "delivery": firehose.DeliveryStream(stack, "Delivery", destination=firehose.S3Bucket(uploads)),
        "api": apigatewayv2.HttpApi(stack, "Api"),
        "rate": ssm.StringParameter(stack, "Rate", parameter_name="/rate", string_value="7"),
        "role": role,
    }


@pytest.fixture(autouse=True)
def _deployed(monkeypatch: pytest.MonkeyPatch) -> None:
    deploy(monkeypatch)


def deploy(monkeypatch: pytest.MonkeyPatch, path: str | None = "orders/{}/Resource") -> None:
    """The stack, as it is deployed: with the path of each construct."""
    resources, records = {}, {}
    for id_, (type_, attribute, value) in ARNS.items():
        attributes = {} if attribute == "Ref" else {attribute: value}
        if id_ == "Orders":
            attributes["StreamArn"] = STREAM
        resources[id_] = {"Metadata": {"aws:cdk:path": path.format(id_)} if path else {}}
        records[id_] = {
            "ResourceType": type_,
            "PhysicalResourceId": value if attribute == "Ref" else id_.lower(),
            "Attributes": attributes,
            "Properties": {"Role": f"{ROLE}-of-handler"} if id_ == "Handler" else {},
        }
    stack = {
        "StackName": "orders",
        "StackId": STACK,
        "_template": {"Resources": resources},
        "_resources": records,
    }
    monkeypatch.setattr(cloudformation._stacks, "_data", {("1", "us-east-1", "orders"): stack})


def request_of(
    action: str, resource: str, principal: str = SESSION, **sent: str
) -> iam_evaluator.EvalContext:
    return iam_evaluator.EvalContext(
        principal, "AssumedRole", "123456789012", action, resource, "us-east-1", service_context=sent
    )


def identity(action: str, resource: str) -> Any:
    return grant(request_of(action, resource), "identity policy", "")


@pytest.mark.parametrize(
    ("denied", "named"),
    [
        ("arn:aws:s3:::b/a/b/cat.jpg", "arn:aws:s3:::b/a/b/*"),
        ("arn:aws:s3:::b/cat.jpg", "arn:aws:s3:::b/cat.jpg"),
        ("arn:aws:s3:::b/in/${aws:username}/x", "arn:aws:s3:::b/in/${$}{aws:username}/*"),
        ("arn:aws:s3:::b/*/x", "arn:aws:s3:::b/${*}/*"),
        ("arn:aws:s3:::b/what?", "arn:aws:s3:::b/what${?}"),
        ("arn:aws:s3:::b", "arn:aws:s3:::b"),
        ("arn:aws:lambda:r:1:function:f:12", "arn:aws:lambda:r:1:function:f:*"),
        ("arn:aws:lambda:r:1:function:f:live", "arn:aws:lambda:r:1:function:f:live"),
        ("arn:aws:logs:r:1:log-group:/a/b:log-stream:s", "arn:aws:logs:r:1:log-group:/a/b:*"),
        ("arn:aws:dynamodb:r:1:table/t/index/i", "arn:aws:dynamodb:r:1:table/t/index/i"),
        ("*", "*"),
    ],
)
def test_what_there_are_many_of_is_named_together(denied: str, named: str) -> None:
    assert pattern(denied) == named


CASES = [
    ("s3:GetObject", "arn:aws:s3:::uploads-1/photos/cat.jpg"),
    ("s3:ListBucket", "arn:aws:s3:::uploads-1"),
    ("dynamodb:PutItem", ARNS["Orders"][2]),
    ("dynamodb:Query", f"{ARNS['Orders'][2]}/index/by-{{time}}"),
    ("dynamodb:GetRecords", STREAM),
    ("sqs:SendMessage", ARNS["Jobs"][2]),
    ("sns:Publish", ARNS["Alerts"][2]),
    ("kms:Decrypt", ARNS["Key"][2]),
    ("kms:Encrypt", ARNS["Key"][2]),
    ("lambda:InvokeFunction", ARNS["Handler"][2]),
    ("lambda:InvokeFunction", f"{ARNS['Handler'][2]}:7"),
    ("ssm:GetParameter", "arn:aws:ssm:us-east-1:123456789012:parameter/rate"),
    ("kinesis:PutRecord", ARNS["Clicks"][2]),
    ("logs:PutLogEvents", f"{ARNS['Log'][2][:-2]}:log-stream:s"),
    ("secretsmanager:GetSecretValue", ARNS["Password"][2]),
    ("events:PutEvents", ARNS["Bus"][2]),
    ("states:StartExecution", ARNS["Flow"][2]),
    ("firehose:PutRecordBatch", ARNS["Delivery"][2]),
    ("execute-api:Invoke", "arn:aws:execute-api:us-east-1:123456789012:a1b2c3/prod/GET/prices/1"),
    ("iam:PassRole", f"{ROLE}-of-another-stack"),
    ("s3:GetObject", 'arn:aws:s3:::elsewhere/"quoted"/{x}/cat.jpg'),
    ("cloudwatch:PutMetricData", "*"),
]


@pytest.mark.parametrize(("action", "resource"), CASES)
def test_the_code_allows_exactly_what_was_denied(
    action: str, resource: str, constructs: Mapping[str, Any]
) -> None:
    found = identity(action, resource)
    [statement] = [one for one in allowed_by(found.code, constructs) if one["Action"] == action]
    assert (found.actions, found.resources) == ((action,), (pattern(resource),))
    assert statement == {"Action": action, "Effect": "Allow", "Resource": pattern(resource)}


def allowed_by(code: str, constructs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a role may do that had no permission before the code has run."""
    stack = constructs["stack"]
    role = iam.Role(stack, f"Role{len(stack.node.children)}", assumed_by=iam.AccountRootPrincipal())
    exec(code, {**constructs, "iam": iam, "role": role})  # noqa: S102 (what the test is about)
    return [resolved(statement, stack, constructs) for statement in statements_of(stack, role)]


def statements_of(stack: Stack, principal: Any) -> list[dict[str, Any]]:
    """The statements of a role or user in the template."""
    found = stack.resolve(principal.node.try_find_child("DefaultPolicy").document)["Statement"]
    return list(found)


def resolved(value: Any, stack: Stack, constructs: Mapping[str, Any]) -> Any:
    """A part of a template with the ARNs that the stack has here."""
    ids = {
        stack.get_logical_id(construct.node.default_child): construct.node.id
        for name, construct in constructs.items()
        if name != "stack"
    }
    if isinstance(value, list):
        return [resolved(one, stack, constructs) for one in value]
    if not isinstance(value, dict):
        return value
    if "Fn::GetAtt" in value:
        id_, attribute = value["Fn::GetAtt"]
        return STREAM if attribute == "StreamArn" else ARNS[ids[id_]][2]
    if "Ref" in value:
        own = {"AWS::Partition": "aws", "AWS::Region": "us-east-1", "AWS::AccountId": "123456789012"}
        return own.get(value["Ref"]) or ARNS[ids[value["Ref"]]][2]
    if "Fn::Join" in value:
        return "".join(resolved(value["Fn::Join"][1], stack, constructs))
    return {name: resolved(one, stack, constructs) for name, one in value.items()}


def test_a_role_of_a_function_is_that_function() -> None:
    session = SESSION.replace("/handler/", "/handler-of-handler/")
    request = request_of("dynamodb:PutItem", ARNS["Orders"][2], session)
    lines = grant(request, "identity policy", "").code.splitlines()
    assert set(lines[:2]) == {"# handler: construct orders/Handler", "# orders: construct orders/Orders"}
    assert lines[2].startswith("handler.add_to_role_policy(")


@pytest.mark.parametrize("action", sorted(EXACT | USUAL))
def test_a_method_of_the_cdk_allows_the_action(action: str, constructs: Mapping[str, Any]) -> None:
    kinds = {"states": "Flow", "ecr": "Images", "logs": "Log", "sqs": "Jobs"}
    kinds |= {"s3": "Uploads", "dynamodb": "Orders", "sns": "Alerts", "kms": "Key", "lambda": "Handler"}
    kinds |= {"kinesis": "Clicks", "secretsmanager": "Password", "events": "Bus", "firehose": "Delivery"}
    construct = constructs[kinds[action.partition(":")[0]].lower()]
    role = iam.User(constructs["stack"], f"User{len(constructs['stack'].node.children)}")
    getattr(construct, (EXACT | USUAL)[action])(role)
    statements = statements_of(constructs["stack"], role)
    actions = [
        each
        for one in statements
        for each in ([one["Action"]] if isinstance(one["Action"], str) else one["Action"])
    ]
    assert any(fnmatchcase(action, one) for one in actions)
    resources = [one["Resource"] for one in statements]
    exact = actions == [action] and not any(isinstance(one, list) for one in resources)
    exact = exact and not any("Condition" in one for one in statements)
    assert exact == (action in EXACT), statements


TOPIC = ARNS["Alerts"][2]


def test_two_sources_have_two_ids() -> None:
    def code(source: str) -> str:
        request = request_of("lambda:InvokeFunction", ARNS["Handler"][2], "*", **{"aws:sourcearn": source})
        return grant(request, "resource policy", "", "sns.amazonaws.com").code

    assert '"AllowSnsFromAlerts"' in code(TOPIC)
    assert '"AllowSnsFromother"' in code(TOPIC.replace("alerts-1", "other"))


def test_an_l1_construct_is_used_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    deploy(monkeypatch, "orders/{}")
    read = identity("s3:GetObject", "arn:aws:s3:::uploads-1/photos/cat.jpg")
    assert "# uploads: L1 construct orders/Uploads" in read.code
    assert 'resources=[f"{uploads.attr_arn}/photos/*"])  # for role' in read.code
    request = request_of("lambda:InvokeFunction", ARNS["Handler"][2], "*", **{"aws:sourcearn": TOPIC})
    code = grant(request, "resource policy", "", "sns.amazonaws.com").code
    stack = Stack(None, "l1")
    handler = lambda_.CfnFunction(stack, "Handler", code={"zipFile": "pass"}, role=ROLE)
    exec(code, {"lambda_": lambda_, "handler": handler, "alerts": sns.CfnTopic(stack, "Alerts")})  # noqa: S102
    Template.from_stack(stack).resource_count_is("AWS::Lambda::Permission", 1)


def test_a_resource_without_the_path_of_its_construct_has_its_logical_id(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deploy(monkeypatch, None)
    code = identity("sqs:SendMessage", ARNS["Jobs"][2]).code
    assert "# jobs: the resource STACK/LOGICAL_ID orders/Jobs" in code


def test_a_boundary_of_aws_is_not_to_be_changed() -> None:
    policy = "arn:aws:iam::aws:policy/ReadOnlyAccess"
    code = grant(request_of("sqs:SendMessage", ARNS["Jobs"][2]), "permissions boundary", policy).code
    assert "add_statements" not in code
    assert policy in code


def test_the_code_for_another_account_names_no_construct_of_this_one() -> None:
    role = "arn:aws:iam::111122223333:role/theirs"
    session = role.replace(":iam:", ":sts:").replace(":role/", ":assumed-role/") + "/now"
    queue = grant(request_of("sqs:SendMessage", ARNS["Jobs"][2], session), "resource policy", "")
    assert f'principals=[iam.ArnPrincipal("{role}")]' in queue.code
    own = grant(request_of("sqs:SendMessage", ARNS["Jobs"][2], session), "identity policy", "")
    assert f'resources=["{ARNS["Jobs"][2]}"]' in own.code
    invoke = grant(request_of("lambda:InvokeFunction", ARNS["Handler"][2], session), "resource policy", "")
    handler = one_of_each()["handler"]
    exec(invoke.code, {"iam": iam, "handler": handler})  # noqa: S102 (what the test is about)
    permission = Template.from_stack(Stack.of(handler)).find_resources("AWS::Lambda::Permission")
    assert [one["Properties"]["Principal"] for one in permission.values()] == [role]


SENT = {"aws:sourcearn": RULE, "aws:sourceaccount": "123456789012"}
EVENTS = "events.amazonaws.com"
IN_RESOURCES: list[tuple[Layer, str, str, str, str]] = [
    ("resource policy", "sqs:SendMessage", "Jobs", EVENTS, "AWS::SQS::QueuePolicy"),
    ("resource policy", "sns:Publish", "Alerts", EVENTS, "AWS::SNS::TopicPolicy"),
    ("resource policy", "s3:ListBucket", "Uploads", "", "AWS::S3::BucketPolicy"),
    ("resource policy", "events:PutEvents", "Bus", EVENTS, "AWS::Events::EventBusPolicy"),
    ("resource policy", "lambda:InvokeFunction", "Handler", EVENTS, "AWS::Lambda::Permission"),
    ("key policy", "kms:Decrypt", "Key", "", "AWS::KMS::Key"),
    ("trust policy", "sts:AssumeRole", "Role", EVENTS, "AWS::IAM::Role"),
    ("resource policy", "ecr:BatchGetImage", "Images", EVENTS, "AWS::ECR::Repository"),
    ("resource policy", "logs:PutLogEvents", "Log", EVENTS, "AWS::Logs::ResourcePolicy"),
]


@pytest.fixture(scope="module")
def admitting() -> Template:
    """A stack in which the code for the policy of each resource has run."""
    constructs = one_of_each()
    with pytest.MonkeyPatch.context() as patch:
        deploy(patch)
        for layer, action, construct, service, _ in IN_RESOURCES:
            principal, sent = ("*", SENT) if service else (SESSION, {})
            arn = ARNS[construct][2]
            code = grant(request_of(action, arn, principal, **sent), layer, arn, service).code
            exec(code, {**constructs, "iam": iam})  # noqa: S102 (what the test is about)
    return Template.from_stack(constructs["stack"])


@pytest.mark.parametrize(("action", "service", "type_"), [(one[1], *one[3:]) for one in IN_RESOURCES])
def test_the_code_for_the_policy_of_a_resource_runs(
    action: str, service: str, type_: str, admitting: Template
) -> None:
    found = json.dumps(admitting.find_resources(type_))
    assert action in found
    if service:
        assert service in found
        assert RULE in found
