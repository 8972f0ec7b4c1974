"""Load balancers in front of functions behave as AWS documents."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.lambda_functions import Functions, eventually
from helpers.load_balancers import (
    ECHO,
    OUTPUTS,
    Balanced,
    balanced,
    listener,
    permission,
    resources,
)
from helpers.stacks import DeploymentFailedError, arn, deploy, function, ref
from localaws import LocalAws
from localaws.server.credentials import CONTROL, SECRET_HEADER, derived

pytestmark = pytest.mark.local

MB = 1024 * 1024

#: A function that returns what its path says, in JSON and percent-encoded.
SAYS = """
import json
from urllib.parse import unquote
def handler(event, context):
    return json.loads(unquote(event["path"][1:]))
"""
FINE = {"statusCode": 200, "isBase64Encoded": False, "multiValueHeaders": {"x": ["secret"]}, "body": "secret"}


@pytest.fixture(scope="module")
def multi(local_aws: LocalAws, _empty_account: None) -> Balanced:
    """A target group with multi-value headers."""
    return balanced(local_aws)


@pytest.fixture(scope="module")
def single(local_aws: LocalAws, _empty_account: None) -> Balanced:
    """A target group with single-value headers."""
    return balanced(local_aws, multi_value=False)


@pytest.fixture(scope="module")
def says(local_aws: LocalAws, _empty_account: None) -> Balanced:
    """A function that returns a configurable result."""
    return balanced(local_aws, SAYS)


def ask(balancer: Balanced, response: object) -> Any:
    """Set the result of the function."""
    text = (
        json.dumps(response).replace("%", "%25").replace(" ", "%20").replace("?", "%3F").replace("#", "%23")
    )
    return balancer.send("GET", f"/{text}")


# --- Requests


def test_the_event_has_lists_or_single_values_and_never_both(multi: Balanced, single: Balanced) -> None:
    event = multi.event("GET", "/", [("X-A", "1"), ("x-a", "2"), ("Cookie", "a=1"), ("Cookie", "b=2")])
    assert event["multiValueHeaders"]["x-a"] == ["1", "2"]
    assert event["multiValueHeaders"]["cookie"] == ["a=1", "b=2"]
    assert event.keys().isdisjoint({"headers", "queryStringParameters"})
    event = single.event("GET", "/?a=1&a=2&b", [("X-A", "1"), ("x-a", "2")])
    assert event["headers"]["x-a"] == "2"
    assert event["queryStringParameters"] == {"a": "2", "b": ""}
    assert event.keys().isdisjoint({"multiValueHeaders", "multiValueQueryStringParameters"})


@pytest.mark.parametrize("many", [False, True], ids=["single", "multi"])
def test_the_event_has_all_documented_members_and_no_other(
    multi: Balanced, single: Balanced, many: bool
) -> None:
    # https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html
    event = (multi if many else single).event(
        "POST", "/notes?a=1", [("Content-Type", "text/plain")], b"hello"
    )
    headers = event.pop("multiValueHeaders" if many else "headers")
    one = {name: values[0] if many else values for name, values in headers.items()}
    target = event.pop("requestContext").pop("elb").pop("targetGroupArn")
    assert re.fullmatch(r"arn:aws:elasticloadbalancing:[\w-]+:\d{12}:targetgroup/[\w-]+/[0-9a-f]{16}", target)
    assert event == {
        "httpMethod": "POST",
        "path": "/notes",
        **(
            {"multiValueQueryStringParameters": {"a": ["1"]}}
            if many
            else {"queryStringParameters": {"a": "1"}}
        ),
        "body": "hello",
        "isBase64Encoded": False,
    }
    assert re.fullmatch(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24}", one.pop("x-amzn-trace-id"))
    assert re.fullmatch(r"[\w-]+-\d{10}\.[\w-]+\.elb\.amazonaws\.com", one.pop("host"))
    added = {"x-forwarded-for": "127.0.0.1", "x-forwarded-port": "80", "x-forwarded-proto": "http"}
    assert one.items() >= (added | {"content-type": "text/plain"}).items()


def test_nothing_in_path_and_query_is_decoded(multi: Balanced, single: Balanced) -> None:
    target = "/caf%C3%A9/a%2Fb%20c+d?n%C3%A4me=%26+%3D&n%C3%A4me=b=c&flag"
    event = multi.event("GET", target)
    assert event["path"] == "/caf%C3%A9/a%2Fb%20c+d"
    expected = {"n%C3%A4me": ["%26+%3D", "b=c"], "flag": [""]}
    assert event["multiValueQueryStringParameters"] == expected
    assert single.event("GET", target)["queryStringParameters"] == {"n%C3%A4me": "b=c", "flag": ""}


def test_the_load_balancer_adds_its_headers(multi: Balanced) -> None:
    headers = multi.event("GET", "/", [("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-Port", "1")])[
        "multiValueHeaders"
    ]
    assert headers["x-forwarded-for"] == ["203.0.113.9, 127.0.0.1"]
    assert headers["x-forwarded-port"] == ["80"]
    assert headers["x-forwarded-proto"] == ["http"]
    assert headers["x-amzn-trace-id"][0].startswith("Root=1-")
    assert headers["host"] == [multi.stack.outputs["Name"]]


@pytest.mark.parametrize(
    ("content_type", "is_text"),
    [
        ("text/csv; charset=utf-8", True),
        ("application/json", True),
        ("application/javascript", True),
        ("application/xml", True),
        ("application/problem+json", False),
        ("image/svg+xml", False),
        ("", False),
    ],
)
def test_bodies_are_text_or_base64_by_their_type(multi: Balanced, content_type: str, is_text: bool) -> None:
    body = "größe".encode()
    event = multi.event("PUT", "/", [("Content-Type", content_type)] if content_type else [], body)
    assert event["isBase64Encoded"] is not is_text
    assert event["body"] == (body.decode() if is_text else base64.b64encode(body).decode())


def test_compressed_bodies_are_base64_and_no_body_is_an_empty_text(multi: Balanced) -> None:
    compressed = [("Content-Type", "text/plain"), ("Content-Encoding", "gzip")]
    assert multi.event("PUT", "/", compressed, b"abc")["isBase64Encoded"]
    event = multi.event("GET", "/")
    assert (event["body"], event["isBase64Encoded"]) == ("", False)


def test_paths_that_the_emulator_uses_reach_the_load_balancer(multi: Balanced) -> None:
    credentials = [("Authorization", "AWS4-HMAC-SHA256 Credential=000000000000/x/x/s3/aws4_request")]
    for path in ("/health", "/_ministack/health", "/oauth2/token", "/iceberg/v1/config"):
        event = multi.event("GET", path, credentials)
        assert event["path"] == path
        assert event["multiValueHeaders"]["authorization"] == [credentials[0][1]]


def test_a_body_of_more_than_1_mb_is_refused_by_the_load_balancer(multi: Balanced) -> None:
    refused = multi.send("PUT", "/", [("Content-Type", "text/plain")], b"x" * (MB + 1))
    assert refused.status == 413
    assert b"<html>" in refused.body
    # As large as allowed: it reaches the function, whose echo is then too large itself.
    assert multi.send("PUT", "/", [("Content-Type", "text/plain")], b"x" * MB).status == 502
    assert (
        len(multi.event("PUT", "/", [("Content-Type", "text/plain")], b"x" * 1_000_000)["body"]) == 1_000_000
    )


def test_another_protocol_and_trace_are_refused(multi: Balanced) -> None:
    assert multi.send("GET", "/", [("Connection", "Upgrade"), ("Upgrade", "irc/6.9")]).status == 400
    assert multi.send("TRACE", "/").status == 405


def test_invalid_header_names_are_dropped_if_the_load_balancer_is_configured_so(local_aws: LocalAws) -> None:
    made = resources()
    dropping = {"Key": "routing.http.drop_invalid_header_fields.enabled", "Value": "true"}
    made["Balancer"]["Properties"]["LoadBalancerAttributes"] = [dropping]
    balancer = Balanced(local_aws, deploy(local_aws, made, OUTPUTS))
    headers = balancer.event("GET", "/", [("x_under.score", "1"), ("x-fine", "2")])["multiValueHeaders"]
    assert "x-fine" in headers
    assert "x_under.score" not in headers


# --- Responses


def test_a_response_is_passed_on_with_its_headers_line_by_line(says: Balanced) -> None:
    headers = {"Set-Cookie": ["a=1", "b=2"], "Connection": ["close"], "Content-Length": ["1"]}
    body = base64.b64encode(bytes(range(256))).decode()
    answer = ask(
        says,
        {
            "statusCode": 418,
            "statusDescription": "418 I'm a teapot",
            "isBase64Encoded": True,
            "multiValueHeaders": headers,
            "body": body,
        },
    )
    assert answer.status == 418
    assert answer.lines("set-cookie") == ["a=1", "b=2"]
    assert answer.body == bytes(range(256))
    assert answer.header("content-length") == "256"
    assert answer.header("server") == "awselb/2.0"


def test_a_body_may_be_left_out_and_head_has_none(says: Balanced) -> None:
    assert ask(says, {key: value for key, value in FINE.items() if key != "body"}).body == b""
    text = json.dumps(FINE).replace(" ", "")
    answer = says.send("HEAD", f"/{text}")
    assert (answer.status, answer.body, answer.header("content-length")) == (200, b"", "6")


MALFORMED: dict[str, object] = {
    "a text": "secret",
    "a list": ["secret"],
    "nothing": None,
    "no status": {key: value for key, value in FINE.items() if key != "statusCode"},
    "a status in words": FINE | {"statusCode": "OK"},
    "a status that is true": FINE | {"statusCode": True},
    "a status out of range": FINE | {"statusCode": 99},
    "another description": FINE | {"statusDescription": "404 secret"},
    "no base64 flag": {key: value for key, value in FINE.items() if key != "isBase64Encoded"},
    "no headers": {key: value for key, value in FINE.items() if key != "multiValueHeaders"},
    "headers of the other mode": {
        "statusCode": 200,
        "isBase64Encoded": False,
        "headers": {},
        "body": "secret",
    },
    "a header that is no list": FINE | {"multiValueHeaders": {"x": "secret"}},
    "a header of a number": FINE | {"multiValueHeaders": {"x": [1]}},
    "a header of two lines": FINE | {"multiValueHeaders": {"x": ["secret\r\ny: z"]}},
    "a header name with a space": FINE | {"multiValueHeaders": {"secret name": ["x"]}},
    "a null body": FINE | {"body": None},
    "a body that is an object": FINE | {"body": {"a": "secret"}},
    "a body that is not base64": FINE | {"isBase64Encoded": True, "body": "secret!"},
}


@pytest.mark.parametrize("response", MALFORMED.values(), ids=MALFORMED)
def test_an_invalid_response_returns_502_without_the_reason(says: Balanced, response: object) -> None:
    assert ask(says, FINE).body == b"secret"
    answer = ask(says, response)
    assert answer.status == 502
    assert answer.header("content-type") == "text/html"
    assert b"secret" not in answer.body
    assert b"502 Bad Gateway" in answer.body


def test_single_mode_takes_single_headers_only(local_aws: LocalAws) -> None:
    balancer = balanced(local_aws, SAYS, multi_value=False)
    response = {"statusCode": 200, "isBase64Encoded": False, "body": "x"}
    assert ask(balancer, response | {"headers": {"set-cookie": "a=1", "Set-Cookie": "b=2"}}).lines(
        "set-cookie"
    ) == ["a=1", "b=2"]
    assert ask(balancer, response | {"multiValueHeaders": {"x": ["y"]}}).status == 502
    assert ask(balancer, response | {"headers": {"x": ["y"]}}).status == 502


SIZED = """
import json
def handler(event, context):
    response = {"statusCode": 200, "isBase64Encoded": False, "multiValueHeaders": {}, "body": ""}
    response["body"] = "x" * (int(event["path"][1:]) - len(json.dumps(response)))
    return response
"""


def test_the_json_of_a_response_may_have_1_mb(local_aws: LocalAws) -> None:
    balancer = balanced(local_aws, SIZED)
    assert balancer.send("GET", f"/{MB}").status == 200
    assert balancer.send("GET", f"/{MB + 1}").status == 502


@pytest.mark.parametrize(
    "source",
    [
        "def handler(event, context): raise RuntimeError('secret')",
        "import secret",
        "import time\ndef handler(event, context): time.sleep(9)",
        "import os\ndef handler(event, context): os._exit(1)",
    ],
    ids=["exception", "import", "timeout", "exit"],
)
def test_a_failing_function_returns_502_without_the_reason(local_aws: LocalAws, source: str) -> None:
    made = resources(source)
    made["Function"]["Properties"]["Timeout"] = 1
    answer = Balanced(local_aws, deploy(local_aws, made, OUTPUTS)).send("GET", "/")
    assert answer.status == 502
    assert not re.search(rb"secret|Error|Task timed out|arn:", answer.body)


def test_the_reason_is_in_the_log(says: Balanced, local_aws: LocalAws) -> None:
    ask(says, {"statusCode": "a reason to look for"})
    log = local_aws.log_file.read_text()
    assert re.search(r"502 from arn:.*LambdaInvalidResponse: statusCode .*a reason to look for", log)


# --- Permissions and targets


def test_a_function_that_may_not_be_invoked_is_not_registered(local_aws: LocalAws) -> None:
    with pytest.raises(DeploymentFailedError, match="principal does not have permission to invoke"):
        balanced(local_aws, permitted=False)


def test_a_function_that_does_not_exist_is_not_registered(local_aws: LocalAws) -> None:
    missing = "arn:aws:lambda:us-east-1:123456789012:function:missing"
    with pytest.raises(DeploymentFailedError, match="could not be found"):
        balanced(local_aws, target=missing)


def test_the_api_registers_only_functions_that_may_be_invoked(
    local_aws: LocalAws, functions: Functions
) -> None:
    balancer = balanced(local_aws)
    other = local_aws.client("lambda").get_function_configuration(FunctionName=functions.make(ECHO))[
        "FunctionArn"
    ]
    elb, group = local_aws.client("elbv2"), balancer.stack.outputs["Group"]
    with pytest.raises(ClientError, match="AccessDenied"):
        elb.register_targets(TargetGroupArn=group, Targets=[{"Id": other}])


def test_a_removed_permission_is_missed_at_the_next_request(local_aws: LocalAws) -> None:
    balancer = balanced(local_aws)
    client, name = local_aws.client("lambda"), balancer.stack.outputs["Function"]
    (statement,) = json.loads(client.get_policy(FunctionName=name)["Policy"])["Statement"]
    client.remove_permission(FunctionName=name, StatementId=statement["Sid"])
    assert balancer.send("GET", "/").status == 502


def test_a_permission_for_another_account_or_target_group_is_none(local_aws: LocalAws) -> None:
    for condition in (
        {"SourceAccount": "999999999999"},
        {"SourceArn": "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/another/0123"},
    ):
        made = resources()
        properties = made["Permission"]["Properties"]
        del properties["SourceAccount"]
        properties.update(condition)
        with pytest.raises(DeploymentFailedError, match="does not have permission"):
            deploy(local_aws, made, OUTPUTS)


def test_another_target_in_the_template_replaces_the_first(local_aws: LocalAws) -> None:
    balancer = balanced(local_aws)
    made = resources(target=arn("Other"))
    other = "def handler(event, context): return " + repr(FINE)
    made |= {"Other": function("Role", other), "OtherPermission": permission("Other")}
    made["Group"]["DependsOn"] = "OtherPermission"
    balancer.stack.update(made, OUTPUTS)
    assert balancer.send("GET", "/").body == b"secret"


def test_without_a_target_it_is_503(local_aws: LocalAws) -> None:
    balancer = balanced(local_aws, Targets=[])
    answer = balancer.send("GET", "/")
    assert (answer.status, answer.header("content-type")) == (503, "text/html")


def test_an_alias_is_a_target(local_aws: LocalAws) -> None:
    made = resources(target=ref("Alias"))
    made["Version"] = {"Type": "AWS::Lambda::Version", "Properties": {"FunctionName": ref("Function")}}
    version = {"Fn::GetAtt": ["Version", "Version"]}
    alias = {"FunctionName": ref("Function"), "Name": "live", "FunctionVersion": version}
    made["Alias"] = {"Type": "AWS::Lambda::Alias", "Properties": alias}
    made["Permission"]["Properties"]["FunctionName"] = ref("Alias")
    assert Balanced(local_aws, deploy(local_aws, made, OUTPUTS)).send("GET", "/").status == 200


def test_a_load_balancer_with_deletion_protection_stays(local_aws: LocalAws) -> None:
    made = resources()
    protection = {"Key": "deletion_protection.enabled", "Value": "true"}
    made["Balancer"]["Properties"]["LoadBalancerAttributes"] = [protection]
    balancer = Balanced(local_aws, deploy(local_aws, made, OUTPUTS))
    with pytest.raises(DeploymentFailedError, match="deletion protection is enabled"):
        balancer.stack.delete()


# --- Listeners and rules


def test_the_port_of_the_host_header_chooses_the_listener(local_aws: LocalAws) -> None:
    redirect = {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}
    made = resources()
    made["Listener"] = listener(80, {"Type": "redirect", "RedirectConfig": redirect})
    made["Secure"] = listener(443, {"Type": "forward", "TargetGroupArn": ref("Group")})
    balancer = Balanced(local_aws, deploy(local_aws, made, OUTPUTS))
    name = balancer.stack.outputs["Name"]
    redirected = balancer.send("GET", "/a%20b?c=d")
    assert redirected.status == 301
    assert redirected.header("location") == f"https://{name}:443/a%20b?c=d"
    event = balancer.endpoint(port=443).request("GET", "/").json()
    assert event["multiValueHeaders"]["host"] == [name]


@pytest.mark.parametrize(
    ("condition", "matching", "other"),
    [
        ({"Field": "path-pattern", "PathPatternConfig": {"Values": ["/notes*"]}}, "/notes/1", "/Notes/1"),
        ({"Field": "source-ip", "SourceIpConfig": {"Values": ["127.0.0.0/8"]}}, "/", None),
        ({"Field": "source-ip", "SourceIpConfig": {"Values": ["203.0.113.0/24"]}}, None, "/"),
        ({"Field": "host-header", "HostHeaderConfig": {"Values": ["*.amazonaws.com"]}}, "/", None),
        ({"Field": "host-header", "HostHeaderConfig": {"Values": ["example.com"]}}, None, "/"),
        ({"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["GET"]}}, "/", None),
        ({"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["PUT"]}}, None, "/"),
    ],
)
def test_a_rule_applies_to_requests_that_meet_its_condition(
    local_aws: LocalAws, condition: dict[str, Any], matching: str | None, other: str | None
) -> None:
    made = resources()
    nothing = {"StatusCode": "404", "ContentType": "text/plain", "MessageBody": "no rule"}
    made["Listener"] = listener(80, {"Type": "fixed-response", "FixedResponseConfig": nothing})
    made["Rule"] = {
        "Type": "AWS::ElasticLoadBalancingV2::ListenerRule",
        "Properties": {
            "ListenerArn": ref("Listener"),
            "Priority": 1,
            "Conditions": [condition],
            "Actions": [{"Type": "forward", "TargetGroupArn": ref("Group")}],
        },
    }
    balancer = Balanced(local_aws, deploy(local_aws, made, OUTPUTS))
    assert matching is None or balancer.send("GET", matching).status == 200
    assert other is None or balancer.send("GET", other).body == b"no rule"


def test_a_name_that_does_not_exist_is_not_found(multi: Balanced) -> None:
    endpoint = multi.endpoint(host="other-0123.us-east-1.elb.amazonaws.com")
    assert endpoint.request("GET", "/").status == 404


# --- Health checks

#: Keeps the events of health checks, and answers them with the status that its description says.
CHECKED = """
import json
seen = []
def handler(event, context):
    headers = event["multiValueHeaders"]
    if headers.get("user-agent") == ["ELB-HealthChecker/2.0"]:
        seen.append(event)
    status = 500 if event["path"] == "/bad" else 204
    return {"statusCode": 200 if event["path"] == "/seen" else status, "isBase64Encoded": False,
            "multiValueHeaders": {}, "body": json.dumps(seen)}
"""


def test_health_checks_of_functions_are_off_by_default(multi: Balanced, local_aws: LocalAws) -> None:
    assert multi.health() == {
        "State": "unavailable",
        "Reason": "Target.HealthCheckDisabled",
        "Description": "Health checks are not enabled for this target",
    }
    (group,) = local_aws.client("elbv2").describe_target_groups(
        TargetGroupArns=[multi.stack.outputs["Group"]]
    )["TargetGroups"]
    assert (group["HealthCheckIntervalSeconds"], group["HealthCheckTimeoutSeconds"]) == (35, 30)


def test_a_health_check_is_the_documented_event_and_makes_the_target_healthy(local_aws: LocalAws) -> None:
    settings = {
        "HealthCheckEnabled": True,
        "HealthCheckPath": "/ok?deep=1",
        "Matcher": {"HttpCode": "200-204"},
    }
    balancer = balanced(local_aws, CHECKED, **settings)
    eventually(lambda: balancer.health() == {"State": "healthy"})
    assert balancer.send("GET", "/seen").json() == [
        {
            "requestContext": {"elb": {"targetGroupArn": balancer.stack.outputs["Group"]}},
            "httpMethod": "GET",
            "path": "/ok",
            "multiValueQueryStringParameters": {"deep": ["1"]},
            "multiValueHeaders": {"user-agent": ["ELB-HealthChecker/2.0"]},
            "body": "",
            "isBase64Encoded": False,
        }
    ]


def test_a_target_that_no_rule_leads_to_is_unused(local_aws: LocalAws) -> None:
    made = resources(HealthCheckEnabled=True)
    nothing = {"StatusCode": "404", "ContentType": "text/plain", "MessageBody": ""}
    made["Listener"] = listener(80, {"Type": "fixed-response", "FixedResponseConfig": nothing})
    assert Balanced(local_aws, deploy(local_aws, made, OUTPUTS)).health()["State"] == "unused"


@pytest.mark.full
def test_a_target_that_fails_its_checks_is_unhealthy_and_still_gets_requests(
    local_aws: LocalAws,
) -> None:
    settings = {"HealthCheckEnabled": True, "HealthCheckIntervalSeconds": 5, "HealthCheckTimeoutSeconds": 2}
    balancer = balanced(local_aws, CHECKED, HealthCheckPath="/bad", **settings)
    assert balancer.health()["State"] == "initial"
    eventually(lambda: balancer.health()["State"] == "unhealthy", seconds=30)
    assert balancer.health()["Reason"] == "Target.ResponseCodeMismatch"
    assert "[500]" in balancer.health()["Description"]
    assert balancer.send("GET", "/seen").status == 200
    local_aws.client("elbv2").modify_target_group(
        TargetGroupArn=balancer.stack.outputs["Group"],
        HealthCheckPath="/ok",
        HealthyThresholdCount=2,
        Matcher={"HttpCode": "204"},
    )
    eventually(lambda: balancer.health()["State"] == "healthy", seconds=30)


# --- The emulator without bridges


def registered(aws: LocalAws, source: str) -> Balanced:
    """A target that is registered by the API, on the emulator without bridges."""
    balancer = balanced(aws, source, permitted=False)
    outputs = balancer.stack.outputs
    aws.client("elbv2").register_targets(
        TargetGroupArn=outputs["Group"], Targets=[{"Id": outputs["Function"]}]
    )
    return balancer


def test_the_emulator_still_drops_targets_and_calls_them_healthy(stock_aws: LocalAws) -> None:
    balancer = balanced(stock_aws)
    assert balancer.send("GET", "/").status == 503
    assert registered(stock_aws, ECHO).health()["State"] == "healthy"


def test_the_emulator_still_mixes_the_modes_and_joins_headers(stock_aws: LocalAws) -> None:
    event = registered(stock_aws, ECHO).event("GET", "/a%20b?c=%20", [("X-A", "1"), ("X-A", "2")])
    assert {"headers", "multiValueHeaders"} <= event.keys()
    assert event["multiValueHeaders"]["x-a"] == ["1, 2"]
    assert event["path"] == "/a b"
    assert event["multiValueQueryStringParameters"] == {"c": [" "]}


def test_still_needed_the_emulator_forwards_invalid_responses_and_errors(stock_aws: LocalAws) -> None:
    balancer = registered(stock_aws, "def handler(event, context): return 'secret'")
    assert balancer.send("GET", "/").status == 200
    balancer = registered(stock_aws, "def handler(event, context): raise RuntimeError('secret')")
    assert b"secret" in balancer.send("GET", "/").body


def test_the_emulator_still_asks_no_permission_and_answers_health_itself(stock_aws: LocalAws) -> None:
    balancer = registered(stock_aws, ECHO)
    assert balancer.event("GET", "/")["path"] == "/"
    answer = balancer.send("GET", "/health", [(SECRET_HEADER, derived(stock_aws._options.secret, CONTROL))])
    assert "services" in answer.json()
    assert balancer.send("PUT", "/", [("Content-Type", "text/plain")], b"x" * (MB + 1)).status == 200
