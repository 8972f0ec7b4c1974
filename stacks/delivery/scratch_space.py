"""Deploys a function that reports on large files of bookings."""

from aws_cdk import Duration, RemovalPolicy
from constructs import Construct

from cdk_lambda_patterns import FunctionOptions
from cdk_lambda_patterns.core.bucket import make_bucket
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.permissions import grant_on_objects
from cdk_lambda_patterns.delivery.scratch_space import ScratchSpaceFunction
from stacks.architecture import Architecture
from stacks.pattern_stack import PatternStack


class ScratchSpaceStack(PatternStack):
    """Files of bookings, and reports on them, which are in the bucket of the checkpoints.

    A demonstration: its invocations may take five seconds, so that a job soon needs several, and deleting the
    stack deletes files and reports (``RemovalPolicy.DESTROY``).
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        files = make_bucket(self, "Files", versioned=True, removal_policy=RemovalPolicy.DESTROY)
        reports = ScratchSpaceFunction(
            self,
            "Reports",
            code=pattern_source("delivery", "scratch_space"),
            handler="scratch_space.handler.handler",
            source_bucket=files,
            function_options=FunctionOptions(
                timeout=Duration.seconds(5), environment={"POWERTOOLS_SERVICE_NAME": "scratch-space"}
            ),
            removal_policy=RemovalPolicy.DESTROY,
        )
        grant_on_objects(
            reports.function.execution_role,
            reports.checkpoint_bucket,
            "s3:GetObject",
            "s3:PutObject",
            prefix="reports/",
            reason="A report has the id of its job.",
        )
        self.output("FunctionName", reports.function.function_name)
        self.output("FilesBucketName", files.bucket_name)
        self.output("CheckpointBucketName", reports.checkpoint_bucket.bucket_name)
        self.output("KeyId", reports.encryption_key.key_id)
        if reports.failure_queue is not None:
            self.output("FailureQueueUrl", reports.failure_queue.queue_url)
