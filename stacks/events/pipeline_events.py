"""Deploys notifications about the pipeline `shop` and its repository, and a function for one of its steps."""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_codecommit as codecommit
from aws_cdk import aws_codepipeline as codepipeline
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from cdk_lambda_patterns import FunctionOptions
from cdk_lambda_patterns.core.failure_queue import make_failure_queue
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.table import make_table, text
from cdk_lambda_patterns.events.pipeline_events import (
    PipelineAction,
    PipelineEvents,
    ReferenceChanges,
    StateChanges,
)
from stacks.architecture import Architecture
from stacks.pattern_stack import PatternStack

_NAME = "shop"


class PipelineEventsStack(PatternStack):
    """Notifications in a queue, and a check of releases. Pipeline and repository are not part of it.

    A demonstration: deleting the stack deletes notifications and releases (``RemovalPolicy.DESTROY``).
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        arn = self.format_arn(service="codepipeline", resource=_NAME)
        pipeline = codepipeline.Pipeline.from_pipeline_arn(self, "Pipeline", arn)
        repository = codecommit.Repository.from_repository_name(self, "Repository", _NAME)
        reports = PipelineEvents(
            self,
            "Events",
            code=pattern_source("events", "pipeline_events"),
            handler="pipeline_events.handler.handler",
            changes=[
                StateChanges(
                    pipelines=[pipeline],
                    pipeline_states=["SUCCEEDED", "FAILED"],
                    stage_states=["FAILED"],
                    action_states=["FAILED"],
                ),
                ReferenceChanges(repositories=[repository]),
            ],
            function_options=FunctionOptions(
                timeout=Duration.seconds(10), environment={"POWERTOOLS_SERVICE_NAME": "pipeline-events"}
            ),
            removal_policy=RemovalPolicy.DESTROY,
        )
        inbox = make_failure_queue(self, "Inbox", removal_policy=RemovalPolicy.DESTROY)
        undelivered = make_failure_queue(self, "InboxDeadLetters", removal_policy=RemovalPolicy.DESTROY)
        reports.topic.add_subscription(
            subscriptions.SqsSubscription(inbox, raw_message_delivery=True, dead_letter_queue=undelivered)
        )
        releases = make_table(
            self, "Releases", partition_key=text("release"), removal_policy=RemovalPolicy.DESTROY
        )
        check = PipelineAction(
            self,
            "Check",
            code=pattern_source("events", "pipeline_events"),
            handler="pipeline_events.action.handler",
            function_options=FunctionOptions(
                # Seven seconds are left for the answer: a check may take ten.
                timeout=Duration.seconds(17),
                environment={
                    "TABLE_NAME": releases.table_name,
                    "POWERTOOLS_SERVICE_NAME": "release-check",
                },
            ),
            removal_policy=RemovalPolicy.DESTROY,
        )
        releases.grant(check.function, "dynamodb:GetItem")
        self.output("PipelineArn", pipeline.pipeline_arn)
        self.output("RepositoryArn", repository.repository_arn)
        self.output("FunctionName", reports.function.function_name)
        self.output("RuleArn", reports.rules[0].rule_arn)
        self.output("InboxQueueUrl", inbox.queue_url)
        if reports.failure_queue is not None:
            self.output("FailureQueueUrl", reports.failure_queue.queue_url)
        self.output("UndeliveredQueueUrl", reports.undelivered_queue.queue_url)
        self.output("IdempotencyTableName", reports.idempotency_table.table_name)
        self.output("CheckFunctionName", check.function.function_name)
        self.output("ReporterFunctionName", check.failure_reporter.function_name)
        self.output("ReporterFailureQueueUrl", check.failure_queue.queue_url)
        self.output("ReleasesTableName", releases.table_name)
