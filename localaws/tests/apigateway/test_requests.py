"""How requests reach APIs, whatever their host, method and signature are."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from helpers.apis import HANDLER, Api, HttpApi, RestApi, signed
from helpers.http import Endpoint
from helpers.lambda_functions import Functions
from localaws import LocalAws
from localaws.services.apigateway import requests


@pytest.fixture(scope="module", params=["http", "rest"])
def api(request: pytest.FixtureRequest, local_aws: LocalAws) -> Api:
    functions = Functions(local_aws)
    function = functions.make(HANDLER)
    if request.param == "http":
        api = HttpApi(functions)
        integration = api.integrate(function)
        api.route("ANY /a", integration)
        api.route("GET /iam", integration, AuthorizationType="AWS_IAM")
        return api
    rest = RestApi(functions)
    rest.method("ANY", "/a", function)
    rest.method("GET", "/iam", function, authorizationType="AWS_IAM")
    rest.deploy()
    return rest


def endpoint(api: Api) -> Endpoint:
    address = api.aws.address_of_api(api.id)
    return Endpoint.of(address, address.host)


@pytest.mark.local
def test_the_case_of_the_host_does_not_matter(api: Api) -> None:
    lower = endpoint(api)
    for name in (lower.name.upper(), lower.name.title()):
        assert replace(lower, name=name).request("GET", f"{api.prefix}/a").status == 200


@pytest.mark.local
@pytest.mark.parametrize(
    ("scope", "message"),
    [
        ({"service": "lambda"}, "Credential should be scoped to correct service: 'execute-api'."),
        ({"region": "eu-west-1"}, "Credential should be scoped to a valid region."),
    ],
)
def test_a_signature_is_for_one_service_and_region(api: Api, scope: dict[str, str], message: str) -> None:
    allowed = ("execute-api:Invoke", "*")
    assert api.get("/iam", headers=signed(api, "/iam", allowed)).status == 200
    refused = api.get("/iam", headers=signed(api, "/iam", allowed, **scope))
    assert refused.status == 403
    assert refused.json() == {"message": "Forbidden" if isinstance(api, HttpApi) else message}


@pytest.mark.local
@pytest.mark.parametrize("method", ["FOO", "TRACE", "CONNECT", "PROPFIND"])
def test_any_stands_for_seven_methods(api: Api, method: str) -> None:
    refused = api.request(method, "/a")
    unknown = (404, "Not Found") if isinstance(api, HttpApi) else (403, "Missing Authentication Token")
    assert (refused.status, refused.json()["message"]) == unknown
    for known in ("DELETE", "GET", "OPTIONS", "PATCH", "POST", "PUT"):
        assert api.request(known, "/a").status == 200


@pytest.mark.local
def test_a_name_has_the_region_of_the_api(api: Api) -> None:
    here = endpoint(api)
    for region, status in {api.aws.region: 200, "eu-west-1": 404}.items():
        name = f"{api.id}.execute-api.{region}.amazonaws.com"
        assert replace(here, name=name).request("GET", f"{api.prefix}/a").status == status


@pytest.mark.local
def test_no_change_to_http2_is_offered_over_tls(api: Api) -> None:
    settings = ("HTTP2-Settings", "AAMAAABkAAQAAP__")
    asked = [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), settings]
    assert api.get("/a", headers=asked).status == 200


def test_clients_never_see_what_fails_inside() -> None:
    async def failing() -> requests.Response:
        raise KeyError("internal")

    status, _, body = asyncio.run(requests._handle_execute(failing))
    assert (status, body) == (500, b'{"message":"Internal Server Error"}')
