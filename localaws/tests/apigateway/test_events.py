"""Events of HTTP and REST APIs, field by field."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from helpers.apis import HANDLER, HttpApi, RestApi
from helpers.http import Endpoint
from helpers.lambda_functions import Functions
from localaws import LocalAws

pytestmark = pytest.mark.local

HEADERS = [("Cookie", "a=1; b=2"), ("X-Many", "x"), ("X-Many", "y"), ("X-Forwarded-For", "1.2.3.4")]
AGENT = ("User-Agent", "test")
IDENTITY = {
    **dict.fromkeys(
        (
            *("accessKey", "accountId", "caller", "cognitoAuthenticationProvider"),
            *("cognitoAuthenticationType", "cognitoIdentityId", "cognitoIdentityPoolId"),
            *("principalOrgId", "user", "userArn"),
        )
    ),
    "sourceIp": "127.0.0.1",
    "userAgent": "test",
}


@pytest.fixture(scope="module")
def function(local_aws: LocalAws) -> str:
    return Functions(local_aws).make(HANDLER)


@pytest.fixture(scope="module")
def api(local_aws: LocalAws, function: str) -> HttpApi:
    api = HttpApi(Functions(local_aws), stage="beta")
    api.update_stage(StageVariables={"color": "red"})
    second = api.integrate(function)
    api.route("ANY /two/{name+}", second)
    api.route("$default", second)
    api.route("ANY /one/{name+}", api.integrate(function, "1.0"))
    return api


@pytest.fixture(scope="module")
def root(local_aws: LocalAws, function: str) -> HttpApi:
    """An API without a stage in its paths."""
    api = HttpApi(Functions(local_aws))
    api.route("$default", api.integrate(function))
    return api


@pytest.fixture(scope="module")
def rest(local_aws: LocalAws, function: str) -> RestApi:
    api = RestApi(Functions(local_aws), binaryMediaTypes=["image/png"])
    api.method("ANY", "/notes/{name}", function)
    api.deploy()
    return api


def taken(event: dict[str, Any], *names: str) -> dict[str, Any]:
    """What changes with each request, taken out of the context."""
    return {name: event["requestContext"].pop(name) for name in names}


def test_format_2_0(api: HttpApi, local_aws: LocalAws) -> None:
    path = "/two/a%2Fb%20c%25?q=1&q=2%26&empty="
    event = api.get(path, headers=[*HEADERS, AGENT]).json()
    host = f"{api.id}.execute-api.{local_aws.region}.amazonaws.com"
    varying = taken(event, "requestId", "time", "timeEpoch")
    assert varying["timeEpoch"] > 1_700_000_000_000
    assert varying["time"].endswith(" +0000")
    assert event["headers"].pop("x-amzn-trace-id").startswith("Root=1-")
    assert event == {
        "version": "2.0",
        "routeKey": "ANY /two/{name+}",
        "rawPath": "/beta/two/a/b c%25",
        "rawQueryString": "q=1&q=2%26&empty=",
        "cookies": ["a=1", "b=2"],
        "headers": {
            "host": host,
            "user-agent": "test",
            "x-forwarded-for": "1.2.3.4, 127.0.0.1",
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https",
            "x-many": "x,y",
        },
        "queryStringParameters": {"q": "1,2&", "empty": ""},
        "pathParameters": {"name": "a/b c%25"},
        "stageVariables": {"color": "red"},
        "requestContext": {
            "accountId": local_aws.account,
            "apiId": api.id,
            "domainName": host,
            "domainPrefix": api.id,
            "http": {
                "method": "GET",
                "path": "/beta/two/a/b c%25",
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": "test",
            },
            "routeKey": "ANY /two/{name+}",
            "stage": "beta",
        },
        "isBase64Encoded": False,
    }


def test_an_integration_maps_parameters(api: HttpApi, function: str) -> None:
    mapping = {
        "append:header.x-from": "$request.querystring.q",
        "overwrite:querystring.stage": "$context.stage",
        "remove:querystring.q": "",
        "overwrite:path": "/to/${request.path.id}",
        "append:header.x-body": "${request.body.ids[0]} of $request.body",
    }
    api.route("PUT /mapped/{id}", api.integrate(function, RequestParameters=mapping))
    body = b'{"ids": [7]}'
    event = api.request("PUT", "/mapped/7?q=a%20b", headers=[("X-From", "x")], body=body).json()
    assert (event["headers"]["x-from"], event["rawQueryString"]) == ("x,a b", "stage=beta")
    assert (event["rawPath"], event["headers"]["x-body"]) == ("/beta/to/7", "7 of $request.body")
    assert event["headers"]["x-forwarded-for"] == "127.0.0.1"


def test_format_1_0_of_an_http_api(api: HttpApi, local_aws: LocalAws) -> None:
    event = api.get("/one/a%20b?q=1&q=2", headers=[*HEADERS, AGENT]).json()
    varying = taken(event, "requestId", "extendedRequestId", "requestTime", "requestTimeEpoch")
    assert varying["requestId"] == varying["extendedRequestId"]
    many = event.pop("multiValueHeaders")
    assert many["x-many"] == ["x", "y"]
    assert many["cookie"] == ["a=1; b=2"]
    assert event.pop("headers") == {name: values[-1] for name, values in many.items()}
    host = f"{api.id}.execute-api.{local_aws.region}.amazonaws.com"
    assert event == {
        "version": "1.0",
        "resource": "/one/{name+}",
        "path": "/beta/one/a b",
        "httpMethod": "GET",
        "queryStringParameters": {"q": "2"},
        "multiValueQueryStringParameters": {"q": ["1", "2"]},
        "pathParameters": {"name": "a b"},
        "stageVariables": {"color": "red"},
        "requestContext": {
            "accountId": local_aws.account,
            "apiId": api.id,
            "authorizer": {"claims": None, "scopes": None},
            "domainName": host,
            "domainPrefix": api.id,
            "httpMethod": "GET",
            "identity": IDENTITY,
            "path": "/beta/one/a b",
            "protocol": "HTTP/1.1",
            "resourceId": "ANY /one/{name+}",
            "resourcePath": "/one/{name+}",
            "stage": "beta",
        },
        "body": None,
        "isBase64Encoded": False,
    }


def test_the_event_of_a_rest_api(rest: RestApi, local_aws: LocalAws) -> None:
    event = rest.get("/notes/a%2Fb%20c?q=1&q=2", headers=[*HEADERS, AGENT]).json()
    varying = taken(
        event, "requestId", "extendedRequestId", "requestTime", "requestTimeEpoch", "deploymentId"
    )
    assert len(varying["requestId"]) == 36
    assert len(varying["extendedRequestId"]) == 16
    many = event.pop("multiValueHeaders")
    host = f"{rest.id}.execute-api.{local_aws.region}.amazonaws.com"
    assert many["Host"] == [host]
    assert many["X-Forwarded-For"] == ["1.2.3.4, 127.0.0.1"]
    assert many["x-many"] == ["x", "y"]
    assert event.pop("headers") == {name: values[-1] for name, values in many.items()}
    assert event == {
        "resource": "/notes/{name}",
        "path": "/notes/a%2Fb%20c",
        "httpMethod": "GET",
        "queryStringParameters": {"q": "2"},
        "multiValueQueryStringParameters": {"q": ["1", "2"]},
        "pathParameters": {"name": "a%2Fb%20c"},
        "stageVariables": None,
        "requestContext": {
            "accountId": local_aws.account,
            "apiId": rest.id,
            "domainName": host,
            "domainPrefix": rest.id,
            "httpMethod": "GET",
            "identity": IDENTITY,
            "path": "/live/notes/a%2Fb%20c",
            "protocol": "HTTP/1.1",
            "resourceId": rest.resource("/notes/{name}"),
            "resourcePath": "/notes/{name}",
            "stage": "live",
        },
        "body": None,
        "isBase64Encoded": False,
    }


def test_what_is_not_there_is_left_out_of_format_2_0_and_null_in_format_1_0(api: HttpApi) -> None:
    event = api.get("/").json()
    assert event["routeKey"] == "$default"
    assert not event.keys() & {"cookies", "queryStringParameters", "pathParameters", "body"}
    event = api.get("/one/x").json()
    assert event["queryStringParameters"] is event["multiValueQueryStringParameters"] is event["body"] is None


@pytest.mark.parametrize(
    ("kind", "http_encoded", "rest_encoded"),
    [
        ("application/json; charset=utf-8", False, False),
        ("text/plain", False, False),
        ("application/x-www-form-urlencoded", True, False),
        ("image/png", True, True),
        ("", True, False),
    ],
)
def test_the_content_type_decides_whether_a_body_is_encoded(
    api: HttpApi, rest: RestApi, kind: str, http_encoded: bool, rest_encoded: bool
) -> None:
    headers = [("Content-Type", kind)] if kind else []
    encoded = base64.b64encode(b"{}").decode()
    for front, path, expected in ((api, "/two/x", http_encoded), (rest, "/notes/x", rest_encoded)):
        event = front.request("POST", path, headers=headers, body=b"{}").json()
        assert (event["body"], event["isBase64Encoded"]) == (encoded if expected else "{}", expected)


@pytest.mark.parametrize("path", ["/health", "/latest/meta-data", "/_ministack/health", "/oauth2/token"])
def test_an_api_has_every_path_also_those_of_the_emulator(root: HttpApi, path: str) -> None:
    assert root.get(path).json()["rawPath"] == path


def test_requests_with_the_public_name_of_an_api_reach_it(api: HttpApi, local_aws: LocalAws) -> None:
    name = f"{api.id}.execute-api.{local_aws.region}.amazonaws.com"
    endpoint = Endpoint.of(local_aws.address_of_api(api.id), name)
    assert json.loads(endpoint.request("GET", "/beta/x").body)["requestContext"]["domainName"] == name
