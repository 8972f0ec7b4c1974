"""S3 event → Lambda → a row per object in DynamoDB or PostgreSQL; a reconciler repairs what events missed."""

from cdk_lambda_patterns.storage.metadata_sync.construct import MetadataSync
from cdk_lambda_patterns.storage.metadata_sync.options import Delivery, MetadataOptions, ReconcilerOptions
from cdk_lambda_patterns.storage.metadata_sync.targets import DynamoTarget, PostgresTarget

__all__ = [
    "Delivery",
    "DynamoTarget",
    "MetadataOptions",
    "MetadataSync",
    "PostgresTarget",
    "ReconcilerOptions",
]
