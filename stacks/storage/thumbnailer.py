"""Deploys a thumbnailer; everything that it makes is deleted with the stack."""

from aws_cdk import RemovalPolicy
from constructs import Construct

from cdk_lambda_patterns.storage.thumbnailer import Thumbnailer, ThumbnailOptions
from stacks.architecture import Architecture
from stacks.pattern_stack import PatternStack

_SOURCE_PREFIX = "photos/"


class ThumbnailerStack(PatternStack):
    """A thumbnailer for ``photos/`` in a bucket of its own.

    A demonstration: deleting the stack deletes the pictures too (``RemovalPolicy.DESTROY``).
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        thumbnailer = Thumbnailer(
            self,
            "Thumbnailer",
            options=ThumbnailOptions(prefix=_SOURCE_PREFIX),
            removal_policy=RemovalPolicy.DESTROY,
        )
        self.output("SourceBucketName", thumbnailer.source_bucket.bucket_name)
        self.output("SourcePrefix", _SOURCE_PREFIX)
        self.output("DestinationBucketName", thumbnailer.destination_bucket.bucket_name)
        self.output("TableName", thumbnailer.table.table_name)
        self.output("FunctionName", thumbnailer.function.function_name)
        self.output("FailureQueueUrl", thumbnailer.failure_queue.queue_url)
