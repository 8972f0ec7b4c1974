"""Deploys a RabbitMQ broker in a network of its own, and a consumer that writes a ledger."""

from aws_cdk import Duration, RemovalPolicy
from constructs import Construct

from cdk_lambda_patterns import FunctionOptions, PrivateNetwork
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.table import make_table, text
from cdk_lambda_patterns.messaging.mq_consumer import BrokerOptions, MqConsumer, MqConsumerOptions
from stacks.architecture import Architecture
from stacks.pattern_stack import PatternStack


class MqConsumerStack(PatternStack):
    """A ledger in a table, and entries that arrive through a queue of RabbitMQ.

    A demonstration: deleting the stack deletes broker and ledger (``RemovalPolicy.DESTROY``).
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
        consumer = MqConsumer(
            self,
            "Consumer",
            queue="entries",
            code=pattern_source("messaging", "mq_consumer"),
            handler="mq_consumer.handler.handler",
            network=PrivateNetwork(self, "Network"),
            broker_options=BrokerOptions(instance_type="mq.m7g.medium"),
            options=MqConsumerOptions(batch_size=5, max_batching_window=Duration.seconds(1)),
            function_options=FunctionOptions(
                timeout=Duration.seconds(30),
                environment={"TABLE_NAME": table.table_name, "POWERTOOLS_SERVICE_NAME": "mq-consumer"},
            ),
            removal_policy=RemovalPolicy.DESTROY,
        )
        # TransactWriteItems needs both.
        table.grant(consumer.function, "dynamodb:PutItem", "dynamodb:UpdateItem")
        self.output("TableName", table.table_name)
        self.output("FunctionName", consumer.function.function_name)
        self.output("FunctionArn", consumer.function.function_arn)
        self.output("BrokerArn", consumer.broker_arn)
        self.output("SecretArn", consumer.secret.secret_arn)
        self.output("MappingId", consumer.event_source_mapping.event_source_mapping_id)
