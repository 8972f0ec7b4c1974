"""Deploys a workflow that prices and reserves an order, behind a REST API and an HTTP API."""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_apigatewayv2 as apigatewayv2
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from aws_cdk.aws_apigatewayv2_authorizers import HttpIamAuthorizer
from aws_cdk.aws_apigatewayv2_integrations import HttpLambdaIntegration
from constructs import Construct

from cdk_lambda_patterns import FunctionOptions, HardenedFunction
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.permissions import acknowledge, acknowledge_wildcard
from cdk_lambda_patterns.core.table import make_table, text
from cdk_lambda_patterns.workflow.sync_express import TRANSIENT_LAMBDA_ERRORS, SyncExpressWorkflow
from stacks.architecture import Architecture
from stacks.pattern_stack import PatternStack

_STATUSES = {"InvalidOrder": 400, "UnknownProduct": 404, "OutOfStock": 409, "Busy": 503}
_API_BUSY = ("ApiGateway.429", "ApiGateway.502", "ApiGateway.503", "ApiGateway.504")
_STOCK_BUSY = (*TRANSIENT_LAMBDA_ERRORS, "StockBusy")
_MOST_SECONDS_OF_A_TASK = 3


class SyncExpressStack(PatternStack):
    """An order is one request: the workflow asks an API for the price, and a function for the reservation.

    A demonstration: deleting the stack deletes the stock and all logs too (``RemovalPolicy.DESTROY``).
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        table = make_table(self, "Stock", partition_key=text("product"), removal_policy=RemovalPolicy.DESTROY)
        prices = self._function("Prices", "sync_express.prices.handler")
        reserve = self._function("Reserve", "sync_express.handler.handler", TABLE_NAME=table.table_name)
        table.grant(reserve, "dynamodb:UpdateItem")
        http = apigatewayv2.HttpApi(self, "HttpApi", create_default_stage=False)
        throttle = apigatewayv2.ThrottleSettings(rate_limit=100, burst_limit=50)
        stage = http.add_stage("Stage", stage_name="prod", auto_deploy=True, throttle=throttle)
        http.add_routes(
            path="/prices",
            methods=[apigatewayv2.HttpMethod.GET],
            integration=HttpLambdaIntegration("Prices", prices),
            authorizer=HttpIamAuthorizer(),
        )
        workflow = SyncExpressWorkflow(
            self,
            "Orders",
            definition=self._definition(http, stage, reserve),
            timeout=Duration.seconds(25),
            removal_policy=RemovalPolicy.DESTROY,
        )
        assert isinstance(workflow.state_machine, sfn.StateMachine)
        acknowledge_wildcard(
            workflow.state_machine.role,
            f"{reserve.function_arn}:*",
            "The integration of the CDK also allows the versions of this function.",
        )
        rest = apigateway.RestApi(
            self,
            "RestApi",
            cloud_watch_role=False,
            endpoint_types=[apigateway.EndpointType.REGIONAL],
            deploy_options=apigateway.StageOptions(
                tracing_enabled=True, throttling_rate_limit=100, throttling_burst_limit=50
            ),
        )
        method = workflow.add_rest_method(rest.root.add_resource("orders"), statuses=_STATUSES)
        route = workflow.add_http_route(http, "/orders")
        _acknowledge(rest, stage)
        self.output("RestUrl", rest.url)
        self.output("HttpUrl", stage.url)
        self.output("StateMachine", workflow.state_machine.state_machine_arn)
        assert workflow.log_group is not None
        self.output("ExecutionLogName", workflow.log_group.log_group_name)
        self.output("RestRole", self._role_name(method, "StartSyncExecutionRole"))
        self.output("HttpRole", self._role_name(route, "InvokeRole"))
        self.output("FunctionName", reserve.function_name)
        self.output("PricesFunctionName", prices.function_name)
        self.output("TableName", table.table_name)

    def _definition(
        self, api: apigatewayv2.HttpApi, stage: apigatewayv2.HttpStage, reserve: lambda_.IFunction
    ) -> sfn.IChainable:
        """Check → price (API) → reserve (function); each known error ends in a state of its own."""
        invalid = sfn.Fail(
            self,
            "InvalidOrder",
            error="InvalidOrder",
            cause="Give order_id and product, 1 to 256 characters each, and a whole quantity of 1 to 1,000.",
        )
        unknown = sfn.Fail(self, "UnknownProduct", error="UnknownProduct", cause="There is no such product.")
        sold_out = sfn.Fail(
            self, "OutOfStock", error="OutOfStock", cause="There are not enough of this product."
        )
        busy = sfn.Fail(self, "Busy", error="Busy", cause="Nothing was reserved; try again in a moment.")
        price = tasks.CallApiGatewayHttpApiEndpoint(
            self,
            "Price",
            api_id=api.api_id,
            api_stack=self,
            stage_name=stage.stage_name,
            method=tasks.HttpMethod.GET,
            api_path="/prices",
            query_parameters=sfn.TaskInput.from_object(
                {"product": sfn.JsonPath.array(sfn.JsonPath.string_at("$.product"))}
            ),
            auth_type=tasks.AuthType.IAM_ROLE,
            result_selector={"cents": sfn.JsonPath.number_at("$.ResponseBody.cents")},
            result_path="$.price",
        )
        _retry(price, *_API_BUSY)
        price.add_catch(unknown, errors=["ApiGateway.404"])
        price.add_catch(busy, errors=list(_API_BUSY))
        reservation = tasks.LambdaInvoke(
            self,
            "Reserve the products",
            lambda_function=reserve,
            payload=sfn.TaskInput.from_object(
                {
                    "order": sfn.JsonPath.object_at("$"),
                    "cents": sfn.JsonPath.number_at("$.price.cents"),
                    "attempt": sfn.JsonPath.number_at("$$.State.RetryCount"),
                }
            ),
            output_path="$.Payload",
            retry_on_service_exceptions=False,  # these retries take up to 126 seconds
        )
        _retry(reservation, *_STOCK_BUSY)
        reservation.add_catch(invalid, errors=["InvalidOrder"])
        reservation.add_catch(sold_out, errors=["OutOfStock"])
        reservation.add_catch(busy, errors=list(_STOCK_BUSY))
        # For demonstrations: an order may say how long it waits.
        hold = sfn.Wait(self, "Hold", time=sfn.WaitTime.seconds_path("$.hold"))
        is_order = sfn.Condition.and_(
            sfn.Condition.is_present("$.order_id"),
            sfn.Condition.is_string("$.order_id"),
            sfn.Condition.is_present("$.product"),
            sfn.Condition.is_string("$.product"),
            sfn.Condition.is_present("$.quantity"),
            sfn.Condition.is_numeric("$.quantity"),
            sfn.Condition.number_greater_than_equals("$.quantity", 1),
        )
        priced = price.next(reservation)
        return (
            sfn.Choice(self, "Is it an order?")
            .when(sfn.Condition.not_(is_order), invalid)
            .when(sfn.Condition.is_present("$.hold"), hold.next(priced))
            .otherwise(priced)
        )

    def _function(self, id: str, handler: str, **environment: str) -> HardenedFunction:
        return HardenedFunction(
            self,
            id,
            code=pattern_source("workflow", "sync_express"),
            handler=handler,
            environment=environment,
            options=FunctionOptions(memory_size=256, timeout=Duration.seconds(_MOST_SECONDS_OF_A_TASK)),
            removal_policy=RemovalPolicy.DESTROY,
        )

    def _role_name(self, integrated: Construct, id: str) -> str:
        role = integrated.node.find_child(id)
        assert hasattr(role, "role_name")
        return str(role.role_name)


def _acknowledge(rest: apigateway.RestApi, http: apigatewayv2.HttpStage) -> None:
    """Say what this demonstration leaves to the rows of the family web."""
    log = "The log of executions has what becomes of an order; the family web shows access logs."
    for stage in (rest.deployment_stage, http):
        acknowledge(stage, {"AwsSolutions-APIG1": log, "Serverless-APIGWAccessLogging": log})
    acknowledge(rest, {"AwsSolutions-APIG2": "The workflow checks the order, for both APIs."})
    acknowledge(
        rest.deployment_stage,
        {
            "AwsSolutions-APIG3": "A web ACL costs by the month and fits one application.",
            "AwsSolutions-APIG6": "The log of executions has the errors.",
        },
    )


def _retry(task: sfn.TaskStateBase, *errors: str) -> None:
    """Try up to three times, within the time that an API waits."""
    task.add_retry(
        errors=list(errors),
        interval=Duration.seconds(1),
        max_attempts=2,
        backoff_rate=2,
        jitter_strategy=sfn.JitterType.FULL,
    )
