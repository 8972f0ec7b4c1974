"""Deploys a notes service behind an HTTP API for users and a REST API for partners."""

from aws_cdk import Duration, RemovalPolicy, Size
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_apigatewayv2 as apigatewayv2
from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk.aws_apigatewayv2_authorizers import (
    HttpIamAuthorizer,
    HttpLambdaAuthorizer,
    HttpLambdaResponseType,
    HttpUserPoolAuthorizer,
)
from constructs import Construct

from cdk_lambda_patterns import FunctionOptions, HardenedFunction
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.table import make_table, text
from cdk_lambda_patterns.web.http_api import (
    HttpApi,
    HttpApiOptions,
    HttpApiRoute,
    RestApi,
    RestApiMethod,
    RestApiOptions,
)
from stacks.architecture import Architecture
from stacks.notes import NotesService, make_notes_service
from stacks.pattern_stack import PatternStack, switch
from stacks.users import make_user_pool

_GET, _PUT, _DELETE = (
    apigatewayv2.HttpMethod.GET,
    apigatewayv2.HttpMethod.PUT,
    apigatewayv2.HttpMethod.DELETE,
)
# A page in a browser that may call the HTTP API.
_ORIGIN = "https://notes.example.com"
_NOTE = apigateway.JsonSchema(
    type=apigateway.JsonSchemaType.OBJECT,
    properties={
        "text": apigateway.JsonSchema(type=apigateway.JsonSchemaType.STRING, max_length=10_000),
        "stars": apigateway.JsonSchema(type=apigateway.JsonSchemaType.INTEGER, minimum=1, maximum=5),
    },
    required=["text"],
    additional_properties=False,
)
# What the schema does not allow, instead of the plain "Invalid request body".
_PROBLEM = (
    '{"title": "Bad Request", "status": 400, "detail": "$context.error.validationErrorString", '
    '"request_id": "$context.requestId"}'
)


class HttpApiStack(PatternStack):
    """Users sign in with Cognito, partners have a token, and operators sign their requests with IAM.

    The context ``cloud-watch-role`` is ``false`` for an account in which API Gateway has its role for logs.

    A demonstration: deleting the stack deletes notes, users and partners too (``RemovalPolicy.DESTROY``).
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        notes = make_notes_service(
            Construct(self, "Notes"),
            code=pattern_source("web", "http_api"),
            handler="http_api.handler.handler",
            description="Stores notes, behind an HTTP API and a REST API",
        )
        pool = make_user_pool(self)
        client = self._client(pool, "Client")
        brief = self._client(pool, "BriefClient", validity=Duration.minutes(5))
        partners = make_table(
            self, "Partners", partition_key=text("token_hash"), removal_policy=RemovalPolicy.DESTROY
        )
        authorizer = self._make_authorizer(partners)
        users = HttpUserPoolAuthorizer("UserPool", pool, user_pool_clients=[client, brief])
        http = self._make_http_api(notes, users, authorizer)
        rest = self._make_rest_api(notes, authorizer)
        self.output("HttpUrl", http.url)
        self.output("RestUrl", rest.url)
        self.output("HttpAccessLogName", http.access_log_group.log_group_name)
        self.output("RestAccessLogName", rest.access_log_group.log_group_name)
        self.output("FunctionName", notes.function.function_name)
        self.output("AuthorizerFunctionName", authorizer.function_name)
        self.output("NotesTableName", notes.table.table_name)
        self.output("PartnersTableName", partners.table_name)
        self.output("UserPoolId", pool.user_pool_id)
        self.output("ClientId", client.user_pool_client_id)
        self.output("BriefClientId", brief.user_pool_client_id)
        self.output("OtherClientId", self._client(pool, "OtherClient").user_pool_client_id)

    def _client(
        self, pool: cognito.UserPool, id: str, *, validity: Duration | None = None
    ) -> cognito.UserPoolClient:
        return pool.add_client(
            id,
            access_token_validity=validity,
            id_token_validity=validity,
            auth_flows=cognito.AuthFlow(admin_user_password=True),
            disable_o_auth=True,  # otherwise the CDK allows the implicit grant
        )

    def _make_authorizer(self, partners: dynamodb.Table) -> HardenedFunction:
        function = HardenedFunction(
            self,
            "Authorizer",
            code=pattern_source("web", "http_api"),
            handler="http_api.authorizer.handler",
            description="Knows the partners by their tokens",
            options=FunctionOptions(timeout=Duration.seconds(5)),
            environment={"TABLE_NAME": partners.table_name},
            removal_policy=RemovalPolicy.DESTROY,
        )
        partners.grant(function, "dynamodb:GetItem")
        return function

    def _make_http_api(
        self, notes: NotesService, users: HttpUserPoolAuthorizer, authorizer: HardenedFunction
    ) -> HttpApi:
        partners = HttpLambdaAuthorizer(
            "Partner",
            authorizer,
            response_types=[HttpLambdaResponseType.SIMPLE],
            identity_source=["$request.header.Authorization", "$context.routeKey"],
            results_cache_ttl=Duration.seconds(60),
        )
        rarely = apigatewayv2.ThrottleSettings(rate_limit=1, burst_limit=5)
        return HttpApi(
            self,
            "User",
            function=notes.function,
            authorization=users,
            routes=[
                HttpApiRoute(path="/notes", methods=(_GET,)),
                HttpApiRoute(path="/notes/{name}", methods=(_GET, _PUT)),
                HttpApiRoute(path="/notes/{name}", methods=(_DELETE,), authorization=HttpIamAuthorizer()),
                HttpApiRoute(path="/preferences", methods=(_PUT,), throttle=rarely),
                HttpApiRoute(path="/health", methods=(_GET,), authorization=partners),
            ],
            options=HttpApiOptions(
                cors_preflight=apigatewayv2.CorsPreflightOptions(
                    allow_origins=[_ORIGIN],
                    allow_methods=[apigatewayv2.CorsHttpMethod.GET, apigatewayv2.CorsHttpMethod.PUT],
                    allow_headers=["authorization", "content-type", "note-tag"],
                    max_age=Duration.hours(1),
                ),
                throttle=apigatewayv2.ThrottleSettings(rate_limit=200, burst_limit=100),
            ),
            removal_policy=RemovalPolicy.DESTROY,
        )

    def _make_rest_api(self, notes: NotesService, authorizer: HardenedFunction) -> RestApi:
        tag = "method.request.querystring.tag"
        rest = RestApi(
            self,
            "Partner",
            function=notes.function,
            authorization=apigateway.TokenAuthorizer(
                self, "Token", handler=authorizer, results_cache_ttl=Duration.seconds(60)
            ),
            methods=[
                RestApiMethod(
                    path="/notes",
                    http_methods=("GET",),
                    request_parameters={tag: True},
                    api_key_required=True,
                ),
                RestApiMethod(path="/notes/{name}", http_methods=("GET",), cache_ttl=Duration.minutes(1)),
                RestApiMethod(
                    path="/notes/{name}", http_methods=("PUT",), request_models={"$default": _NOTE}
                ),
                RestApiMethod(path="/notes/{name}", http_methods=("DELETE",)),
            ],
            options=RestApiOptions(
                throttle=apigateway.ThrottleSettings(rate_limit=200, burst_limit=100),
                usage_plan=apigateway.UsagePlanProps(
                    throttle=apigateway.ThrottleSettings(rate_limit=50, burst_limit=20),
                    quota=apigateway.QuotaSettings(limit=10_000, period=apigateway.Period.DAY),
                ),
                gateway_responses=[
                    apigateway.GatewayResponseOptions(
                        type=apigateway.ResponseType.BAD_REQUEST_BODY,
                        templates={"application/json": _PROBLEM},
                    )
                ],
                min_compression_size=Size.kibibytes(1),
                cloud_watch_role=switch(self, "cloud-watch-role", default=True),
            ),
            removal_policy=RemovalPolicy.DESTROY,
        )
        assert rest.usage_plan is not None
        key = rest.api.add_api_key("Shop")
        rest.usage_plan.add_api_key(key)
        self.output("UsagePlanId", rest.usage_plan.usage_plan_id)
        self.output("ApiKeyId", key.key_id)
        return rest
