"""Deploys a stream of readings and a table with a summary for each device."""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_lambda_patterns import FunctionOptions
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.table import make_table, text
from cdk_lambda_patterns.streams.kinesis_consumer import KinesisConsumer, KinesisConsumerOptions
from stacks.architecture import Architecture
from stacks.pattern_stack import PatternStack


class KinesisConsumerStack(PatternStack):
    """Readings of devices in a stream, their summaries in a table.

    A demonstration: deleting the stack deletes the stream and the table (``RemovalPolicy.DESTROY``).
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        table = make_table(
            self,
            "Summaries",
            partition_key=text("device"),
            removal_policy=RemovalPolicy.DESTROY,
        )
        consumer = KinesisConsumer(
            self,
            "Readings",
            code=pattern_source("streams", "kinesis_consumer"),
            handler="kinesis_consumer.handler.handler",
            options=KinesisConsumerOptions(parallelization_factor=2, retry_attempts=2),
            function_options=FunctionOptions(
                timeout=Duration.seconds(30),
                environment={"TABLE_NAME": table.table_name, "POWERTOOLS_SERVICE_NAME": "kinesis-consumer"},
            ),
            removal_policy=RemovalPolicy.DESTROY,
        )
        table.grant(consumer.function, "dynamodb:GetItem", "dynamodb:PutItem")
        assert isinstance(consumer.failure_destination, sqs.Queue)
        self.output("StreamName", consumer.stream.stream_name)
        self.output("TableName", table.table_name)
        self.output("FunctionName", consumer.function.function_name)
        self.output("FailureQueueUrl", consumer.failure_destination.queue_url)
