"""Functions, APIs and queues send segments, and the API of X-Ray finds them."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.apis import RestApi
from helpers.lambda_functions import Functions, eventually
from helpers.stacks import deploy, ref, session_of
from localaws import LocalAws

pytestmark = pytest.mark.local

PUT = ("xray:PutTraceSegments", "*")
ACTIVE: dict[str, Any] = {"TracingConfig": {"Mode": "Active"}}
SEND = """
import json, os, socket
def handler(event, context):
    fields = dict(part.split("=") for part in os.environ["_X_AMZN_TRACE_ID"].split(";")[:3])
    own = {"id": "%016x" % event["number"], "trace_id": fields["Root"], "parent_id": fields["Parent"]}
    own |= {"type": "subsegment", "name": "own", "start_time": 9999999999.0, "end_time": 9999999999.5}
    own |= {"annotations": {"run": event["run"]}}
    first = '{"format": "json", "version": 1}\\n'
    host, port = os.environ["AWS_XRAY_DAEMON_ADDRESS"].split(":")
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for text in ("garbage", first + "{}", first + json.dumps(own)):
        udp.sendto(text.encode(), (host, int(port)))
    if event.get("fails"):
        raise KeyError("x")
    return {"trace": fields["Root"], "missing": os.environ["AWS_XRAY_CONTEXT_MISSING"]}
"""


def trace_of(aws: LocalAws, trace: str) -> dict[str, dict[str, Any]]:
    """The segments of a trace by their origin."""
    found = aws.client("xray").batch_get_traces(TraceIds=[trace])["Traces"]
    documents = [json.loads(one["Document"]) for each in found for one in each["Segments"]]
    return {one.get("origin", one["name"]): one for one in documents}


def summaries(aws: LocalAws, expression: str) -> list[dict[str, Any]]:
    now = time.time()
    found: list[dict[str, Any]] = aws.client("xray").get_trace_summaries(
        StartTime=now - 600, EndTime=now + 60, FilterExpression=expression
    )["TraceSummaries"]
    return found


def test_a_function_sends_its_segments_to_its_daemon_and_they_are_part_of_those_of_lambda(
    functions: Functions,
) -> None:
    run = uuid.uuid4().hex
    name = functions.make(SEND, role=functions.role(PUT), **ACTIVE)
    first = functions.invoke(name, {"number": 1, "run": run})
    assert first.payload["missing"] == "LOG_ERROR"
    assert functions.invoke(name, {"number": 2, "run": run, "fails": True}).error
    eventually(lambda: len(summaries(functions.aws, f'annotation.run = "{run}" AND !partial')) == 2)

    service, function = trace_of(functions.aws, first.payload["trace"]).values()
    assert (service["origin"], function["origin"]) == ("AWS::Lambda", "AWS::Lambda::Function")
    assert function["parent_id"] == service["id"]
    assert service["aws"]["request_id"] == first.request_id
    names = [one["name"] for one in function["subsegments"]]
    assert names == ["Initialization", "Invocation", "Overhead", "own"]
    (failed,) = summaries(functions.aws, f'annotation.run = "{run}" AND fault')
    assert failed["HasFault"]
    _, function = trace_of(functions.aws, failed["Id"]).values()
    assert [one["name"] for one in function["subsegments"]] == ["Invocation", "Overhead", "own"]
    assert function["cause"]["exceptions"][0]["type"] == "KeyError"


def test_without_the_permission_or_the_decision_nothing_is_stored_and_the_function_works(
    functions: Functions,
) -> None:
    denied, allowed = functions.make(SEND, **ACTIVE), functions.make(SEND, role=functions.role(PUT), **ACTIVE)
    lost = functions.invoke(denied, {"number": 1, "run": "x"}).payload["trace"]
    root = f"1-{int(time.time()):08x}-{uuid.uuid4().hex[:24]}"
    client = functions.aws.client("lambda")

    def add(request: Any, **_: Any) -> None:
        request.headers["X-Amzn-Trace-Id"] = f"Root={root};Parent={'a' * 16};Sampled=0"

    client.meta.events.register("before-sign.lambda.Invoke", add)
    answer = json.load(client.invoke(FunctionName=allowed, Payload='{"number": 1, "run": "y"}')["Payload"])
    assert answer["trace"] == root
    client.meta.events.unregister("before-sign.lambda.Invoke", add)
    run = uuid.uuid4().hex  # what this one sends comes after everything of the others
    functions.invoke(allowed, {"number": 1, "run": run})
    eventually(lambda: summaries(functions.aws, f'annotation.run = "{run}" AND !partial'))
    assert trace_of(functions.aws, lost) == {}
    assert "AWS::Lambda" not in trace_of(functions.aws, root)


FORWARD = """
import boto3, os
def handler(event, context):
    boto3.client("sqs").send_message(QueueUrl=event, MessageBody="x")
    return os.environ["_X_AMZN_TRACE_ID"]
"""
X_AMZN = "X-Amzn-Trace-Id"
ECHO = "import os\ndef handler(e, c): return {'statusCode': 200, 'body': os.environ['_X_AMZN_TRACE_ID']}"
READ = "import os\ndef handler(event, context): return os.environ['_X_AMZN_TRACE_ID']"


def test_a_message_carries_the_header_and_the_trace_of_its_reader_is_linked_to_it(
    functions: Functions,
) -> None:
    aws, queue = functions.aws, functions.queue()
    sender = functions.make(FORWARD, role=functions.role(PUT, ("sqs:SendMessage", queue.arn)), **ACTIVE)
    header = functions.invoke(sender, queue.url).payload
    of = {"QueueUrl": queue.url, "WaitTimeSeconds": 5, "VisibilityTimeout": 0}
    (message,) = aws.client("sqs").receive_message(**of, MessageSystemAttributeNames=["All"])["Messages"]
    assert message["Attributes"]["AWSTraceHeader"] == header

    role = functions.role(
        PUT,
        *((f"sqs:{verb}", queue.arn) for verb in ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")),
    )
    reader = functions.make(READ, role=role, **ACTIVE)
    aws.client("lambda").create_event_source_mapping(EventSourceArn=queue.arn, FunctionName=reader)
    (read,) = eventually(lambda: summaries(aws, f'service("{reader}")'))
    root, parent = (part.partition("=")[2] for part in header.split(";")[:2])
    assert read["Id"] != root
    assert trace_of(aws, read["Id"])["AWS::Lambda"]["links"] == [
        {"trace_id": root, "id": parent, "attributes": {"aws.xray.reserved.reference_type": "parent"}}
    ]


def test_a_rule_decides_for_a_stage_and_the_function_follows(functions: Functions) -> None:
    api, aws = RestApi(functions), functions.aws
    function = functions.make(ECHO, role=functions.role(PUT), **ACTIVE)
    for path in ("on", "off"):
        api.method("GET", path, function)
    api.deploy()
    api.patch_stage(tracingEnabled="true")
    arn = f"arn:aws:apigateway:{aws.region}::/restapis/{api.id}/stages/*"
    for priority, path, rate in ((1, "/off", 0), (2, "/o?", 1)):
        rule = {"RuleName": f"{api.id}{priority}", "Priority": priority, "URLPath": path, "FixedRate": rate}
        rule |= {
            "ResourceARN": arn,
            "ServiceType": "AWS::ApiGateway::Stage",
            "ReservoirSize": 0,
            "Version": 1,
        }
        aws.client("xray").create_sampling_rule(
            SamplingRule=rule | dict.fromkeys(("ServiceName", "Host", "HTTPMethod"), "*")
        )
    assert ";Sampled=0" in api.get("/off").body.decode()
    header = api.get("/on").body.decode()
    trace = header.split(";")[0].removeprefix("Root=")
    assert ";Sampled=1" in header
    eventually(lambda: len(trace_of(aws, trace)) == 3)
    found = trace_of(aws, trace)
    stage = found["AWS::ApiGateway::Stage"]
    assert (stage["http"]["request"]["method"], stage["http"]["response"]["status"]) == ("GET", 200)
    assert found["AWS::Lambda"]["parent_id"] == stage["subsegments"][0]["id"]
    assert found["AWS::Lambda::Function"]["parent_id"] == found["AWS::Lambda"]["id"]
    assert [one["Id"] for one in summaries(aws, 'http.url ENDSWITH "/on"')] == [trace]
    assert summaries(aws, 'http.url ENDSWITH "/off"') == []
    given = [(X_AMZN, f"Root={trace[:-1]}0;Parent={'b' * 16};Sampled=1")]
    assert f"Root={trace[:-1]}0;" in api.get("/off", headers=given).body.decode()
    assert trace_of(aws, f"{trace[:-1]}0")["AWS::ApiGateway::Stage"]["parent_id"] == "b" * 16


def test_a_template_makes_rules_and_groups_with_tags_and_changes_them(local_aws: LocalAws) -> None:
    name = f"r{uuid.uuid4().hex[:8]}"

    def resources(name: str, rate: str, expression: str) -> dict[str, Any]:
        rule = {
            "RuleName": name, "ResourceARN": "*", "Priority": 5, "FixedRate": rate, "ReservoirSize": 0,
            "ServiceName": "*", "ServiceType": "*", "Host": "*", "HTTPMethod": "*", "URLPath": "/x",
        }  # fmt: skip
        group = {"GroupName": name, "FilterExpression": expression}
        tags = [{"Key": "team", "Value": "a"}]
        return {
            "Rule": {"Type": "AWS::XRay::SamplingRule", "Properties": {"SamplingRule": rule, "Tags": tags}},
            "Group": {"Type": "AWS::XRay::Group", "Properties": {**group, "Tags": tags}},
        }

    xray = local_aws.client("xray")
    outputs = {"Rule": ref("Rule"), "Group": ref("Group")}
    stack = deploy(local_aws, resources(name, "0.5", "error"), outputs)
    rules = {one["SamplingRule"]["RuleName"]: one["SamplingRule"] for one in rules_of(xray)}
    assert rules[name]["FixedRate"] == 0.5
    assert rules[name]["RuleARN"] == stack.outputs["Rule"]
    assert xray.get_group(GroupName=name)["Group"]["GroupARN"] == stack.outputs["Group"]
    for arn in stack.outputs.values():
        assert {"Key": "team", "Value": "a"} in xray.list_tags_for_resource(ResourceARN=arn)["Tags"]
    stack.update(resources(name, "0.25", "fault"))
    assert {one["SamplingRule"]["RuleName"]: one["SamplingRule"]["FixedRate"] for one in rules_of(xray)}[
        name
    ] == 0.25
    assert xray.get_group(GroupName=name)["Group"]["FilterExpression"] == "fault"


def rules_of(xray: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = xray.get_sampling_rules()["SamplingRuleRecords"]
    return found


def test_what_x_ray_refuses(local_aws: LocalAws) -> None:
    xray, now = local_aws.client("xray"), time.time()
    name = f"r{uuid.uuid4().hex[:8]}"
    rule = {
        "RuleName": name, "ResourceARN": "*", "Priority": 5, "FixedRate": 0, "ReservoirSize": 0,
        "ServiceName": "*", "ServiceType": "*", "Host": "*", "HTTPMethod": "*", "URLPath": "*", "Version": 1,
    }  # fmt: skip
    xray.create_sampling_rule(SamplingRule=rule)
    xray.create_group(GroupName=name, FilterExpression="error")
    refused: list[tuple[str, dict[str, Any]]] = [
        ("create_sampling_rule", {"SamplingRule": rule}),
        ("create_sampling_rule", {"SamplingRule": {**rule, "RuleName": "x" * 33}}),
        ("create_sampling_rule", {"SamplingRule": {**rule, "RuleName": f"{name}v", "Version": 2}}),
        ("create_sampling_rule", {"SamplingRule": {**rule, "RuleName": f"{name}f", "FixedRate": 5}}),
        ("update_sampling_rule", {"SamplingRuleUpdate": {"RuleName": name, "FixedRate": 5}}),
        ("update_sampling_rule", {"SamplingRuleUpdate": {"RuleName": "Default", "Priority": 1}}),
        ("delete_sampling_rule", {"RuleName": "Default"}),
        ("delete_sampling_rule", {"RuleName": "none"}),
        ("create_group", {"GroupName": name}),
        ("create_group", {"GroupName": f"{name}b", "FilterExpression": "nonsense"}),
        ("delete_group", {"GroupName": "Default"}),
        ("get_group", {"GroupName": "none"}),
        ("get_trace_summaries", {"StartTime": now, "EndTime": now - 1}),
        ("get_trace_summaries", {"StartTime": now, "EndTime": now, "FilterExpression": 'edge("a", "b")'}),
        ("batch_get_traces", {"TraceIds": ["x"] * 6}),
        ("get_service_graph", {"StartTime": now, "EndTime": now}),
    ]
    for operation, request in refused:
        with pytest.raises(ClientError) as error:
            getattr(xray, operation)(**request)
        assert error.value.response["Error"]["Code"] == "InvalidRequestException", operation
    unprocessed = xray.put_trace_segments(TraceSegmentDocuments=["{}"])["UnprocessedTraceSegments"]
    assert [one["ErrorCode"] for one in unprocessed] == ["MissingTraceId"]
    xray.delete_group(GroupName=name)
    xray.delete_sampling_rule(RuleName=name)
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        xray.list_tags_for_resource(ResourceARN=f"arn:aws:xray:us-east-1:123456789012:sampling-rule/{name}")


def test_each_operation_needs_its_permission(functions: Functions) -> None:
    own = session_of(functions.aws, PUT).client("xray")
    assert own.put_trace_segments(TraceSegmentDocuments=["{}"])
    with pytest.raises(ClientError, match="xray:GetGroups"):
        own.get_groups()


def test_still_needed_the_stock_emulator_has_no_x_ray(stock_functions: Functions) -> None:
    with pytest.raises(ClientError):
        stock_functions.aws.client("xray").get_groups()
