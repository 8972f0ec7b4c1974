"""What the stages of APIs do: throttling, access logs, metrics, and the cache of REST APIs."""

from __future__ import annotations

import datetime
import json
import uuid
from typing import Any

import pytest

from helpers.apis import HANDLER, Api, HttpApi, RestApi, signed
from helpers.lambda_functions import Functions, eventually
from localaws import LocalAws

pytestmark = pytest.mark.local

LOG = {
    name: f"$context.{name}"
    for name in (
        *("requestId", "httpMethod", "path", "status", "protocol", "stage", "routeKey", "resourcePath"),
        *("identity.sourceIp", "identity.userAgent", "integration.status", "integrationStatus"),
        *("integration.error", "error.message", "error.responseType", "responseLength", "authorizer.error"),
    )
}
NUMBERS = """
number = 0
def handler(event, context):
    global number
    number += 1
    return {"statusCode": 200, "body": str(number)}
"""


@pytest.fixture(scope="module")
def function(local_aws: LocalAws) -> str:
    return Functions(local_aws).make(HANDLER)


@pytest.fixture
def api(functions: Functions, function: str) -> HttpApi:
    api = HttpApi(functions)
    integration = api.integrate(function)
    for key in ("GET /a", "GET /b"):
        api.route(key, integration)
    return api


@pytest.fixture
def rest(functions: Functions, function: str) -> RestApi:
    api = RestApi(functions)
    for path in ("/a", "/b"):
        api.method("GET", path, function)
    api.deploy()
    return api


def statuses(api: Api, path: str, count: int = 4) -> list[int]:
    return [api.get(path).status for _ in range(count)]


# --- Throttling

SLOW = 0.01  # a request in 100 seconds, so that no token comes back during a test


def test_the_limits_of_a_stage_are_those_of_each_route(api: HttpApi) -> None:
    api.update_stage(DefaultRouteSettings={"ThrottlingBurstLimit": 2, "ThrottlingRateLimit": SLOW})
    assert statuses(api, "/a") == [200, 200, 429, 429]
    assert statuses(api, "/b") == [200, 200, 429, 429]
    assert api.get("/a").body == b'{"message":"Too Many Requests"}'


def test_a_route_has_its_own_limits_and_tokens_come_back_at_the_rate(api: HttpApi) -> None:
    def limit(rate: float) -> None:
        own = {"GET /a": {"ThrottlingBurstLimit": 1, "ThrottlingRateLimit": rate}}
        api.update_stage(RouteSettings=own, DefaultRouteSettings={"ThrottlingBurstLimit": 100})

    limit(SLOW)
    assert statuses(api, "/a", 2) == [200, 429]
    assert statuses(api, "/b") == [200] * 4
    limit(5.0)
    eventually(lambda: api.get("/a").status == 200)


def test_no_rate_or_no_burst_refuses_everything(api: HttpApi) -> None:
    api.update_stage(DefaultRouteSettings={"ThrottlingBurstLimit": 0, "ThrottlingRateLimit": 10.0})
    assert statuses(api, "/a", 2) == [429, 429]
    api.update_stage(DefaultRouteSettings={"ThrottlingBurstLimit": 10, "ThrottlingRateLimit": 0.0})
    assert statuses(api, "/b", 2) == [429, 429]


def test_methods_of_rest_apis_have_limits_of_their_own(rest: RestApi) -> None:
    rest.patch_stage(**{"/~1a/GET/throttling/burstLimit": "1", "/~1a/GET/throttling/rateLimit": str(SLOW)})
    rest.patch_stage(**{"/*/*/throttling/burstLimit": "2", "/*/*/throttling/rateLimit": str(SLOW)})
    assert statuses(rest, "/a", 2) == [200, 429]
    assert statuses(rest, "/b", 3) == [200, 200, 429]
    answer = rest.get("/a")
    assert (answer.body, answer.header("x-amzn-errortype")) == (
        b'{"message":"Too Many Requests"}',
        "TooManyRequestsException",
    )


def test_usage_plans_have_rates_and_quotas(rest: RestApi, function: str) -> None:
    rest.method("GET", "/key", function, apiKeyRequired=True)
    rest.deploy()
    client = rest.client
    keys = {}
    plans: dict[str, dict[str, Any]] = {
        "rate": {"throttle": {"burstLimit": 1, "rateLimit": SLOW}},
        "quota": {"quota": {"limit": 2, "period": "DAY"}},
    }
    for name, limits in plans.items():
        plan = client.create_usage_plan(
            name=uuid.uuid4().hex, apiStages=[{"apiId": rest.id, "stage": "live"}], **limits
        )["id"]
        key = client.create_api_key(name=uuid.uuid4().hex, enabled=True)
        client.create_usage_plan_key(usagePlanId=plan, keyId=key["id"], keyType="API_KEY")
        keys[name] = key["value"]

    def calls(key: str, count: int) -> list[tuple[int, bytes]]:
        answers = [rest.get("/key", headers=[("x-api-key", key)]) for _ in range(count)]
        return [(answer.status, answer.body if answer.status > 200 else b"") for answer in answers]

    assert rest.get("/key").body == b'{"message":"Forbidden"}'
    assert calls(keys["rate"], 2) == [(200, b""), (429, b'{"message":"Too Many Requests"}')]
    over = 429, b'{"message":"Limit Exceeded"}'
    other = client.create_api_key(name=uuid.uuid4().hex, enabled=True)
    client.create_usage_plan_key(usagePlanId=plan, keyId=other["id"], keyType="API_KEY")
    event = rest.get("/key", headers=[("x-api-key", other["value"])]).json()
    identity = event["requestContext"]["identity"]
    assert (identity["apiKey"], identity["apiKeyId"]) == (other["value"], other["id"])
    assert calls(keys["quota"], 3) == [(200, b""), (200, b""), over]


# --- Access logs and metrics


def group(functions: Functions) -> tuple[str, str]:
    name = f"/apis/{uuid.uuid4().hex}"
    functions.aws.client("logs").create_log_group(logGroupName=name)
    return name, functions.arn("logs", f"log-group:{name}")


def lines(functions: Functions, name: str, count: int) -> list[dict[str, Any]]:
    def found() -> list[dict[str, Any]]:
        events = functions.aws.client("logs").filter_log_events(logGroupName=name)["events"]
        return [json.loads(event["message"]) for event in events] if len(events) >= count else []

    return eventually(found)


def test_the_access_log_of_an_http_api_explains_each_answer(functions: Functions, function: str) -> None:
    api = HttpApi(functions)
    api.route("GET /a", api.integrate(function))
    hidden = functions.make(HANDLER)
    unpermitted = api.client.create_integration(
        ApiId=api.id,
        IntegrationType="AWS_PROXY",
        IntegrationUri=functions.arn("lambda", f"function:{hidden}"),
        PayloadFormatVersion="2.0",
    )["IntegrationId"]
    api.route("GET /hidden", unpermitted)
    name, arn = group(functions)
    api.update_stage(AccessLogSettings={"DestinationArn": f"{arn}:*", "Format": json.dumps(LOG)})
    first = api.get("/a", headers=[("User-Agent", 'say "hi"')])
    for path, do in (("/a", "fail"), ("/hidden", ""), ("/no", "")):
        api.get(path, do=do)
    found = lines(functions, name, 4)
    assert found[0] == {
        "requestId": first.json()["requestContext"]["requestId"],
        "httpMethod": "GET",
        "path": "/a",
        "status": "200",
        "protocol": "HTTP/1.1",
        "stage": "$default",
        "routeKey": "GET /a",
        "resourcePath": "-",
        "identity.sourceIp": "127.0.0.1",
        "identity.userAgent": 'say "hi"',
        "integration.status": "200",
        "integrationStatus": "200",
        "integration.error": "-",
        "error.message": "-",
        "error.responseType": "-",
        "responseLength": str(len(first.body)),
        "authorizer.error": "-",
    }
    assert found[0]["requestId"] == first.header("apigw-requestid")
    assert [one["status"] for one in found] == ["200", "500", "500", "404"]
    assert [one["error.message"] for one in found[1:]] == [*["Internal Server Error"] * 2, "Not Found"]
    assert "the secret is 42" in found[1]["integration.error"]
    assert "doesn't have permissions to call the integration" in found[2]["integration.error"]
    assert (found[2]["integrationStatus"], found[2]["integration.status"]) == ("403", "-")


def test_a_rest_api_logs_with_the_role_of_the_account(functions: Functions, rest: RestApi) -> None:
    name, arn = group(functions)
    settings = {"/accessLogSettings/destinationArn": arn, "/accessLogSettings/format": json.dumps(LOG)}
    account = functions.aws.client("apigateway")
    account.update_account(patchOperations=[{"op": "remove", "path": "/cloudwatchRoleArn"}])
    with pytest.raises(account.exceptions.BadRequestException, match="CloudWatch Logs role ARN must be set"):
        rest.patch_stage(**settings)
    role = functions.role(service="apigateway.amazonaws.com")
    change = {"op": "replace", "path": "/cloudwatchRoleArn", "value": role}
    with pytest.raises(
        account.exceptions.BadRequestException, match="grant trust permission for API Gateway"
    ):
        account.update_account(patchOperations=[change])
    policy = "arn:aws:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
    iam, of = functions.aws.client("iam"), {"RoleName": role.rpartition("/")[2], "PolicyArn": policy}
    iam.attach_role_policy(**of)
    account.update_account(patchOperations=[change])
    rest.patch_stage(**settings)
    iam.detach_role_policy(**of)
    assert rest.get("/b").status == 200  # and nothing of it is logged
    iam.attach_role_policy(**of)
    assert rest.get("/a").status == 200
    rest.get("/no")
    first, second = lines(functions, name, 2)
    assert (first["status"], first["resourcePath"], first["routeKey"]) == ("200", "/a", "-")
    assert (first["path"], first["integration.status"]) == ("/live/a", "200")
    assert (second["status"], second["error.message"]) == ("403", "Missing Authentication Token")
    assert second["error.responseType"] == "MISSING_AUTHENTICATION_TOKEN"


def total(aws: LocalAws, metric: str, **dimensions: str) -> float:
    now = datetime.datetime.now(datetime.UTC)
    found = aws.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/ApiGateway",
        MetricName=metric,
        Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
        StartTime=now - datetime.timedelta(minutes=10),
        EndTime=now + datetime.timedelta(minutes=1),
        Period=3600,
        Statistics=["Sum", "SampleCount"],
    )["Datapoints"]
    return sum(float(point["Sum"]) for point in found)


def test_metrics(api: HttpApi, rest: RestApi, local_aws: LocalAws) -> None:
    api.update_stage(RouteSettings={"GET /a": {"DetailedMetricsEnabled": True}})
    rest.patch_stage(**{"/*/*/metrics/enabled": "true"})
    for front in (api, rest):
        assert [front.get("/a").status, front.get("/a", do="fail").status >= 500] == [200, True]
        assert front.get("/no").status in (403, 404)
    for of in ({"ApiId": api.id}, {"ApiId": api.id, "Stage": "$default"}):
        assert [total(local_aws, name, **of) for name in ("Count", "4xx", "5xx")] == [3, 1, 1]
    assert total(local_aws, "Count", ApiId=api.id, Stage="$default", Route="GET /a") == 2
    assert total(local_aws, "DataProcessed", ApiId=api.id) > 500
    for of in ({"ApiName": rest.name}, {"ApiName": rest.name, "Stage": "live"}):
        assert [total(local_aws, name, **of) for name in ("Count", "4XXError", "5XXError")] == [3, 1, 1]
    detailed = {"ApiName": rest.name, "Stage": "live", "Method": "GET", "Resource": "/a"}
    assert total(local_aws, "Count", **detailed) == 2
    for of in ({"ApiId": api.id}, {"ApiName": rest.name}):
        assert total(local_aws, "Latency", **of) >= total(local_aws, "IntegrationLatency", **of) > 0


# --- The cache


@pytest.fixture
def cached(functions: Functions) -> RestApi:
    """An API whose responses are numbers, with a cache."""
    api = RestApi(functions)
    numbers = functions.make(NUMBERS)
    for path, keys in {
        "/n/{id}": ["path.id", "querystring.q", "header.Authorization"],
        "/same/{id}": [],
    }.items():
        names = [f"method.request.{key}" for key in keys]
        for method in ("GET", "POST"):
            api.method(
                *(method, path, numbers),
                requestParameters=dict.fromkeys(names, False),
                integration={"cacheKeyParameters": names},
            )
    api.deploy()
    api.patch_stage(**{"/cacheClusterEnabled": "true", "/cacheClusterSize": "0.5"})
    api.patch_stage(**{"/*/*/caching/enabled": "true", "/*/*/caching/ttlInSeconds": "3600"})
    api.patch_stage(**{"/*/*/caching/requireAuthorizationForCacheControl": "false"})
    return api


def test_a_cached_answer_is_that_of_the_same_path_and_keys(cached: RestApi, local_aws: LocalAws) -> None:
    def number(path: str = "/n/1", **headers: str) -> bytes:
        return cached.get(path, headers=list(headers.items())).body

    assert number() == number() == number("/n/1?other=1") == b"1"
    assert number("/n/1?q=1") == number("/n/1?q=1&other=2") == b"2"
    assert number("/n/2") == b"3"
    assert number(Authorization="ann") == number(Authorization="ann") == b"4"
    assert number(Authorization="bob") == b"5"
    assert number("/same/1", Authorization="ann") == number("/same/2", Authorization="bob") == b"6"
    assert cached.request("POST", "/n/1").body != cached.request("POST", "/n/1").body
    name = {"ApiName": cached.name}
    assert [total(local_aws, metric, **name) for metric in ("CacheHitCount", "CacheMissCount")] == [5, 6]


def test_a_cached_answer_expires(cached: RestApi) -> None:
    cached.patch_stage(**{"/*/*/caching/ttlInSeconds": "9"})  # 0.3 seconds here
    first = cached.get("/n/1").body
    eventually(lambda: cached.get("/n/1").body != first)
    cached.patch_stage(**{"/*/*/caching/ttlInSeconds": "3600"})
    flushed = cached.get("/n/2").body
    assert cached.get("/n/2").body == flushed
    cached.client.flush_stage_cache(restApiId=cached.id, stageName="live")
    assert cached.get("/n/2").body != flushed
    with pytest.raises(cached.client.exceptions.NotFoundException):
        cached.client.flush_stage_cache(restApiId=cached.id, stageName="no")
    cached.patch_stage(**{"/*/*/caching/ttlInSeconds": "0"})
    assert cached.get("/n/1").body != cached.get("/n/1").body


def test_only_who_may_gets_a_fresh_answer(cached: RestApi, functions: Functions) -> None:
    fresh = ("Cache-Control", "max-age=0")
    first = cached.get("/n/1").body
    second = cached.get("/n/1", headers=[fresh]).body
    assert second != first
    assert cached.get("/n/1").body == second
    cached.patch_stage(**{"/*/*/caching/requireAuthorizationForCacheControl": "true"})
    answers = {}
    for strategy in ("SUCCEED_WITH_RESPONSE_HEADER", "SUCCEED_WITHOUT_RESPONSE_HEADER", "FAIL_WITH_403"):
        cached.patch_stage(**{"/*/*/caching/unauthorizedCacheControlHeaderStrategy": strategy})
        answers[strategy] = cached.get("/n/1", headers=[fresh])
    assert [answer.status for answer in answers.values()] == [200, 200, 403]
    assert answers["SUCCEED_WITH_RESPONSE_HEADER"].header("warning").startswith("199")
    assert answers["SUCCEED_WITHOUT_RESPONSE_HEADER"].header("warning") == ""
    assert answers["SUCCEED_WITHOUT_RESPONSE_HEADER"].body == second
    cached.patch_stage(**{"/*/*/caching/unauthorizedCacheControlHeaderStrategy": [*answers][1]})
    arn = functions.arn("execute-api", f"{cached.id}/live/GET/same/*")
    for action, renewed in (("execute-api:Invoke", False), ("execute-api:InvalidateCache", True)):
        before = cached.get("/same/1").body
        headers = [*signed(cached, "/same/1", (action, arn)), fresh]
        assert (cached.get("/same/1", headers=headers).body != before) is renewed
