"""Deploys a table of orders, and a second one with a row for each order in its customer's partition."""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_lambda_patterns import FunctionOptions, HardenedFunction
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.table import make_table, text
from cdk_lambda_patterns.streams.dynamodb_stream import DynamoDbStreamConsumer, DynamoDbStreamConsumerOptions
from stacks.architecture import Architecture
from stacks.pattern_stack import PatternStack


class DynamoDbStreamStack(PatternStack):
    """Orders in a table, and the orders of each customer in another: from its stream, or rebuilt from it.

    A demonstration: deleting the stack deletes both tables (``RemovalPolicy.DESTROY``).
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        both = dynamodb.StreamViewType.NEW_AND_OLD_IMAGES
        orders = make_table(
            self,
            "Orders",
            partition_key=text("order"),
            time_to_live_attribute="expires",
            stream=both,
            removal_policy=RemovalPolicy.DESTROY,
        )
        by_customer = make_table(
            self,
            "OrdersByCustomer",
            partition_key=text("customer"),
            sort_key=text("order"),
            time_to_live_attribute="forget_at",
            removal_policy=RemovalPolicy.DESTROY,
        )
        code = pattern_source("streams", "dynamodb_stream")
        environment = {
            "PROJECTION_TABLE_NAME": by_customer.table_name,
            "POWERTOOLS_SERVICE_NAME": "dynamodb-stream",
        }
        changes = DynamoDbStreamConsumer(
            self,
            "Changes",
            table=orders,
            code=code,
            handler="dynamodb_stream.handler.handler",
            options=DynamoDbStreamConsumerOptions(batch_size=500, retry_attempts=2, view_type=both),
            function_options=FunctionOptions(timeout=Duration.seconds(30), environment=environment),
            removal_policy=RemovalPolicy.DESTROY,
        )
        by_customer.grant(changes.function, "dynamodb:PutItem")
        rebuild = HardenedFunction(
            self,
            "Rebuild",
            code=code,
            handler="dynamodb_stream.rebuild.handler",
            options=FunctionOptions(
                memory_size=256,
                timeout=Duration.minutes(5),
                environment={**environment, "ORDERS_TABLE_NAME": orders.table_name},
            ),
            removal_policy=RemovalPolicy.DESTROY,
        )
        orders.grant(rebuild, "dynamodb:BatchGetItem", "dynamodb:Scan")
        by_customer.grant(rebuild, "dynamodb:BatchGetItem", "dynamodb:PutItem", "dynamodb:Scan")
        assert isinstance(changes.failure_destination, sqs.Queue)
        self.output("OrdersTableName", orders.table_name)
        self.output("ByCustomerTableName", by_customer.table_name)
        self.output("FunctionName", changes.function.function_name)
        self.output("RebuildFunctionName", rebuild.function_name)
        self.output("FailureQueueUrl", changes.failure_destination.queue_url)
