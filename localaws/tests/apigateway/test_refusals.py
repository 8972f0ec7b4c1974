"""What API Gateway refuses of APIs, in calls and in templates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.apis import HANDLER, HttpApi, RestApi
from helpers.lambda_functions import Functions
from helpers.stacks import DeploymentFailedError, deploy, ref
from localaws import LocalAws

pytestmark = pytest.mark.local

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:f"
URI = f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{FUNCTION}/invocations"
JWT = {"Issuer": "https://example.com", "Audience": ["a"]}
GROUP = "arn:aws:logs:us-east-1:123456789012:log-group:g"
LINE = "$context.requestId"


@pytest.fixture(scope="module")
def api(local_aws: LocalAws) -> HttpApi:
    return HttpApi(Functions(local_aws))


@pytest.fixture(scope="module")
def integration(api: HttpApi) -> str:
    made: str = api.client.create_integration(
        ApiId=api.id, IntegrationType="AWS_PROXY", IntegrationUri=FUNCTION, PayloadFormatVersion="2.0"
    )["IntegrationId"]
    return made


@pytest.fixture(scope="module")
def rest(local_aws: LocalAws) -> RestApi:
    functions = Functions(local_aws)
    api = RestApi(functions)
    api.method("GET", "/a", functions.make(HANDLER))
    api.deploy()
    return api


def refusal(call: Callable[..., Any], **given: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**given)
    error: str = f"{caught.value.response['Error']['Code']}: {caught.value.response['Error']['Message']}"
    return error


@pytest.mark.parametrize(
    "key",
    [
        *("GET", "/a", "get /a", "GET a", "FETCH /a", "GET  /a", "GET /{a+}/b", "GET /{a}{", "GET /{a}/{a}"),
        *("$connect", "GET /a b", ""),
    ],
)
def test_route_keys(api: HttpApi, key: str) -> None:
    found = refusal(api.client.create_route, ApiId=api.id, RouteKey=key)
    assert "not formatted properly" in found, found


def test_a_route_exists_once(api: HttpApi, integration: str) -> None:
    api.route("GET /once/{id}", integration)
    found = refusal(api.client.create_route, ApiId=api.id, RouteKey="GET /once/{id}")
    assert found == "ConflictException: Route with key GET /once/{id} already exists for this API"
    found = refusal(api.client.create_route, ApiId=api.id, RouteKey="GET /once/{other}")
    assert "conflicting variable on the same hierarchical level" in found
    api.route("POST /once/{other}", integration)
    keys = [one["RouteKey"] for one in api.client.get_routes(ApiId=api.id)["Items"]]
    assert keys == ["GET /once/{id}", "POST /once/{other}"]
    route = api.client.get_routes(ApiId=api.id)["Items"][1]["RouteId"]
    changed = refusal(api.client.update_route, ApiId=api.id, RouteId=route, RouteKey="GET /once/{id}")
    assert "already exists" in changed
    assert api.client.get_route(ApiId=api.id, RouteId=route)["RouteKey"] == "POST /once/{other}"


@pytest.mark.parametrize(
    "settings",
    [
        {"AuthorizationType": "JWT"},
        {"AuthorizationType": "CUSTOM", "AuthorizerId": "none"},
        {"AuthorizationType": "NONE", "AuthorizationScopes": ["a"]},
        {"ApiKeyRequired": True},
    ],
)
def test_authorization_of_routes(api: HttpApi, settings: dict[str, Any]) -> None:
    found = refusal(api.client.create_route, ApiId=api.id, RouteKey="GET /authorized", **settings)
    assert found.startswith("BadRequestException")


@pytest.mark.parametrize(
    ("cors", "text"),
    [
        (
            {"AllowOrigins": ["*"], "AllowCredentials": True},
            "allow-credentials is not supported if 'allow-origin' is *",
        ),
        ({"AllowOrigins": ["example.com"]}, "Invalid format for origin example.com"),
        ({"AllowOrigins": ["https://example.com/"]}, "Invalid format for origin"),
        ({"AllowOrigins": ["*"], "MaxAge": 86_401}, "maxAge"),
        ({"AllowOrigins": ["*"], "AllowMethods": ["FETCH"]}, "FETCH"),
    ],
)
def test_cors(api: HttpApi, cors: dict[str, Any], text: str) -> None:
    create = api.client.create_api
    assert text in refusal(create, Name="a", ProtocolType="HTTP", CorsConfiguration=cors)
    assert text in refusal(api.client.update_api, ApiId=api.id, CorsConfiguration=cors)
    assert "CorsConfiguration" not in api.client.get_api(ApiId=api.id)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"TimeoutInMillis": 30_001}, "Timeout should be between 50 ms and 30000 ms"),
        ({"PayloadFormatVersion": "3.0"}, "3.0"),
        ({"PayloadFormatVersion": None}, "PayloadFormatVersion is a required parameter"),
        ({"IntegrationType": "MOCK"}, "MOCK"),
    ],
)
def test_integrations(api: HttpApi, settings: dict[str, Any], text: str) -> None:
    usual = {"IntegrationType": "AWS_PROXY", "IntegrationUri": FUNCTION, "PayloadFormatVersion": "2.0"}
    given = {name: value for name, value in {**usual, **settings}.items() if value is not None}
    assert text in refusal(api.client.create_integration, ApiId=api.id, **given)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"StageName": "a b"}, "Stage name only allows"),
        ({"StageName": "$default"}, "Stage already exists"),
        ({"RouteSettings": {"GET /no": {"ThrottlingBurstLimit": 1}}}, "Unable to find Route by key GET /no"),
        ({"DefaultRouteSettings": {"ThrottlingBurstLimit": -1}}, "negative"),
        ({"AccessLogSettings": {"DestinationArn": "g", "Format": LINE}}, "Invalid ARN"),
        ({"AccessLogSettings": {"DestinationArn": GROUP, "Format": "$context.status"}}, "$context.requestId"),
        ({"AccessLogSettings": {"DestinationArn": GROUP, "Format": f"a\n{LINE}"}}, "single line"),
        ({"AccessLogSettings": {"DestinationArn": GROUP}}, "format"),
    ],
)
def test_stages(api: HttpApi, settings: dict[str, Any], text: str) -> None:
    assert text in refusal(api.client.create_stage, ApiId=api.id, **{"StageName": "beta", **settings})
    assert [one["StageName"] for one in api.client.get_stages(ApiId=api.id)["Items"]] == ["$default"]


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"AuthorizerPayloadFormatVersion": None}, "AuthorizerPayloadFormatVersion is a required parameter"),
        ({"IdentitySource": []}, "Identity source must be set if authorizer caching is enabled"),
        ({"AuthorizerResultTtlInSeconds": 3601}, "3600"),
        ({"IdentitySource": ["header.X"]}, "Invalid identity source"),
        ({"AuthorizerPayloadFormatVersion": "1.0", "EnableSimpleResponses": True}, "EnableSimpleResponses"),
        ({"AuthorizerType": "JWT"}, "issuer"),
        ({"AuthorizerType": "JWT", "JwtConfiguration": JWT, "IdentitySource": []}, "identity source"),
        ({"AuthorizerType": "JWT", "JwtConfiguration": {**JWT, "Issuer": "http://a"}}, "https://"),
    ],
)
def test_authorizers(api: HttpApi, settings: dict[str, Any], text: str) -> None:
    usual = {
        "Name": "a",
        "AuthorizerType": "REQUEST",
        "AuthorizerUri": URI,
        "AuthorizerPayloadFormatVersion": "2.0",
        "IdentitySource": ["$request.header.X"],
        "AuthorizerResultTtlInSeconds": 300,
    }
    given = {name: value for name, value in {**usual, **settings}.items() if value is not None}
    assert text in refusal(api.client.create_authorizer, ApiId=api.id, **given)


# --- REST APIs


@pytest.mark.parametrize("part", ["a b", "{a", "{a+}b", "", "{a}"])
def test_path_parts(rest: RestApi, part: str) -> None:
    rest.resource("/{id}")
    root = rest.resource("/")
    found = refusal(rest.client.create_resource, restApiId=rest.id, parentId=root, pathPart=part)
    assert "path part only allow" in found or "A sibling ({id})" in found
    greedy = rest.resource("/greedy/{path+}")
    found = refusal(rest.client.create_resource, restApiId=rest.id, parentId=greedy, pathPart="b")
    assert "greedy" in found


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"authorizationType": "CUSTOM"}, "requires a valid authorizer"),
        ({"authorizationType": "JWT"}, "Invalid authorization type"),
        ({"requestValidatorId": "none"}, "Invalid Request Validator identifier"),
    ],
)
def test_methods(rest: RestApi, settings: dict[str, Any], text: str) -> None:
    place = {"restApiId": rest.id, "resourceId": rest.resource("/a"), "httpMethod": "PUT"}
    assert text in refusal(rest.client.put_method, **{**place, "authorizationType": "NONE", **settings})


def test_timeouts_of_rest_apis(rest: RestApi) -> None:
    place = {"restApiId": rest.id, "resourceId": rest.resource("/a"), "httpMethod": "GET"}
    before = rest.client.get_integration(**place)["timeoutInMillis"]
    for timeout in (49, 29_001):
        found = refusal(rest.client.put_integration, **place, type="MOCK", timeoutInMillis=timeout)
        assert "Timeout should be between 50 ms and 29000 ms" in found
    assert rest.client.get_integration(**place)["timeoutInMillis"] == before


def test_a_deployment_needs_a_method_with_an_integration(functions: Functions) -> None:
    api = RestApi(functions)
    assert "doesn't contain any methods" in refusal(api.client.create_deployment, restApiId=api.id)
    api.method("GET", "/a")
    assert "No integration defined for method" in refusal(api.client.create_deployment, restApiId=api.id)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"stageName": "a.b"}, "Stage name only allows a-zA-Z0-9_-"),
        ({"stageName": "live"}, "Stage already exists"),
        ({"deploymentId": "none"}, "Deployment id does not exist"),
        ({"cacheClusterSize": "0.7"}, "cache cluster size"),
    ],
)
def test_stages_of_rest_apis(rest: RestApi, settings: dict[str, Any], text: str) -> None:
    deployment = rest.client.get_deployments(restApiId=rest.id)["items"][0]["id"]
    given = {"restApiId": rest.id, "stageName": "beta", "deploymentId": deployment, **settings}
    assert text in refusal(rest.client.create_stage, **given)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"/*/*/caching/ttlInSeconds": "3601"}, "3600"),
        (
            {"/accessLogSettings/destinationArn": GROUP, "/accessLogSettings/format": LINE},
            "CloudWatch Logs role ARN",
        ),
        ({"/*/*/logging/loglevel": "INFO"}, "CloudWatch Logs role ARN"),
    ],
)
def test_changes_of_stages(rest: RestApi, changes: dict[str, str], text: str) -> None:
    with pytest.raises(ClientError, match=text):
        rest.patch_stage(**changes)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"type": "TOKEN", "identitySource": "method.request.querystring.a"}, "mapping expression"),
        ({"type": "TOKEN"}, "mapping expression"),
        ({"type": "REQUEST"}, "Identity source must be set"),
        ({"type": "REQUEST", "identitySource": "header.a"}, "mapping expression"),
        ({"type": "COGNITO_USER_POOLS", "identitySource": "method.request.header.A"}, "provider ARN"),
        ({"type": "REQUEST", "authorizerResultTtlInSeconds": 3601}, "3600"),
    ],
)
def test_authorizers_of_rest_apis(rest: RestApi, settings: dict[str, Any], text: str) -> None:
    create = rest.client.create_authorizer
    assert text in refusal(create, restApiId=rest.id, name="a", authorizerUri=URI, **settings)


@pytest.mark.parametrize(
    "model",
    [
        {"name": "a-b", "schema": "{}"},
        {"name": "a", "schema": "{"},
        {"name": "a", "schema": '{"type": "text"}'},
    ],
)
def test_models(rest: RestApi, model: dict[str, str]) -> None:
    found = refusal(rest.client.create_model, restApiId=rest.id, contentType="application/json", **model)
    assert found.startswith("BadRequestException")


@pytest.mark.parametrize(
    "name",
    ["q", "method.request.body.q", "integration.request.header.q", "method.request.querystring.", "a b"],
)
def test_parameters_of_methods_have_a_place_and_a_name(rest: RestApi, name: str) -> None:
    method: dict[str, Any] = {"restApiId": rest.id, "resourceId": rest.resource("/b"), "httpMethod": "GET"}
    found = refusal(
        rest.client.put_method, **method, authorizationType="NONE", requestParameters={name: True}
    )
    assert "Invalid mapping expression specified" in found


def test_an_integration_maps_only_parameters_that_its_method_declares(rest: RestApi) -> None:
    path, header = "method.request.path.id", "integration.request.path.id"
    method = rest.method("GET", "/c", requestParameters={path: True})
    put, mock = rest.client.put_integration, {**method, "type": "MOCK"}
    put(**mock, requestParameters={header: path})
    found = refusal(put, **mock, requestParameters={header: f"{path}2"})
    assert f"Invalid mapping expression parameter specified: {path}2" in found
    assert "Invalid mapping expression specified: id" in refusal(put, **mock, requestParameters={"id": path})


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"throttle": {"rateLimit": -1, "burstLimit": 1}}, "must not be negative"),
        ({"throttle": {"rateLimit": 1, "burstLimit": -1}}, "must not be negative"),
        ({"quota": {"limit": 1, "offset": 1, "period": "DAY"}}, "offset 1 must be 0 in the DAY period"),
        ({"quota": {"limit": 1, "offset": 7, "period": "WEEK"}}, "offset 7 must be between 0 and 6"),
        ({"quota": {"limit": 1, "offset": 28, "period": "MONTH"}}, "offset 28 must be between 0 and 27"),
        ({"quota": {"limit": 1, "offset": -1, "period": "MONTH"}}, "offset -1 must be between 0 and 27"),
    ],
)
def test_usage_plans(rest: RestApi, settings: dict[str, Any], text: str) -> None:
    before = len(rest.client.get_usage_plans()["items"])
    assert text in refusal(rest.client.create_usage_plan, name="plan", **settings)
    assert len(rest.client.get_usage_plans()["items"]) == before
    kept = rest.client.create_usage_plan(name="plan", throttle={"rateLimit": 1, "burstLimit": 1})["id"]
    for value, problem in {"-1": "negative", "nan": "negative", "abc": "number", "": "number"}.items():
        change = {"op": "replace", "path": "/throttle/rateLimit", "value": value}
        assert problem in refusal(rest.client.update_usage_plan, usagePlanId=kept, patchOperations=[change])


# --- Templates

ROOT = {"Fn::GetAtt": ["Rest", "RootResourceId"]}
METHOD = (
    "::Method",
    {
        "ResourceId": ROOT,
        "HttpMethod": "POST",
        "AuthorizationType": "NONE",
        "Integration": {"Type": "MOCK"},
    },
)


@pytest.mark.parametrize(
    ("resources", "text"),
    [
        ({"Route": ("V2::Route", {"RouteKey": "GET a"})}, "not formatted properly"),
        (
            {"A": ("V2::Route", {"RouteKey": "GET /a"}), "B": ("V2::Route", {"RouteKey": "GET /a"})},
            "already exists for this API",
        ),
        (
            {
                "Integration": (
                    "V2::Integration",
                    {
                        "IntegrationType": "AWS_PROXY",
                        "PayloadFormatVersion": "2.0",
                        "TimeoutInMillis": 40_000,
                    },
                )
            },
            "Timeout should be between",
        ),
        ({"Stage": ("V2::Stage", {"StageName": "a b"})}, "Stage name only allows"),
        (
            {
                "Authorizer": (
                    "V2::Authorizer",
                    {"AuthorizerType": "REQUEST", "Name": "a", "AuthorizerUri": URI},
                )
            },
            "AuthorizerPayloadFormatVersion",
        ),
        ({"Deployment": ("::Deployment", {})}, "contain any methods"),
        (
            {name: ("::Resource", {"ParentId": ROOT, "PathPart": f"{{{name}}}"}) for name in ("X", "Y")},
            r"sibling \(\{X\}\) of this resource already has a variable path part -- only one is allowed",
        ),
        (
            {
                "Method": METHOD,
                "Deployment": ("::Deployment", {}),
                "Stage": ("::Stage", {"StageName": "a b", "DeploymentId": ref("Deployment")}),
            },
            "Stage name only allows a-zA-Z0-9_-",
        ),
        (
            {"Method": (METHOD[0], {**METHOD[1], "AuthorizationType": "COGNITO_USER_POOLS"})},
            "Invalid authorizer ID specified",
        ),
        (
            {"Method": (METHOD[0], {**METHOD[1], "RequestParameters": {"q": True}})},
            "Invalid mapping expression specified: q",
        ),
        (
            {"Plan": ("::UsagePlan", {"Quota": {"Limit": 1, "Offset": 3, "Period": "DAY"}})},
            "offset 3 must be 0 in the DAY period",
        ),
    ],
)
def test_a_template_with_it_fails(local_aws: LocalAws, resources: dict[str, Any], text: str) -> None:
    made: dict[str, Any] = {
        "Http": {"Type": "AWS::ApiGatewayV2::Api", "Properties": {"Name": "a", "ProtocolType": "HTTP"}},
        "Rest": {"Type": "AWS::ApiGateway::RestApi", "Properties": {"Name": "a"}},
    }
    before: list[str] = []
    for name, (kind, properties) in resources.items():
        api = {"ApiId": ref("Http")} if kind.startswith("V2") else {"RestApiId": ref("Rest")}
        api = {} if kind == "::UsagePlan" else api
        own = {"Type": f"AWS::ApiGateway{kind}", "Properties": {**api, **properties}}
        made[name] = {**own, "DependsOn": before.copy()}
        before.append(name)
    with pytest.raises(DeploymentFailedError, match=text):
        deploy(local_aws, made)


def test_a_template_with_cors_for_everybody_with_credentials_fails(local_aws: LocalAws) -> None:
    cors = {"AllowOrigins": ["*"], "AllowCredentials": True}
    properties = {"Name": "a", "ProtocolType": "HTTP", "CorsConfiguration": cors}
    before = len(local_aws.client("apigatewayv2").get_apis()["Items"])
    with pytest.raises(DeploymentFailedError, match="allow-credentials is not supported"):
        deploy(local_aws, {"Api": {"Type": "AWS::ApiGatewayV2::Api", "Properties": properties}})
    assert len(local_aws.client("apigatewayv2").get_apis()["Items"]) == before
