"""Deploys the rows of a bucket, and a function that makes up for the objects that were there before."""

import json

from aws_cdk import RemovalPolicy
from aws_cdk import aws_iam as iam
from constructs import Construct

from cdk_lambda_patterns import FunctionOptions
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.permissions import grant_on_bucket, grant_on_objects
from cdk_lambda_patterns.storage.batch_operation import BatchOperation
from cdk_lambda_patterns.storage.metadata_sync import MetadataOptions, MetadataSync
from stacks.architecture import Architecture
from stacks.pattern_stack import PatternStack


class BatchOperationStack(PatternStack):
    """A bucket with a row for each object, and a function that writes the rows of older objects.

    Events arrive through EventBridge, whose rule can be disabled: what is uploaded meanwhile has no rows, as
    if it had been there before. A demonstration: deleting the stack deletes everything
    (``RemovalPolicy.DESTROY``).
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        sync = MetadataSync(
            self,
            "Rows",
            options=MetadataOptions(delivery="eventbridge", user_metadata=True, tags=True),
            removal_policy=RemovalPolicy.DESTROY,
        )
        assert sync.table is not None
        assert sync.rule is not None
        backfill = BatchOperation(
            self,
            "Backfill",
            code=pattern_source("storage", "batch_operation"),
            handler="batch_operation.handler.handler",
            source=sync.source_bucket,
            # What the handler of metadata-sync has: it does the same work.
            function_options=FunctionOptions(
                environment={
                    "TARGET": "dynamodb",
                    "TABLE_NAME": sync.table.table_name,
                    "BUCKET_NAME": sync.source_bucket.bucket_name,
                    "PREFIX": "",
                    "SUFFIXES": json.dumps([]),
                    "USER_METADATA": "true",
                    "TAGS": "true",
                    "TOMBSTONE_DAYS": "15",
                    "POWERTOOLS_SERVICE_NAME": "batch-operation",
                    "POWERTOOLS_LOG_LEVEL": "INFO",
                }
            ),
            removal_policy=RemovalPolicy.DESTROY,
        )
        role = backfill.function.execution_role
        actions = ["dynamodb:GetItem", "dynamodb:UpdateItem"]
        role.add_to_policy(iam.PolicyStatement(actions=actions, resources=[sync.table.table_arn]))
        grant_on_bucket(role, sync.source_bucket, "s3:ListBucket")  # so that a missing object is 404, not 403
        grant_on_objects(
            role,
            sync.source_bucket,
            "s3:GetObject",
            "s3:GetObjectTagging",
            reason="A manifest may name any object of the bucket.",
        )
        # The outputs of metadata-sync, so that its scenario runs here, too.
        self.output("BucketName", sync.source_bucket.bucket_name)
        self.output("TableName", sync.table.table_name)
        self.output("FunctionName", sync.function.function_name)
        self.output("ReconcilerName", sync.reconciler.function_name)
        self.output("ScheduleName", sync.schedule.schedule_name)
        self.output("FailureQueueUrl", sync.failure_queue.queue_url)
        self.output("RuleName", sync.rule.rule_name)
        self.output("BackfillFunctionName", backfill.function.function_name)
        self.output("BackfillFunctionArn", backfill.function.function_arn)
        self.output("JobRoleArn", backfill.role.role_arn)
        self.output("JobBucketName", backfill.bucket.bucket_name)
