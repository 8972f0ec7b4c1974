"""Deploys a MySQL instance with a standby, and what acts on its events: alerts in a queue, and a journal."""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_rds as rds
from constructs import Construct

from cdk_lambda_patterns import FunctionOptions, PrivateNetwork
from cdk_lambda_patterns.core.failure_queue import make_failure_queue
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.permissions import grant_send
from cdk_lambda_patterns.core.table import make_table, text
from cdk_lambda_patterns.data.rds_events import (
    DbInstanceCategory,
    RdsEvents,
    RdsEventSource,
    RdsSourceType,
)
from cdk_lambda_patterns.data.rds_proxy import DatabaseOptions
from cdk_lambda_patterns.data.rds_proxy.database import make_database
from stacks.architecture import Architecture
from stacks.pattern_stack import PatternStack


class RdsEventsStack(PatternStack):
    """Alerts about an instance, from both ways in which RDS reports.

    A demonstration: deleting the stack deletes database, alerts and journal (``RemovalPolicy.DESTROY``).
    Nothing connects to the database.
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        size = ec2.InstanceType.of(ec2.InstanceClass.T4G, ec2.InstanceSize.MICRO)
        # The validation of templates knows no major version of MySQL by itself.
        options = DatabaseOptions(engine="mysql", engine_version="8.4.11", instance_type=size, multi_az=True)
        network = PrivateNetwork(self, "Network")
        database = make_database(self, options, network, RemovalPolicy.DESTROY)
        assert isinstance(database, rds.DatabaseInstance)
        journal = make_table(
            self,
            "Journal",
            partition_key=text("source"),
            sort_key=text("event"),
            removal_policy=RemovalPolicy.DESTROY,
        )
        alerts = make_failure_queue(self, "Alerts", fifo=True, removal_policy=RemovalPolicy.DESTROY)
        reported = RdsEvents(
            self,
            "RdsEvents",
            code=pattern_source("data", "rds_events"),
            handler="rds_events.handler.handler",
            delivery="both",
            sources=[
                RdsEventSource(
                    source_type=RdsSourceType.DB_INSTANCE,
                    categories=[
                        DbInstanceCategory.AVAILABILITY,
                        DbInstanceCategory.FAILOVER,
                        DbInstanceCategory.FAILURE,
                        DbInstanceCategory.LOW_STORAGE,
                    ],
                    source_ids=[database.instance_identifier],
                )
            ],
            function_options=FunctionOptions(
                timeout=Duration.seconds(40),
                environment={
                    "ALERTS_QUEUE_URL": alerts.queue_url,
                    "JOURNAL_TABLE_NAME": journal.table_name,
                    "POWERTOOLS_SERVICE_NAME": "rds-events",
                },
            ),
            removal_policy=RemovalPolicy.DESTROY,
        )
        journal.grant(reported.function, "dynamodb:GetItem", "dynamodb:PutItem")
        grant_send(reported.function.execution_role, alerts)
        assert reported.topic is not None
        self.output("FunctionName", reported.function.function_name)
        self.output("DatabaseIdentifier", database.instance_identifier)
        self.output("TopicArn", reported.topic.topic_arn)
        self.output("SubscriptionName", reported.event_subscriptions[0].ref)
        self.output("FailureQueueUrl", reported.failure_queue.queue_url)
        self.output("UndeliveredQueueUrl", reported.undelivered_queue.queue_url)
        self.output("AlertsQueueUrl", alerts.queue_url)
        self.output("JournalTableName", journal.table_name)
