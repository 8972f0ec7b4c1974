"""Deploys one handler five times: with a destination of each kind for its results."""

from typing import Any

from aws_cdk import Aws, Duration, RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_lambda_patterns import AsyncOptions, FunctionOptions, HardenedFunction
from cdk_lambda_patterns.core.bucket import make_bucket
from cdk_lambda_patterns.core.failure_queue import make_failure_queue
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.table import make_table, text
from cdk_lambda_patterns.messaging.async_function import AsyncFunction
from stacks.architecture import Architecture
from stacks.pattern_stack import PatternStack

_PRINT = "import json\n\ndef handler(event, context): print(json.dumps(event))"


class AsyncFunctionStack(PatternStack):
    """Orders that become parcels, and a queue that collects what the destinations get.

    A demonstration: deleting the stack deletes the parcels (``RemovalPolicy.DESTROY``).
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        self._table: dynamodb.ITable | None = None  # that of the first function, for all of them
        self._shipments = make_table(
            self, "Shipments", partition_key=text("order_id"), removal_policy=RemovalPolicy.DESTROY
        )
        # What topic and bus get ends here, too: a queue can be read.
        records = make_failure_queue(self, "Records", removal_policy=RemovalPolicy.DESTROY)
        dead_letters = make_failure_queue(self, "DeadLetters", removal_policy=RemovalPolicy.DESTROY)
        topic = self._topic("Topic", records, dead_letters)
        dead_letter_topic = self._topic("DeadLetterTopic", dead_letters, records)
        # CloudFormation makes up no name for a bus: one with the stack's, so that an account can hold two.
        bus = events.EventBus(self, "Bus", event_bus_name=f"{Aws.STACK_NAME}-results")
        events.Rule(
            self,
            "Results",
            event_bus=bus,
            # Lambda's page says `aws.lambda`, the CDK's says `lambda`.
            event_pattern=events.EventPattern(source=["lambda", "aws.lambda"]),
            targets=[targets.SqsQueue(records, dead_letter_queue=dead_letters)],
        )
        printer = HardenedFunction(
            self,
            "Printer",
            code=lambda_.Code.from_inline(_PRINT),
            handler="index.handler",
            description="Logs the records that it gets as a destination, and cannot fail",
            removal_policy=RemovalPolicy.DESTROY,
        )
        once = AsyncOptions(retry_attempts=0)
        queue = self._orders(
            "Queue", on_success=records, asynchronous=AsyncOptions(dead_letter_queue=dead_letters)
        )
        self._table = queue.idempotency_table
        twice = AsyncOptions(retry_attempts=1, dead_letter_topic=dead_letter_topic)
        self._orders("Topic", on_success=topic, on_failure=topic, asynchronous=twice)
        self._orders("Function", on_success=printer, on_failure=printer, asynchronous=once)
        self._orders("Bus", on_success=bus, on_failure=bus, asynchronous=once)
        bucket = make_bucket(self, "Failures", versioned=False, removal_policy=RemovalPolicy.DESTROY)
        self._orders("Bucket", on_failure=bucket, asynchronous=once)
        if queue.failure_queue is not None:
            self.output("QueueFailureQueueUrl", queue.failure_queue.queue_url)
        self.output("RecordsQueueUrl", records.queue_url)
        self.output("DeadLettersQueueUrl", dead_letters.queue_url)
        self.output("BucketName", bucket.bucket_name)
        self.output("PrinterLogGroupName", printer.log_group.log_group_name)
        self.output("IdempotencyTableName", queue.idempotency_table.table_name)
        self.output("ShipmentsTableName", self._shipments.table_name)

    def _topic(self, id: str, subscriber: sqs.Queue, undelivered: sqs.Queue) -> sns.Topic:
        topic = sns.Topic(self, id, enforce_ssl=True)
        subscription = subscriptions.SqsSubscription(
            subscriber, raw_message_delivery=True, dead_letter_queue=undelivered
        )
        topic.add_subscription(subscription)
        return topic

    def _orders(self, kind: str, **more: Any) -> AsyncFunction:
        """The function for orders, with one kind of destination."""
        orders = AsyncFunction(
            self,
            f"{kind}Orders",
            code=pattern_source("messaging", "async_function"),
            handler="async_function.handler.handler",
            function_options=FunctionOptions(
                timeout=Duration.seconds(3),
                environment={
                    "TABLE_NAME": self._shipments.table_name,
                    "POWERTOOLS_SERVICE_NAME": "async-function",
                },
            ),
            idempotency_table=self._table,
            removal_policy=RemovalPolicy.DESTROY,
            **more,
        )
        self._shipments.grant(orders.function, "dynamodb:UpdateItem")
        self.output(f"{kind}FunctionName", orders.function.function_name)
        return orders
