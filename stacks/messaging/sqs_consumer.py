"""Deploys two consumers, one of a standard and one of a FIFO queue, that write the same ledger."""

from aws_cdk import Duration, RemovalPolicy
from constructs import Construct

from cdk_lambda_patterns import FunctionOptions
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.table import make_table, text
from cdk_lambda_patterns.messaging.sqs_consumer import SqsConsumer, SqsConsumerOptions
from stacks.architecture import Architecture
from stacks.pattern_stack import PatternStack


class SqsConsumerStack(PatternStack):
    """A ledger in a table, and entries that arrive through a standard and a FIFO queue.

    A demonstration: deleting the stack deletes the ledger (``RemovalPolicy.DESTROY``).
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        table = make_table(
            self,
            "Ledger",
            partition_key=text("account"),
            sort_key=text("item"),
            removal_policy=RemovalPolicy.DESTROY,
        )
        for kind, fifo in (("Standard", False), ("Fifo", True)):
            consumer = SqsConsumer(
                self,
                kind,
                code=pattern_source("messaging", "sqs_consumer"),
                handler="sqs_consumer.handler.handler",
                fifo=fifo,
                options=SqsConsumerOptions(batch_size=5, max_receive_count=4),
                function_options=FunctionOptions(
                    timeout=Duration.seconds(30),
                    environment={"TABLE_NAME": table.table_name, "POWERTOOLS_SERVICE_NAME": "sqs-consumer"},
                ),
                removal_policy=RemovalPolicy.DESTROY,
            )
            # TransactWriteItems needs both.
            table.grant(consumer.function, "dynamodb:PutItem", "dynamodb:UpdateItem")
            self.output(f"{kind}QueueUrl", consumer.queue.queue_url)
            if consumer.dead_letter_queue is not None:  # only an imported queue's is unknown
                self.output(f"{kind}DeadLetterQueueUrl", consumer.dead_letter_queue.queue_url)
            self.output(f"{kind}FunctionName", consumer.function.function_name)
        self.output("TableName", table.table_name)
