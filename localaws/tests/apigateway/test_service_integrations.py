"""HTTP APIs that call EventBridge, SQS and Kinesis without a function."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.apis import Api
from helpers.http import HttpResponse
from helpers.lambda_functions import Functions
from helpers.stacks import DeploymentFailedError, deploy
from localaws import LocalAws

pytestmark = pytest.mark.local

GATEWAY = "apigateway.amazonaws.com"


@pytest.fixture(scope="module")
def api(local_aws: LocalAws) -> Iterator[Api]:
    """An API without routes."""
    made = Api(Functions(local_aws), "apigatewayv2", "")
    made.id = made.client.create_api(Name="services", ProtocolType="HTTP")["ApiId"]
    made.client.create_stage(ApiId=made.id, StageName="$default", AutoDeploy=True)
    yield made
    made.client.delete_api(ApiId=made.id)


def route(api: Api, subtype: str, role: str, parameters: dict[str, str], **more: Any) -> str:
    """The path of a route to a service."""
    path = f"/{uuid.uuid4().hex[:8]}"
    integration = api.client.create_integration(
        ApiId=api.id,
        IntegrationType="AWS_PROXY",
        IntegrationSubtype=subtype,
        PayloadFormatVersion="1.0",
        RequestParameters=parameters,
        **({"CredentialsArn": role} if role else {}),
        **more,
    )["IntegrationId"]
    target = f"integrations/{integration}"
    api.client.create_route(ApiId=api.id, RouteKey=f"POST {path}/{{kind}}", Target=target)
    return path


def post(api: Api, path: str, body: object) -> HttpResponse:
    headers = [("Content-Type", "application/json"), ("X-Number", "7")]
    return api.request("POST", f"{path}/ordered", headers=headers, body=json.dumps(body).encode())


def test_a_request_becomes_an_event(api: Api) -> None:
    functions, events = api.functions, api.aws.client("events")
    queue, name = functions.queue(writable_by="events.amazonaws.com"), f"rule-{uuid.uuid4().hex[:8]}"
    events.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))
    events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": queue.arn}])
    role = functions.role(("events:PutEvents", functions.arn("events", "event-bus/default")), service=GATEWAY)
    parameters = {
        "Source": name,
        "DetailType": "$request.path.kind",
        "Detail": "$request.body",
        "Resources": '["arn:aws:s3:::a"]',
    }
    answer = post(api, route(api, "EventBridge-PutEvents", role, parameters), {"item": "pen"})
    assert (answer.status, answer.json()["FailedEntryCount"]) == (200, 0)
    event = queue.wait_for_body()
    assert (event["detail-type"], event["detail"]) == ("ordered", {"item": "pen"})
    assert event["resources"] == ["arn:aws:s3:::a"]


def test_a_queue_is_filled_read_and_emptied(api: Api) -> None:
    queue = api.functions.queue()
    actions = ("SendMessage", "ReceiveMessage", "DeleteMessage", "PurgeQueue")
    role = api.functions.role(*((f"sqs:{action}", queue.arn) for action in actions), service=GATEWAY)
    attributes = json.dumps({"n": {"DataType": "Number", "StringValue": "${request.header.X-Number}"}})
    given = {
        "SendMessage": {"MessageBody": "$request.body.text", "MessageAttributes": attributes},
        "ReceiveMessage": {"MaxNumberOfMessages": "1", "MessageAttributeNames": '["All"]'},
        "DeleteMessage": {"ReceiptHandle": "$request.body.handle"},
        "PurgeQueue": {},
    }
    send, receive, delete, purge = (
        route(api, f"SQS-{action}", role, {"QueueUrl": queue.url, **given[action]}) for action in actions
    )
    assert post(api, send, {"text": "hello"}).json()["MessageId"]
    (message,) = post(api, receive, {}).json()["Messages"]
    assert (message["Body"], message["MessageAttributes"]["n"]["StringValue"]) == ("hello", "7")
    assert post(api, delete, {"handle": message["ReceiptHandle"]}).status == 200
    post(api, send, {"text": "again"})
    assert post(api, purge, {}).status == 200
    assert queue.receive() == []


def test_a_request_becomes_a_record(api: Api) -> None:
    kinesis, name = api.aws.client("kinesis"), f"stream-{uuid.uuid4().hex[:8]}"
    kinesis.create_stream(StreamName=name, ShardCount=1)
    kinesis.get_waiter("stream_exists").wait(StreamName=name)
    stream = api.functions.arn("kinesis", f"stream/{name}")
    role = api.functions.role(("kinesis:PutRecord", stream), service=GATEWAY)
    parameters = {"StreamName": name, "Data": "$request.body.data", "PartitionKey": "$request.path.kind"}
    path = route(api, "Kinesis-PutRecord", role, parameters)
    answer = post(api, path, {"data": base64.b64encode(b"sold").decode()})
    assert (answer.status, set(answer.json())) == (200, {"EncryptionType", "SequenceNumber", "ShardId"})
    shard = answer.json()["ShardId"]
    place = kinesis.get_shard_iterator(StreamName=name, ShardId=shard, ShardIteratorType="TRIM_HORIZON")
    (record,) = kinesis.get_records(ShardIterator=place["ShardIterator"])["Records"]
    assert (record["Data"], record["PartitionKey"]) == (b"sold", "ordered")


@pytest.mark.parametrize("trusted", [GATEWAY, "lambda.amazonaws.com"])
def test_the_role_must_be_trusted_and_allowed(api: Api, trusted: str) -> None:
    queue = api.functions.queue()
    other = api.functions.queue().arn if trusted == GATEWAY else queue.arn
    role = api.functions.role(("sqs:SendMessage", other), service=trusted)
    parameters = {"QueueUrl": queue.url, "MessageBody": "$request.body"}
    mapped = {"403": {"overwrite:statuscode": "502"}}
    answer = post(api, route(api, "SQS-SendMessage", role, parameters), {})
    assert (answer.status, queue.receive()) == (403, [])
    assert f"not authorized to perform: sqs:SendMessage on resource: {queue.arn}" in answer.json()["message"]
    path = route(api, "SQS-SendMessage", role, parameters, ResponseParameters=mapped)
    assert post(api, path, {}).status == 502


def test_what_the_service_refuses_the_client_gets(api: Api) -> None:
    queue = api.functions.queue()
    role = api.functions.role(("sqs:SendMessage", queue.arn), service=GATEWAY)
    late = {"QueueUrl": queue.url, "MessageBody": "$request.body", "DelaySeconds": "$request.body.delay"}
    path = route(api, "SQS-SendMessage", role, late)
    assert [post(api, path, {"delay": delay}).status for delay in (901, "soon", [1])] == [400, 400, 400]
    assert queue.receive() == []


ROLE = "arn:aws:iam::000000000000:role/gateway"


@pytest.mark.parametrize(
    ("subtype", "role", "parameters", "problem"),
    [
        ("SNS-Publish", ROLE, {}, "Unsupported integration subtype SNS-Publish"),
        (
            "AppConfig-GetConfiguration",
            ROLE,
            {},
            "Unsupported integration subtype AppConfig-GetConfiguration",
        ),
        (
            "EventBridge-PutEvents",
            ROLE,
            {"Source": "a", "Detail": "{}"},
            "requires the parameters DetailType",
        ),
        ("SQS-SendMessage", ROLE, {"QueueUrl": "u"}, "requires the parameters MessageBody"),
        ("SQS-PurgeQueue", ROLE, {"QueueUrl": "u", "Body": "b"}, "has no parameters Body"),
        ("StepFunctions-StartExecution", ROLE, {"Input": "{}"}, "requires the parameters StateMachineArn"),
        ("SQS-PurgeQueue", "", {"QueueUrl": "u"}, "requires credentials"),
    ],
)
def test_an_integration_needs_its_parameters_and_a_role(
    api: Api, subtype: str, role: str, parameters: dict[str, str], problem: str
) -> None:
    with pytest.raises(ClientError, match=problem) as refused:
        route(api, subtype, role, parameters)
    assert refused.value.response["Error"]["Code"] == "BadRequestException"
    properties = {
        "ApiId": api.id,
        "IntegrationType": "AWS_PROXY",
        "IntegrationSubtype": subtype,
        "PayloadFormatVersion": "1.0",
        "RequestParameters": parameters,
        **({"CredentialsArn": role} if role else {}),
    }
    resource = {"Type": "AWS::ApiGatewayV2::Integration", "Properties": properties}
    with pytest.raises(DeploymentFailedError, match=problem):
        deploy(api.aws, {"Integration": resource})
