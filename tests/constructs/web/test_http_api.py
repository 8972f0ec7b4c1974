"""HTTP and REST APIs: who may call them, what they may invoke, and what API Gateway refuses."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any

import jsii
import pytest
from aws_cdk import App, CfnParameter, Duration, Environment, Fn, Size, Stack
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_apigatewayv2 as apigatewayv2
from aws_cdk import aws_apigatewayv2_authorizers as authorizers
from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk.assertions import Template
from constructs import Construct

from cdk_lambda_patterns import FunctionOptions
from cdk_lambda_patterns.web.http_api import (
    HttpApi,
    HttpApiOptions,
    HttpApiRoute,
    RestApi,
    RestApiMethod,
    RestApiOptions,
)
from tests.templates import Resources, stack_with

CODE = lambda_.Code.from_inline("def handler(event, context): return event")
NEW: dict[str, Any] = {"code": CODE, "handler": "index.handler"}
ARN = "arn:aws:lambda:eu-west-1:123456789012:function:theirs"
GET, PUT, ANY = apigatewayv2.HttpMethod.GET, apigatewayv2.HttpMethod.PUT, apigatewayv2.HttpMethod.ANY
OPEN = apigatewayv2.HttpNoneAuthorizer()
NONE, IAM = apigateway.AuthorizationType.NONE, apigateway.AuthorizationType.IAM
PAGE = "https://notes.example.com"


def function(stack: Stack, timeout: Duration | None = None, id: str = "Mine") -> lambda_.Function:
    return lambda_.Function(
        stack, id, code=CODE, handler="index.handler", runtime=lambda_.Runtime.PYTHON_3_14, timeout=timeout
    )


def resources_of(stack: Stack) -> Resources:
    return Resources(dict(Template.from_stack(stack).to_json()))


def http(**arguments: Any) -> Resources:
    """The template of an HTTP API."""
    stack = Stack(App(), "S")
    HttpApi(stack, "Api", **{"authorization": OPEN, **NEW, **arguments})
    return resources_of(stack)


def rest(**arguments: Any) -> Resources:
    """The template of a REST API."""
    stack = Stack(App(), "S")
    RestApi(stack, "Api", **{"authorization": IAM, **NEW, **arguments})
    return resources_of(stack)


# --- Both: function, timeout, access log


@stack_with
def both(stack: Stack) -> None:
    HttpApi(stack, "Http", authorization=authorizers.HttpIamAuthorizer(), **NEW)
    RestApi(stack, "Rest", authorization=IAM, **NEW)


def test_a_new_function_times_out_when_its_api_does(both: Resources) -> None:
    functions = both.all("AWS::Lambda::Function")
    timeouts = {name[:4]: one["Timeout"] for name, one in functions.items()}
    assert timeouts == {"Http": 30, "Rest": 29}


@pytest.mark.parametrize(
    ("api", "kind", "limit"), [(HttpApi, "an HTTP API", 30), (RestApi, "a REST API", 29)]
)
def test_a_function_that_runs_longer_than_its_api_waits_is_refused(
    api: Callable[..., object], kind: str, limit: int
) -> None:
    stack = Stack(App(), "S")
    authorization = OPEN if api is HttpApi else NONE
    late = function(stack, Duration.seconds(limit + 1))
    for number, existing in enumerate((late, late.current_version, late.add_alias("live"))):
        message = f"^function.timeout={limit + 1}: {kind} allows 1 to {limit} seconds"
        with pytest.raises(ValueError, match=message):
            api(stack, f"Late{number}", authorization=authorization, function=existing)
    options = FunctionOptions(timeout=Duration.seconds(limit + 1))
    with pytest.raises(ValueError, match=r"^function_options.timeout"):
        api(stack, "Late", authorization=authorization, **NEW, function_options=options)
    seconds = CfnParameter(stack, "Seconds", type="Number").value_as_number
    for number, timeout in enumerate((Duration.seconds(limit), Duration.seconds(seconds))):
        options = FunctionOptions(timeout=timeout)
        api(stack, f"InTime{number}", authorization=authorization, **NEW, function_options=options)


@pytest.mark.parametrize("api", [HttpApi, RestApi])
def test_a_warning_says_what_the_timeout_of_an_imported_function_must_be(
    api: Callable[..., Construct],
) -> None:
    stack = Stack(App(), "S", env=Environment(account="123456789012", region="eu-west-1"))
    theirs = lambda_.Function.from_function_attributes(
        stack, "Theirs", function_arn=ARN, same_environment=True
    )
    front = api(stack, "Api", authorization=OPEN if api is HttpApi else NONE, function=theirs)
    warnings = [entry.data for entry in front.node.metadata if entry.type == "aws:cdk:warning"]
    assert ["its timeout is unknown here" in text for text in warnings] == [True]
    Template.from_stack(stack).has_resource_properties("AWS::Lambda::Permission", {"FunctionName": ARN})


@pytest.mark.parametrize("api", [HttpApi, RestApi])
@pytest.mark.parametrize("given", ["code and function", "neither", "handler"])
def test_an_api_has_either_code_or_a_function(api: Callable[..., object], given: str) -> None:
    stack = Stack(App(), "S")
    arguments: dict[str, Any] = {
        "code and function": {**NEW, "function": function(stack)},
        "neither": {},
        "handler": {"handler": "a.b", "function": function(stack, id="Other")},
    }[given]
    with pytest.raises(ValueError, match=r"missing|cannot be combined with function"):
        api(stack, "Api", authorization=OPEN if api is HttpApi else NONE, **arguments)


@pytest.mark.parametrize("api", [HttpApi, RestApi])
def test_authorization_must_be_given(api: Any) -> None:
    with pytest.raises(TypeError, match="authorization"):
        api(Stack(App(), "S"), "Api", **NEW)


@pytest.mark.parametrize("wrong", [None, "NONE", "AWS_IAM"])
def test_an_authorization_that_is_none_of_the_cdk_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"^authorization=.*HttpNoneAuthorizer"):
        HttpApi(Stack(App(), "S"), "Api", authorization=wrong, **NEW)
    with pytest.raises(ValueError, match=r"^authorization=.*AuthorizationType"):
        RestApi(Stack(App(), "S"), "Api", authorization=wrong, **NEW)


def test_the_access_log_is_json_with_what_a_failure_needs(both: Resources) -> None:
    settings = [
        both.only("AWS::ApiGatewayV2::Stage")["AccessLogSettings"],
        both.only("AWS::ApiGateway::Stage")["AccessLogSetting"],
    ]
    groups = both.all("AWS::Logs::LogGroup")
    for one in settings:
        assert any(group in str(one["DestinationArn"]) for group in groups)
        fields = json.loads(one["Format"])
        assert {"requestId", "status", "integrationError", "authorizerError", "lambdaRequestId"} <= set(
            fields
        )
        assert all(variable.startswith("$context.") for variable in fields.values())


# --- HTTP API


def test_only_the_routes_of_this_api_may_invoke_the_function() -> None:
    routes = [HttpApiRoute(path="/notes/{name}", methods=(GET, PUT)), HttpApiRoute(path="/health")]
    template = http(routes=routes)
    (api,) = template.all("AWS::ApiGatewayV2::Api")
    permissions = template.all("AWS::Lambda::Permission").values()
    paths = set()
    for one in permissions:
        assert one["Principal"] == "apigateway.amazonaws.com"
        *_, name, path = one["SourceArn"]["Fn::Join"][1]
        assert name == {"Ref": api}
        paths.add(path)
    assert paths == {"/*/*/notes/{name}", "/*/*/health"}


def test_all_requests_reach_the_function_unless_routes_are_given() -> None:
    keys = {route["RouteKey"] for route in http().all("AWS::ApiGatewayV2::Route").values()}
    assert keys == {"ANY /", "ANY /{proxy+}"}


def test_preflight_requests_reach_no_route_that_asks_for_authorization() -> None:
    cors = HttpApiOptions(cors_preflight=apigatewayv2.CorsPreflightOptions(allow_origins=[PAGE]))
    template = http(authorization=authorizers.HttpIamAuthorizer(), options=cors)
    routes = template.all("AWS::ApiGatewayV2::Route").values()
    assert {route["AuthorizationType"] for route in routes} == {"AWS_IAM"}
    methods = {route["RouteKey"].partition(" ")[0] for route in routes}
    assert methods == {"DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"}
    own = [HttpApiRoute(path="/a"), HttpApiRoute(path="/a", methods=(GET,), authorization=OPEN)]
    template = http(authorization=authorizers.HttpIamAuthorizer(), options=cors, routes=own)
    types = {
        one["RouteKey"]: one["AuthorizationType"] for one in template.all("AWS::ApiGatewayV2::Route").values()
    }
    assert (types.pop("GET /a"), len(types), set(types.values())) == ("NONE", 5, {"AWS_IAM"})
    open_routes = http(options=cors).all("AWS::ApiGatewayV2::Route").values()
    assert {route["RouteKey"] for route in open_routes} == {"ANY /", "ANY /{proxy+}"}


def test_a_route_has_its_own_authorization_and_limits() -> None:
    stack = Stack(App(), "S")
    pool = cognito.UserPool(stack, "Users")
    limits = apigatewayv2.ThrottleSettings(rate_limit=0.5, burst_limit=3)
    HttpApi(
        stack,
        "Api",
        authorization=authorizers.HttpUserPoolAuthorizer("Users", pool),
        routes=[
            HttpApiRoute(path="/notes", methods=(GET,), authorization_scopes=["notes/read"], throttle=limits),
            HttpApiRoute(path="/health", authorization=OPEN),
        ],
        options=HttpApiOptions(throttle=apigatewayv2.ThrottleSettings(rate_limit=100, burst_limit=50)),
        **NEW,
    )
    template = resources_of(stack)
    guarded = template.only("AWS::ApiGatewayV2::Route", RouteKey="GET /notes")
    assert (guarded["AuthorizationType"], guarded["AuthorizationScopes"]) == ("JWT", ["notes/read"])
    assert template.only("AWS::ApiGatewayV2::Route", RouteKey="ANY /health")["AuthorizationType"] == "NONE"
    stage = template.only("AWS::ApiGatewayV2::Stage")
    expected = {"ThrottlingRateLimit": 0.5, "ThrottlingBurstLimit": 3}
    assert stage["RouteSettings"] == {"GET /notes": expected}
    assert stage["DefaultRouteSettings"] == {"ThrottlingRateLimit": 100, "ThrottlingBurstLimit": 50}
    (stage_id,) = template.all("AWS::ApiGatewayV2::Stage")
    (limited,) = [name for name in template.all("AWS::ApiGatewayV2::Route") if "GETnotes" in name]
    assert limited in template.template["Resources"][stage_id]["DependsOn"]


def test_a_lambda_authorizer_answers_simply_and_is_cached() -> None:
    stack = Stack(App(), "S")
    simple = authorizers.HttpLambdaAuthorizer(
        "Partners",
        function(stack),
        response_types=[authorizers.HttpLambdaResponseType.SIMPLE],
        results_cache_ttl=Duration.seconds(60),
    )
    HttpApi(stack, "Api", authorization=simple, **NEW)
    Template.from_stack(stack).has_resource_properties(
        "AWS::ApiGatewayV2::Authorizer",
        {"EnableSimpleResponses": True, "AuthorizerResultTtlInSeconds": 60, "AuthorizerType": "REQUEST"},
    )


@pytest.mark.parametrize("kind", ["alias", "version", "function"])
def test_an_existing_function_is_used_as_it_is(kind: str) -> None:
    stack = Stack(App(), "S")
    mine = function(stack)
    target = {"alias": mine.add_alias("live"), "version": mine.current_version, "function": mine}[kind]
    assert HttpApi(stack, "Http", authorization=OPEN, function=target).function is target
    assert RestApi(stack, "Rest", authorization=NONE, function=target).function is target
    template = Template.from_stack(stack)
    template.resource_count_is("AWS::Lambda::Function", 1)
    arn = stack.resolve(target.function_arn)
    template.has_resource_properties("AWS::ApiGatewayV2::Integration", {"IntegrationUri": arn})
    permissions = template.find_resources("AWS::Lambda::Permission").values()
    assert [one["Properties"]["FunctionName"] for one in permissions] == [arn] * 4


# --- REST API


def test_only_the_methods_of_this_api_and_stage_may_invoke_the_function() -> None:
    template = rest(methods=[RestApiMethod(path="/notes/{name}", http_methods=("GET", "PUT"))])
    (stage,) = template.all("AWS::ApiGateway::Stage")
    sources = [
        one["SourceArn"]["Fn::Join"][1][-4:] for one in template.all("AWS::Lambda::Permission").values()
    ]
    assert sorted(source[-1] for source in sources) == ["/GET/notes/*", "/PUT/notes/*"]
    assert {source[-2]["Ref"] for source in sources} == {stage}


def test_requests_are_validated_where_a_method_says_what_it_needs() -> None:
    schema = apigateway.JsonSchema(type=apigateway.JsonSchemaType.OBJECT, required=["text"])
    template = rest(
        methods=[
            RestApiMethod(path="/notes", http_methods=("POST",), request_models={"$default": schema}),
            RestApiMethod(
                path="/notes",
                http_methods=("GET",),
                request_parameters={"method.request.querystring.tag": True},
            ),
            RestApiMethod(path="/health", http_methods=("GET",)),
        ]
    )
    validator = template.only("AWS::ApiGateway::RequestValidator")
    assert (validator["ValidateRequestBody"], validator["ValidateRequestParameters"]) == (True, True)
    methods = template.all("AWS::ApiGateway::Method").values()
    assert ["RequestValidatorId" in one for one in methods] == [True, True, False]
    (posted,) = [one for one in methods if one["HttpMethod"] == "POST"]
    assert list(posted["RequestModels"]) == ["$default"]
    assert template.only("AWS::ApiGateway::Model")["Schema"]["required"] == ["text"]


def test_methods_may_have_functions_of_their_own_with_the_permissions_of_their_methods_only() -> None:
    stack = Stack(App(), "S")
    other = function(stack, id="Other")
    RestApi(
        stack,
        "Api",
        authorization=IAM,
        function=function(stack, id="Main"),
        methods=[
            RestApiMethod(path="/orders", http_methods=("GET",)),
            RestApiMethod(path="/products", http_methods=("GET",), function=other),
        ],
    )
    template = resources_of(stack)
    allowed = {
        one["FunctionName"]["Fn::GetAtt"][0][:5].rstrip("0123456789"): one["SourceArn"]["Fn::Join"][1][-1]
        for one in template.all("AWS::Lambda::Permission").values()
    }
    assert sorted(allowed.values()) == ["/GET/orders", "/GET/products"]
    assert {name[:4]: path for name, path in allowed.items()} == {
        "Main": "/GET/orders",
        "Othe": "/GET/products",
    }


def test_a_function_of_a_method_must_not_run_longer_than_the_api_waits() -> None:
    stack = Stack(App(), "S")
    late = RestApiMethod(path="/slow", function=function(stack, Duration.seconds(30), id="Late"))
    with pytest.raises(ValueError, match=r"^function.timeout of /slow=30: a REST API allows 1 to 29 seconds"):
        RestApi(stack, "Api", authorization=IAM, methods=[late], **NEW)


def described(title: str | None, *, required: str = "text", **more: Any) -> apigateway.JsonSchema:
    return apigateway.JsonSchema(
        type=apigateway.JsonSchemaType.OBJECT, title=title, required=[required], **more
    )


def test_methods_say_what_they_are_called_and_what_they_answer() -> None:
    note, problem = described("Note"), described("Problem", required="message")
    template = rest(
        methods=[
            RestApiMethod(
                path="/notes/{name}",
                http_methods=("PUT",),
                operation_name="put_note",
                request_models={"application/json": note},
                response_models={"200": note, "404": problem},
            ),
            RestApiMethod(path="/notes", http_methods=("GET",), response_models={"404": problem}),
        ]
    )
    models = template.all("AWS::ApiGateway::Model")
    assert sorted(one["Name"] for one in models.values()) == ["Note", "Problem"]
    (put, _) = sorted(template.all("AWS::ApiGateway::Method").values(), key=lambda one: one["HttpMethod"])[
        ::-1
    ]
    assert put["OperationName"] == "put_note"
    assert {one["StatusCode"]: list(one["ResponseModels"]) for one in put["MethodResponses"]} == {
        "200": ["application/json"],
        "404": ["application/json"],
    }
    ids = {name: one["Name"] for name, one in models.items()}
    assert ids[put["RequestModels"]["application/json"]["Ref"]] == "Note"


@pytest.mark.parametrize("title", [None, "A note", "note-1", ""])
def test_a_schema_without_a_title_that_can_be_a_name_is_a_model_of_its_method(title: str | None) -> None:
    template = rest(
        methods=[
            RestApiMethod(path=path, http_methods=("PUT",), request_models={"$default": described(title)})
            for path in ("/a", "/b")
        ]
    )
    models = template.all("AWS::ApiGateway::Model").values()
    assert ["Name" in one for one in models] == [False, False]


def test_two_schemas_with_one_title_are_refused() -> None:
    methods = [
        RestApiMethod(
            path=f"/{required}",
            http_methods=("GET",),
            response_models={"200": described("Note", required=required)},
        )
        for required in ("text", "stars")
    ]
    with pytest.raises(ValueError, match=r"^GET /stars 200: another schema of this API has the title 'Note'"):
        rest(methods=methods)


@pytest.mark.parametrize("methods", [("GET", "PUT"), ("ANY",)])
def test_an_operation_is_one_method(methods: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"^operation_name='notes' with http_methods="):
        RestApiMethod(path="/", http_methods=methods, operation_name="notes")


def test_an_operation_is_there_once() -> None:
    methods = [
        RestApiMethod(path=path, http_methods=("GET",), operation_name="notes") for path in ("/a", "/b")
    ]
    with pytest.raises(ValueError, match=r"^notes is there 2 times"):
        rest(methods=methods)


@pytest.mark.parametrize("status", ["", "2xx", "default", "99", "600", "20"])
def test_a_response_has_a_status_code(status: str) -> None:
    with pytest.raises(ValueError, match=f"^response_models='{status}': give the status code"):
        RestApiMethod(path="/", response_models={status: described("Note")})


def cached(
    authorization: Callable[[Stack], Any], path: str = "/notes/{name}/{rest+}", **more: Any
) -> dict[str, Any]:
    """The method GET of a REST API that caches it."""
    stack = Stack(App(), "S")
    method = RestApiMethod(path=path, http_methods=("GET",), cache_ttl=Duration.seconds(60), **more)
    plan = apigateway.UsagePlanProps() if more.get("api_key_required") else None
    RestApi(
        stack,
        "Api",
        authorization=authorization(stack),
        methods=[method],
        options=RestApiOptions(usage_plan=plan),
        **NEW,
    )
    template = resources_of(stack)
    stage = template.only("AWS::ApiGateway::Stage")
    assert (stage["CacheClusterEnabled"], stage["CacheClusterSize"]) == (True, "0.5")
    (setting,) = [one for one in stage["MethodSettings"] if one["ResourcePath"] != "/*"]
    assert setting["ResourcePath"] == "/" + path.replace("/", "~1")
    assert (setting["CachingEnabled"], setting["CacheTtlInSeconds"]) == (True, 60)
    assert setting["CacheDataEncrypted"] is True
    return template.only("AWS::ApiGateway::Method")


PATH = ["method.request.path.name", "method.request.path.rest"]
CALLERS: dict[str, tuple[Callable[[Stack], Any], list[str]]] = {
    "nobody": (lambda _: NONE, []),
    "token": (
        lambda stack: apigateway.TokenAuthorizer(stack, "Token", handler=function(stack)),
        ["method.request.header.Authorization"],
    ),
    "request": (
        lambda stack: apigateway.RequestAuthorizer(
            stack,
            "Request",
            handler=function(stack),
            identity_sources=[
                apigateway.IdentitySource.header("X-Partner"),
                apigateway.IdentitySource.query_string("token"),
                apigateway.IdentitySource.context("resourcePath"),
            ],
        ),
        ["method.request.header.X-Partner", "method.request.querystring.token"],
    ),
    "user pool": (
        lambda stack: apigateway.CognitoUserPoolsAuthorizer(
            stack, "Pool", cognito_user_pools=[cognito.UserPool(stack, "Users")]
        ),
        ["method.request.header.Authorization"],
    ),
}


@pytest.mark.parametrize("caller", CALLERS)
def test_the_key_of_the_cache_holds_the_path_and_the_caller(caller: str) -> None:
    """Otherwise a caller would get the response that another caller was authorized for."""
    authorization, identity = CALLERS[caller]
    method = cached(authorization)
    assert sorted(method["Integration"]["CacheKeyParameters"]) == sorted([*PATH, *identity])
    assert set(method["RequestParameters"]) == {*PATH, *identity}


def test_the_key_of_the_cache_holds_declared_parameters_and_api_keys() -> None:
    tag = "method.request.querystring.tag"
    method = cached(lambda _: NONE, request_parameters={tag: False}, api_key_required=True)
    key = method["Integration"]["CacheKeyParameters"]
    assert sorted(key) == sorted([*PATH, tag, "method.request.header.x-api-key"])
    assert method["ApiKeyRequired"] is True


def test_a_cache_that_cannot_tell_callers_apart_is_refused() -> None:
    with pytest.raises(ValueError, match="leave cache_ttl out, or give an authorizer"):
        cached(lambda _: IAM)


@pytest.mark.parametrize("variable", ["order-id", "order.id", "order_id", "_", "1", "a-b.c_d"])
def test_the_key_of_the_cache_holds_variables_of_any_name(variable: str) -> None:
    """Otherwise a request gets the response for another resource."""
    for path in (f"/c/{{{variable}}}", f"/c/{{{variable}+}}", f"/{{{variable}}}/c"):
        keys = cached(lambda _: NONE, path)["Integration"]["CacheKeyParameters"]
        assert keys == [f"method.request.path.{variable}"]


HEADER, CONTEXT = apigateway.IdentitySource.header("X"), apigateway.IdentitySource.context


@jsii.implements(apigateway.IAuthorizer)
class Custom:
    """An authorizer that does not say what it identifies callers by."""

    authorizer_id = "a1b2c3"
    authorization_type = apigateway.AuthorizationType.CUSTOM


@pytest.mark.parametrize(
    ("sources", "known"),
    [
        ([], "does not say how"),
        ([CONTEXT("identity.sourceIp")], "identifies callers by ['context.identity.sourceIp']"),
        (
            [HEADER, CONTEXT("identity.sourceIp")],
            "identifies callers by ['method.request.header.X', 'context.",
        ),
        ([CONTEXT("resourcePath")], "identifies callers by ['context.resourcePath']"),
        (None, "does not say how"),
    ],
)
def test_a_cache_without_all_that_an_authorizer_looks_at_is_refused(
    sources: list[str] | None, known: str
) -> None:
    """Otherwise a caller gets the response that another caller was authorized for."""

    def make(stack: Stack) -> Any:
        if sources is None:
            return Custom()
        never = Duration.seconds(0)
        return apigateway.RequestAuthorizer(
            stack, "A", handler=function(stack), identity_sources=sources, results_cache_ttl=never
        )

    with pytest.raises(
        ValueError, match=re.escape(f"cache_ttl of /notes/{{name}}/{{rest+}}: its authorizer {known}")
    ):
        cached(make)


def test_keys_belong_to_a_usage_plan_of_the_stage() -> None:
    stack = Stack(App(), "S")
    front = RestApi(
        stack,
        "Api",
        authorization=IAM,
        methods=[RestApiMethod(path="/notes", api_key_required=True)],
        options=RestApiOptions(
            usage_plan=apigateway.UsagePlanProps(
                quota=apigateway.QuotaSettings(limit=10, period=apigateway.Period.DAY)
            )
        ),
        **NEW,
    )
    assert front.usage_plan is not None
    front.usage_plan.add_api_key(front.api.add_api_key("Shop"))
    template = resources_of(stack)
    plan = template.only("AWS::ApiGateway::UsagePlan")
    assert plan["Quota"] == {"Limit": 10, "Period": "DAY"}
    assert [one["Stage"]["Ref"] for one in plan["ApiStages"]] == list(template.all("AWS::ApiGateway::Stage"))
    assert template.only("AWS::ApiGateway::UsagePlanKey")["KeyType"] == "API_KEY"


def test_pages_of_another_origin_can_read_errors_and_preflight_requests_are_open() -> None:
    template = rest(
        options=RestApiOptions(default_cors_preflight_options=apigateway.CorsOptions(allow_origins=[PAGE]))
    )
    responses = template.all("AWS::ApiGateway::GatewayResponse").values()
    assert sorted(one["ResponseType"] for one in responses) == ["DEFAULT_4XX", "DEFAULT_5XX"]
    for one in responses:
        header = "gatewayresponse.header.Access-Control-Allow-Origin"
        assert one["ResponseParameters"] == {header: f"'{PAGE}'"}
    methods = template.all("AWS::ApiGateway::Method").values()
    types = {(one["HttpMethod"], one["AuthorizationType"], one["Integration"]["Type"]) for one in methods}
    assert types == {("OPTIONS", "NONE", "MOCK"), ("ANY", "AWS_IAM", "AWS_PROXY")}


def test_a_method_repeats_the_limits_of_the_stage_that_its_settings_replace() -> None:
    limits = apigateway.ThrottleSettings(rate_limit=100, burst_limit=50)
    own = apigateway.ThrottleSettings(rate_limit=1, burst_limit=2)
    template = rest(
        authorization=NONE,
        methods=[
            RestApiMethod(path="/cached", http_methods=("GET",), cache_ttl=Duration.seconds(60)),
            RestApiMethod(path="/slow", http_methods=("GET",), throttle=own),
        ],
        options=RestApiOptions(throttle=limits),
    )
    settings = {
        one["ResourcePath"]: (one["ThrottlingRateLimit"], one["ThrottlingBurstLimit"])
        for one in template.only("AWS::ApiGateway::Stage")["MethodSettings"]
    }
    assert settings == {"/*": (100, 50), "/~1cached": (100, 50), "/~1slow": (1, 2)}


def test_the_role_for_logs_is_made_only_on_request() -> None:
    assert rest().all("AWS::ApiGateway::Account") == {}
    assert len(rest(options=RestApiOptions(cloud_watch_role=True)).all("AWS::ApiGateway::Account")) == 1


# --- What API Gateway does not allow

WRONG: dict[str, tuple[Callable[[], object], str]] = {
    "route without slash": (
        lambda: HttpApiRoute(path="notes"),
        "path='notes': a path begins with a slash and does not end with one, and no part is empty; give "
        "'/notes'.",
    ),
    "route with slash": (
        lambda: HttpApiRoute(path="/notes/"),
        "path='/notes/': a path begins with a slash and",
    ),
    "route twice": (
        lambda: http(
            routes=[HttpApiRoute(path="/a", methods=(GET, PUT)), HttpApiRoute(path="/a", methods=(PUT,))]
        ),
        "PUT /a is there 2 times",
    ),
    "route without method": (lambda: HttpApiRoute(path="/", methods=()), "methods=(): the route would match"),
    "burst of a route": (
        lambda: HttpApiRoute(path="/", throttle=apigatewayv2.ThrottleSettings(rate_limit=1, burst_limit=0.5)),
        "throttle.burst_limit=0.5: API Gateway allows 0 to 1,000,000 requests, whole numbers only",
    ),
    "rate of a stage": (
        lambda: HttpApiOptions(throttle=apigatewayv2.ThrottleSettings(rate_limit=-1, burst_limit=1)),
        "throttle.rate_limit=-1: API Gateway allows",
    ),
    "rate without burst": (
        lambda: RestApiMethod(path="/", throttle=apigateway.ThrottleSettings(rate_limit=1)),
        "throttle without burst_limit: a token bucket has a rate and a size",
    ),
    "method in small letters": (
        lambda: RestApiMethod(path="/", http_methods=("get",)),
        "http_methods='get': choose one of 'ANY', 'DELETE', 'GET'",
    ),
    "method twice": (
        lambda: rest(methods=[RestApiMethod(path="/a"), RestApiMethod(path="/a")]),
        "ANY /a is there 2 times",
    ),
    "OPTIONS with CORS": (
        lambda: rest(
            methods=[RestApiMethod(path="/a", http_methods=("OPTIONS",))],
            options=RestApiOptions(
                default_cors_preflight_options=apigateway.CorsOptions(allow_origins=[PAGE])
            ),
        ),
        "http_methods of /a with 'OPTIONS' and default_cors_preflight_options: API Gateway answers",
    ),
    "credentials for all origins": (
        lambda: RestApiOptions(
            default_cors_preflight_options=apigateway.CorsOptions(allow_origins=["*"], allow_credentials=True)
        ),
        "default_cors_preflight_options.allow_origins=['*'] with allow_credentials=True: browsers refuse it",
    ),
    "name of a parameter": (
        lambda: RestApiMethod(path="/", request_parameters={"tag": True}),
        "request_parameters='tag': give method.request.header.NAME",
    ),
    "name of the stage": (
        lambda: RestApiOptions(stage_name="$default"),
        "stage_name='$default': API Gateway allows 1 to 128",
    ),
    "method without slash": (lambda: RestApiMethod(path="notes"), "path='notes': a path begins with a slash"),
    "no http method": (lambda: RestApiMethod(path="/", http_methods=()), "http_methods=(): no request"),
    "cached PUT": (
        lambda: RestApiMethod(path="/", http_methods=("PUT",), cache_ttl=Duration.seconds(1)),
        "cache_ttl with http_methods=('PUT',): what the cache answers never reaches",
    ),
    "cached for a day": (
        lambda: RestApiMethod(path="/", http_methods=("GET",), cache_ttl=Duration.days(1)),
        "cache_ttl=86,400: API Gateway allows 1 to 3,600 seconds",
    ),
    "size of the cache": (
        lambda: RestApiOptions(cache_cluster_size="2"),
        "cache_cluster_size='2': choose one of '0.5'",
    ),
    "cache without a method": (
        lambda: rest(options=RestApiOptions(cache_cluster_size="0.5")),
        "cache_cluster_size='0.5' without a method that has cache_ttl",
    ),
    "key without plan": (
        lambda: rest(methods=[RestApiMethod(path="/", api_key_required=True)]),
        "api_key_required of / without options.usage_plan",
    ),
    "plan without key": (
        lambda: rest(options=RestApiOptions(usage_plan=apigateway.UsagePlanProps())),
        "options.usage_plan without a method that has api_key_required",
    ),
    "custom authorization": (
        lambda: rest(authorization=apigateway.AuthorizationType.CUSTOM),
        "authorization=AuthorizationType.CUSTOM: give the authorizer itself",
    ),
    "size from which to compress": (
        lambda: RestApiOptions(min_compression_size=Size.mebibytes(11)),
        "min_compression_size=11: API Gateway allows 0 to 10 MiB",
    ),
    "no route": (lambda: http(routes=[]), "routes=(): no request would reach the function"),
    "no method": (lambda: rest(methods=[]), "methods=(): no request would reach the function"),
    "two names of one variable": (
        lambda: rest(methods=[RestApiMethod(path="/a/{x}"), RestApiMethod(path="/a/{y}/b")]),
        "path='/a/{y}/b': {y} is in the place of {x} in '/a/{x}', and a REST API has one variable in a place",
    ),
    "greedy variable next to another": (
        lambda: rest(methods=[RestApiMethod(path="/{proxy+}"), RestApiMethod(path="/{id}")]),
        "path='/{id}': {id} is in the place of {proxy+} in '/{proxy+}'",
    ),
    "two names of one variable of a route": (
        lambda: http(routes=[HttpApiRoute(path="/a/{x}"), HttpApiRoute(path="/a/{y}")]),
        "ANY /a/{y} and ANY /a/{x}: a request that matches one matches the other",
    ),
    "class of an authorizer": (
        lambda: http(authorization=authorizers.HttpIamAuthorizer),
        "authorization=<class 'aws_cdk.aws_apigatewayv2_authorizers.HttpIamAuthorizer'>: give an authorizer",
    ),
    "class of an authorizer of a route": (
        lambda: HttpApiRoute(path="/", authorization=authorizers.HttpIamAuthorizer),  # type: ignore[arg-type]
        "authorization=<the class HttpIamAuthorizer>: aws_apigatewayv2.IHttpRouteAuthorizer is needed, not "
        "the class HttpIamAuthorizer; give an object of it, HttpIamAuthorizer(...).",
    ),
    "class of an authorizer of a REST API": (
        lambda: rest(authorization=apigateway.TokenAuthorizer),
        "authorization=<the class TokenAuthorizer>: aws_apigateway.IAuthorizer or",
    ),
    "methods of a route as a string": (
        lambda: HttpApiRoute(path="/", methods="GET"),  # type: ignore[arg-type]
        "methods='GET': give a sequence of members of the class, such as (HttpMethod.GET,).",
    ),
    "routes as a string": (
        lambda: http(routes="/a"),
        "routes='/a': give a sequence of HttpApiRoute.",
    ),
    "path that is known later": (
        lambda: RestApiMethod(path=f"/{Fn.import_value('Path')}"),
        "path: a REST API has a resource for each part",
    ),
    "custom authorization of a method": (
        lambda: rest(methods=[RestApiMethod(path="/", authorization=apigateway.AuthorizationType.COGNITO)]),
        "authorization=AuthorizationType.COGNITO: give the authorizer itself",
    ),
}


PATHS = {
    "/trail/": "give '/trail'.",
    "trail": "give '/trail'.",
    "": "give '/'.",
    "/a//b": "give '/a/b'.",
    "//": "give '/'.",
    "/{id": "'{id' is no variable",
    "/id}": "'id}' is no variable",
    "/a{id}": "'a{id}' is no variable",
    "/{id}.json": "'{id}.json' is no variable",
    "/{}": "'{}' is no variable",
    "/{+}": "'{+}' is no variable",
    "/{a:b}": "'{a:b}' is no variable",
    "/{a b}": "'{a b}' is no variable",
    "/{proxy+}/a": "put it at the end",
    "/{x}/a/{x}": "'x' is there 2 times",
    "/{x}/{x+}": "'x' is there 2 times",
    "/a?b=c": "'a?b=c' is not allowed",
    "/a b": "'a b' is not allowed",
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", [HttpApiRoute, RestApiMethod])
def test_a_path_that_no_request_has_is_refused(kind: Callable[..., object], path: str) -> None:
    with pytest.raises(ValueError, match=r"^path=") as refused:
        kind(path=path)
    assert PATHS[path] in str(refused.value)


PLANS: dict[str, tuple[dict[str, Any], str]] = {
    "negative rate": ({"throttle": {"rate_limit": -1, "burst_limit": 1}}, "throttle.rate_limit=-1"),
    "no number": ({"throttle": {"rate_limit": math.nan, "burst_limit": 1}}, "throttle.rate_limit=nan"),
    "burst": ({"throttle": {"rate_limit": 1, "burst_limit": 2_000_000}}, "throttle.burst_limit=2,000,000"),
    "rate only": ({"throttle": {"rate_limit": 1}}, "throttle without burst_limit"),
    "limit": ({"quota": {"limit": 0, "period": apigateway.Period.DAY}}, "quota.limit=0"),
    "part": ({"quota": {"limit": 1.5, "period": apigateway.Period.DAY}}, "quota.limit=1.5"),
    "infinite": ({"quota": {"limit": math.inf, "period": apigateway.Period.DAY}}, "quota.limit=inf"),
    "no period": ({"quota": {"limit": 1}}, "quota without period"),
    "no limit": ({"quota": {"period": apigateway.Period.DAY}}, "quota without limit"),
    "day": ({"quota": {"limit": 1, "offset": 1, "period": apigateway.Period.DAY}}, "quota.offset=1"),
    "week": ({"quota": {"limit": 1, "offset": 7, "period": apigateway.Period.WEEK}}, "quota.offset=7"),
    "month": ({"quota": {"limit": 1, "offset": 28, "period": apigateway.Period.MONTH}}, "quota.offset=28"),
    "stages": ({"api_stages": [apigateway.UsagePlanPerApiStage()]}, "api_stages: the plan is for the stage"),
}


@pytest.mark.parametrize("plan", PLANS)
def test_a_usage_plan_that_api_gateway_refuses_is_refused(plan: str) -> None:
    given, message = PLANS[plan]
    with pytest.raises(ValueError, match=f"^usage_plan.{re.escape(message)}"):
        RestApiOptions(usage_plan=apigateway.UsagePlanProps(**given))


CORS: dict[str, tuple[dict[str, Any], str]] = {
    "without scheme": ({"allow_origins": ["a.com"]}, "allow_origins: 'a.com' never equals the origin"),
    "path": ({"allow_origins": ["https://a.com/"]}, "allow_origins: 'https://a.com/' never equals"),
    "wildcard": ({"allow_origins": ["https://*.a.com"]}, "allow_origins: 'https://*.a.com' never"),
    "user": ({"allow_origins": ["https://u:p@a.com"]}, "allow_origins: 'https://u:p@a.com' never"),
    "credentials": ({"allow_origins": ["*"], "allow_credentials": True}, "allow_origins=['*'] with"),
    "no origin": ({"allow_origins": []}, "allow_origins: without origins no web page may call"),
    "header": ({"allow_origins": ["*"], "allow_headers": [""]}, "allow_headers: '' is no name"),
    "exposed": ({"allow_origins": ["*"], "expose_headers": ["a b"]}, "expose_headers: 'a b' is no name"),
}


@pytest.mark.parametrize("cors", CORS)
def test_cors_for_no_page_is_refused(cors: str) -> None:
    given, message = CORS[cors]
    with pytest.raises(ValueError, match=f"^cors_preflight.{re.escape(message)}"):
        HttpApiOptions(cors_preflight=apigatewayv2.CorsPreflightOptions(**given))
    with pytest.raises(ValueError, match=f"^default_cors_preflight_options.{re.escape(message)}"):
        RestApiOptions(default_cors_preflight_options=apigateway.CorsOptions(**given))


def test_what_only_one_kind_of_api_allows_in_cors() -> None:
    scheme = ["https://*", "http://localhost:3000", "http://[::1]:80", "capacitor://localhost"]
    HttpApiOptions(cors_preflight=apigatewayv2.CorsPreflightOptions(allow_origins=scheme))
    for origins in (["https://*"], ["*", PAGE]):
        with pytest.raises(ValueError, match=r"^default_cors_preflight_options\.allow_origins"):
            RestApiOptions(default_cors_preflight_options=apigateway.CorsOptions(allow_origins=origins))


@pytest.mark.parametrize("kind", ["NONE", "IAM", "Lambda"])
def test_scopes_are_refused_where_nothing_has_scopes(kind: str) -> None:
    """Otherwise API Gateway refuses the deployment, or does not look at them."""
    stack, scopes = Stack(App(), "S"), ["notes/read"]
    of_http = {
        "NONE": OPEN,
        "IAM": authorizers.HttpIamAuthorizer(),
        "Lambda": authorizers.HttpLambdaAuthorizer("A", function(stack)),
    }
    of_rest: dict[str, Any] = {
        "NONE": NONE,
        "IAM": IAM,
        "Lambda": apigateway.TokenAuthorizer(stack, "A", handler=function(stack, id="B")),
    }
    with pytest.raises(ValueError, match=r"^authorization_scopes of / with the authorization type"):
        http(authorization=of_http[kind], routes=[HttpApiRoute(path="/", authorization_scopes=scopes)])
    with pytest.raises(ValueError, match=r"^authorization_scopes of / with the authorization type"):
        rest(methods=[RestApiMethod(path="/", authorization=of_rest[kind], authorization_scopes=scopes)])


@pytest.mark.parametrize("api", [HttpApi, RestApi])
def test_a_function_of_another_region_is_refused_and_one_of_another_account_is_not(
    api: Callable[..., object],
) -> None:
    stack = Stack(App(), "S", env=Environment(account="123456789012", region="eu-west-1"))
    authorization = OPEN if api is HttpApi else NONE
    far = lambda_.Function.from_function_arn(stack, "Far", ARN.replace("eu-west-1", "us-east-1"))
    with pytest.raises(ValueError, match=r"^function=S/Far: it is in us-east-1.* of its own Region"):
        api(stack, "Refused", authorization=authorization, function=far)
    theirs = lambda_.Function.from_function_arn(stack, "Theirs", ARN.replace("123456789012", "111122223333"))
    api(stack, "Api", authorization=authorization, function=theirs)


@pytest.mark.parametrize("api", [HttpApi, RestApi])
def test_an_arn_that_lambda_gives_no_permission_for_is_refused(api: Callable[..., object]) -> None:
    stack = Stack(App(), "S", env=Environment(account="123456789012", region="eu-west-1"))
    latest = lambda_.Function.from_function_arn(stack, "Latest", f"{ARN}:$LATEST")
    with pytest.raises(ValueError, match=r"^function=S/Latest: its ARN ends with ':\$LATEST'"):
        api(stack, "Api", authorization=OPEN if api is HttpApi else NONE, function=latest)


def test_a_private_api_needs_a_resource_policy_before_the_app_is_synthesised() -> None:
    stack = Stack(App(), "S")
    private = apigateway.EndpointConfiguration(types=[apigateway.EndpointType.PRIVATE])
    front = RestApi(
        stack, "Api", authorization=IAM, options=RestApiOptions(endpoint_configuration=private), **NEW
    )
    with pytest.raises(RuntimeError, match=r"api\.add_to_resource_policy"):
        Template.from_stack(stack)
    everybody = iam.PolicyStatement(
        actions=["execute-api:Invoke"], principals=[iam.AnyPrincipal()], resources=["execute-api:/*"]
    )
    front.api.add_to_resource_policy(everybody)
    assert resources_of(stack).only("AWS::ApiGateway::RestApi")["Policy"]


@pytest.mark.parametrize("wrong", WRONG)
def test_what_cannot_be_is_refused_with_the_remedy(wrong: str) -> None:
    make, message = WRONG[wrong]
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        make()
