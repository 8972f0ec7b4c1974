"""APIs of templates: CORS, and what is reported of the rest."""

from __future__ import annotations

import pytest

from helpers.http import Endpoint
from helpers.stacks import arn, deploy, function, ref, role
from localaws import LocalAws

pytestmark = pytest.mark.local

PAGE = "https://example.com"
CORS = {
    "AllowOrigins": [PAGE],
    "AllowMethods": ["GET", "POST"],
    "AllowHeaders": ["authorization"],
    "ExposeHeaders": ["x-one"],
    "MaxAge": 300,
    "AllowCredentials": True,
}


def test_an_api_of_a_template_has_its_cors_settings(local_aws: LocalAws) -> None:
    target = {"Fn::Join": ["/", ["integrations", ref("Integration")]]}
    resources = {
        "Role": role(),
        "Function": function("Role", "def handler(event, context): return 'hello'"),
        "Permission": {
            "Type": "AWS::Lambda::Permission",
            "Properties": {
                "FunctionName": ref("Function"),
                "Action": "lambda:InvokeFunction",
                "Principal": "apigateway.amazonaws.com",
            },
        },
        "Api": {
            "Type": "AWS::ApiGatewayV2::Api",
            "Properties": {"Name": "api", "ProtocolType": "HTTP", "CorsConfiguration": CORS},
        },
        "Integration": {
            "Type": "AWS::ApiGatewayV2::Integration",
            "Properties": {
                "ApiId": ref("Api"),
                "IntegrationType": "AWS_PROXY",
                "IntegrationUri": arn("Function"),
                "PayloadFormatVersion": "2.0",
            },
        },
        "Route": {
            "Type": "AWS::ApiGatewayV2::Route",
            "Properties": {"ApiId": ref("Api"), "RouteKey": "GET /", "Target": target},
        },
        "Stage": {
            "Type": "AWS::ApiGatewayV2::Stage",
            "Properties": {
                "ApiId": ref("Api"),
                "StageName": "$default",
                "AutoDeploy": True,
                "DefaultRouteSettings": {"ThrottlingBurstLimit": 4, "ThrottlingRateLimit": 1},
                "RouteSettings": {"GET /": {"ThrottlingBurstLimit": 3}},
            },
        },
    }
    stack = deploy(local_aws, resources, {"Api": ref("Api")})
    address = local_aws.address_of_api(stack.outputs["Api"])
    endpoint = Endpoint.of(address, address.host)
    asked = [("Origin", PAGE), ("Access-Control-Request-Method", "GET")]
    preflight = endpoint.request("OPTIONS", "/", headers=asked)
    assert preflight.status == 204
    assert preflight.header("access-control-allow-origin") == PAGE
    assert preflight.header("access-control-allow-methods") == "GET,POST"
    assert preflight.header("access-control-allow-headers") == "authorization"
    assert preflight.header("access-control-max-age") == "300"
    assert preflight.header("access-control-allow-credentials") == "true"
    answer = endpoint.request("GET", "/", headers=[("Origin", PAGE)])
    assert answer.header("access-control-allow-origin") == PAGE
    assert answer.header("access-control-expose-headers") == "x-one"
    of_others = endpoint.request("GET", "/", headers=[("Origin", "https://evil.example")])
    assert of_others.header("access-control-allow-origin") == ""

    answers = [endpoint.request("GET", "/").status for _ in range(5)]
    assert answers[0] == 200
    assert 429 in answers
    assert [one for one in local_aws.dropped_properties() if one.stack == stack.name] == []

    resources["Api"]["Properties"]["CorsConfiguration"] = {"AllowOrigins": ["*"]}
    stack.update(resources)
    assert endpoint.request("OPTIONS", "/", headers=asked).header("access-control-allow-origin") == "*"


def test_the_emulator_reads_them_in_other_letters_and_the_recorder_sees_it(stock_aws: LocalAws) -> None:
    api = {
        "Type": "AWS::ApiGatewayV2::Api",
        "Properties": {"Name": "api", "ProtocolType": "HTTP", "CorsConfiguration": {"AllowOrigins": [PAGE]}},
    }
    stack = deploy(stock_aws, {"Api": api}, {"Api": ref("Api")})
    address = stock_aws.address_of_api(stack.outputs["Api"])
    asked = [("Origin", PAGE), ("Access-Control-Request-Method", "GET")]
    assert Endpoint.of(address, address.host).request("OPTIONS", "/", headers=asked).status == 403
    dropped = [str(one) for one in stock_aws.dropped_properties() if one.stack == stack.name]
    assert dropped == ["AWS::ApiGatewayV2::Api.CorsConfiguration.AllowOrigins"]
