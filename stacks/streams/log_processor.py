"""Deploys two sources of log events, and the processor that finds the errors in both."""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from cdk_lambda_patterns import FunctionOptions, HardenedFunction
from cdk_lambda_patterns.core.failure_queue import make_failure_queue
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.permissions import grant_publish
from cdk_lambda_patterns.core.table import make_table, text
from cdk_lambda_patterns.streams.log_processor import LogProcessor
from stacks.architecture import Architecture
from stacks.pattern_stack import PatternStack

# Writes as many lines as it is asked for, of which each fiftieth is an error.
_SHOP = """
import json

def handler(event, context):
    for number in range(event["lines"]):
        level = "INFO" if number % 50 else "ERROR"
        print(json.dumps({"level": level, "message": f"{event['run']}: order {number}"}))
"""
_NAMESPACE = "LogProcessor"


class LogProcessorStack(PatternStack):
    """A shop that writes JSON, and a till that writes text with stack traces.

    A demonstration: deleting the stack deletes logs and findings (``RemovalPolicy.DESTROY``).
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        shop = HardenedFunction(
            self,
            "Shop",
            code=lambda_.Code.from_inline(_SHOP),
            handler="index.handler",
            description="Writes log events in JSON",
            removal_policy=RemovalPolicy.DESTROY,
        )
        till = logs.LogGroup(self, "Till", removal_policy=RemovalPolicy.DESTROY)
        findings = make_table(
            self,
            "Findings",
            partition_key=text("log_group"),
            sort_key=text("entry"),
            time_to_live_attribute="expires_at",
            removal_policy=RemovalPolicy.DESTROY,
        )
        topic = sns.Topic(self, "Alerts", enforce_ssl=True)
        # The scenario reads it in place of a person.
        inbox = make_failure_queue(self, "Inbox", removal_policy=RemovalPolicy.DESTROY)
        undelivered = make_failure_queue(self, "UndeliveredAlerts", removal_policy=RemovalPolicy.DESTROY)
        topic.add_subscription(
            subscriptions.SqsSubscription(inbox, raw_message_delivery=True, dead_letter_queue=undelivered)
        )
        processor = LogProcessor(
            self,
            "Errors",
            code=pattern_source("streams", "log_processor"),
            handler="log_processor.handler.handler",
            log_groups=[shop.log_group],
            filter_pattern=logs.FilterPattern.string_value("$.level", "=", "ERROR"),
            function_options=FunctionOptions(
                timeout=Duration.seconds(30),
                environment={
                    "ALERTS_TOPIC_ARN": topic.topic_arn,
                    "POWERTOOLS_METRICS_NAMESPACE": _NAMESPACE,
                    "POWERTOOLS_SERVICE_NAME": architecture.id,
                    "TABLE_NAME": findings.table_name,
                },
            ),
            removal_policy=RemovalPolicy.DESTROY,
        )
        # A stack trace is several events here, and the pattern must let all of them through.
        processor.add_log_group(till, logs.FilterPattern.all_events())
        processor.function.add_environment("FAILURE_QUEUE_URL", processor.failure_queue.queue_url)
        findings.grant(processor.function, "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem")
        grant_publish(processor.function.execution_role, topic)
        self.output("FunctionName", processor.function.function_name)
        self.output("ShopFunctionName", shop.function_name)
        self.output("ShopLogGroupName", shop.log_group.log_group_name)
        self.output("TillLogGroupName", till.log_group_name)
        self.output("FindingsTableName", findings.table_name)
        self.output("InboxQueueUrl", inbox.queue_url)
        self.output("FailureQueueUrl", processor.failure_queue.queue_url)
        self.output("MetricNamespace", _NAMESPACE)
