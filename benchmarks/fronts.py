"""Each front of a function: the adapter's time per request, and requests per second on the embedded AWS.

Adapters: the notes service reads the same request from each front's event and writes its response, with the
note in memory; the plain function answers the event by hand. CPU time, kinds take turns.
Fronts: a function that answers at once is called over each front of one embedded AWS, and by Invoke with
boto3, by some clients at a time with a connection of their own. It compares the fronts of the embedded AWS
with each other, and says nothing about AWS.
"""

from __future__ import annotations

import argparse
import http.client
import importlib
import io
import json
import logging
import os
import ssl
import statistics
import sys
import time
import zipfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock
from urllib.parse import unquote, urlsplit

from localaws import LocalAws

ROOT = Path(__file__).parents[1]
_ENVIRONMENT = {
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "TABLE_NAME": "notes",
    "INDEX_NAME": "by-time",
    "POWERTOOLS_SERVICE_NAME": "notes",
}
_CONTEXT = SimpleNamespace(
    aws_request_id="request", function_name="notes", memory_limit_in_mb=512, invoked_function_arn="arn"
)
_REQUESTS = 2_000
_HEADERS = (("Accept", "*/*"), ("User-Agent", "curl/8.5.0"))
_ANSWER = """
def handler(event, context):
    headers = {"Content-Type": "text/plain"}  # a load balancer requires headers
    return {"statusCode": 200, "headers": headers, "body": "ok", "isBase64Encoded": False}
"""

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]


def main(arguments: list[str] | None = None) -> int:
    """Measure and print two tables."""
    parser = argparse.ArgumentParser(prog="run.py bench fronts", description=__doc__, allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=9, help="runs of each adapter (default: 9)")
    parser.add_argument("--seconds", type=float, default=3.0, help="time for each front (default: 3)")
    parser.add_argument("--clients", type=int, default=4, help="clients at a time (default: 4)")
    given = parser.parse_args(arguments)
    with mock.patch.dict(os.environ, _ENVIRONMENT):
        _measure_adapters(given.rounds)
    _measure_fronts(given.seconds, given.clients)
    return 0


# --- Adapters


def _measure_adapters(rounds: int) -> None:
    sys.path[:0] = [str(ROOT / "lambda_src"), str(ROOT)]
    events = importlib.import_module("tests.handlers.notes.payload_events")
    alb_event = importlib.import_module("tests.handlers.records").alb_event
    note = importlib.import_module("notes.note").Note.make(
        "a b", b"content", "text/plain", ["tag"], now="2026-01-01T00:00:00.000000Z"
    )
    handlers: dict[str, Handler] = {}
    for name in ("alb_function", "http_api"):
        module = importlib.import_module(f"web.{name}.handler")
        object.__setattr__(module.service, "notes", SimpleNamespace(get=lambda _name: note))
        module.logger.setLevel(logging.ERROR)
        handlers[name] = module.handler
    request = "GET", "/notes/a%20b?tag=x", _HEADERS
    v2 = events.http_api_event(*request)
    kinds: dict[str, tuple[Handler, dict[str, Any]]] = {
        "plain function, format 2.0": (_by_hand, v2),
        "load balancer": (handlers["alb_function"], alb_event(*request, b"", multi_value=True)),
        "REST API (format 1.0)": (handlers["http_api"], events.rest_event(*request)),
        "HTTP API (format 2.0)": (handlers["http_api"], v2),
        "function URL (format 2.0)": (handlers["http_api"], events.function_url_event(*request)),
    }
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    for number in range(rounds + 1):
        for kind, (handle, event) in kinds.items():
            begun = time.process_time()
            for _ in range(_REQUESTS):
                answer = handle(event, _CONTEXT)
            if number:  # the first round warms up
                seconds[kind].append((time.process_time() - begun) / _REQUESTS)
            assert answer["body"] == "content", answer
    plain = statistics.median(seconds["plain function, format 2.0"])
    print(f"| GET of a note, µs of CPU (median of {rounds} runs of {_REQUESTS:,}) | µs | over plain |")
    print("|---|---:|---:|")
    for kind, measured in seconds.items():
        taken = statistics.median(measured)
        print(f"| {kind} | {taken * 1e6:.1f} | {(taken - plain) * 1e6:.1f} |")
    print()


def _by_hand(event: dict[str, Any], _context: object) -> dict[str, Any]:
    _, kind, name = unquote(event["rawPath"]).split("/")
    assert (kind, event["requestContext"]["http"]["method"], name) == ("notes", "GET", "a b")
    return {"statusCode": 200, "headers": {"Content-Type": "text/plain"}, "body": "content"}


# --- Fronts


def _measure_fronts(seconds: float, clients: int) -> None:
    with LocalAws(iam=True) as aws:
        fronts = _make_fronts(aws)
        print(f"| front of the embedded AWS, {clients} clients | requests per second | median, ms |")
        print("|---|---:|---:|")
        for name, make_client in fronts.items():
            for call in [make_client()] * 20:  # warm up
                call()
            times = _load(make_client, seconds, clients)
            print(f"| {name} | {len(times) / seconds:.0f} | {statistics.median(times) * 1000:.1f} |")


def _load(make_client: Callable[[], Callable[[], None]], seconds: float, clients: int) -> list[float]:
    def run(_: int) -> list[float]:
        call, taken = make_client(), []
        end = time.monotonic() + seconds
        while (begun := time.monotonic()) < end:
            call()
            taken.append(time.monotonic() - begun)
        return taken

    with ThreadPoolExecutor(clients) as pool:
        return [one for many in pool.map(run, range(clients)) for one in many]


def _make_fronts(aws: LocalAws) -> Mapping[str, Callable[[], Callable[[], None]]]:
    lambda_, region = aws.client("lambda"), aws.session.region_name
    arn = _make_function(aws)

    def admit(service: str, **more: str) -> None:
        lambda_.add_permission(
            FunctionName="f",
            StatementId=service,
            Action="lambda:InvokeFunction",
            Principal=f"{service}.amazonaws.com",
            **more,
        )

    admit("apigateway")
    admit("elasticloadbalancing")
    for action, more in (
        ("lambda:InvokeFunctionUrl", {"FunctionUrlAuthType": "NONE"}),
        ("lambda:InvokeFunction", {"InvokedViaFunctionUrl": True}),
    ):
        lambda_.add_permission(
            FunctionName="f", StatementId=action.replace(":", "-"), Action=action, Principal="*", **more
        )
    url = lambda_.create_function_url_config(FunctionName="f", AuthType="NONE")["FunctionUrl"]
    apis = aws.client("apigatewayv2")
    api = apis.create_api(Name="h", ProtocolType="HTTP")["ApiId"]
    integration = apis.create_integration(
        ApiId=api, IntegrationType="AWS_PROXY", IntegrationUri=arn, PayloadFormatVersion="2.0"
    )
    apis.create_route(ApiId=api, RouteKey="$default", Target=f"integrations/{integration['IntegrationId']}")
    apis.create_stage(ApiId=api, StageName="$default", AutoDeploy=True)
    rest = aws.client("apigateway")
    rest_id = rest.create_rest_api(name="r")["id"]
    root = rest.get_resources(restApiId=rest_id)["items"][0]["id"]
    method = {"restApiId": rest_id, "resourceId": root, "httpMethod": "GET"}
    rest.put_method(**method, authorizationType="NONE")
    uri = f"arn:aws:apigateway:{region}:lambda:path/2015-03-31/functions/{arn}/invocations"
    rest.put_integration(**method, type="AWS_PROXY", integrationHttpMethod="POST", uri=uri)
    rest.create_deployment(restApiId=rest_id, stageName="prod")
    domain = f"execute-api.{region}.amazonaws.com"

    def invoke() -> Callable[[], None]:
        client = aws.client("lambda")
        return lambda: client.invoke(FunctionName="f", Payload=b"{}")["Payload"].read() and None

    return {
        "Invoke (boto3)": invoke,
        "function URL": lambda: _client(aws, urlsplit(url).netloc, "/"),
        "HTTP API": lambda: _client(aws, f"{api}.{domain}", "/"),
        "REST API": lambda: _client(aws, f"{rest_id}.{domain}", "/prod"),
        "load balancer": _behind_load_balancer(aws, arn),
    }


def _make_function(aws: LocalAws) -> str:
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    role = aws.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument=document)["Role"]["Arn"]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        files.writestr("index.py", _ANSWER)
    client = aws.client("lambda")
    made: str = client.create_function(
        FunctionName="f",
        Runtime="python3.13",
        Handler="index.handler",
        Role=role,
        Code={"ZipFile": archive.getvalue()},
    )["FunctionArn"]
    client.get_waiter("function_active_v2").wait(FunctionName="f")
    return made


def _behind_load_balancer(aws: LocalAws, function: str) -> Callable[[], Callable[[], None]]:
    ec2, elb = aws.client("ec2"), aws.client("elbv2")
    subnets = [one["SubnetId"] for one in ec2.describe_subnets()["Subnets"]][:2]
    balancer = elb.create_load_balancer(Name="b", Subnets=subnets)["LoadBalancers"][0]
    group = elb.create_target_group(Name="g", TargetType="lambda")["TargetGroups"][0]["TargetGroupArn"]
    elb.register_targets(TargetGroupArn=group, Targets=[{"Id": function}])
    action = {"Type": "forward", "TargetGroupArn": group}
    elb.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"], Protocol="HTTP", Port=80, DefaultActions=[action]
    )
    return lambda: _client(aws, balancer["DNSName"], "/")


def _client(aws: LocalAws, host: str, path: str) -> Callable[[], None]:
    endpoint = urlsplit(aws.client("sts").meta.endpoint_url)
    context = ssl.create_default_context(cafile=aws.environment["AWS_CA_BUNDLE"])
    connection = http.client.HTTPSConnection(str(endpoint.hostname), endpoint.port, context=context)

    def call() -> None:
        connection.request("GET", path, headers={"Host": host})
        answer = connection.getresponse()
        body = answer.read()
        assert (answer.status, body) == (200, b"ok"), (host, answer.status, body)

    return call


if __name__ == "__main__":
    sys.exit(main())
