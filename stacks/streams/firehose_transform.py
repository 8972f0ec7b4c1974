"""Deploys a delivery stream for lines of web servers, which end up in a bucket, by site and day."""

from aws_cdk import Duration, RemovalPolicy
from constructs import Construct

from cdk_lambda_patterns import FunctionOptions
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.streams.firehose_transform import FirehoseTransform, FirehoseTransformOptions
from stacks.architecture import Architecture
from stacks.pattern_stack import PatternStack


class FirehoseTransformStack(PatternStack):
    """Lines of web servers in S3, and their originals in another bucket.

    A demonstration: deleting the stack deletes both buckets (``RemovalPolicy.DESTROY``).
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        lines = FirehoseTransform(
            self,
            "Lines",
            code=pattern_source("streams", "firehose_transform"),
            handler="firehose_transform.handler.handler",
            options=FirehoseTransformOptions(
                partition_keys=["site"],
                buffering_interval=Duration.minutes(1),
                batch_interval=Duration.seconds(15),
                retries=2,
                backup=True,
            ),
            function_options=FunctionOptions(
                memory_size=1769,  # one vCPU
                environment={"POWERTOOLS_SERVICE_NAME": "firehose-transform"},
            ),
            removal_policy=RemovalPolicy.DESTROY,
        )
        assert lines.backup_bucket is not None
        self.output("DeliveryStreamName", lines.delivery_stream.delivery_stream_name)
        self.output("FunctionName", lines.function.function_name)
        self.output("BucketName", lines.bucket.bucket_name)
        self.output("BackupBucketName", lines.backup_bucket.bucket_name)
        self.output("DeliveryRoleArn", lines.delivery_role.role_arn)
        self.output("DeliveryLogGroupName", lines.delivery_log_group.log_group_name)
