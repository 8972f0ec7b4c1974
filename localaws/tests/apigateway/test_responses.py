"""What clients get for the results of functions, of both kinds of API and both formats."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from helpers.apis import HANDLER, Api, HttpApi, RestApi
from helpers.lambda_functions import Functions
from localaws import LocalAws
from localaws.services.apigateway import parameter_mappings
from localaws.services.apigateway.exchanges import Exchange
from localaws.services.apigateway.requests import ClientRequest

pytestmark = pytest.mark.local

MEBIBYTE = 1024 * 1024


@pytest.fixture(scope="module")
def function(local_aws: LocalAws) -> str:
    return Functions(local_aws).make(HANDLER)


@pytest.fixture(scope="module")
def api(local_aws: LocalAws, function: str) -> HttpApi:
    api = HttpApi(Functions(local_aws))
    api.route("ANY /two", api.integrate(function))
    api.route("ANY /one", api.integrate(function, "1.0"))
    api.route("GET /slow", api.integrate(function, TimeoutInMillis=100))
    return api


@pytest.fixture(scope="module")
def rest(local_aws: LocalAws, function: str) -> RestApi:
    api = RestApi(Functions(local_aws), binaryMediaTypes=["image/png"])
    api.method("ANY", "/two", function)
    api.method("GET", "/slow", function, integration={"timeoutInMillis": 100})
    api.deploy()
    return api


@pytest.mark.parametrize(
    ("result", "body"),
    [("hello", b"hello"), ({"hello": 1}, b'{"hello": 1}'), ([1, 2], b"[1, 2]"), (7, b"7"), (None, b"null")],
)
def test_a_result_without_a_status_is_the_body_only_in_format_2_0(
    api: HttpApi, rest: RestApi, result: object, body: bytes
) -> None:
    answer = api.give("/two", result)
    assert (answer.status, answer.header("content-type"), answer.body) == (200, "application/json", body)
    assert api.give("/one", result).status == 500
    assert rest.give("/two", result).status == 502


@pytest.mark.parametrize(
    "result",
    [
        {"statusCode": "abc"},
        {"statusCode": 99},
        {"statusCode": 600},
        {"statusCode": True},
        {"statusCode": 200, "body": {"a": 1}},
        {"statusCode": 200, "body": 1},
        {"statusCode": 200, "headers": {"a": ["b"]}},
        {"statusCode": 200, "headers": {"a": None}},
        {"statusCode": 200, "headers": {"a": "b\r\nc: d"}},
        {"statusCode": 200, "headers": {"a b": "c"}},
        {"statusCode": 200, "headers": ["a"]},
        {"statusCode": 200, "body": "a", "isBase64Encoded": "yes"},
    ],
)
def test_malformed_results_are_500_and_502(api: HttpApi, rest: RestApi, result: object) -> None:
    for path in ("/two", "/one"):
        answer = api.give(path, result)
        assert (answer.status, answer.body) == (500, b'{"message":"Internal Server Error"}'), path
    answer = rest.give("/two", result)
    assert (answer.status, answer.body) == (502, b'{"message": "Internal server error"}')
    assert answer.header("x-amzn-errortype") == "InternalServerErrorException"


@pytest.mark.parametrize(
    "extra",
    [{"cookies": ["a=1"]}, {"hello": 1}, {"statusDescription": "200 OK"}, {"multiValueHeaders": {"a": "b"}}],
)
def test_a_rest_api_takes_no_other_fields(rest: RestApi, extra: dict[str, Any]) -> None:
    assert rest.give("/two", {"statusCode": 200, **extra}).status == 502


def test_cookies_and_repeated_headers(api: HttpApi, rest: RestApi) -> None:
    two = {
        "statusCode": "201",
        "headers": {"X-One": 1, "X-Two": True, "content-type": "text/plain", "Set-Cookie": "c=3"},
        "cookies": ["a=1; Secure", "b=2"],
        "body": "made",
    }
    answer = api.give("/two", two)
    assert (answer.status, answer.body) == (201, b"made")
    assert answer.lines("set-cookie") == ["a=1; Secure", "b=2", "c=3"]
    assert answer.lines("content-type") == ["text/plain"]
    assert (answer.header("x-one"), answer.header("x-two")) == ("1", "true")
    one = {
        "statusCode": 200,
        "headers": {"X-A": "1", "x-b": "2"},
        "multiValueHeaders": {"x-b": ["3", "4"], "Set-Cookie": ["a=1", "b=2"]},
    }
    for front, path in ((api, "/one"), (rest, "/two")):
        answer = front.give(path, one)
        assert answer.lines("x-b") == ["2", "3", "4"]
        assert answer.lines("set-cookie") == ["a=1", "b=2"]
        assert answer.lines("x-a") == ["1"]


def test_binary_bodies(api: HttpApi, rest: RestApi) -> None:
    result = {"statusCode": 200, "body": "/wA=", "isBase64Encoded": True}
    assert api.give("/two", result).body == api.give("/one", result).body == b"\xff\x00"
    assert rest.give("/two", result, headers=[("Accept", "image/png")]).body == b"\xff\x00"
    assert rest.give("/two", result).body == b"/wA="
    wrong = {"statusCode": 200, "body": "no base64!", "isBase64Encoded": True}
    assert api.give("/two", wrong).status == 500
    assert rest.give("/two", wrong, headers=[("Accept", "image/png")]).status == 502


def test_a_rest_api_renames_some_headers(rest: RestApi) -> None:
    answer = rest.give("/two", {"statusCode": 401, "headers": {"WWW-Authenticate": "Basic", "Server": "own"}})
    assert answer.header("x-amzn-remapped-www-authenticate") == "Basic"
    assert answer.header("x-amzn-remapped-server") == "own"
    assert answer.header("www-authenticate") == ""


def test_a_function_that_fails_or_returns_too_much(api: HttpApi, rest: RestApi) -> None:
    for do in ("fail", "big"):
        assert api.get("/two", do=do).body == b'{"message":"Internal Server Error"}'
        assert api.get("/two", do=do).status == 500
        assert rest.get("/two", do=do).body == b'{"message": "Internal server error"}'
        assert rest.get("/two", do=do).status == 502


def test_nothing_waits_longer_than_the_timeout_of_the_integration(api: HttpApi, rest: RestApi) -> None:
    late = api.get("/slow", do="sleep")
    assert (late.status, late.body) == (503, b'{"message":"Service Unavailable"}')
    late = rest.get("/slow", do="sleep")
    assert (late.status, late.body) == (504, b'{"message": "Endpoint request timed out"}')


def test_requests_that_are_too_large(api: HttpApi, rest: RestApi) -> None:
    def post(front: Api, size: int) -> tuple[int, bytes]:
        kind = [("Content-Type", "text/plain")]
        answer = front.request("POST", "/two", headers=kind, body=b"x" * size)
        return answer.status, answer.body

    large = 413, b'{"message":"Request Entity Too Large"}'
    assert post(api, 10 * MEBIBYTE + 1) == post(api, 6 * MEBIBYTE) == large
    assert post(rest, 10 * MEBIBYTE + 1) == (413, b"HTTP content length exceeded 10485760 bytes.")
    assert post(rest, 6 * MEBIBYTE) == (413, b'{"message": "Request Too Long"}')
    long = [("X-Long", "x" * 10_240)]
    assert api.get("/two", headers=long).status == rest.get("/two", headers=long).status == 431
    assert api.get("/two", headers=[("X-Long", "x" * 10_000)]).status == 200


def test_head_has_the_headers_and_no_body(api: HttpApi, rest: RestApi) -> None:
    for front in (api, rest):
        answer = front.request("HEAD", "/two")
        assert (answer.status, answer.body) == (200, b"")
        assert int(answer.header("content-length")) > 100


def test_what_has_no_route_or_method(api: HttpApi, rest: RestApi) -> None:
    assert (api.get("/no").status, api.get("/no").body) == (404, b'{"message":"Not Found"}')
    answer = rest.get("/no")
    assert (answer.status, answer.body) == (403, b'{"message":"Missing Authentication Token"}')
    answer = rest.get("/../other")
    rest.prefix = "/other"
    try:
        assert (rest.get("/two").status, rest.get("/two").body) == (403, b'{"message":"Forbidden"}')
    finally:
        rest.prefix = "/live"


def test_the_most_specific_route_wins(api: HttpApi, function: str) -> None:
    integration = api.integrate(function)
    for key in ("GET /a/{path+}", "ANY /a/{id}", "GET /a/b", "ANY /a/b"):
        api.route(key, integration)
    found = {path: api.get(path).json()["routeKey"] for path in ("/a/b", "/a/c", "/a/b/c")}
    assert found == {"/a/b": "GET /a/b", "/a/c": "ANY /a/{id}", "/a/b/c": "GET /a/{path+}"}
    assert api.request("POST", "/a/b").json()["routeKey"] == "ANY /a/b"


def test_a_stage_of_an_http_api_serves_what_is_deployed(api: HttpApi) -> None:
    api.client.create_stage(ApiId=api.id, StageName="later")
    api.prefix = "/later"
    try:
        assert api.get("/two").json() == {"message": "Not Found"}
        api.client.create_deployment(ApiId=api.id, StageName="later")
        assert api.get("/two").json()["requestContext"]["stage"] == "later"
    finally:
        api.prefix = ""


def test_a_disabled_default_endpoint(api: HttpApi, rest: RestApi) -> None:
    api.client.update_api(ApiId=api.id, DisableExecuteApiEndpoint=True)
    assert (api.get("/two").status, api.get("/two").body) == (404, b'{"message":"Not Found"}')
    api.client.update_api(ApiId=api.id, DisableExecuteApiEndpoint=False)
    change = {"op": "replace", "path": "/disableExecuteApiEndpoint", "value": "True"}
    rest.client.update_rest_api(restApiId=rest.id, patchOperations=[change])
    assert (rest.get("/two").status, rest.get("/two").body) == (403, b'{"message":"Forbidden"}')
    change["value"] = "False"
    rest.client.update_rest_api(restApiId=rest.id, patchOperations=[change])
    assert api.get("/two").status == rest.get("/two").status == 200


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip", "gzip"),
        ("deflate, gzip;q=0.5", "deflate"),
        ("identity;q=0.5, gzip;q=0.8", "gzip"),
        ("br, gzip", ""),
        ("*", ""),
        ("gzip;q=0", ""),
        ("", ""),
    ],
)
def test_a_rest_api_compresses_for_clients_that_prefer_it(
    compressing: RestApi, accepted: str, coding: str
) -> None:
    headers = [("Accept-Encoding", accepted)] if accepted else []
    answer = compressing.give("/any", {"statusCode": 200, "body": "x" * 100}, headers=headers)
    read: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.decompress, "deflate": zlib.decompress}
    body = read[coding](answer.body) if coding else answer.body
    assert (answer.header("content-encoding"), body) == (coding, b"x" * 100)


def test_a_rest_api_compresses_neither_small_nor_encoded_responses(compressing: RestApi) -> None:
    accepted = [("Accept-Encoding", "gzip")]
    encoded = {"statusCode": 200, "body": "x" * 100, "headers": {"content-encoding": "br"}}
    assert compressing.give("/any", encoded, headers=accepted).header("content-encoding") == "br"
    small = compressing.give("/any", {"statusCode": 200, "body": "x" * 99}, headers=accepted)
    assert (small.lines("content-encoding"), small.body) == ([], b"x" * 99)


@pytest.fixture(scope="module")
def compressing(local_aws: LocalAws, function: str) -> RestApi:
    api = RestApi(Functions(local_aws), minimumCompressionSize=100)
    api.method("GET", "/any", function)
    api.deploy()
    return api


def test_an_integration_maps_its_responses(api: HttpApi, function: str) -> None:
    mapping = {
        "200": {
            "overwrite:statuscode": "202",
            "overwrite:header.content-type": "text/${context.stage}",
            "append:header.X-Many": "$response.header.x-more",
            "append:header.x-new": "$response.body.order.ids[1]",
            "append:header.x-missing": "$response.body.nothing",
            "append:header.x-lines": "$response.body.lines",
            "remove:header.x-more": "",
        },
        "404": {"append:header.x-error": "$context.requestId"},
    }
    api.route("GET /mapped", api.integrate(function, ResponseParameters=mapping))
    body = '{"order": {"ids": [1, 2]}, "lines": "a\\r\\nb"}'
    headers = {"Content-Type": "application/json", "x-many": "1", "x-more": "2"}
    answer = api.give("/mapped", {"statusCode": 200, "body": body, "headers": headers})
    assert (answer.status, answer.body) == (202, body.encode())
    assert answer.header("content-type") == "text/$default"
    assert {name: answer.lines(name) for name in ("x-many", "x-new", "x-more", "x-missing", "x-lines")} == {
        "x-many": ["1,2"],
        "x-new": ["2"],
        "x-more": [],
        "x-missing": [],
        "x-lines": [],
    }
    missing = api.give("/mapped", {"statusCode": 404})
    assert missing.header("x-error") == missing.header("apigw-requestid") != ""
    failed = api.get("/mapped", do="fail")
    assert (failed.status, failed.lines("x-error")) == (500, [])


def test_templates_list_the_mappings_of_responses() -> None:
    listed = [{"Destination": "overwrite.statuscode", "Source": "403"}]
    integration = {"responseParameters": {"500": {"ResponseParameters": listed}}}
    assert parameter_mappings.response(exchange(), integration, (500, {}, b"no"))[0] == 403
    assert parameter_mappings.response(exchange(), integration, (502, {}, b"no"))[0] == 502


def exchange() -> Exchange:
    """Any request."""
    return Exchange(
        kind="http",
        account="1",
        region="us-east-1",
        api_id="a",
        api={},
        stage_name="$default",
        stage={},
        method="GET",
        path="/",
        body=b"",
        client=ClientRequest((), "/", "", ""),
    )


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"RequestParameters": {"append:header.Authorization": "x"}}, "header authorization are restricted"),
        ({"RequestParameters": {"append:body.x": "x"}}, "Invalid parameter mapping append:body.x"),
        (
            {"ResponseParameters": {"200": {"append:header.X-Amzn-Id": "x"}}},
            "header x-amzn-id are restricted",
        ),
        (
            {"ResponseParameters": {"200": {"overwrite:path": "x"}}},
            "Invalid parameter mapping overwrite:path",
        ),
        ({"ResponseParameters": {"99": {"append:header.x": "x"}}}, "Invalid selection key 99"),
    ],
)
def test_a_mapping_that_does_not_exist_is_refused(
    api: HttpApi, function: str, parameters: dict[str, Any], words: str
) -> None:
    with pytest.raises(api.client.exceptions.BadRequestException, match=words):
        api.integrate(function, **parameters)
