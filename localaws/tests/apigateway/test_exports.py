"""GetExport: the document from which clients of a REST API are generated."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.apis import HANDLER, RestApi
from helpers.lambda_functions import Functions
from localaws import LocalAws

pytestmark = pytest.mark.local

POOL = "arn:aws:cognito-idp:us-east-1:123456789012:userpool/us-east-1_Abc123DeF"
DRAFT = "http://json-schema.org/draft-04/schema#"


def made(aws: LocalAws) -> RestApi:
    """An API with methods for users and for IAM, models that refer to each other, and a validator."""
    functions = Functions(aws)
    api = RestApi(functions, description="Notes of users")
    mine = {"restApiId": api.id}
    reference = f"https://apigateway.amazonaws.com/restapis/{api.id}/models/Note"
    for name, schema in {
        "Note": {"$schema": DRAFT, "type": "object", "properties": {"text": {"type": "string"}}},
        "Notes": {"$schema": DRAFT, "type": "array", "items": {"$ref": reference}},
    }.items():
        api.client.create_model(**mine, name=name, contentType="application/json", schema=json.dumps(schema))
    users = api.client.create_authorizer(
        **mine,
        name="Users",
        type="COGNITO_USER_POOLS",
        providerARNs=[POOL],
        identitySource="method.request.header.Authorization",
    )["id"]
    validator = api.client.create_request_validator(**mine, name="body", validateRequestBody=True)["id"]
    function = functions.make(HANDLER)
    place = api.method(
        "PUT",
        "/notes/{name}",
        function,
        authorizationType="COGNITO_USER_POOLS",
        authorizerId=users,
        authorizationScopes=["notes/write"],
        operationName="put_note",
        requestParameters={"method.request.path.name": True, "method.request.querystring.tag": False},
        requestModels={"application/json": "Note"},
        requestValidatorId=validator,
    )
    models = {"application/json": "Notes"}
    api.client.put_method_response(**place, statusCode="200", responseModels=models)
    api.client.put_method_response(**place, statusCode="404")
    api.method("GET", "/notes", function, authorizationType="AWS_IAM")
    api.deploy()
    return api


@pytest.fixture(scope="module")
def api(local_aws: LocalAws) -> RestApi:
    return made(local_aws)


def export(api: RestApi, kind: str = "oas30", **more: Any) -> dict[str, Any]:
    answer = api.client.get_export(restApiId=api.id, stageName="live", exportType=kind, **more)
    document: dict[str, Any] = json.loads(answer["body"].read())
    return document


def test_a_document_of_openapi_3_says_all_that_a_client_needs(api: RestApi, local_aws: LocalAws) -> None:
    document = export(api)
    moment = document["info"].pop("version")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", moment)
    authorization = {"type": "apiKey", "name": "Authorization", "in": "header"}
    authtype = "x-amazon-apigateway-authtype"
    assert document == {
        "openapi": "3.0.1",
        "info": {"title": api.name, "description": "Notes of users"},
        "servers": [
            {
                "url": f"https://{api.id}.execute-api.{local_aws.region}.amazonaws.com/{{basePath}}",
                "variables": {"basePath": {"default": "live"}},
            }
        ],
        "paths": {
            "/notes": {"get": {"security": [{"sigv4": []}]}},
            "/notes/{name}": {
                "put": {
                    "operationId": "put_note",
                    "parameters": [
                        {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}},
                        {"name": "tag", "in": "query", "schema": {"type": "string"}},
                    ],
                    "requestBody": {
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Note"}}},
                        "required": True,
                    },
                    "responses": {
                        "200": {
                            "description": "200 response",
                            "content": {
                                "application/json": {"schema": {"$ref": "#/components/schemas/Notes"}}
                            },
                        },
                        "404": {"description": "404 response", "content": {}},
                    },
                    "security": [{"Users": ["notes/write"]}],
                }
            },
        },
        "components": {
            "schemas": {
                "Note": {"type": "object", "properties": {"text": {"type": "string"}}},
                "Notes": {"type": "array", "items": {"$ref": "#/components/schemas/Note"}},
            },
            "securitySchemes": {
                "Users": {**authorization, authtype: "cognito_user_pools"},
                "sigv4": {**authorization, authtype: "awsSigv4"},
            },
        },
    }


def test_a_document_of_openapi_2_says_the_same(api: RestApi) -> None:
    document = export(api, "swagger")
    assert document["basePath"] == "/live"
    put = document["paths"]["/notes/{name}"]["put"]
    assert put["parameters"][1:] == [
        {"name": "tag", "in": "query", "required": False, "type": "string"},
        {"in": "body", "name": "Note", "required": True, "schema": {"$ref": "#/definitions/Note"}},
    ]
    assert document["definitions"]["Notes"] == {"type": "array", "items": {"$ref": "#/definitions/Note"}}
    assert document["paths"]["/notes"]["get"]["responses"] == {}
    assert sorted(document["securityDefinitions"]) == ["Users", "sigv4"]


@pytest.mark.parametrize("extensions", ["", "integrations", "authorizers", "apigateway"])
def test_extensions_are_there_when_they_are_asked_for(api: RestApi, extensions: str) -> None:
    document = export(api, parameters={"extensions": extensions} if extensions else {})
    put = document["paths"]["/notes/{name}"]["put"]
    users = document["components"]["securitySchemes"]["Users"]
    assert ("x-amazon-apigateway-integration" in put) == (extensions in ("integrations", "apigateway"))
    authorizer = users.get("x-amazon-apigateway-authorizer")
    expected = {"type": "cognito_user_pools", "providerARNs": [POOL]}
    assert authorizer == (expected if extensions in ("authorizers", "apigateway") else None)
    validators = document.get("x-amazon-apigateway-request-validators")
    assert (validators is not None) == (extensions == "apigateway")
    if validators:
        assert put["x-amazon-apigateway-request-validator"] == "body"
        assert validators == {"body": {"validateRequestParameters": False, "validateRequestBody": True}}


@pytest.mark.parametrize("kind", ["json", "yaml"])
def test_the_file_is_named_by_kind_and_version(api: RestApi, kind: str) -> None:
    answer = api.client.get_export(
        restApiId=api.id, stageName="live", exportType="oas30", accepts=f"application/{kind}"
    )
    version = export(api)["info"]["version"]
    assert answer["contentDisposition"] == f'attachment; filename="oas30_{version}.{kind}"'
    assert answer["contentType"] == "application/octet-stream"


def test_an_api_with_a_body_that_is_not_json_is_not_exported(local_aws: LocalAws) -> None:
    functions = Functions(local_aws)
    api = RestApi(functions)
    api.client.create_model(restApiId=api.id, name="Text", contentType="text/plain", schema="{}")
    api.method("PUT", "/", functions.make(HANDLER), requestModels={"text/plain": "Text"})
    api.deploy()
    with pytest.raises(ClientError, match=r"BadRequestException.*JSON body models are not found"):
        export(api)


def test_still_needed_the_emulator_exports_no_user_pools(stock_aws: LocalAws) -> None:
    document = export(made(stock_aws))
    assert "securitySchemes" not in document["components"]
