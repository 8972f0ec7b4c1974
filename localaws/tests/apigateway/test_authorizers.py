"""Lambda authorizers and IAM, of HTTP and REST APIs."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from helpers.apis import HANDLER, Api, HttpApi, RestApi, signed
from helpers.http import HttpResponse
from helpers.lambda_functions import Functions, eventually
from localaws import LocalAws

pytestmark = pytest.mark.local

# Decides by the token. Its context has the number of calls and the event.
AUTHORIZER = """
import json
calls = 0
def handler(event, context):
    global calls
    calls += 1
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    token = event.get("authorizationToken") or headers.get("x-token") or ""
    if token == "crash":
        raise ValueError("the secret is 42")
    if token == "unauthorized":
        raise Exception("Unauthorized")
    if token == "odd":
        return {"hello": 1}
    if token == "text":
        return "yes"
    said = {"calls": calls, "event": json.dumps(event), "admin": True}
    if token.startswith("simple"):
        return {"isAuthorized": token == "simple-yes", "context": said}
    arn = event.get("routeArn") or event.get("methodArn")
    effect = "Deny" if token == "deny" else "Allow"
    other = arn.rpartition("/")[0] + "/other"
    allowed = other if token == "other" else arn
    statement = {"Effect": effect, "Action": "execute-api:Invoke", "Resource": allowed}
    return {"principalId": "ann", "policyDocument": {"Statement": [statement]}, "context": said}
"""
SIMPLE = {"AuthorizerPayloadFormatVersion": "2.0", "EnableSimpleResponses": True}


@pytest.fixture(scope="module")
def function(local_aws: LocalAws) -> str:
    return Functions(local_aws).make(HANDLER)


@pytest.fixture(scope="module")
def authorizer(local_aws: LocalAws) -> str:
    return Functions(local_aws).make(AUTHORIZER)


def uri(functions: Functions, function: str) -> str:
    arn = functions.arn("lambda", f"function:{function}")
    return f"arn:aws:apigateway:{functions.aws.region}:lambda:path/2015-03-31/functions/{arn}/invocations"


def guard(api: HttpApi, key: str, integration: str, function: str, **settings: Any) -> str:
    """A route with an authorizer of its own."""
    usual = {"IdentitySource": ["$request.header.X-Token"], "AuthorizerResultTtlInSeconds": 0}
    made: str = api.client.create_authorizer(
        ApiId=api.id,
        Name=uuid.uuid4().hex,
        AuthorizerType="REQUEST",
        AuthorizerUri=uri(api.functions, function),
        **{**usual, **settings},
    )["AuthorizerId"]
    api.route(key, integration, AuthorizationType="CUSTOM", AuthorizerId=made)
    return made


@pytest.fixture(scope="module")
def api(local_aws: LocalAws, function: str, authorizer: str) -> HttpApi:
    api = HttpApi(Functions(local_aws))
    api.permit(authorizer, "authorizers/*")
    two, one = api.integrate(function), api.integrate(function, "1.0")
    guard(api, "GET /simple", two, authorizer, **SIMPLE)
    guard(api, "GET /policy", two, authorizer, AuthorizerPayloadFormatVersion="2.0")
    guard(api, "GET /first", one, authorizer, AuthorizerPayloadFormatVersion="1.0")
    guard(api, "GET /cached", two, authorizer, **SIMPLE, AuthorizerResultTtlInSeconds=3600)
    guard(api, "GET /briefly", two, authorizer, **SIMPLE, AuthorizerResultTtlInSeconds=9)
    several = ["$request.header.X-Token", "$request.querystring.tenant"]
    guard(api, "GET /several", two, authorizer, **SIMPLE, IdentitySource=several)
    guard(api, "GET /open", two, authorizer, **SIMPLE, IdentitySource=[])
    return api


def get(api: Api, path: str, token: str = "", **query: str) -> HttpResponse:
    return api.get(path, headers=[("X-Token", token)] if token else [], **query)


def test_a_simple_response_decides_and_its_context_is_passed_on(api: HttpApi) -> None:
    assert (get(api, "/simple").status, get(api, "/simple").body) == (401, b'{"message":"Unauthorized"}')
    refused = get(api, "/simple", "simple-no")
    assert (refused.status, refused.body) == (403, b'{"message":"Forbidden"}')
    said = get(api, "/simple", "simple-yes").json()["requestContext"]["authorizer"]["lambda"]
    assert said["admin"] is True
    event = json.loads(said["event"])
    context = event.pop("requestContext")
    assert context["domainPrefix"] == api.id
    assert context["http"]["path"] == "/simple"
    assert event["version"] == "2.0"
    assert event["type"] == "REQUEST"
    assert event["routeArn"] == api.functions.arn("execute-api", f"{api.id}/$default/GET/simple")
    assert event["identitySource"] == ["simple-yes"]
    assert event["routeKey"] == "GET /simple"
    assert event["headers"]["x-token"] == "simple-yes"
    assert event["headers"]["x-forwarded-for"] == "127.0.0.1"


def test_an_integration_maps_what_the_authorizer_says(api: HttpApi, function: str, authorizer: str) -> None:
    mapping = {
        "append:header.x-one": "$context.authorizer.calls",
        "append:header.x-two": "$context.authorizer.lambda.calls",
    }
    guard(api, "GET /mapped", api.integrate(function, RequestParameters=mapping), authorizer, **SIMPLE)
    event = get(api, "/mapped", "simple-yes").json()
    calls = str(event["requestContext"]["authorizer"]["lambda"]["calls"])
    assert (event["headers"]["x-one"], event["headers"]["x-two"]) == (calls, calls)


def test_a_policy_decides_for_the_route(api: HttpApi) -> None:
    for token, status in {"allow": 200, "deny": 403, "other": 403}.items():
        assert get(api, "/policy", token).status == get(api, "/first", token).status == status, token
    event = get(api, "/first", "allow").json()["requestContext"]["authorizer"]
    assert (event["principalId"], event["admin"], event["claims"]) == ("ann", "true", None)
    asked = json.loads(event["event"])
    assert (asked["version"], asked["type"], asked["identitySource"]) == ("1.0", "REQUEST", "allow")
    assert asked["methodArn"].endswith(f"{api.id}/$default/GET/first")


@pytest.mark.parametrize("token", ["crash", "odd", "text"])
@pytest.mark.parametrize("path", ["/simple", "/policy", "/first"])
def test_an_authorizer_that_fails_is_500_and_shows_nothing(api: HttpApi, path: str, token: str) -> None:
    answer = get(api, path, token)
    assert (answer.status, answer.body) == (500, b'{"message":"Internal Server Error"}')


def test_every_identity_source_is_needed_and_without_any_every_request_is_asked(api: HttpApi) -> None:
    assert get(api, "/several", "simple-yes").status == 401
    assert get(api, "/several", tenant="a").status == 401
    assert get(api, "/several", "simple-yes", tenant="a").status == 200
    assert get(api, "/open", "simple-yes").status == 200
    assert get(api, "/open", "simple-no").status == 403


def test_the_answer_is_cached_by_the_identity_source_until_it_expires(api: HttpApi) -> None:
    def calls(token: str, path: str = "/cached") -> int:
        found: int = get(api, path, token).json()["requestContext"]["authorizer"]["lambda"]["calls"]
        return found

    first = calls("simple-yes")
    assert calls("simple-yes") == first
    brief = calls("simple-yes", "/briefly")
    eventually(lambda: calls("simple-yes", "/briefly") > brief)  # nine seconds are 0.3 here
    assert calls("simple-yes") == first
    api.client.reset_authorizers_cache(ApiId=api.id, StageName="$default")
    assert calls("simple-yes") > first
    assert calls("simple-yes", "/simple") < calls("simple-yes", "/simple")
    refused = [get(api, "/cached", "simple-no").status for _ in range(2)]
    assert refused == [403, 403]


def test_an_api_needs_the_permission_of_its_authorizer(functions: Functions, function: str) -> None:
    own, api = functions.make(AUTHORIZER), HttpApi(functions)
    made = guard(api, "GET /a", api.integrate(function), own, **SIMPLE)
    assert get(api, "/a", "simple-yes").status == 500
    api.permit(own, "authorizers/another")
    assert get(api, "/a", "simple-yes").status == 500
    api.permit(own, f"authorizers/{made}")
    assert get(api, "/a", "simple-yes").status == 200


def test_an_authorizer_with_a_role_needs_that_role(functions: Functions, function: str) -> None:
    own, api = functions.make(AUTHORIZER), HttpApi(functions)
    integration, arn = api.integrate(function), functions.arn("lambda", f"function:{own}")
    roles = {
        "/a": functions.role(("lambda:InvokeFunction", arn), service="apigateway.amazonaws.com"),
        "/b": functions.role(service="apigateway.amazonaws.com"),
        "/c": functions.role(("lambda:InvokeFunction", arn)),
    }
    for path, role in roles.items():
        guard(api, f"GET {path}", integration, own, **SIMPLE, AuthorizerCredentialsArn=role)
    assert [get(api, path, "simple-yes").status for path in roles] == [200, 500, 500]


def test_the_access_log_says_why_the_authorizer_refused(api: HttpApi) -> None:
    name, logs = f"/apis/{uuid.uuid4().hex}", api.aws.client("logs")
    logs.create_log_group(logGroupName=name)
    arn = api.functions.arn("logs", f"log-group:{name}")
    line = "$context.requestId|$context.status|$context.authorizer.error|$context.authorizer.admin"
    api.update_stage(AccessLogSettings={"DestinationArn": arn, "Format": line})
    for token in ("simple-yes", "crash", ""):
        get(api, "/simple", token)
    found = eventually(
        lambda: events if len(events := logs.filter_log_events(logGroupName=name)["events"]) == 3 else []
    )
    yes, crash, missing = (event["message"].split("|")[1:] for event in found)
    assert yes == ["200", "-", "true"]
    assert crash[0] == "500"
    assert "the secret is 42" in crash[1]
    assert missing[0] == "401"


# --- REST APIs


@pytest.fixture(scope="module")
def rest(local_aws: LocalAws, function: str, authorizer: str) -> RestApi:
    functions = Functions(local_aws)
    api = RestApi(functions)
    api.permit(authorizer, "authorizers/*")
    settings: dict[str, Any] = {"restApiId": api.id, "authorizerUri": uri(functions, authorizer)}
    source = {"identitySource": "method.request.header.X-Token"}
    for path, own in {
        "/token": {"type": "TOKEN", **source, "identityValidationExpression": "[a-z-]+"},
        "/request": {"type": "REQUEST", **source},
    }.items():
        made = api.client.create_authorizer(
            **settings, **own, name=path[1:], authorizerResultTtlInSeconds=3600
        )["id"]
        api.method("GET", path, function, authorizationType="CUSTOM", authorizerId=made)
    api.method("GET", "/iam", function, authorizationType="AWS_IAM")
    api.deploy()
    return api


@pytest.mark.parametrize("path", ["/token", "/request"])
def test_authorizers_of_rest_apis(rest: RestApi, path: str) -> None:
    said = get(rest, path, "allow").json()["requestContext"]["authorizer"]
    assert (said["principalId"], said["admin"]) == ("ann", "true")
    again = get(rest, path, "allow").json()["requestContext"]["authorizer"]
    assert again["calls"] == said["calls"]
    rest.client.flush_stage_authorizers_cache(restApiId=rest.id, stageName="live")
    again = get(rest, path, "allow").json()["requestContext"]["authorizer"]
    assert int(again["calls"]) > int(said["calls"])
    event = json.loads(said["event"])
    assert event["methodArn"].endswith(f"{rest.id}/live/GET{path}")
    if path == "/request":
        assert event["requestContext"]["identity"]["sourceIp"] == "127.0.0.1"
        assert event["headers"]["Host"].startswith(rest.id)
    missing = get(rest, path)
    assert (missing.status, missing.body) == (401, b'{"message":"Unauthorized"}')
    assert get(rest, path, "unauthorized").status == 401
    denied = get(rest, path, "deny")
    assert denied.status == 403
    assert "explicit deny" in denied.json()["Message"]
    assert get(rest, path, "other").status == 403
    for token in ("crash", "odd"):
        failed = get(rest, path, token)
        assert failed.status == 500
        assert b"42" not in failed.body


def test_a_token_that_does_not_match_is_refused_without_a_call(rest: RestApi) -> None:
    assert get(rest, "/token", "WRONG!").status == 401


def test_iam_decides_for_both(rest: RestApi, function: str) -> None:
    api = HttpApi(rest.functions)
    api.route("GET /iam", api.integrate(function), AuthorizationType="AWS_IAM")
    for front, stage in ((api, "$default"), (rest, "live")):
        arn = front.functions.arn("execute-api", f"{front.id}/{stage}/GET/iam")
        allowed = front.get("/iam", headers=signed(front, "/iam", ("execute-api:Invoke", arn)))
        assert allowed.status == 200, front
        context = allowed.json()["requestContext"]
        caller = context["authorizer"]["iam"] if front is api else context["identity"]
        assert caller["userArn"].startswith(f"arn:aws:iam::{front.aws.account}:user/")
        assert caller["accountId"] == front.aws.account
        refused = front.get("/iam", headers=signed(front, "/iam", ("execute-api:Invoke", f"{arn}/x")))
        unsigned = front.get("/iam")
        forged = [
            (name, value[:-4] + "0000" if name == "Authorization" else value)
            for name, value in signed(front, "/iam", ("execute-api:Invoke", arn))
        ]
        wrong = front.get("/iam", headers=forged)
        assert [refused.status, unsigned.status, wrong.status] == [403, 403, 403]
        if front is api:
            assert {one.body for one in (refused, unsigned, wrong)} == {b'{"message":"Forbidden"}'}
        else:
            assert unsigned.json() == {"message": "Missing Authentication Token"}
            assert "is not authorized to perform: execute-api:Invoke" in refused.json()["Message"]
