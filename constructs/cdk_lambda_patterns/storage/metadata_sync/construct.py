"""S3 event → Lambda → a row per object in DynamoDB or PostgreSQL; schedule → Lambda repairs what was missed.

Use it when something has to be asked that S3 does not answer: which objects changed since yesterday, how many
bytes are below a prefix, which have a tag. Do not use it to look one object up, which a HEAD does, or for a
report once a day, which S3 Inventory and S3 Metadata tables give without any code.
"""

import json
from typing import Any

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_scheduler_targets as scheduler_targets
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_lambda_patterns.core.bucket import make_bucket
from cdk_lambda_patterns.core.failure_queue import make_failure_queue
from cdk_lambda_patterns.core.function import HardenedFunction
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.options import AsyncOptions, FunctionOptions
from cdk_lambda_patterns.core.permissions import (
    QueueDestination,
    grant_on_bucket,
    grant_on_objects,
    grant_send,
    grant_use_of_key,
)
from cdk_lambda_patterns.data.rds_proxy.pooled_database import PooledDatabase
from cdk_lambda_patterns.storage.metadata_sync.events import EVENTBRIDGE, notify, route
from cdk_lambda_patterns.storage.metadata_sync.options import MetadataOptions, ReconcilerOptions
from cdk_lambda_patterns.storage.metadata_sync.targets import (
    DynamoTable,
    DynamoTarget,
    PostgresTable,
    PostgresTarget,
    check_target,
    make_target,
)

# How soon a comparison goes on that took longer than one invocation. A tick with nothing to do reads one row.
_TICK = Duration.minutes(5)


class MetadataSync(Construct):
    """Keeps one row for each object of a bucket, true after any order of events, late, twice or lost.

    It builds a bucket (versioned), a table or a database, the function that S3 invokes, a queue for what
    failed for good, and the reconciler: a function that compares all objects with all rows, as soon as the
    stack is deployed and then again and again, and repairs what differs. So objects that were there before
    get their rows, too.

    An event says only where to look: the function asks S3 for the object that is there now, and writes that
    unless a later event of the same key was there first. Of a deleted object a tombstone stays for a while.

    Args:
        source: Bucket that is watched: owned, of another stack, or imported. Default: a new one. What
            ``Thumbnailer`` says about notifications of a bucket of another stack holds here as well.
        target: ``DynamoTarget`` or ``PostgresTarget``. Default: a new table in DynamoDB.
        options: Which objects, what is in a row, and how the events come.
        reconciler: How often all is compared, and from what.
        failure_queue: Standard queue for what failed for good. Default: a new one.
        function_options: Settings of the function that S3 invokes: memory, timeout, logs.
        asynchronous: Retries and maximum age of the events that S3 sends.
        removal_policy: What happens to all that was made when the stack is deleted. Default: it stays.
            ``DESTROY`` also empties the bucket.

    Raises:
        ValueError: A value is not allowed, or does not fit the others.

    Attributes:
        source_bucket (IBucket): The bucket that is watched.
        table (ITable | None): The table in DynamoDB, if that is the target.
        database (PooledDatabase | None): Database, proxy and network, if PostgreSQL is the target.
        function (HardenedFunction): Writes what the events are about.
        reconciler (HardenedFunction): Compares and repairs.
        schedule (Schedule): Invokes the reconciler.
        rule (Rule | None): Brings the events, if they come through EventBridge.
        failure_queue (IQueue): Events that failed for good.

    Example::

        invoices = MetadataSync(
            self, "Invoices", target=DynamoTarget(), options=MetadataOptions(prefix="invoices/", tags=True)
        )
        invoices.table.grant_read_data(website)

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/EventNotifications.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        source: s3.IBucket | None = None,
        target: DynamoTarget | PostgresTarget | None = None,
        options: MetadataOptions | None = None,
        reconciler: ReconcilerOptions | None = None,
        failure_queue: sqs.IQueue | None = None,
        function_options: FunctionOptions | None = None,
        asynchronous: AsyncOptions | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        target = target or DynamoTarget()
        reconciler = reconciler or ReconcilerOptions()
        function_options = function_options or FunctionOptions()
        timeout = function_options.timeout or Duration.minutes(1)
        check_target(target, timeout)
        super().__init__(scope, id)
        self._options = options or MetadataOptions()
        self._removal_policy = removal_policy

        self.source_bucket = source or make_bucket(
            self, "Source", versioned=True, removal_policy=removal_policy
        )
        self._target = make_target(self, target, removal_policy)
        self.failure_queue = failure_queue or make_failure_queue(
            self, "FailureQueue", removal_policy=removal_policy
        )
        self.function = self._make_function(
            function_options.with_defaults(timeout=timeout), asynchronous or AsyncOptions()
        )
        self.rule = self._connect()
        self.reconciler = self._make_reconciler(reconciler)
        self.schedule = self._make_schedule()

    @property
    def table(self) -> dynamodb.ITable | None:
        """The table in DynamoDB, if that is the target."""
        return self._target.table if isinstance(self._target, DynamoTable) else None

    @property
    def database(self) -> PooledDatabase | None:
        """Database, proxy and network, if PostgreSQL is the target."""
        return self._target.pooled if isinstance(self._target, PostgresTable) else None

    def _make_function(self, options: FunctionOptions, asynchronous: AsyncOptions) -> HardenedFunction:
        function = self._target.make_function(
            self,
            "Function",
            actions=["dynamodb:GetItem", "dynamodb:UpdateItem"],
            services=[
                ec2.GatewayVpcEndpointAwsService.S3,
                ec2.InterfaceVpcEndpointAwsService.SQS,
            ],
            code=pattern_source("storage", "metadata_sync"),
            description="Keeps the metadata of a bucket's objects",
            asynchronous=asynchronous,
            on_failure=QueueDestination(self.failure_queue),
            environment={**self._environment(), "FAILURE_QUEUE_URL": self.failure_queue.queue_url},
            options=options.with_defaults(
                memory_size=512,
            ),
            removal_policy=self._removal_policy,
        )
        self._grant_looking(function)
        grant_send(function.execution_role, self.failure_queue)
        return function

    def _connect(self) -> events.Rule | None:
        which: dict[str, Any] = {
            "prefix": self._options.prefix,
            "suffixes": self._options.suffixes,
            "tags": self._options.tags,
        }
        if self._options.delivery == EVENTBRIDGE:
            return route(self, self.source_bucket, self.function, failure_queue=self.failure_queue, **which)
        notify(self, self.source_bucket, self.function, **which)
        return None

    def _make_reconciler(self, options: ReconcilerOptions) -> HardenedFunction:
        environment = {
            **self._environment(),
            "RECONCILE_EVERY_SECONDS": str(int(options.every.to_seconds())),
            "POWERTOOLS_METRICS_NAMESPACE": "MetadataSync",
        }
        if options.inventory:
            environment["INVENTORY_BUCKET"] = options.inventory.bucket.bucket_name
            environment["INVENTORY_PREFIX"] = options.inventory.place(self.source_bucket)
        function = self._target.make_function(
            self,
            "Reconciler",
            actions=["dynamodb:GetItem", "dynamodb:Query", "dynamodb:UpdateItem"],
            services=[ec2.GatewayVpcEndpointAwsService.S3],
            code=pattern_source("storage", "metadata_sync"),
            handler="reconciler.handler",
            description="Compares the metadata of a bucket's objects with the bucket",
            # The next tick is the next attempt.
            asynchronous=AsyncOptions(retry_attempts=0, max_event_age=_TICK),
            environment=environment,
            options=(options.function_options or FunctionOptions()).with_defaults(
                memory_size=1024,
                timeout=Duration.minutes(15),
            ),
            removal_policy=self._removal_policy,
        )
        self._grant_looking(function)
        if options.inventory:
            inventories = options.inventory.bucket
            grant_on_objects(
                function.execution_role,
                inventories,
                "s3:GetObject",
                prefix=f"{options.inventory.place(self.source_bucket)}/",
                reason="Each inventory is a set of files with names of their own.",
            )
            grant_on_bucket(function.execution_role, inventories, "s3:ListBucket")
            grant_use_of_key(function.execution_role, inventories.encryption_key, "kms:Decrypt")
        return function

    def _make_schedule(self) -> scheduler.Schedule:
        role = iam.Role(self, "ScheduleRole", assumed_by=iam.ServicePrincipal("scheduler.amazonaws.com"))
        role.add_to_policy(
            iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[self.reconciler.function_arn])
        )
        return scheduler.Schedule(
            self,
            "Schedule",
            description="Lets the reconciler begin or go on",
            # Begins with the deployment: https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
            schedule=scheduler.ScheduleExpression.rate(_TICK),
            target=scheduler_targets.LambdaInvoke(
                self.reconciler,
                role=role.without_policy_updates(),  # the CDK adds every version and alias
                retry_attempts=0,
            ),
        )

    def _environment(self) -> dict[str, str]:
        """What both functions are told."""
        return {
            **self._target.environment,
            "BUCKET_NAME": self.source_bucket.bucket_name,
            "PREFIX": self._options.prefix,
            "SUFFIXES": json.dumps(self._options.suffixes),
            "USER_METADATA": json.dumps(self._options.user_metadata),
            "TAGS": json.dumps(self._options.tags),
            "TOMBSTONE_DAYS": str(int(self._options.tombstones.to_days())),
            "POWERTOOLS_SERVICE_NAME": "metadata-sync",
            "POWERTOOLS_LOG_LEVEL": "INFO",
        }

    def _grant_looking(self, function: HardenedFunction) -> None:
        """Let a function look at an object. HeadObject has no permission of its own: it takes GetObject."""
        role, source = function.execution_role, self.source_bucket
        actions = ["s3:GetObject", *(["s3:GetObjectTagging"] if self._options.tags else [])]
        grant_on_objects(
            role,
            source,
            *actions,
            prefix=self._options.prefix,
            reason="Any object under the watched prefix may be looked at.",
        )
        # Also so that a key that is gone answers 404 and not 403.
        # https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
        grant_on_bucket(role, source, "s3:ListBucket")
        grant_use_of_key(role, source.encryption_key, "kms:Decrypt")  # for the checksum
