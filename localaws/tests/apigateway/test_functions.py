"""APIs and function URLs need permission, and do not show the errors of functions."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import pytest

from helpers.http import Endpoint, HttpResponse
from helpers.lambda_functions import Functions
from localaws import LocalAws

pytestmark = pytest.mark.local

HANDLER = """
def handler(event, context):
    path = event.get("rawPath") or event["path"]
    if path.endswith("fail"):
        raise ValueError("the secret is 42")
    if path.endswith("text"):
        return "just text"
    if path.endswith("odd"):
        return {"hello": 1}
    if path.endswith("number"):
        return {"statusCode": 200, "body": 1}
    return {"statusCode": 201, "body": "made"}
"""
GATEWAY = "apigateway.amazonaws.com"


@dataclass(frozen=True)
class Front:
    """Something in front of a function.

    Args:
        functions: Where it is.
        function: The function's name.
        endpoint: Where to send requests.
        prefix: What precedes the path.
        source: The beginning of the ARNs that it calls for.
    """

    functions: Functions
    function: str
    endpoint: Endpoint
    prefix: str = ""
    source: str = ""

    def get(self, path: str) -> HttpResponse:
        return self.endpoint.request("GET", f"{self.prefix}/{path}")

    def permit(self, **condition: Any) -> None:
        """Give API Gateway the permission."""
        self.functions.aws.client("lambda").add_permission(
            FunctionName=self.function,
            StatementId=f"s{uuid.uuid4().hex}",
            Action="lambda:InvokeFunction",
            Principal=GATEWAY,
            **condition,
        )


def http_api(functions: Functions) -> Front:
    """An HTTP API with one function behind everything."""
    aws, function = functions.aws, functions.make(HANDLER)
    client = aws.client("apigatewayv2")
    api = client.create_api(
        Name="api", ProtocolType="HTTP", Target=functions.arn("lambda", f"function:{function}")
    )["ApiId"]
    if not client.get_routes(ApiId=api)["Items"]:
        integration = client.create_integration(
            ApiId=api,
            IntegrationType="AWS_PROXY",
            IntegrationUri=functions.arn("lambda", f"function:{function}"),
            PayloadFormatVersion="2.0",
        )["IntegrationId"]
        client.create_route(ApiId=api, RouteKey="GET /{proxy+}", Target=f"integrations/{integration}")
        client.create_stage(ApiId=api, StageName="$default", AutoDeploy=True)
    address = aws.address_of_api(api)
    source = functions.arn("execute-api", api)
    return Front(functions, function, Endpoint.of(address, address.host), source=source)


def rest_api(functions: Functions) -> Front:
    """A REST API with one function behind everything."""
    aws, function = functions.aws, functions.make(HANDLER)
    client = aws.client("apigateway")
    api = client.create_rest_api(name="api")["id"]
    root = client.get_resources(restApiId=api)["items"][0]["id"]
    resource = client.create_resource(restApiId=api, parentId=root, pathPart="{proxy+}")["id"]
    of: Any = {"restApiId": api, "resourceId": resource, "httpMethod": "ANY"}
    client.put_method(**of, authorizationType="NONE")
    arn = functions.arn("lambda", f"function:{function}")
    uri = f"arn:aws:apigateway:{aws.region}:lambda:path/2015-03-31/functions/{arn}/invocations"
    client.put_integration(**of, type="AWS_PROXY", integrationHttpMethod="POST", uri=uri)
    client.create_deployment(restApiId=api, stageName="live")
    address = aws.address_of_api(api)
    source = functions.arn("execute-api", api)
    return Front(functions, function, Endpoint.of(address, address.host), "/live", source)


def test_an_http_api_needs_permission_and_hides_errors(functions: Functions) -> None:
    front = http_api(functions)
    refused = front.get("a")
    assert (refused.status, refused.body) == (500, b'{"message":"Internal Server Error"}')
    front.permit(SourceArn=f"{functions.arn('execute-api', 'another')}/*/*")
    assert front.get("a").status == 500
    front.permit(SourceArn=f"{front.source}/*/*")
    assert front.get("a").status == 201
    failed = front.get("fail")
    assert (failed.status, failed.body) == (500, b'{"message":"Internal Server Error"}')
    assert (front.get("text").status, front.get("text").body) == (200, b"just text")


def test_a_rest_api_needs_permission_and_a_valid_answer(functions: Functions) -> None:
    front = rest_api(functions)
    refused = front.get("a")
    assert (refused.status, refused.json()) == (500, {"message": "Internal server error"})
    front.permit(SourceArn=f"{front.source}/test-invoke-stage/GET/*")
    assert front.get("a").status == 500
    front.permit(SourceArn=f"{front.source}/*/GET/*")
    assert front.get("a").status == 201
    for path in ("fail", "text", "odd", "number"):
        failed = front.get(path)
        assert (failed.status, failed.json()) == (502, {"message": "Internal server error"}), path


@pytest.mark.parametrize("guarded", [False, True])
def test_a_websocket_api_needs_permission(local_aws: LocalAws, guarded: bool) -> None:
    functions, gateway = Functions(local_aws), local_aws.client("apigatewayv2")
    allow = '{"Version": "2012-10-17", "Statement": [{"Action": "*", "Effect": "Allow", "Resource": "*"}]}'
    answer = f'{{"principalId": "ann", "policyDocument": {allow}}}' if guarded else '{"statusCode": 200}'
    function = functions.make(f"import json\ndef handler(event, context): return json.loads('{answer}')")
    arn = functions.arn("lambda", f"function:{function}")
    api = gateway.create_api(
        Name="chat", ProtocolType="WEBSOCKET", RouteSelectionExpression="$request.body.action"
    )["ApiId"]
    more: dict[str, Any] = {}
    source = f"{functions.arn('execute-api', api)}/live/$connect"
    if guarded:
        uri = f"arn:aws:apigateway:{local_aws.region}:lambda:path/2015-03-31/functions/{arn}/invocations"
        authorizer = gateway.create_authorizer(
            ApiId=api,
            Name="token",
            AuthorizerType="REQUEST",
            AuthorizerUri=uri,
            IdentitySource=["route.request.header.Upgrade"],
        )["AuthorizerId"]
        more = {"AuthorizationType": "CUSTOM", "AuthorizerId": authorizer}
        source = f"{functions.arn('execute-api', api)}/authorizers/{authorizer}"
        integration = gateway.create_integration(ApiId=api, IntegrationType="MOCK")["IntegrationId"]
    else:
        integration = gateway.create_integration(
            ApiId=api, IntegrationType="AWS_PROXY", IntegrationUri=arn, IntegrationMethod="POST"
        )["IntegrationId"]
    gateway.create_route(ApiId=api, RouteKey="$connect", Target=f"integrations/{integration}", **more)
    gateway.create_stage(ApiId=api, StageName="live", AutoDeploy=True)
    address = local_aws.address_of_api(api)
    endpoint = Endpoint.of(address, address.host)
    upgrade = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ]
    assert endpoint.request("GET", "/live", headers=upgrade).status >= 400
    front = Front(functions, function, endpoint)
    front.permit(SourceArn=source.replace("/live/", "/other/").replace("authorizers/", "other/"))
    assert endpoint.request("GET", "/live", headers=upgrade).status >= 400
    front.permit(SourceArn=source)
    assert endpoint.request("GET", "/live", headers=upgrade).status == 101
