"""A shop of three services: the catalogue, orders with their workflow, and shipping."""

import re
import sys
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct

from cdk_lambda_patterns import FunctionOptions, HardenedFunction
from cdk_lambda_patterns.messaging import SqsConsumer, SqsConsumerOptions
from cdk_lambda_patterns.streams import DynamoDbStreamConsumer, DynamoDbStreamConsumerOptions
from cdk_lambda_patterns.web import RestApi, RestApiMethod, RestApiOptions

HERE = Path(__file__).parent
ORDER = sfn.JsonPath.string_at("$.order")


def make_table(scope, id, key, **more):
    partition_key = dynamodb.Attribute(name=key, type=dynamodb.AttributeType.STRING)
    return dynamodb.TableV2(scope, id, partition_key=partition_key, **more)


def options(**environment):
    return FunctionOptions(timeout=cdk.Duration.seconds(20), environment=environment)


class Catalogue(Construct):
    def __init__(self, scope, id):
        super().__init__(scope, id)
        self.products = make_table(self, "Products", "product")
        self.reservations = make_table(self, "Reservations", "order")
        self.function = HardenedFunction(
            self,
            "Function",
            code=HERE / "catalogue",
            handler="index.handler",
            options=options(PRODUCTS=self.products.table_name, RESERVATIONS=self.reservations.table_name),
        )
        self.products.grant(self.function, "dynamodb:UpdateItem", "dynamodb:Scan")
        self.reservations.grant(self.function, "dynamodb:PutItem", "dynamodb:UpdateItem")


class Shipping(Construct):
    def __init__(self, scope, id):
        super().__init__(scope, id)
        self.shipments = make_table(self, "Shipments", "order")
        self.wanted = SqsConsumer(
            self,
            "Wanted",
            fifo=True,
            code=HERE / "shipping",
            handler="index.handler",
            options=SqsConsumerOptions(batch_size=1, report_batch_item_failures=False),
            function_options=options(SHIPMENTS=self.shipments.table_name),
        )
        self.shipments.grant(self.wanted.function, "dynamodb:PutItem")


class Orders(Construct):
    def __init__(self, scope, id, catalogue, shipping):
        super().__init__(scope, id)
        self.orders = make_table(self, "Orders", "order", dynamo_stream=dynamodb.StreamViewType.NEW_IMAGE)
        self.function = HardenedFunction(
            self,
            "Function",
            code=HERE / "orders",
            handler="index.handler",
            options=options(ORDERS=self.orders.table_name),
        )
        self.orders.grant(self.function, "dynamodb:GetItem", "dynamodb:PutItem")
        self.workflow = self.make_workflow(catalogue, shipping)
        # What follows an order begins with the stream: an order that is stored is never forgotten.
        self.changes = DynamoDbStreamConsumer(
            self,
            "Changes",
            table=self.orders,
            code=HERE / "orders",
            handler="changes.handler",
            options=DynamoDbStreamConsumerOptions(retry_attempts=10_000, report_batch_item_failures=False),
            function_options=options(WORKFLOW=self.workflow.state_machine_arn),
        )
        self.workflow.grant_start_execution(self.changes.function)

    def make_workflow(self, catalogue, shipping):
        rejected = self.settle("Rejected", "rejected")
        release = self.ask("Release", catalogue, "release").next(rejected)
        reserve = self.ask("Reserve", catalogue, "reserve", final=["OutOfStock"])
        ship = self.send("Ship", shipping, final=["ShippingRefused", "States.Timeout"])
        # Products are given back only when shipping has answered that it ships nothing.
        undo = self.send("Cancel", shipping).next(release)
        reserve.add_catch(rejected, errors=["OutOfStock"], result_path=sfn.JsonPath.DISCARD)
        ship.add_catch(undo, errors=["ShippingRefused", "States.Timeout"], result_path=sfn.JsonPath.DISCARD)
        body = sfn.DefinitionBody.from_chainable(reserve.next(ship).next(self.settle("Shipped", "shipped")))
        return sfn.StateMachine(self, "Workflow", definition_body=body)

    def ask(self, id, catalogue, action, final=()):
        task = tasks.LambdaInvoke(
            self,
            id,
            lambda_function=catalogue.function,
            payload=sfn.TaskInput.from_object({"action": action, "order": sfn.JsonPath.object_at("$")}),
            retry_on_service_exceptions=False,
            result_path=sfn.JsonPath.DISCARD,
        )
        return retry(task, *final)

    def send(self, id, shipping, final=()):
        message = {"action": id.lower(), "order": ORDER, "token": sfn.JsonPath.task_token}
        task = tasks.SqsSendMessage(
            self,
            id,
            queue=shipping.wanted.queue,
            message_body=sfn.TaskInput.from_object(
                {**message, "quantity": sfn.JsonPath.number_at("$.quantity")}
            ),
            message_group_id=ORDER,
            message_deduplication_id=sfn.JsonPath.format(
                f"{{}}/{id}/{{}}", ORDER, sfn.JsonPath.string_at("$$.State.RetryCount")
            ),
            integration_pattern=sfn.IntegrationPattern.WAIT_FOR_TASK_TOKEN,
            task_timeout=sfn.Timeout.duration(cdk.Duration.days(14)),
            result_path=sfn.JsonPath.DISCARD,
        )
        return retry(task, *final)

    def settle(self, id, status):
        value = tasks.DynamoAttributeValue.from_string
        task = tasks.DynamoUpdateItem(
            self,
            id,
            table=self.orders,
            key={"order": value(ORDER)},
            update_expression="SET #status = :status",
            expression_attribute_names={"#status": "status"},
            expression_attribute_values={":status": value(status)},
            condition_expression="attribute_exists(product)",
            result_path=sfn.JsonPath.DISCARD,
        )
        return retry(task, "DynamoDB.ConditionalCheckFailedException")


def retry(task, *final):
    """Repeat a task whose service is down, for a day; not after an error that is an answer."""
    if final:
        task.add_retry(errors=list(final), max_attempts=0)
    longest = cdk.Duration.minutes(5)
    task.add_retry(
        errors=["States.ALL"], max_attempts=300, max_delay=longest, interval=cdk.Duration.seconds(1)
    )
    return task


class Shop(cdk.Stack):
    def __init__(self, scope, id):
        super().__init__(scope, id)
        catalogue = Catalogue(self, "Catalogue")
        shipping = Shipping(self, "Shipping")
        orders = Orders(self, "Orders", catalogue, shipping)
        orders.workflow.grant_task_response(shipping.wanted.function)
        order = {"path": "/orders/{order}", "request_parameters": {"method.request.path.order": True}}
        api = RestApi(
            self,
            "Api",
            function=orders.function,
            # Your website and other callers with credentials of AWS; for customers, an authorizer.
            authorization=apigateway.AuthorizationType.IAM,
            methods=[
                RestApiMethod(path="/products", http_methods=("GET",), function=catalogue.function),
                RestApiMethod(**order, http_methods=("GET",), operation_name="get_order"),
                RestApiMethod(**order, http_methods=("PUT",), operation_name="put_order"),
            ],
            options=RestApiOptions(
                rest_api_name=id, cloud_watch_role=True
            ),  # unless the account has this role
        )
        for name, value in {
            "Url": api.url,
            "Products": catalogue.products.table_name,
            "ShippingFunction": shipping.wanted.function.function_name,
        }.items():
            cdk.CfnOutput(self, name, value=value)


app = cdk.App()
environment = app.node.try_get_context("environment")
environment = "prod" if environment in (None, "") else str(environment)
if not re.fullmatch("[a-z]([a-z0-9-]{0,18}[a-z0-9])?", environment):
    sys.exit(
        f"app.py: -c environment={environment}: give a lower-case letter and up to 19 more, such as test."
    )
Shop(app, f"Shop-{environment}")
app.synth()
