"""Deploys events of orders: stream → FIFO topic → event store and two read models."""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_lambda_patterns import FunctionOptions
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.table import make_table, text
from cdk_lambda_patterns.messaging.sns_fifo_fanout import SnsFifoFanout, SnsFifoFanoutOptions, Subscriber
from cdk_lambda_patterns.messaging.sqs_consumer import SqsConsumerOptions
from stacks.architecture import Architecture
from stacks.pattern_stack import PatternStack


class SnsFifoFanoutStack(PatternStack):
    """Event-sourced orders.

    A demonstration: deleting the stack deletes events and read models too (``RemovalPolicy.DESTROY``).
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        store = self._table("Store", "order_id", sort_key="version")
        status = self._table("Status", "order_id")
        revenue = self._table("Revenue", "key")
        self._environment = {
            "STORE_TABLE": store.table_name,
            "STATUS_TABLE": status.table_name,
            "REVENUE_TABLE": revenue.table_name,
            "POWERTOOLS_SERVICE_NAME": "sns-fifo-fanout",
        }
        stream = kinesis.Stream(
            self,
            "Events",
            stream_mode=kinesis.StreamMode.ON_DEMAND,
            encryption=kinesis.StreamEncryption.MANAGED,
            removal_policy=RemovalPolicy.DESTROY,
        )
        fanout = SnsFifoFanout(
            self,
            "Orders",
            source=stream,
            subscribers={
                "Append": self._subscriber("append"),
                "ProjectStatus": self._subscriber(
                    "project_status",
                    filter_policy_on_body={
                        "type": sns.FilterOrPolicy.filter(
                            sns.SubscriptionFilter.string_filter(denylist=["OrderNoted"])
                        )
                    },
                ),
                "ProjectRevenue": self._subscriber(
                    "project_revenue",
                    filter_policy={
                        "type": sns.SubscriptionFilter.string_filter(allowlist=["OrderPaid", "OrderRefunded"])
                    },
                ),
            },
            options=SnsFifoFanoutOptions(high_throughput=True, archive_days=7),
            removal_policy=RemovalPolicy.DESTROY,
        )
        consumers = fanout.consumers
        store.grant(consumers["Append"].function, "dynamodb:PutItem", "dynamodb:ConditionCheckItem")
        store.grant(consumers["ProjectStatus"].function, "dynamodb:Query", "dynamodb:Scan")
        status.grant(consumers["ProjectStatus"].function, "dynamodb:GetItem", "dynamodb:PutItem")
        store.grant(consumers["ProjectRevenue"].function, "dynamodb:Scan")
        revenue.grant(consumers["ProjectRevenue"].function, "dynamodb:PutItem", "dynamodb:UpdateItem")

        assert fanout.bridge is not None
        assert isinstance(fanout.bridge.failure_destination, sqs.Queue)
        self.output("StreamName", stream.stream_name)
        self.output("BridgeFunctionName", fanout.bridge.function.function_name)
        self.output("BridgeFailureQueueUrl", fanout.bridge.failure_destination.queue_url)
        self.output("TopicArn", fanout.topic.topic_arn)
        for name, table in (("Store", store), ("Status", status), ("Revenue", revenue)):
            self.output(f"{name}TableName", table.table_name)
        for name, consumer in consumers.items():
            assert consumer.dead_letter_queue is not None
            self.output(f"{name}QueueUrl", consumer.queue.queue_url)
            self.output(f"{name}DeadLetterQueueUrl", consumer.dead_letter_queue.queue_url)
            self.output(f"{name}UndeliveredQueueUrl", fanout.undelivered_queues[name].queue_url)
            self.output(f"{name}FunctionName", consumer.function.function_name)

    def _subscriber(self, handler: str, **filters: object) -> Subscriber:
        return Subscriber(
            code=pattern_source("messaging", "sns_fifo_fanout"),
            handler=f"subscribers.{handler}",
            options=SqsConsumerOptions(high_throughput=True, max_receive_count=4),
            function_options=FunctionOptions(timeout=Duration.seconds(10), environment=self._environment),
            **filters,  # type: ignore[arg-type]
        )

    def _table(self, id: str, key: str, *, sort_key: str | None = None) -> dynamodb.Table:
        return make_table(
            self,
            id,
            partition_key=text(key),
            sort_key=dynamodb.Attribute(name=sort_key, type=dynamodb.AttributeType.NUMBER)
            if sort_key
            else None,
            removal_policy=RemovalPolicy.DESTROY,
        )
