"""Deploys events of orders: stream → FIFO topic → event store and read model."""

from collections.abc import Mapping

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_lambda_patterns import FunctionOptions
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.stream import make_stream
from cdk_lambda_patterns.core.table import make_table, text
from cdk_lambda_patterns.messaging.sns_fifo_fanout import SnsFifoFanout, SnsFifoFanoutOptions, Subscriber
from cdk_lambda_patterns.messaging.sqs_consumer import SqsConsumerOptions
from stacks.architecture import Architecture
from stacks.pattern_stack import PatternStack


class SnsFifoFanoutStack(PatternStack):
    """Event-sourced orders: an event store, and the status of each order as read model.

    A demonstration: deleting the stack deletes both tables (``RemovalPolicy.DESTROY``).
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        store = make_table(
            self,
            "Store",
            partition_key=text("order_id"),
            sort_key=dynamodb.Attribute(name="version", type=dynamodb.AttributeType.NUMBER),
            removal_policy=RemovalPolicy.DESTROY,
        )
        status = make_table(
            self, "Status", partition_key=text("order_id"), removal_policy=RemovalPolicy.DESTROY
        )
        stream = make_stream(self, "Events", removal_policy=RemovalPolicy.DESTROY)
        tables = {"STORE_TABLE": store.table_name, "STATUS_TABLE": status.table_name}
        no_notes = {"type": sns.SubscriptionFilter.string_filter(denylist=["OrderNoted"])}
        fanout = SnsFifoFanout(
            self,
            "Orders",
            source=stream,
            subscribers={
                "Append": _subscriber("append", tables),
                "ProjectStatus": _subscriber("project", tables, filter_policy=no_notes),
            },
            options=SnsFifoFanoutOptions(high_throughput=True),
            removal_policy=RemovalPolicy.DESTROY,
        )
        append, project = (fanout.consumers[name].function for name in ("Append", "ProjectStatus"))
        store.grant(append, "dynamodb:PutItem", "dynamodb:ConditionCheckItem")
        store.grant(project, "dynamodb:Query", "dynamodb:Scan")
        status.grant(project, "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:DeleteItem", "dynamodb:Scan")

        assert fanout.bridge is not None
        assert isinstance(fanout.bridge.failure_destination, sqs.Queue)
        self.output("StreamName", stream.stream_name)
        self.output("BridgeFunctionName", fanout.bridge.function.function_name)
        self.output("BridgeFailureQueueUrl", fanout.bridge.failure_destination.queue_url)
        self.output("TopicArn", fanout.topic.topic_arn)
        self.output("StoreTableName", store.table_name)
        self.output("StatusTableName", status.table_name)
        for name, consumer in fanout.consumers.items():
            self.output(f"{name}QueueUrl", consumer.queue.queue_url)
            if consumer.dead_letter_queue is not None:  # only an imported queue's is unknown
                self.output(f"{name}DeadLetterQueueUrl", consumer.dead_letter_queue.queue_url)
            self.output(f"{name}UndeliveredQueueUrl", fanout.undelivered_queues[name].queue_url)
            self.output(f"{name}FunctionName", consumer.function.function_name)


def _subscriber(
    handler: str,
    tables: Mapping[str, str],
    filter_policy: Mapping[str, sns.SubscriptionFilter] | None = None,
) -> Subscriber:
    return Subscriber(
        code=pattern_source("messaging", "sns_fifo_fanout"),
        handler=f"sns_fifo_fanout.subscribers.{handler}",
        filter_policy=filter_policy,
        options=SqsConsumerOptions(high_throughput=True, max_receive_count=4),
        function_options=FunctionOptions(
            timeout=Duration.seconds(10),
            environment={**tables, "POWERTOOLS_SERVICE_NAME": "sns-fifo-fanout"},
        ),
    )
