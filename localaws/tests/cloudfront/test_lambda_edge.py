"""Lambda@Edge: four trigger points around a cache, and what may be associated and returned."""

from __future__ import annotations

import base64
import json
import uuid
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.http import Endpoint, HttpResponse
from helpers.lambda_functions import Functions
from localaws import LocalAws
from localaws.services.cloudfront.lambda_edge import (
    EdgeError,
    edge_headers,
    read_body,
    read_headers,
    read_response,
    shown_body,
)

POINTS = ("viewer-request", "origin-request", "origin-response", "viewer-response")
OPTIMIZED = "658327ea-f89d-4fab-a63d-7e88639e58f6"
X = {"x-own": [{"key": "X-Own", "value": "1"}]}


def _one(name: str, value: Any = "1") -> dict[str, Any]:
    return {name: [{"key": name, "value": value}]}


@pytest.mark.parametrize(
    ("event", "given", "before", "wrong"),
    [
        ("viewer-request", {**X, **_one("host", "h")}, _one("host", "h"), None),
        ("viewer-request", X, None, None),  # a response: nothing to keep
        ("viewer-request", _one("host", "other"), _one("host", "h"), "read-only"),
        ("viewer-request", X, _one("host", "h"), "read-only"),
        ("origin-request", _one("host", "other"), _one("host", "h"), None),
        ("origin-request", _one("if-none-match"), {}, "read-only"),
        ("origin-response", _one("via"), {}, "read-only"),
        ("viewer-response", _one("warning"), {}, "read-only"),
        ("viewer-response", _one("x-edge-a"), {}, "disallowed"),
        ("viewer-response", _one("connection"), {}, "disallowed"),
        ("viewer-response", {"X-Own": []}, {}, "lower case"),
        ("viewer-response", {"x-own": "1"}, {}, "must be an array"),
        ("viewer-response", {"x-own": ["1"]}, {}, "a string"),
        ("viewer-response", _one("x-own", 1), {}, "a string"),
        ("viewer-response", {"x-own": [{"key": "Y", "value": "1"}]}, {}, "another name"),
        ("viewer-response", [], {}, "not an object"),
    ],
)
def test_which_headers_a_function_may_return(event: str, given: Any, before: Any, wrong: str | None) -> None:
    """Read-only and disallowed ones differ by event: CloudFront answers 502 otherwise."""
    if wrong is None:
        assert read_headers(event, given, before)
    else:
        with pytest.raises(EdgeError, match=wrong) as raised:
            read_headers(event, given, before)
        assert raised.value.kind == "LambdaValidationError"


@pytest.mark.parametrize(
    ("event", "given", "wrong"),
    [
        ("viewer-request", {"status": "200", "body": "x" * 40_960}, None),
        ("viewer-request", {"status": "200", "body": "x" * 40_961}, "maximum size"),
        ("viewer-request", {"status": "200", "body": "x" * 40_951, "headers": X}, "maximum size"),
        ("origin-request", {"status": 200, "body": "x" * 1_048_576}, None),
        ("origin-request", {"status": "200", "body": "x" * 1_048_577}, "maximum size"),
        ("origin-request", {"status": "200", "body": "eA==", "bodyEncoding": "base64"}, None),
        ("origin-request", {"status": "200", "body": "!", "bodyEncoding": "base64"}, "not a string"),
        ("origin-request", {"status": "200", "body": {"a": 1}}, "not a string"),
        ("viewer-request", {"status": "204", "body": "x"}, "no body"),
        ("viewer-request", {"status": "600"}, "200 to 599"),
        ("viewer-request", {"status": "no"}, "200 to 599"),
    ],
)
def test_which_responses_a_function_may_make(event: str, given: Any, wrong: str | None) -> None:
    """40 KB before the cache, 1 MB behind it, with the headers."""
    if wrong is None:
        assert read_response(event, given, None)[0] == 200
    else:
        with pytest.raises(EdgeError, match=wrong):
            read_response(event, given, None)


def test_bodies_of_requests() -> None:
    """In base64, cut off at 40 KB or 1 MB; replaced only if the function says so."""
    shown = shown_body("viewer-request", b"x" * 40_961)
    assert (len(base64.b64decode(shown["data"])), shown["inputTruncated"]) == (40_960, True)
    assert shown_body("origin-request", b"x" * 40_961)["inputTruncated"] is False
    assert read_body("viewer-request", shown, b"whole") == b"whole"
    assert read_body("viewer-request", {"action": "replace", "data": "new"}, b"old") == b"new"
    with pytest.raises(EdgeError, match="maximum size"):
        read_body("viewer-request", {"action": "replace", "data": "x" * 40_961}, b"old")
    assert edge_headers({"set-cookie": ["a=1", "b=2"], "x-cache": "Hit"}) == {
        "set-cookie": [{"key": "Set-Cookie", "value": "a=1"}, {"key": "Set-Cookie", "value": "b=2"}]
    }


CODE = """
import json, time
def handler(event, context):
    cf = event["Records"][0]["cf"]
    point, request = cf["config"]["eventType"], cf["request"]
    do = dict(part.partition("=")[::2] for part in request["querystring"].split("&")).get(point)
    print("POINT", point)
    if do == "raise": raise ValueError("no")
    if do == "none": return None
    if do == "made": return {"status": "418", "headers": {}, "body": json.dumps(cf)}
    if do == "uri": request["uri"] = "/other"
    if do == "body": request["body"] = {"action": "replace", "encoding": "text", "data": "new"}
    if do == "origin": request["origin"]["custom"]["path"] = "/prefix"
    if point.endswith("request"):
        return request
    response = cf["response"]
    if do == "status": response["status"] = "404"
    if do == "replace": response["body"] = "replaced"
    response["headers"]["x-" + point] = [{"key": "X-P", "value": context.aws_request_id}]
    response["headers"]["x-" + point][0]["key"] = "X-" + point
    return response
"""
ORIGIN = """
def handler(event, context):
    if event["rawPath"] == "/missing": return {"statusCode": 404, "body": "none"}
    return event
"""


@dataclass
class Deployed:
    """A distribution with one function at its four points before a function URL."""

    aws: LocalAws
    config: dict[str, Any]
    name: str
    function: str
    version: str

    def get(self, path: str, method: str = "GET", body: bytes = b"") -> HttpResponse:
        address = self.aws.address_of_distribution(self.name)
        return Endpoint.of(address, address.host).request(method, path, body=body)

    def points(self) -> list[str]:
        """The points that ran, so far."""
        group = f"/aws/lambda/us-east-1.{self.function}"
        found = self.aws.client("logs").filter_log_events(logGroupName=group, filterPattern="POINT")
        return [one["message"].split()[-1] for one in found["events"]]


def edge_role(functions: Functions) -> str:
    """A role that both services may assume."""
    iam, name = functions.aws.client("iam"), f"edge-{uuid.uuid4().hex[:8]}"
    services = {"Service": ["lambda.amazonaws.com", "edgelambda.amazonaws.com"]}
    trust = {"Effect": "Allow", "Principal": services, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    return str(iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"])


def associated(config: dict[str, Any], *items: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a distribution with these functions."""
    behavior = {
        **config["DefaultCacheBehavior"],
        "LambdaFunctionAssociations": {"Quantity": len(items), "Items": list(items)},
    }
    return {**config, "CallerReference": uuid.uuid4().hex, "DefaultCacheBehavior": behavior}


@pytest.fixture(scope="module")
def deployed(local_aws: LocalAws) -> Deployed:
    """All of it, made by the API."""
    functions, client = Functions(local_aws), local_aws.client("lambda")
    origin = functions.make(ORIGIN)
    url = client.create_function_url_config(FunctionName=origin, AuthType="NONE")["FunctionUrl"]
    common = {"FunctionName": origin, "Principal": "*"}
    client.add_permission(
        **common, StatementId="u", Action="lambda:InvokeFunctionUrl", FunctionUrlAuthType="NONE"
    )
    client.add_permission(
        **common, StatementId="f", Action="lambda:InvokeFunction", InvokedViaFunctionUrl=True
    )
    function = functions.make(CODE, role=edge_role(functions), Timeout=5, MemorySize=128)
    version = client.publish_version(FunctionName=function)["FunctionArn"]
    custom = {"HTTPPort": 80, "HTTPSPort": 443, "OriginProtocolPolicy": "https-only"}
    item = {"Id": "o", "DomainName": url.removeprefix("https://").rstrip("/"), "CustomOriginConfig": custom}
    methods = ["GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE"]
    plain = {
        "CallerReference": "",
        "Comment": "",
        "Enabled": True,
        "Origins": {"Quantity": 1, "Items": [item]},
        "DefaultCacheBehavior": {
            "TargetOriginId": "o",
            "ViewerProtocolPolicy": "allow-all",
            "CachePolicyId": OPTIMIZED,
            "OriginRequestPolicyId": "b689b0a8-53d0-40ab-baf2-68738e2966ac",
            "AllowedMethods": {"Quantity": 7, "Items": methods},
        },
    }
    items = [
        {"EventType": point, "LambdaFunctionARN": version, "IncludeBody": point == "origin-request"}
        for point in POINTS
    ]
    made = local_aws.client("cloudfront").create_distribution(DistributionConfig=associated(plain, *items))
    return Deployed(local_aws, plain, made["Distribution"]["DomainName"], function, version)


@pytest.mark.local
def test_origin_events_run_on_a_miss_and_viewer_events_always(deployed: Deployed) -> None:
    """What an origin response returned is in the cache."""
    first, second = deployed.get("/cached"), deployed.get("/cached")
    assert [answer.header("x-cache").split()[0] for answer in (first, second)] == ["Miss", "Hit"]
    assert first.header("x-origin-response") == second.header("x-origin-response") != ""
    assert first.header("x-viewer-response") != second.header("x-viewer-response")
    assert deployed.points()[:6] == [*POINTS, "viewer-request", "viewer-response"]


@pytest.mark.local
def test_what_functions_change(deployed: Deployed) -> None:
    """The URI, the origin's path, the body, and the body of a response."""
    assert deployed.get("/a?viewer-request=uri").json()["rawPath"] == "/other"
    # The cache of the policy ignores query strings, so each path is new.
    assert deployed.get("/c?origin-request=origin", "POST").json()["rawPath"] == "/prefix/c"
    sent = deployed.get("/d?origin-request=body", "POST", b"older").json()
    assert base64.b64decode(sent["body"]) == b"new"
    replaced = deployed.get("/e?origin-response=replace", "POST")
    assert (replaced.status, replaced.body) == (200, b"replaced")
    made = deployed.get("/f?viewer-request=made")
    assert (made.status, made.header("x-cache")) == (418, "LambdaGeneratedResponse from cloudfront")
    assert "body" not in made.json()["request"]
    at_origin = deployed.get("/f?origin-request=made", "POST", b"x")
    assert at_origin.json()["request"]["origin"]["custom"]["protocol"] == "https"
    assert at_origin.json()["request"]["body"]["data"] == base64.b64encode(b"x").decode()
    assert (at_origin.header("x-origin-response"), at_origin.header("x-viewer-response")) == ("", "")


@pytest.mark.local
@pytest.mark.parametrize("point", POINTS)
def test_failures_of_functions(deployed: Deployed, point: str) -> None:
    """503 for an error, 502 for no result."""
    failed = deployed.get(f"/x?{point}=raise", "POST")
    assert (failed.status, failed.header("x-cache")) == (503, "LambdaExecutionError from cloudfront")
    invalid = deployed.get(f"/x?{point}=none", "POST")
    assert (invalid.status, invalid.header("x-cache")) == (502, "LambdaValidationError from cloudfront")


@pytest.mark.local
def test_a_viewer_response_cannot_change_the_status_and_does_not_run_for_errors(deployed: Deployed) -> None:
    """An origin response may, and does."""
    assert deployed.get("/y?viewer-response=status", "POST").status == 502
    missing = deployed.get("/missing", "POST")
    assert missing.status == 404
    assert missing.header("x-origin-response")
    assert not missing.header("x-viewer-response")
    assert deployed.get("/z?origin-response=status", "POST").status == 404


@pytest.mark.local
@pytest.mark.parametrize(
    ("point", "settings", "wrong"),
    [
        ("viewer-request", {"Timeout": 6}, "timeout is larger"),
        ("viewer-response", {"MemorySize": 129}, "memory size is larger"),
        ("origin-request", {"Timeout": 31}, "timeout is larger"),
        ("origin-request", {"Environment": {"Variables": {"AB": "1"}}}, "environment variables"),
        ("origin-request", {"Architectures": ["arm64"]}, "arm64"),
        ("origin-request", {"TracingConfig": {"Mode": "Active"}}, "active tracing"),
        ("origin-request", {"EphemeralStorage": {"Size": 513}}, "512 MB"),
        ("origin-request", {"Runtime": "provided.al2023"}, "runtime"),
        ("origin-request", {"role": ""}, "edgelambda"),
        ("origin-request", {"Timeout": 30, "MemorySize": 1024}, None),
    ],
)
def test_which_functions_can_be_associated(
    deployed: Deployed, point: str, settings: dict[str, Any], wrong: str | None
) -> None:
    """The limits of each point."""
    functions = Functions(deployed.aws)
    own = {"role": edge_role(functions), "Timeout": 5, "MemorySize": 128, **settings}
    name = functions.make(CODE, **own)
    version = deployed.aws.client("lambda").publish_version(FunctionName=name)["FunctionArn"]
    config = associated(deployed.config, {"EventType": point, "LambdaFunctionARN": version})
    cloudfront = deployed.aws.client("cloudfront")
    if wrong is None:
        cloudfront.create_distribution(DistributionConfig=config)
    else:
        with pytest.raises(ClientError, match=wrong) as raised:
            cloudfront.create_distribution(DistributionConfig=config)
        assert raised.value.response["Error"]["Code"] == "InvalidLambdaFunctionAssociation"


@pytest.mark.local
@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"LambdaFunctionARN": "{function}:$LATEST"}, "specific function version"),
        ({"LambdaFunctionARN": "{function}"}, "specific function version"),
        ({"LambdaFunctionARN": "{function}:99"}, "does not exist"),
        ({"LambdaFunctionARN": "arn:aws:lambda:eu-west-1:123456789012:function:f:1"}, "us-east-1"),
        ({"IncludeBody": True, "EventType": "origin-response"}, "IncludeBody"),
    ],
)
def test_which_associations_are_refused(deployed: Deployed, change: dict[str, Any], wrong: str) -> None:
    """A numbered version in us-east-1."""
    item = {"EventType": "origin-request", "LambdaFunctionARN": deployed.version, **change}
    function = deployed.version.rpartition(":")[0]
    item["LambdaFunctionARN"] = item["LambdaFunctionARN"].format(function=function)
    with pytest.raises(ClientError, match=wrong.replace("$", r"\$")):
        deployed.aws.client("cloudfront").create_distribution(
            DistributionConfig=associated(deployed.config, item)
        )


@pytest.mark.local
def test_a_replicated_function_cannot_be_deleted(deployed: Deployed) -> None:
    """Neither the version nor the function."""
    client = deployed.aws.client("lambda")
    for qualifier in ({}, {"Qualifier": "1"}):
        with pytest.raises(ClientError, match="replicated function"):
            client.delete_function(FunctionName=deployed.function, **qualifier)


@pytest.mark.local
def test_still_needed_the_emulator_associates_anything(stock_aws: LocalAws) -> None:
    """Until it invokes functions."""
    origin = {"Id": "o", "DomainName": "a.example", "S3OriginConfig": {"OriginAccessIdentity": ""}}
    plain = {
        "Comment": "",
        "Enabled": True,
        "Origins": {"Quantity": 1, "Items": [origin]},
        "DefaultCacheBehavior": {"TargetOriginId": "o", "ViewerProtocolPolicy": "allow-all"},
    }
    item = {"EventType": "viewer-request", "LambdaFunctionARN": "arn:aws:lambda:eu-west-1:1:function:f"}
    stock_aws.client("cloudfront").create_distribution(DistributionConfig=associated(plain, item))
