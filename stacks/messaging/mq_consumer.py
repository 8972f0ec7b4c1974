"""Deploys a broker of each engine in one network, with consumers that write a ledger."""

from aws_cdk import Duration, RemovalPolicy
from constructs import Construct

from cdk_lambda_patterns import FunctionOptions, PrivateNetwork
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.table import make_table, text
from cdk_lambda_patterns.messaging.mq_consumer import BrokerOptions, MqConsumer, MqConsumerOptions
from stacks.architecture import Architecture
from stacks.pattern_stack import PatternStack


class MqConsumerStack(PatternStack):
    """A ledger in a table, and entries that arrive through a queue of RabbitMQ and one of ActiveMQ.

    A demonstration: deleting the stack deletes brokers and ledger (``RemovalPolicy.DESTROY``).
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
        network = PrivateNetwork(self, "Network")
        for part, name, broker in (
            ("Consumer", "", BrokerOptions(instance_type="mq.m7g.medium")),
            ("ActiveMqConsumer", "ActiveMq", BrokerOptions(engine="ACTIVEMQ", instance_type="mq.t3.micro")),
        ):
            consumer = MqConsumer(
                self,
                part,
                queue="entries",
                code=pattern_source("messaging", "mq_consumer"),
                handler="mq_consumer.handler.handler",
                network=network,
                broker_options=broker,
                options=MqConsumerOptions(batch_size=5, max_batching_window=Duration.seconds(1)),
                function_options=FunctionOptions(
                    timeout=Duration.seconds(30),
                    environment={"TABLE_NAME": table.table_name, "POWERTOOLS_SERVICE_NAME": "mq-consumer"},
                ),
                removal_policy=RemovalPolicy.DESTROY,
            )
            # TransactWriteItems needs both.
            table.grant(consumer.function, "dynamodb:PutItem", "dynamodb:UpdateItem")
            self.output(f"{name}FunctionName", consumer.function.function_name)
            self.output(f"{name}MappingId", consumer.event_source_mapping.event_source_mapping_id)
        self.output("TableName", table.table_name)
