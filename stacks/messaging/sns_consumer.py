"""Deploys three consumers: two of one topic with a filter each, and one of a topic that S3 publishes to."""

from typing import Any

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from constructs import Construct

from cdk_lambda_patterns import FunctionOptions
from cdk_lambda_patterns.core.bucket import make_bucket
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.provider_roles import NOTIFICATIONS_HANDLER, write_out_provider_role
from cdk_lambda_patterns.core.table import make_table, text
from cdk_lambda_patterns.messaging.sns_consumer import SnsConsumer
from stacks.architecture import Architecture
from stacks.pattern_stack import PatternStack


class SnsConsumerStack(PatternStack):
    """Notices in a table, from publishers and from a bucket.

    A demonstration: deleting the stack deletes notices and objects (``RemovalPolicy.DESTROY``).
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        self._table = make_table(
            self,
            "Notices",
            partition_key=text("consumer"),
            sort_key=text("message_id"),
            removal_policy=RemovalPolicy.DESTROY,
        )
        high = {"severity": sns.SubscriptionFilter.string_filter(allowlist=["high"])}
        large = sns.SubscriptionFilter.numeric_filter(greater_than_or_equal_to=1000)
        urgent = self._consumer("Urgent", filter_policy=high)
        self._consumer(
            "Large",
            topic=urgent.topic,
            filter_policy_with_message_body={"cents": sns.FilterOrPolicy.filter(large)},
        )
        uploads = self._consumer("Uploads")
        bucket = make_bucket(self, "Bucket", versioned=False, removal_policy=RemovalPolicy.DESTROY)
        bucket.add_event_notification(s3.EventType.OBJECT_CREATED, uploads.bucket_destination())
        write_out_provider_role(self, NOTIFICATIONS_HANDLER)
        self.output("TopicArn", urgent.topic.topic_arn)
        self.output("BucketName", bucket.bucket_name)
        self.output("NoticesTableName", self._table.table_name)

    def _consumer(self, name: str, **more: Any) -> SnsConsumer:
        consumer = SnsConsumer(
            self,
            name,
            code=pattern_source("messaging", "sns_consumer"),
            handler="sns_consumer.handler.handler",
            function_options=FunctionOptions(
                timeout=Duration.seconds(10),
                environment={
                    "TABLE_NAME": self._table.table_name,
                    "CONSUMER": name,
                    "POWERTOOLS_SERVICE_NAME": "sns-consumer",
                },
            ),
            removal_policy=RemovalPolicy.DESTROY,
            **more,
        )
        self._table.grant(consumer.function, "dynamodb:PutItem")
        self.output(f"{name}FunctionName", consumer.function.function_name)
        self.output(f"{name}FailureQueueUrl", consumer.failure_queue.queue_url)
        self.output(f"{name}UndeliveredQueueUrl", consumer.undelivered_queue.queue_url)
        return consumer
