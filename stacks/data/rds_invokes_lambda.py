"""Deploys orders in PostgreSQL, whose trigger invokes a function; all of it is deleted with the stack."""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_rds as rds
from constructs import Construct

from cdk_lambda_patterns import AsyncOptions, FunctionOptions
from cdk_lambda_patterns.core.failure_queue import make_failure_queue
from cdk_lambda_patterns.core.function import HardenedFunction
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.permissions import QueueDestination, acknowledge
from cdk_lambda_patterns.core.table import make_table, text
from cdk_lambda_patterns.data.rds_invokes_lambda import RdsInvokesLambda
from cdk_lambda_patterns.data.rds_proxy import DatabaseOptions, PoolOptions, RdsProxyFunction
from stacks.architecture import Architecture
from stacks.pattern_stack import PatternStack

# The default is 3 seconds, which a cold start may exceed. Pool and function wait longer than the database.
_REQUEST_TIMEOUT = Duration.seconds(30)


class RdsInvokesLambdaStack(PatternStack):
    """A function that inserts orders, a database whose trigger invokes another one, and an outbox.

    A demonstration: deleting the stack deletes the database without a final snapshot
    (``RemovalPolicy.DESTROY``).
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        source = pattern_source("data", "rds_invokes_lambda")
        table = make_table(
            self, "Received", partition_key=text("order_id"), removal_policy=RemovalPolicy.DESTROY
        )
        failed = make_failure_queue(self, "Failed", removal_policy=RemovalPolicy.DESTROY)
        receiver = HardenedFunction(
            self,
            "Receiver",
            code=source,
            handler="rds_invokes_lambda.receiver.handler",
            description="Is invoked by the database, and records orders",
            environment={"TABLE_NAME": table.table_name},
            asynchronous=AsyncOptions(),
            on_failure=QueueDestination(failed),
            options=FunctionOptions(timeout=Duration.seconds(10)),
            removal_policy=RemovalPolicy.DESTROY,
        )
        table.grant(receiver.execution_role, "dynamodb:PutItem")
        orders = RdsProxyFunction(
            self,
            "Orders",
            code=source,
            handler="rds_invokes_lambda.handler.handler",
            migration="rds_invokes_lambda.migration.handler",
            database=DatabaseOptions(
                instance_type=ec2.InstanceType.of(ec2.InstanceClass.T4G, ec2.InstanceSize.MICRO),
                parameters={"aws_lambda.request_timeout_ms": str(_REQUEST_TIMEOUT.to_milliseconds())},
            ),
            pool=PoolOptions(statement_timeout=Duration.seconds(40)),
            function_options=FunctionOptions(timeout=Duration.seconds(60)),
            removal_policy=RemovalPolicy.DESTROY,
        )
        database = orders.database
        assert isinstance(database, rds.DatabaseInstance)
        assert orders.migration
        orders.migration.add_environment("RECEIVER_ARN", receiver.function_arn)
        invokes = RdsInvokesLambda(
            self, "Invokes", database=database, functions=[receiver], network=orders.network
        )
        every_minute = events.Rule(
            self,
            "EveryMinute",
            schedule=events.Schedule.rate(Duration.minutes(1)),
            targets=[
                targets.LambdaFunction(
                    orders.function, event=events.RuleTargetInput.from_object({"deliver": True})
                )
            ],
        )
        acknowledge(
            every_minute,
            {"Serverless-EventBusDLQ": "No event is lost: messages wait in the outbox for the next minute."},
        )
        self.output("FunctionName", orders.function.function_name)
        self.output("MigrationName", orders.migration.function_name)
        self.output("ProxyName", orders.proxy.db_proxy_name)
        self.output("ReceiverName", receiver.function_name)
        self.output("ReceivedTableName", table.table_name)
        self.output("FailedQueueUrl", failed.queue_url)
        self.output("DatabaseIdentifier", database.instance_identifier)
        self.output("DatabaseRoleArn", invokes.role.role_arn)
