"""Deploys a nightly report: a schedule in Berlin's time, its function, and the tables of reports and runs."""

from aws_cdk import Duration, RemovalPolicy, TimeZone
from aws_cdk import aws_scheduler as scheduler
from constructs import Construct

from cdk_lambda_patterns import FunctionOptions
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.table import make_table, text
from cdk_lambda_patterns.events.scheduled_function import ScheduledFunction
from stacks.architecture import Architecture
from stacks.pattern_stack import PatternStack


class ScheduledFunctionStack(PatternStack):
    """Reports in a table, one for each night.

    A demonstration: deleting the stack deletes reports and runs (``RemovalPolicy.DESTROY``).
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        reports = make_table(
            self, "Reports", partition_key=text("scheduled_time"), removal_policy=RemovalPolicy.DESTROY
        )
        nightly = ScheduledFunction(
            self,
            "Nightly",
            code=pattern_source("events", "scheduled_function"),
            handler="scheduled_function.handler.handler",
            schedule=scheduler.ScheduleExpression.cron(
                minute="0", hour="3", time_zone=TimeZone.EUROPE_BERLIN
            ),
            flexible_window=Duration.minutes(15),
            retry_attempts=1,
            function_options=FunctionOptions(
                timeout=Duration.seconds(3),
                environment={
                    "TABLE_NAME": reports.table_name,
                    "POWERTOOLS_SERVICE_NAME": "scheduled-function",
                },
            ),
            removal_policy=RemovalPolicy.DESTROY,
        )
        reports.grant(nightly.function, "dynamodb:UpdateItem")
        self.output("FunctionName", nightly.function.function_name)
        self.output("ScheduleName", nightly.schedule.schedule_name)
        self.output("ScheduleRoleArn", nightly.schedule_role.role_arn)
        self.output("FailureQueueUrl", nightly.failure_queue.queue_url)
        self.output("UndeliveredQueueUrl", nightly.undelivered_queue.queue_url)
        self.output("ReportsTableName", reports.table_name)
        self.output("RunsTableName", nightly.runs_table.table_name)
