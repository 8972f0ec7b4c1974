"""Function URLs: who may call them, the event of a request, and the response of the function."""

from __future__ import annotations

import base64
import http.client
import json
import re
import ssl
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from helpers.http import Endpoint, HttpResponse
from helpers.lambda_functions import Functions, Hold, eventually, zipped
from helpers.stacks import deploy, ref
from localaws import LocalAws

pytestmark = pytest.mark.local

SOURCE = """
import json, os, time

def handler(event, context):
    what = event["rawPath"].split("/")[1]
    if what == "crash":
        raise ValueError("the secret")
    if what == "exit":
        os._exit(1)
    if what == "slow":
        time.sleep(float(event["rawQueryString"]))
    if what == "answer":
        return json.loads(event["body"])
    if what == "large":
        return "x" * (6 * 1024 * 1024 + 200)
    body = json.dumps({**event, "request_id": context.aws_request_id})
    return {"statusCode": 201, "headers": {"X-Own": "1"}, "cookies": ["a=1", "b=2; Secure"], "body": body}
"""
FORBIDDEN = (
    b'{"Message":"Forbidden. For troubleshooting Function URL authorization issues, see: '
    b'https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"}'
)
ACTIONS = ("lambda:InvokeFunctionUrl", "lambda:InvokeFunction")


@dataclass(frozen=True)
class Url:
    """A function URL."""

    aws: LocalAws
    function: str
    arn: str
    host: str

    @classmethod
    def make(cls, functions: Functions, auth_type: str, *, timeout: int = 10, **config: Any) -> Url:
        name = functions.make(SOURCE, Timeout=timeout)
        return cls.of(functions, name, auth_type, **config)

    @classmethod
    def of(cls, functions: Functions, name: str, auth_type: str, **config: Any) -> Url:
        client = functions.aws.client("lambda")
        made = client.create_function_url_config(FunctionName=name, AuthType=auth_type, **config)
        host = made["FunctionUrl"].removeprefix("https://").strip("/")
        return cls(functions.aws, name, made["FunctionArn"], host)

    def open(self) -> Url:
        """Let everybody call."""
        for action in ACTIONS:
            self.permit(action, Principal="*")
        return self

    def permit(self, action: str, **more: Any) -> None:
        via = {"FunctionUrlAuthType": "NONE"} if action.endswith("Url") else {"InvokedViaFunctionUrl": True}
        if more["Principal"] != "*":
            via = {"FunctionUrlAuthType": "AWS_IAM"} if action.endswith("Url") else via
        sid = f"s{uuid.uuid4().hex[:8]}"
        self.aws.client("lambda").add_permission(
            FunctionName=self.arn, StatementId=sid, Action=action, **via, **more
        )

    def send(
        self,
        target: str = "/",
        method: str = "GET",
        *,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        signer: Credentials | None = None,
        service: str = "lambda",
    ) -> HttpResponse:
        given = AWSRequest(method, f"https://{self.host}{target}", headers=dict(headers or {}), data=body)
        if signer:
            SigV4Auth(signer, service, self.aws.region).add_auth(given)
        address = self.aws.address_of_function_url(f"https://{self.host}/")
        return Endpoint.of(address, address.host).request(
            method, target, headers=given.headers.items(), body=body
        )


def user(aws: LocalAws, *statements: dict[str, Any], account: str | None = None) -> Credentials:
    """A new user with a policy, in this account or in another one."""
    iam = (aws.session_of(account) if account else aws.session).client("iam")
    name = f"user-{uuid.uuid4().hex[:8]}"
    iam.create_user(UserName=name)
    if statements:
        policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **one} for one in statements]}
        iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return Credentials(key["AccessKeyId"], key["SecretAccessKey"])


def both(arn: str, **conditions: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the CDK's `grant_invoke_url` writes into an identity policy."""
    url = {"StringEquals": {"lambda:FunctionUrlAuthType": "AWS_IAM"}, **conditions}
    function = {"Bool": {"lambda:InvokedViaFunctionUrl": "true"}, **conditions}
    return (
        {"Action": ACTIONS[0], "Resource": arn, "Condition": url},
        {"Action": ACTIONS[1], "Resource": arn, "Condition": function},
    )


@pytest.fixture(scope="module")
def url(local_aws: LocalAws) -> Url:
    """A public URL."""
    return Url.make(Functions(local_aws), "NONE", timeout=2).open()


@pytest.fixture(scope="module")
def signed_url(local_aws: LocalAws) -> Url:
    """A URL with AWS_IAM, for an alias."""
    functions = Functions(local_aws)
    name, client = functions.make(SOURCE), local_aws.client("lambda")
    client.publish_version(FunctionName=name)
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    return Url.of(functions, name, "AWS_IAM", Qualifier="live")


def test_a_url_has_its_region_in_its_name_in_any_case(url: Url) -> None:
    address = url.aws.address_of_function_url(f"https://{url.host}/")
    for name in (url.host, url.host.upper()):
        assert Endpoint.of(address, name).request("GET", "/").status == 201
    elsewhere = replace(url, host=url.host.replace(url.aws.region, "eu-west-1"))
    assert (elsewhere.send().status, elsewhere.send().body) == (403, FORBIDDEN)


def test_everybody_needs_both_permissions(functions: Functions) -> None:
    made = Url.make(functions, "NONE")
    refused = made.send()
    assert (refused.status, refused.body) == (403, FORBIDDEN)
    assert refused.header("x-amzn-errortype") == "AccessDeniedException"
    made.permit(ACTIONS[0], Principal="*")
    assert made.send().status == 403
    made.permit(ACTIONS[1], Principal="*")
    assert made.send().status == 201


def test_the_event_is_that_of_payload_format_2(url: Url) -> None:
    answer = url.send(
        "/a%20b/%2F?x=1&x=2%20&y=",
        "POST",
        headers={"Cookie": "a=1; b=2", "X-A": "q", "Content-Type": "application/json", "User-Agent": "me"},
        body=b'{"a": 1}',
    )
    event = answer.json()
    assert event.pop("request_id") == event["requestContext"].pop("requestId")
    assert answer.header("x-amzn-requestid")
    context = event.pop("requestContext")
    assert re.fullmatch(r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000", context.pop("time"))
    assert context.pop("timeEpoch") > 1_700_000_000_000
    url_id = url.host.partition(".")[0]
    assert context == {
        "accountId": "anonymous",
        "apiId": url_id,
        "domainName": url.host,
        "domainPrefix": url_id,
        "http": {
            "method": "POST",
            "path": "/a%20b/%2F",
            "protocol": "HTTP/1.1",
            "sourceIp": "127.0.0.1",
            "userAgent": "me",
        },
        "routeKey": "$default",
        "stage": "$default",
    }
    headers = event.pop("headers")
    assert {"host": url.host, "x-a": "q", "x-forwarded-proto": "https"}.items() <= headers.items()
    assert headers["x-forwarded-port"] == "443"
    assert headers["x-amzn-trace-id"].startswith("Root=1-")
    assert answer.header("x-amzn-trace-id").startswith(headers["x-amzn-trace-id"])
    assert "cookie" not in headers
    assert event == {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/a%20b/%2F",
        "rawQueryString": "x=1&x=2%20&y=",
        "cookies": ["a=1", "b=2"],
        "queryStringParameters": {"x": "1,2 ", "y": ""},
        "body": '{"a": 1}',
        "isBase64Encoded": False,
    }
    binary = url.send("/health", "PUT", body=b"\xff\x00", headers={"Content-Type": "image/png"}).json()
    assert (binary["rawPath"], binary["isBase64Encoded"]) == ("/health", True)
    assert base64.b64decode(binary["body"]) == b"\xff\x00"
    assert "body" not in url.send("/").json()
    assert "cookies" not in url.send("/").json()


@pytest.mark.parametrize(
    ("result", "status", "body"),
    [
        ("text", 200, b'"text"'),
        (None, 200, b"null"),
        ({"a": "é"}, 200, '{"a":"é"}'.encode()),
        ({"statusCode": 204}, 204, b""),
        ({"statusCode": "202", "body": "x"}, 202, b"x"),
        ({"statusCode": 200, "body": "AP8=", "isBase64Encoded": True}, 200, b"\x00\xff"),
        ({"statusCode": 200, "body": {"a": 1}}, 502, b"Internal Server Error"),
        ({"statusCode": 999}, 502, b"Internal Server Error"),
        ({"statusCode": 200, "body": "?", "isBase64Encoded": True}, 502, b"Internal Server Error"),
        ({"statusCode": 200, "headers": {"a": ["b"]}}, 502, b"Internal Server Error"),
        ({"statusCode": 200, "headers": {"a": "b\r\nc: d"}}, 502, b"Internal Server Error"),
        ({"statusCode": 200, "cookies": "a=1"}, 502, b"Internal Server Error"),
    ],
)
def test_the_result_becomes_the_response(url: Url, result: Any, status: int, body: bytes) -> None:
    answer = url.send(
        "/answer", "POST", headers={"Content-Type": "text/plain"}, body=json.dumps(result).encode()
    )
    assert (answer.status, answer.body) == (status, body)
    assert answer.header("content-type") == "application/json"


def test_headers_and_cookies_are_passed_on(url: Url) -> None:
    answer = url.send("/")
    assert answer.header("x-own") == "1"
    assert answer.lines("set-cookie") == ["a=1", "b=2; Secure"]
    head = url.send("/", "HEAD")
    assert (head.status, head.body) == (201, b"")


@pytest.mark.parametrize("target", ["/crash", "/exit", "/slow?600", "/large"])
def test_a_failure_shows_nothing_of_the_inside(url: Url, target: str) -> None:
    answer = url.send(target)
    assert (answer.status, answer.body) == (502, b"Internal Server Error")


def test_an_event_over_6_mb_is_refused(url: Url) -> None:
    text = {"Content-Type": "text/plain"}
    answer = url.send("/", "POST", headers=text, body=b"x" * 6 * 1024 * 1024)
    assert answer.status == 413
    assert answer.json() == {
        "Message": "Request must be smaller than 6291456 bytes for the InvokeFunction operation"
    }
    assert url.send("/", "POST", body=b"x" * 5 * 1024 * 1024).status == 413  # base64


def test_reserved_concurrency_throttles(functions: Functions, hold: Hold) -> None:
    name = functions.make(f"{hold.source}\ndef handler(event, context): hold()")
    made, client = Url.of(functions, name, "NONE").open(), functions.aws.client("lambda")
    client.put_function_concurrency(FunctionName=made.function, ReservedConcurrentExecutions=1)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(made.send)
        hold.wait()
        assert [made.send().status for _ in range(2)] == [429, 429]
        hold.release()
        assert running.result().status == 200
    client.put_function_concurrency(FunctionName=made.function, ReservedConcurrentExecutions=0)
    throttled = made.send()
    assert (throttled.status, throttled.json()) == (429, {"Message": "Rate Exceeded."})


def test_a_signer_needs_both_actions_in_one_of_the_policies(signed_url: Url) -> None:
    aws, unsigned = signed_url.aws, signed_url.send()
    assert (unsigned.status, unsigned.body) == (403, FORBIDDEN)
    url_only, function_only = both(signed_url.arn)
    for statements in ((), (url_only,), (function_only,)):
        refused = signed_url.send(signer=user(aws, *statements))
        assert (refused.status, refused.body) == (403, FORBIDDEN), statements
    allowed = user(aws, url_only, function_only)
    event = signed_url.send(signer=allowed).json()
    iam = event["requestContext"]["authorizer"]["iam"]
    assert iam["accessKey"] == allowed.access_key
    assert iam["userArn"].startswith(f"arn:aws:iam::{aws.account}:user/")
    assert iam["callerId"] == iam["userId"]
    assert event["requestContext"]["accountId"] == aws.account
    # The permission is for the URL, not for Invoke, and a signature for another service is refused.
    other = aws.session.client(
        "lambda", aws_access_key_id=allowed.access_key, aws_secret_access_key=allowed.secret_key
    )
    with pytest.raises(ClientError, match="AccessDenied"):
        other.invoke(FunctionName=signed_url.arn)
    wrong = signed_url.send(signer=allowed, service="execute-api")
    assert (wrong.status, b"lambda" in wrong.body) == (403, True)
    guessed = signed_url.send(signer=Credentials(allowed.access_key, "guessed"))
    assert (guessed.status, guessed.body != FORBIDDEN) == (403, True)


def test_the_source_address_is_a_condition(signed_url: Url) -> None:
    for cidr, status in (("127.0.0.0/8", 201), ("203.0.113.0/24", 403)):
        caller = user(signed_url.aws, *both(signed_url.arn, IpAddress={"aws:SourceIp": cidr}))
        assert signed_url.send(signer=caller).status == status


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has only 127.0.0.1")
def test_the_source_address_is_that_of_the_connection(functions: Functions) -> None:
    made = Url.make(functions, "NONE")
    condition = {"IpAddress": {"aws:SourceIp": "127.0.0.2/32"}}
    everybody = {"Effect": "Allow", "Principal": "*", "Resource": made.arn, "Condition": condition}
    document = {"Version": "2012-10-17", "Statement": [{**everybody, "Action": list(ACTIONS)}]}
    client = functions.aws.client("lambda")
    client.put_resource_policy(ResourceArn=made.arn, Policy=json.dumps(document))
    assert made.send(headers={"X-Forwarded-For": "127.0.0.2"}).status == 403
    server = urlsplit(functions.aws.endpoint_url)
    connection = http.client.HTTPSConnection(
        str(server.hostname),
        server.port,
        source_address=("127.0.0.2", 0),
        context=ssl.create_default_context(cafile=str(functions.aws.ca_file)),
    )
    with closing(connection):
        connection.request("GET", "/", headers={"Host": made.host})
        event = json.load(connection.getresponse())
    assert event["requestContext"]["http"]["sourceIp"] == "127.0.0.2"


def test_across_accounts_both_policies_must_allow(signed_url: Url) -> None:
    aws, other = signed_url.aws, "222222222222"
    inside, outside = (user(aws, *rights, account=other) for rights in (both(signed_url.arn), ()))
    given = aws.session_of(other).get_credentials()
    assert given is not None
    root = Credentials(given.access_key, given.secret_key)
    assert [signed_url.send(signer=caller).status for caller in (inside, outside, root)] == [403] * 3
    signed_url.permit(ACTIONS[0], Principal=other)
    assert signed_url.send(signer=inside).status == 403
    signed_url.permit(ACTIONS[1], Principal=other)
    assert [signed_url.send(signer=caller).status for caller in (inside, outside, root)] == [201, 403, 201]


def test_a_url_with_cors_answers_preflights(functions: Functions) -> None:
    cors = {"AllowOrigins": ["https://example.com"], "AllowMethods": ["GET"], "AllowCredentials": True}
    made = Url.make(functions, "AWS_IAM", Cors=cors)
    ask = {"Origin": "https://example.com", "Access-Control-Request-Method": "GET"}
    answer = made.send("/", "OPTIONS", headers=ask)
    assert (answer.status, answer.header("access-control-allow-origin")) == (200, "https://example.com")
    assert answer.header("access-control-allow-credentials") == "true"
    other = made.send("/", "OPTIONS", headers={**ask, "Origin": "https://example.org"})
    assert other.lines("access-control-allow-origin") == []
    assert made.send("/", headers=ask).header("access-control-allow-origin") == "https://example.com"


def test_requests_are_counted(url: Url) -> None:
    client = url.aws.client("cloudwatch")
    url.send("/crash")

    def names() -> set[str]:
        found = client.list_metrics(
            Namespace="AWS/Lambda", Dimensions=[{"Name": "Resource", "Value": f"{url.function}:$LATEST"}]
        )["Metrics"]
        return {one["MetricName"] for one in found}

    expected = {"UrlRequestCount", "Url4xxCount", "Url5xxCount", "UrlRequestLatency"}
    assert eventually(lambda: expected <= names())


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"Qualifier": "1"}, "'1' at 'qualifier'"),
        ({"Qualifier": "$LATEST"}, "at 'qualifier'"),
        ({"AuthType": "OPEN"}, "[NONE, AWS_IAM]"),
        ({"InvokeMode": "STREAM"}, "[BUFFERED, RESPONSE_STREAM]"),
        ({"Cors": {"AllowMethods": ["OPTIONS"]}}, "'cors.allowMethods'"),
        ({"Cors": {"AllowOrigins": ["https://a"] * 101}}, "'cors.allowOrigins'"),
        ({"Cors": {"AllowHeaders": ["x" * 1025]}}, "1024"),
        ({"Cors": {"MaxAge": 86401}}, "86400"),
    ],
)
def test_a_configuration_that_lambda_refuses(functions: Functions, config: dict[str, Any], said: str) -> None:
    name, client = functions.make(SOURCE), functions.aws.client("lambda")
    client.publish_version(FunctionName=name)
    with pytest.raises(ClientError) as refused:
        client.create_function_url_config(**{"FunctionName": name, "AuthType": "NONE"} | config)
    assert refused.value.response["Error"]["Code"] == "ValidationException"
    assert said in refused.value.response["Error"]["Message"]
    assert client.list_function_url_configs(FunctionName=name)["FunctionUrlConfigs"] == []


STREAMS = """
exports.handler = awslambda.streamifyResponse(async (event, stream, context) => {
  const what = event.rawPath;
  if (what === "/fails") throw new Error("the secret");
  if (what === "/plain") { stream.setContentType("text/plain"); stream.end("plain"); return; }
  if (what === "/bare") { stream.write(Buffer.from([0xff, 1])); stream.end(); return; }
  const cookies = ["a=1", "b=2"], headers = { "X-Own": event.requestContext.http.method };
  stream = awslambda.HttpResponseStream.from(stream, { statusCode: 201, headers, cookies });
  for (let part = 0; part < 8; part++) stream.write("x".repeat(1024 * 1024));
  stream.end();
});
"""


def test_a_node_function_streams_its_response(functions: Functions) -> None:
    client, name = functions.aws.client("lambda"), functions.make("", Runtime="nodejs24.x")
    client.update_function_code(FunctionName=name, ZipFile=zipped({"index.js": STREAMS}))
    made = Url.of(functions, name, "NONE", InvokeMode="RESPONSE_STREAM").open()
    large = made.send("/large")
    assert (large.status, len(large.body), large.header("x-own")) == (201, 8 * 1024 * 1024, "GET")
    assert large.lines("set-cookie") == ["a=1", "b=2"]
    assert large.header("content-type") == "application/octet-stream"
    plain = made.send("/plain")
    assert (plain.status, plain.body, plain.header("content-type")) == (200, b"plain", "text/plain")
    bare = made.send("/bare")
    assert (bare.body, bare.header("content-type")) == (b"\xff\x01", "application/octet-stream")
    assert (made.send("/fails").status, made.send("/fails").body) == (502, b"Internal Server Error")
    invoked = client.invoke(FunctionName=name, Payload='{"rawPath": "/plain"}')["Payload"].read()
    assert invoked.endswith(bytes(8) + b"plain")


def test_a_python_function_behind_a_streaming_url_sends_its_result_as_it_is(functions: Functions) -> None:
    made = Url.make(functions, "NONE", InvokeMode="RESPONSE_STREAM").open()
    answer = made.send("/answer", "POST", headers={"Content-Type": "text/plain"}, body=b'{"statusCode": 404}')
    assert (answer.status, answer.body) == (200, b'{"statusCode":404}')
    assert answer.header("content-type") == "application/octet-stream"


def test_the_url_of_a_deleted_function_is_gone(functions: Functions) -> None:
    made, client = Url.make(functions, "NONE").open(), functions.aws.client("lambda")
    client.delete_function(FunctionName=made.function)
    assert made.send().status == 403
    with pytest.raises(ClientError, match="ResourceNotFound"):
        client.list_function_url_configs(FunctionName=made.function)


def test_a_resource_policy_is_one_document(functions: Functions) -> None:
    made, client = Url.make(functions, "NONE").open(), functions.aws.client("lambda")
    before = client.get_resource_policy(ResourceArn=made.arn)

    def only_from(cidr: str) -> str:
        condition = {"IpAddress": {"aws:SourceIp": cidr}}
        everybody = {"Effect": "Allow", "Principal": "*", "Resource": made.arn, "Condition": condition}
        statements = [{**everybody, "Action": action} for action in ACTIONS]
        return json.dumps({"Version": "2012-10-17", "Statement": statements})

    client.put_resource_policy(ResourceArn=made.arn, Policy=only_from("203.0.113.0/24"))
    assert made.send().status == 403
    client.put_resource_policy(ResourceArn=made.arn, Policy=only_from("127.0.0.0/8"))
    assert made.send().status == 201
    assert "127.0.0.0/8" in client.get_policy(FunctionName=made.function)["Policy"]
    with pytest.raises(ClientError, match="Precondition"):
        client.put_resource_policy(
            ResourceArn=made.arn, Policy=before["Policy"], RevisionId=before["RevisionId"]
        )
    with pytest.raises(ClientError, match="InvalidParameterValue"):
        client.put_resource_policy(ResourceArn=made.arn, Policy=only_from("::/0").replace(made.arn, "*"))
    client.delete_resource_policy(ResourceArn=made.arn)
    assert made.send().status == 403
    with pytest.raises(ClientError, match="ResourceNotFound"):
        client.get_resource_policy(ResourceArn=made.arn)


def test_a_template_with_a_url_and_a_resource_policy(functions: Functions) -> None:
    name = functions.make(SOURCE)
    arn = functions.arn("lambda", f"function:{name}")
    everybody = {"Effect": "Allow", "Principal": "*", "Resource": arn}
    policy = {
        "Version": "2012-10-17",
        "Statement": [{**everybody, "Sid": f"s{n}", "Action": action} for n, action in enumerate(ACTIONS)],
    }
    resources = {
        "Url": {"Type": "AWS::Lambda::Url", "Properties": {"TargetFunctionArn": arn, "AuthType": "NONE"}},
        "Policy": {
            "Type": "AWS::Lambda::ResourcePolicy",
            "Properties": {"ResourceArn": arn, "PolicyDocument": policy},
        },
    }
    stack = deploy(
        functions.aws, resources, {"Url": {"Fn::GetAtt": ["Url", "FunctionUrl"]}, "Policy": ref("Policy")}
    )
    assert stack.outputs["Policy"] == arn
    host = stack.outputs["Url"].removeprefix("https://").strip("/")
    assert Url(functions.aws, name, arn, host).send().status == 201


# --- The emulator as it comes


def test_the_emulator_itself_serves_everybody_without_cookies(stock_functions: Functions) -> None:
    made = Url.make(stock_functions, "NONE")
    answer = made.send("/a%2Fb", headers={"Cookie": "a=1"})
    assert (answer.status, answer.json()["rawPath"]) == (201, "/a/b")
    assert "cookies" not in answer.json()
    assert b"the secret" in made.send("/crash").body


def test_the_emulator_itself_has_no_policy_as_one_document(stock_functions: Functions) -> None:
    name = stock_functions.make(SOURCE)
    with pytest.raises(ClientError):
        stock_functions.aws.client("lambda").get_resource_policy(
            ResourceArn=stock_functions.arn("lambda", f"function:{name}")
        )
