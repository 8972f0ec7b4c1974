"""Validators of REST APIs, also in templates; mocks; gateway responses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from helpers.apis import HANDLER, RestApi
from helpers.http import Endpoint
from helpers.lambda_functions import Functions
from helpers.stacks import arn, deploy, function, ref, role
from localaws import LocalAws

pytestmark = pytest.mark.local

NOTE = {
    "$schema": "http://json-schema.org/draft-04/schema#",
    "type": "object",
    "required": ["title", "tags"],
    "additionalProperties": False,
    "properties": {
        "title": {"type": "string", "minLength": 1, "maxLength": 5},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}},
        "number": {"type": "integer", "minimum": 1},
        "at": {"type": "string", "format": "date-time"},
        "owner": {"$ref": "https://apigateway.amazonaws.com/restapis/API/models/Owner"},
    },
}
OWNER = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
VALID = {"title": "note", "tags": ["a"]}
CLOCK = """
import time
def handler(event, context):
    return {"statusCode": 200, "body": str(time.time())}
"""
ERRORS = '{"message":$context.error.messageString,"errors":"$context.error.validationErrorString"}'


@pytest.fixture(scope="module")
def api(local_aws: LocalAws) -> RestApi:
    functions = Functions(local_aws)
    own, api = functions.make(HANDLER), RestApi(functions)
    client, of = api.client, {"restApiId": api.id}
    for name, schema in {"Owner": OWNER, "Note": NOTE}.items():
        text = json.dumps(schema).replace("/API/", f"/{api.id}/")
        client.create_model(**of, name=name, contentType="application/json", schema=text)
    both, parameters = (
        client.create_request_validator(
            **of, name=name, validateRequestBody=body, validateRequestParameters=True
        )["id"]
        for name, body in {"both": True, "parameters": False}.items()
    )
    needed = {"method.request.querystring.page": True, "method.request.header.X-Tenant": True}
    model = {"requestModels": {"application/json": "Note"}}
    api.method("POST", "/notes", own, requestValidatorId=both, requestParameters=needed, **model)
    api.method("POST", "/only", own, requestValidatorId=parameters, requestParameters=needed, **model)
    api.method("POST", "/any", own, requestValidatorId=both, requestModels={"$default": "Note"})
    api.method("POST", "/none", own, **model)
    client.put_gateway_response(
        **of,
        responseType="BAD_REQUEST_BODY",
        statusCode="422",
        responseTemplates={"application/json": ERRORS},
    )
    api.deploy()
    return api


def post(api: RestApi, path: str, body: object, kind: str = "application/json") -> tuple[int, Any]:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = [("Content-Type", kind), ("X-Tenant", "t")]
    answer = api.request("POST", path, headers=headers, body=text, page="1")
    return answer.status, answer.json()


def test_required_parameters_come_first(api: RestApi) -> None:
    for path in ("/notes", "/only"):
        answer = api.request("POST", path, body=b"[]")
        expected = {"message": "Missing required request parameters: [page, X-Tenant]"}
        assert (answer.status, answer.json()) == (400, expected)
        answer = api.request("POST", path, body=b"[]", page="1")
        assert answer.json() == {"message": "Missing required request parameters: [X-Tenant]"}
    assert post(api, "/only", [])[0] == post(api, "/none", [])[0] == 200


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({**VALID, "title": ""}, 'string "" is too short (length: 0, required minimum: 1)'),
        ({**VALID, "title": "too long"}, 'string "too long" is too long (length: 8, maximum allowed: 5)'),
        ({}, 'object has missing required properties (["tags","title"])'),
        ([], 'instance type (array) does not match any allowed primitive type (allowed: ["object"])'),
        ({**VALID, "x": 1}, 'object instance has properties which are not allowed by the schema: ["x"]'),
        ({**VALID, "tags": ["c"]}, 'instance value ("c") not found in enum (possible values: ["a","b"])'),
        (
            {**VALID, "number": 0},
            "numeric instance is lower than the required minimum (minimum: 1, found: 0)",
        ),
        ({**VALID, "owner": {}}, 'object has missing required properties (["name"])'),
        (b"{", "request body is not valid JSON"),
        (b"", "request body is not valid JSON"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "request body is not valid JSON"),
        (b'{"number":' + b"9" * 5000 + b"}", "request body is not valid JSON"),
        (b'{"title":"a","tags":[],"number":NaN}', "request body is not valid JSON"),
        (b'{"title":"a","tags":[],"number":-Infinity}', "request body is not valid JSON"),
        (b'\xef\xbb\xbf{"title":"a","tags":["a"]}', "request body is not valid JSON"),
        (json.dumps(VALID).encode("utf-16"), "request body is not valid JSON"),
    ],
)
def test_a_body_that_the_model_forbids_is_refused_with_what_is_wrong(
    api: RestApi, body: object, error: str
) -> None:
    status, answer = post(api, "/notes", body)
    assert (status, answer["message"]) == (422, "Invalid request body")
    assert answer["errors"] == f"[{error}]"


def test_formats_types_and_valid_bodies(api: RestApi) -> None:
    assert post(api, "/notes", VALID)[0] == 200
    assert post(api, "/notes", {**VALID, "owner": {"name": "ann"}, "number": 2})[0] == 200
    assert post(api, "/notes", {**VALID, "at": "2026-01-02T03:04:05Z"})[0] == 200
    assert post(api, "/notes", {**VALID, "at": "yesterday"})[0] == 422
    assert post(api, "/notes", [], "text/plain")[0] == 200  # no model for this type
    assert post(api, "/any", [], "text/plain")[0] == 422


def test_a_mock_answers_by_its_templates(functions: Functions) -> None:
    api = RestApi(functions)
    place = api.method("OPTIONS", "/a")
    template = {"application/json": "{ statusCode: 200 }"}
    api.client.put_integration(**place, type="MOCK", requestTemplates=template)
    header = "method.response.header.Access-Control-Allow-Origin"
    api.client.put_method_response(**place, statusCode="204", responseParameters={header: True})
    api.client.put_integration_response(
        **place,
        statusCode="204",
        responseParameters={header: "'*'"},
        responseTemplates={"application/json": "{}"},
    )
    place = api.method("GET", "/a")
    template = {"application/json": '{"statusCode": $input.params("status")}'}
    api.client.put_integration(**place, type="MOCK", requestTemplates=template)
    for status, pattern in {"200": "", "404": "4\\d\\d"}.items():
        text = {"application/json": '{"id": "$context.requestId", "is": "' + status + '"}'}
        api.client.put_method_response(**place, statusCode=status)
        api.client.put_integration_response(
            **place, statusCode=status, selectionPattern=pattern, responseTemplates=text
        )
    api.deploy()
    answer = api.request("OPTIONS", "/a")
    assert (answer.status, answer.body, answer.header("content-length")) in [(204, b"", ""), (204, b"", "0")]
    assert answer.header("access-control-allow-origin") == "*"
    found = api.get("/a", status="404")
    assert (found.status, found.json()["is"]) == (404, "404")
    assert found.json()["id"] == found.header("x-amzn-requestid")
    assert api.get("/a", status="200").status == 200


def test_gateway_responses_apply_to_failures_of_functions(functions: Functions) -> None:
    own, api = functions.make(HANDLER), RestApi(functions)
    api.method("GET", "/a", own)
    origin = {"gatewayresponse.header.Access-Control-Allow-Origin": "'*'"}
    api.client.put_gateway_response(restApiId=api.id, responseType="DEFAULT_5XX", responseParameters=origin)
    api.deploy()
    failed = api.get("/a", do="fail")
    assert (failed.status, failed.header("access-control-allow-origin")) == (502, "*")


def test_a_template_has_validators_cache_and_limits_of_methods(local_aws: LocalAws) -> None:
    api = {"RestApiId": ref("Api")}
    uri = {
        "Fn::Join": [
            "",
            [
                "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/",
                arn("Function"),
                "/invocations",
            ],
        ]
    }
    resources: dict[str, Any] = {
        "Role": role(),
        "Function": function(
            "Role",
            CLOCK,
        ),
        "Permission": {
            "Type": "AWS::Lambda::Permission",
            "Properties": {
                "FunctionName": ref("Function"),
                "Action": "lambda:InvokeFunction",
                "Principal": "apigateway.amazonaws.com",
            },
        },
        "Api": {"Type": "AWS::ApiGateway::RestApi", "Properties": {"Name": "api"}},
        "Validator": {
            "Type": "AWS::ApiGateway::RequestValidator",
            "Properties": {**api, "ValidateRequestParameters": True},
        },
        "Model": {
            "Type": "AWS::ApiGateway::Model",
            "Properties": {**api, "ContentType": "application/json", "Schema": OWNER},
        },
        "Resource": {
            "Type": "AWS::ApiGateway::Resource",
            "Properties": {
                **api,
                "ParentId": {"Fn::GetAtt": ["Api", "RootResourceId"]},
                "PathPart": "notes",
            },
        },
        "Method": {
            "Type": "AWS::ApiGateway::Method",
            "Properties": {
                **api,
                "ResourceId": ref("Resource"),
                "HttpMethod": "GET",
                "AuthorizationType": "NONE",
                "RequestValidatorId": ref("Validator"),
                "RequestParameters": {"method.request.querystring.page": True},
                "Integration": {
                    "Type": "AWS_PROXY",
                    "IntegrationHttpMethod": "POST",
                    "Uri": uri,
                    "CacheKeyParameters": ["method.request.querystring.page"],
                },
            },
        },
        "Deployment": {"Type": "AWS::ApiGateway::Deployment", "DependsOn": "Method", "Properties": api},
        "Stage": {
            "Type": "AWS::ApiGateway::Stage",
            "Properties": {
                **api,
                "StageName": "live",
                "DeploymentId": ref("Deployment"),
                "CacheClusterEnabled": True,
                "CacheClusterSize": "0.5",
                "MethodSettings": [
                    {"ResourcePath": "/*", "HttpMethod": "*", "CachingEnabled": False},
                    {
                        "ResourcePath": "/~1notes",
                        "HttpMethod": "GET",
                        "CachingEnabled": True,
                        "CacheTtlInSeconds": 3600,
                        "ThrottlingBurstLimit": 4,
                        "ThrottlingRateLimit": 0.1,
                    },
                ],
            },
        },
        "Plan": {
            "Type": "AWS::ApiGateway::UsagePlan",
            "DependsOn": "Stage",
            "Properties": {
                "ApiStages": [
                    {
                        "ApiId": ref("Api"),
                        "Stage": "live",
                        "Throttle": {"/notes/GET": {"BurstLimit": 1, "RateLimit": 0.5}},
                    }
                ]
            },
        },
    }
    stack = deploy(local_aws, resources, {"Api": ref("Api"), "Plan": ref("Plan"), "Model": ref("Model")})
    address = local_aws.address_of_api(stack.outputs["Api"])
    endpoint = Endpoint.of(address, address.host)
    assert endpoint.request("GET", "/live/notes").status == 400
    assert stack.outputs["Model"].startswith("Model")
    assert stack.outputs["Model"].isalnum()
    first = endpoint.request("GET", "/live/notes?page=1")
    assert endpoint.request("GET", "/live/notes?page=1").body == first.body
    assert endpoint.request("GET", "/live/notes?page=2").body != first.body
    assert endpoint.request("GET", "/live/notes?page=2").status == 429
    plan = local_aws.client("apigateway").get_usage_plan(usagePlanId=stack.outputs["Plan"])
    assert plan["apiStages"][0]["throttle"] == {"/notes/GET": {"burstLimit": 1, "rateLimit": 0.5}}
    assert [one for one in local_aws.dropped_properties() if one.stack == stack.name] == []
