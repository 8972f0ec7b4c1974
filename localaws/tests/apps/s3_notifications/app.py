"""Uploads of a bucket are announced to a topic, removals to a queue, and all events to EventBridge.

https://github.com/aws-samples/aws-cdk-examples/tree/main/python/s3-sns-sqs-lambda-chain
"""

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_notifications as s3n
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from constructs import Construct


class S3NotificationsStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        uploads, removals, tagged = (sqs.Queue(self, name) for name in ("Uploads", "Removals", "Announced"))
        topic = sns.Topic(self, "UploadTopic")
        topic.add_subscription(subscriptions.SqsSubscription(uploads, raw_message_delivery=True))
        bucket = s3.Bucket(
            self,
            "Bucket",
            event_bridge_enabled=True,
            versioned=True,
            removal_policy=cdk.RemovalPolicy.DESTROY,
            auto_delete_objects=True,
        )
        bucket.add_event_notification(
            s3.EventType.OBJECT_CREATED_PUT,
            s3n.SnsDestination(topic),
            s3.NotificationKeyFilter(prefix="uploads/", suffix=".csv"),
        )
        bucket.add_event_notification(s3.EventType.OBJECT_REMOVED, s3n.SqsDestination(removals))
        events.Rule(
            self,
            "Created",
            event_pattern=events.EventPattern(
                source=["aws.s3"],
                detail_type=["Object Created"],
                detail={
                    "bucket": {"name": [bucket.bucket_name]},
                    "object": {"size": [{"numeric": [">", 3]}]},
                },
            ),
            targets=[targets.SqsQueue(tagged)],
        )
        cdk.CfnOutput(self, "BucketName", value=bucket.bucket_name)
        cdk.CfnOutput(self, "UploadsUrl", value=uploads.queue_url)
        cdk.CfnOutput(self, "RemovalsUrl", value=removals.queue_url)
        cdk.CfnOutput(self, "AnnouncedUrl", value=tagged.queue_url)


app = cdk.App()
S3NotificationsStack(app, "S3NotificationsStack")
app.synth()
