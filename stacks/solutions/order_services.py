"""Deploys a shop of three services: the catalogue, the orders with their workflow, and shipping."""

from collections.abc import Sequence
from typing import Any, Final, TypeVar

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct

from cdk_lambda_patterns import FunctionOptions, HardenedFunction
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.permissions import acknowledge_wildcard
from cdk_lambda_patterns.core.table import make_table, text
from cdk_lambda_patterns.messaging.sqs_consumer import SqsConsumer
from cdk_lambda_patterns.streams.dynamodb_stream import DynamoDbStreamConsumer, DynamoDbStreamConsumerOptions
from cdk_lambda_patterns.web.http_api import RestApi, RestApiMethod, RestApiOptions
from stacks.architecture import Architecture
from stacks.pattern_stack import PatternStack, context, switch
from stacks.users import make_user_pool

_CODE: Final[dict[str, Any]] = {
    "code": pattern_source("solutions", "order_services"),
    "removal_policy": RemovalPolicy.DESTROY,
}
_NAME: Final = (
    "a lower-case letter and up to 19 lower-case letters, digits and hyphens, no hyphen last, such as 'test'"
)
# Errors of the workflow that are answers. Any other is that of a service that is down.
_NOT_RESERVED: Final = ("OutOfStock", "UnknownProduct", "GivenUp")
_NOT_SHIPPED: Final = ("ShippingRefused", "States.Timeout")
_LONGEST: Final = Duration.days(14)  # as long as the dead-letter queue retains a message
_Task = TypeVar("_Task", bound=sfn.TaskStateBase)
_UNAVAILABLE: Final = "The service is not available at the moment. Repeat the request: nothing is done twice."


def _object(title: str, **properties: apigateway.JsonSchema) -> apigateway.JsonSchema:
    """The schema of an object; its title is the name of a class in generated clients."""
    optional = {"reason"}
    return apigateway.JsonSchema(
        type=apigateway.JsonSchemaType.OBJECT,
        title=title,
        properties=properties,
        required=[name for name in properties if name not in optional],
    )


def _list_of(name: str, schema: apigateway.JsonSchema) -> apigateway.JsonSchema:
    listed = apigateway.JsonSchema(type=apigateway.JsonSchemaType.ARRAY, items=schema)
    return _object(name.title(), **{name: listed})


_TEXT: Final = apigateway.JsonSchema(type=apigateway.JsonSchemaType.STRING, min_length=1, max_length=256)
_QUANTITY: Final = apigateway.JsonSchema(type=apigateway.JsonSchemaType.INTEGER, minimum=1, maximum=1_000)
_COUNT: Final = apigateway.JsonSchema(type=apigateway.JsonSchemaType.INTEGER, minimum=0)
_PRODUCT: Final = _object("Product", product=_TEXT, in_stock=_COUNT)
_NEW_ORDER: Final = _object("NewOrder", product=_TEXT, quantity=_QUANTITY)
_STATUS: Final = apigateway.JsonSchema(
    type=apigateway.JsonSchemaType.STRING, enum=["placed", "shipped", "rejected"]
)
_ORDER: Final = _object("Order", order=_TEXT, product=_TEXT, quantity=_QUANTITY, status=_STATUS, reason=_TEXT)
_PROBLEM: Final = _object("Problem", message=_TEXT)


class OrderServicesStack(PatternStack):
    """A customer orders from the catalogue; a workflow reserves the products and has them shipped.

    The context ``environment``, such as ``test``, makes another copy of everything, with a name of its own.

    The context ``cloud-watch-role`` is ``false`` for an account in which API Gateway has its role for logs.

    A demonstration: deleting the stack deletes all data too (``RemovalPolicy.DESTROY``).
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        environment = context(scope, "environment", r"[a-z]([a-z0-9-]{0,18}[a-z0-9])?", _NAME)
        super().__init__(scope, architecture, environment=environment)
        catalogue = Catalogue(self, "Catalogue")
        shipping = Shipping(self, "Shipping")
        orders = Orders(self, "Orders", catalogue, shipping.consumer.queue)
        # Shipping answers the workflow that waits for it.
        iam.Grant.add_to_principal(
            grantee=shipping.consumer.function,
            actions=["states:SendTaskHeartbeat", "states:SendTaskSuccess", "states:SendTaskFailure"],
            resource_arns=[orders.workflow.state_machine_arn],
        )
        users = make_user_pool(self)
        client = users.add_client(
            "Client",
            auth_flows=cognito.AuthFlow(user_srp=True, admin_user_password=True),
            disable_o_auth=True,  # otherwise the CDK allows the implicit grant
            prevent_user_existence_errors=True,
        )
        shop = self._make_api(users, catalogue, orders)
        self.output("Environment", environment or "default")
        self.output("Url", shop.url)
        self.output("ApiId", shop.api.rest_api_id)
        self.output("StageName", shop.api.deployment_stage.stage_name)
        self.output("UserPoolId", users.user_pool_id)
        self.output("ClientId", client.user_pool_client_id)
        self.output("StateMachineArn", orders.workflow.state_machine_arn)
        self.output("ShippingQueueUrl", shipping.consumer.queue.queue_url)
        assert shipping.consumer.dead_letter_queue is not None  # only of an imported queue
        self.output("ShippingDeadLetterQueueUrl", shipping.consumer.dead_letter_queue.queue_url)
        assert isinstance(orders.changes.failure_destination, sqs.Queue)
        self.output("ChangesFailureQueueUrl", orders.changes.failure_destination.queue_url)
        for name, table in {
            "Catalogue": catalogue.table,
            "Orders": orders.table,
            "ByCustomer": orders.by_customer,
            "Shipments": shipping.table,
        }.items():
            self.output(f"{name}TableName", table.table_name)
        for name, function in {
            "Catalogue": catalogue.function,
            "Orders": orders.function,
            "Changes": orders.changes.function,
            "Shipping": shipping.consumer.function,
        }.items():
            self.output(f"{name}FunctionName", function.function_name)

    def _make_api(self, users: cognito.UserPool, catalogue: "Catalogue", orders: "Orders") -> RestApi:
        order_path = {"method.request.path.order": True}
        return RestApi(
            self,
            "Shop",
            function=orders.function,
            authorization=apigateway.CognitoUserPoolsAuthorizer(self, "Customer", cognito_user_pools=[users]),
            methods=[
                RestApiMethod(
                    path="/products",
                    http_methods=("GET",),
                    function=catalogue.function,
                    operation_name="list_products",
                    response_models={"200": _list_of("products", _PRODUCT), "503": _PROBLEM},
                ),
                RestApiMethod(
                    path="/orders",
                    http_methods=("GET",),
                    operation_name="list_orders",
                    response_models={"200": _list_of("orders", _ORDER), "503": _PROBLEM},
                ),
                RestApiMethod(
                    path="/orders/{order}",
                    http_methods=("GET",),
                    request_parameters=order_path,
                    operation_name="get_order",
                    response_models={"200": _ORDER, "400": _PROBLEM, "404": _PROBLEM, "503": _PROBLEM},
                ),
                RestApiMethod(
                    path="/orders/{order}",
                    http_methods=("PUT",),
                    request_parameters=order_path,
                    request_models={"application/json": _NEW_ORDER},
                    operation_name="put_order",
                    response_models={
                        "200": _ORDER,
                        "202": _ORDER,
                        "400": _PROBLEM,
                        "409": _PROBLEM,
                        "503": _PROBLEM,
                    },
                ),
            ],
            options=RestApiOptions(
                rest_api_name=self.stack_name,
                throttle=apigateway.ThrottleSettings(rate_limit=50, burst_limit=25),
                cloud_watch_role=switch(self, "cloud-watch-role", default=True),
                gateway_responses=[
                    apigateway.GatewayResponseOptions(
                        type=apigateway.ResponseType.DEFAULT_5_XX,
                        status_code="503",
                        response_headers={"Retry-After": "'5'"},
                        templates={"application/json": f'{{"message": "{_UNAVAILABLE}"}}'},
                    )
                ],
            ),
            removal_policy=RemovalPolicy.DESTROY,
        )


class Catalogue(Construct):
    """Products and reservations, and the function that answers customers and the workflow."""

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        self.table = make_table(
            self,
            "Table",
            partition_key=text("kind"),
            sort_key=text("id"),
            removal_policy=RemovalPolicy.DESTROY,
        )
        self.function = HardenedFunction(
            self,
            "Function",
            handler="order_services.catalogue.handler.handler",
            options=_options("catalogue", TABLE_NAME=self.table.table_name),
            **_CODE,
        )
        self.table.grant(self.function, "dynamodb:Query", "dynamodb:PutItem", "dynamodb:UpdateItem")


class Shipping(Construct):
    """Shipments, and the function that reads the queue of those that are wanted."""

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        key = text("order")
        self.table = make_table(self, "Table", partition_key=key, removal_policy=RemovalPolicy.DESTROY)
        self.consumer = SqsConsumer(
            self,
            "Wanted",
            fifo=True,
            handler="order_services.shipping.handler.handler",
            function_options=_options("shipping", TABLE_NAME=self.table.table_name),
            **_CODE,
        )
        self.table.grant(self.consumer.function, "dynamodb:PutItem")


class Orders(Construct):
    """Orders and their read model: a function for the API, one that follows changes, and the workflow."""

    def __init__(self, scope: Construct, id: str, catalogue: Catalogue, shipping: sqs.IQueue) -> None:
        super().__init__(scope, id)
        self.table = make_table(
            self,
            "Table",
            partition_key=text("order"),
            stream=dynamodb.StreamViewType.NEW_IMAGE,
            removal_policy=RemovalPolicy.DESTROY,
        )
        self.by_customer = make_table(
            self,
            "ByCustomer",
            partition_key=text("customer"),
            sort_key=text("order"),
            removal_policy=RemovalPolicy.DESTROY,
        )
        names = {"BY_CUSTOMER_TABLE_NAME": self.by_customer.table_name}
        self.function = HardenedFunction(
            self,
            "Function",
            handler="order_services.orders.handler.handler",
            options=_options("orders", TABLE_NAME=self.table.table_name, **names),
            **_CODE,
        )
        self.table.grant(self.function, "dynamodb:GetItem", "dynamodb:PutItem")
        self.by_customer.grant(self.function, "dynamodb:Query")
        self.workflow = self._make_workflow(catalogue, shipping)
        self.changes = DynamoDbStreamConsumer(
            self,
            "Changes",
            table=self.table,
            handler="order_services.orders.changes.handler",
            # A day of attempts, as long as the stream has the records. The API stores valid orders only, so
            # that a failure is that of a service, and ends.
            options=DynamoDbStreamConsumerOptions(
                retry_attempts=1_000, view_type=dynamodb.StreamViewType.NEW_IMAGE
            ),
            function_options=_options("orders", STATE_MACHINE_ARN=self.workflow.state_machine_arn, **names),
            **_CODE,
        )
        self.by_customer.grant(self.changes.function, "dynamodb:PutItem")
        self.workflow.grant_start_execution(self.changes.function)

    def _make_workflow(self, catalogue: Catalogue, shipping: sqs.IQueue) -> sfn.StateMachine:
        """Reserve → ship → shipped; or what was done is undone in reverse order → rejected."""
        reserve = self._ask(catalogue, "Reserve", "reserve", final=_NOT_RESERVED)
        ship = self._send(shipping, "Ship", _NOT_SHIPPED, quantity=sfn.JsonPath.number_at("$.quantity"))
        rejected = self._settle("Rejected", "rejected", reason=sfn.JsonPath.string_at("$.failure.Error"))
        undo = self._send(shipping, "Cancel").next(self._ask(catalogue, "Release", "release")).next(rejected)
        reserve.add_catch(rejected, errors=list(_NOT_RESERVED), result_path="$.failure")
        ship.add_catch(undo, errors=list(_NOT_SHIPPED), result_path="$.failure")
        log = logs.LogGroup(
            self,
            "WorkflowLog",
            removal_policy=RemovalPolicy.DESTROY,
        )
        machine = sfn.StateMachine(
            self,
            "Workflow",
            definition_body=sfn.DefinitionBody.from_chainable(
                reserve.next(ship).next(self._settle("Shipped", "shipped"))
            ),
            logs=sfn.LogOptions(destination=log, level=sfn.LogLevel.ALL),
            tracing_enabled=True,
        )
        acknowledge_wildcard(
            machine.role,
            "*",
            "The delivery of logs and X-Ray have no resource-level permissions: "
            "https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html",
        )
        acknowledge_wildcard(
            machine.role,
            f"{catalogue.function.function_arn}:*",
            "The integration of the CDK also allows the versions of this function.",
        )
        return machine

    def _ask(
        self, catalogue: Catalogue, id: str, action: str, final: Sequence[str] = ()
    ) -> tasks.LambdaInvoke:
        """Invoke the function of the catalogue with the order."""
        payload = {"action": action, "order": sfn.JsonPath.object_at("$")}
        task = tasks.LambdaInvoke(
            self,
            id,
            lambda_function=catalogue.function,
            payload=sfn.TaskInput.from_object(payload),
            retry_on_service_exceptions=False,  # `_retry` has them
            result_path=sfn.JsonPath.DISCARD,
        )
        return _retry(task, *final)

    def _send(
        self, queue: sqs.IQueue, id: str, final: Sequence[str] = (), **more: Any
    ) -> tasks.SqsSendMessage:
        """Send a message to shipping, and wait for the answer: until then, nothing after it is done.

        A retry is another message, with a token of its own, that SQS must not take for a duplicate.
        """
        order, entered = sfn.JsonPath.string_at("$.order"), sfn.JsonPath.state_entered_time
        body = {"action": id.lower(), "order": order, "token": sfn.JsonPath.task_token, **more}
        task = tasks.SqsSendMessage(
            self,
            id,
            queue=queue,
            message_body=sfn.TaskInput.from_object(body),
            message_group_id=order,
            message_deduplication_id=sfn.JsonPath.format(
                "{}/{}/{}", order, entered, sfn.JsonPath.string_at("$$.State.RetryCount")
            ),
            integration_pattern=sfn.IntegrationPattern.WAIT_FOR_TASK_TOKEN,
            task_timeout=sfn.Timeout.duration(_LONGEST),
            result_path=sfn.JsonPath.DISCARD,
        )
        return _retry(task, *final)

    def _settle(self, id: str, status: str, **more: str) -> tasks.DynamoUpdateItem:
        """Write what has become of the order."""
        values = {"status": status, **more}
        task = tasks.DynamoUpdateItem(
            self,
            id,
            table=self.table,
            key={"order": tasks.DynamoAttributeValue.from_string(sfn.JsonPath.string_at("$.order"))},
            update_expression="SET " + ", ".join(f"#{name} = :{name}" for name in values),
            expression_attribute_names={f"#{name}": name for name in values},
            expression_attribute_values={
                f":{name}": tasks.DynamoAttributeValue.from_string(value) for name, value in values.items()
            },
            condition_expression="attribute_exists(customer)",  # an order that was deleted does not come back
            result_path=sfn.JsonPath.DISCARD,
        )
        return _retry(task, "DynamoDB.ConditionalCheckFailedException")


def _retry(task: _Task, *final: str) -> _Task:
    """Repeat a task whose service is down, for about a day; not after an error that is an answer.

    The jitter takes a random part of each pause, half of it on average: 600 pauses of five minutes are 25
    hours.
    """
    if final:
        task.add_retry(errors=list(final), max_attempts=0)
    task.add_retry(
        errors=["States.ALL"],
        interval=Duration.seconds(1),
        backoff_rate=2,
        max_delay=Duration.minutes(5),
        max_attempts=600,
        jitter_strategy=sfn.JitterType.FULL,
    )
    return task


def _options(service: str, **environment: str) -> FunctionOptions:
    return FunctionOptions(
        memory_size=512,
        timeout=Duration.seconds(20),
        environment={"POWERTOOLS_SERVICE_NAME": service, **environment},
    )
