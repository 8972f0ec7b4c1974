"""S3 event → Lambda → a row per object in DynamoDB or PostgreSQL; schedule → Lambda repairs missed events.

Use it for questions that S3 does not answer: which objects changed since yesterday, how many bytes are below
a prefix, which objects have a tag. Do not use it to look up one object (HeadObject does that), or for a daily
report, which S3 Inventory and S3 Metadata tables give without any code.
"""

import json
from collections.abc import Mapping, Sequence

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_scheduler_targets as scheduler_targets
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.bucket import make_bucket
from cdk_lambda_patterns.core.bucket_notifications import check_place, notify_function
from cdk_lambda_patterns.core.failure_queue import check_standard, make_failure_queue
from cdk_lambda_patterns.core.function import HardenedFunction
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.limits import number_in, text_of
from cdk_lambda_patterns.core.network import Service
from cdk_lambda_patterns.core.options import AsyncOptions, FunctionOptions
from cdk_lambda_patterns.core.permissions import (
    QueueDestination,
    grant_on_bucket,
    grant_on_objects,
    grant_send,
    grant_use_of_key,
)
from cdk_lambda_patterns.core.regions import SAME_REGION, TABLE_PLACE, check_region
from cdk_lambda_patterns.data.private_function import join, make_function_group
from cdk_lambda_patterns.data.rds_proxy.pooled_database import PooledDatabase
from cdk_lambda_patterns.storage.metadata_sync.delivery import route
from cdk_lambda_patterns.storage.metadata_sync.options import NOTIFIED, MetadataOptions, ReconcilerOptions
from cdk_lambda_patterns.storage.metadata_sync.targets import (
    DynamoTarget,
    PostgresTarget,
    check_target,
    make_target,
)

# How soon a comparison that took longer than one invocation continues. An invocation with nothing to do reads
# one row.
_TICK_MINUTES = 5


@check_types
class MetadataSync(Construct):
    """A row for each object of a bucket, right after any order of events: late, duplicate or lost.

    It builds a bucket (versioned), a table or a database, the function that S3 invokes, a queue for permanent
    failures, and the reconciler: a function that compares all objects with all rows and repairs what differs,
    first when the stack is deployed, then at intervals. So objects that exist already get rows as well.

    An event only says which key to look at: the function asks S3 for the current object, and writes that
    unless a later event of the same key was first. The row of a deleted object becomes a tombstone and is
    removed later.

    Args:
        source: Bucket to watch: owned, from another stack, or imported. Default: a new one. The notes of
            ``Thumbnailer`` about notifications of a bucket from another stack apply here as well.
        target: ``DynamoTarget`` or ``PostgresTarget``. Default: a new table in DynamoDB.
        options: Which objects have a row, what a row contains, and how events arrive.
        reconciler: How often bucket and table are compared.
        failure_queue: Standard queue for permanent failures. Default: a new one.
        function_options: Settings of the function that S3 invokes: memory, timeout, logs.
        asynchronous: Retries and maximum age of the events that S3 sends.
        removal_policy: What happens to all new resources when the stack is deleted. Default: they are
            retained. ``DESTROY`` also empties the bucket.

    Raises:
        ValueError: A value is not allowed, or does not fit the others.

    Attributes:
        source_bucket (IBucket): The bucket.
        table (ITable | None): The table in DynamoDB; ``None`` if the rows are in PostgreSQL.
        database (PooledDatabase | None): Database, proxy and network; ``None`` if the rows are in DynamoDB.
        function (HardenedFunction): Writes the rows that events are about.
        reconciler (HardenedFunction): Compares and repairs.
        schedule (Schedule): Invokes the reconciler.
        rule (Rule | None): The rule in EventBridge, if events arrive that way.
        migration (HardenedFunction | None): Creates tables and user in a new database, when it is deployed.
        failure_queue (IQueue): Events that failed permanently.

    Example::

        rows = dynamodb.Table.from_table_name(self, "Rows", "rows")
        MetadataSync(self, "Invoices", target=DynamoTarget(table=rows), options=MetadataOptions(tags=True))
        rows.grant_read_data(website)

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
        function_options = function_options or FunctionOptions()
        timeout = function_options.timeout or Duration.minutes(1)
        check_target(target, timeout)
        check_standard("failure_queue", failure_queue)
        table = target.table if isinstance(target, DynamoTarget) else None
        check_region(scope, SAME_REGION, {"failure_queue": failure_queue})
        check_region(scope, TABLE_PLACE, {"table": table}, in_account=True)
        options = options or MetadataOptions()
        if source is not None and options.delivery == "notifications":
            check_place(scope, source)
        super().__init__(scope, id)
        self._options = options
        self._network = target.network if isinstance(target, DynamoTarget) else None
        self._removal_policy = removal_policy

        self.source_bucket = source or make_bucket(
            self, "Source", versioned=True, removal_policy=removal_policy
        )
        made = make_target(self, target, removal_policy)
        self.database: PooledDatabase | None = made if isinstance(made, PooledDatabase) else None
        self.table: dynamodb.ITable | None = None if isinstance(made, PooledDatabase) else made
        self.failure_queue = failure_queue or make_failure_queue(
            self, "FailureQueue", removal_policy=removal_policy
        )
        self.function = self._make_function(
            "Function",
            handler="metadata_sync.handler.handler",
            description="Writes a row of metadata for each object that an event is about",
            environment={"FAILURE_QUEUE_URL": self.failure_queue.queue_url},
            asynchronous=asynchronous or AsyncOptions(),
            on_failure=QueueDestination(self.failure_queue),
            options=function_options.with_defaults(memory_size=512, timeout=timeout),
            services=[ec2.GatewayVpcEndpointAwsService.S3, ec2.InterfaceVpcEndpointAwsService.SQS],
            table_actions=["dynamodb:GetItem", "dynamodb:UpdateItem"],
        )
        grant_send(self.function.execution_role, self.failure_queue)
        self.rule: events.Rule | None = None
        if self._options.delivery == "eventbridge":
            self.rule = route(self, self.source_bucket, self.function, self._options, self.failure_queue)
        else:
            notify_function(
                self,
                self.source_bucket,
                self.function,
                *(NOTIFIED if not options.tags else (*NOTIFIED, s3.EventType.OBJECT_TAGGING)),
                prefix=options.prefix,
                suffixes=options.suffixes,
            )
        self.reconciler = self._make_reconciler(reconciler or ReconcilerOptions())
        self.schedule = self._make_schedule()
        self.migration: HardenedFunction | None = None
        if self.database:
            self.migration = self.database.migrate(
                self,
                code=pattern_source("storage", "metadata_sync"),
                handler="metadata_sync.migration.handler",
                before=[self.function, self.reconciler],
                removal_policy=removal_policy,
            )

    def _make_reconciler(self, reconciler: ReconcilerOptions) -> HardenedFunction:
        options = reconciler.function_options or FunctionOptions()
        return self._make_function(
            "Reconciler",
            handler="metadata_sync.reconciler.handler",
            description="Compares the objects of a bucket with their rows of metadata",
            environment={
                "RECONCILE_EVERY_SECONDS": text_of(number_in("seconds", "every", reconciler.every)),
                "POWERTOOLS_METRICS_NAMESPACE": "MetadataSync",
            },
            # The next invocation by the schedule is the next attempt.
            asynchronous=AsyncOptions(retry_attempts=0, max_event_age=Duration.minutes(_TICK_MINUTES)),
            on_failure=None,
            options=options.with_defaults(memory_size=1024, timeout=Duration.minutes(15)),
            services=[ec2.GatewayVpcEndpointAwsService.S3],
            table_actions=["dynamodb:GetItem", "dynamodb:Query", "dynamodb:UpdateItem"],
        )

    def _make_function(
        self,
        id: str,
        *,
        handler: str,
        description: str,
        environment: Mapping[str, str],
        asynchronous: AsyncOptions,
        on_failure: lambda_.IDestination | None,
        options: FunctionOptions,
        services: Sequence[Service],
        table_actions: Sequence[str],
    ) -> HardenedFunction:
        """Make a function that looks at objects, and reads and writes rows."""
        network = self._network
        if self.database:
            group = make_function_group(self, id, self.database.network, services)
            network = join(self.database.network, group)
        function = HardenedFunction(
            self,
            id,
            code=pattern_source("storage", "metadata_sync"),
            handler=handler,
            description=description,
            environment={**self._environment(), **environment},
            asynchronous=asynchronous,
            on_failure=on_failure,
            options=options,
            network=network,
            removal_policy=self._removal_policy,
        )
        role = function.execution_role
        if self.database:
            self.database.grant_connect(function)
        if self.table:
            # On the table only: the functions do not query its index.
            role.add_to_policy(
                iam.PolicyStatement(actions=list(table_actions), resources=[self.table.table_arn])
            )
            # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html
            grant_use_of_key(role, self.table.encryption_key, "kms:Decrypt", "kms:DescribeKey")
        self._grant_looking(role)
        return function

    def _environment(self) -> dict[str, str]:
        """Return the environment variables that both functions have."""
        target = {"TARGET": "postgres", **self.database.environment} if self.database else {}
        if self.table:
            target = {"TARGET": "dynamodb", "TABLE_NAME": self.table.table_name}
        return {
            **target,
            "BUCKET_NAME": self.source_bucket.bucket_name,
            "PREFIX": self._options.prefix,
            "SUFFIXES": json.dumps(list(self._options.suffixes)),
            "USER_METADATA": json.dumps(self._options.user_metadata),
            "TAGS": json.dumps(self._options.tags),
            "TOMBSTONE_DAYS": text_of(number_in("days", "tombstones", self._options.tombstones)),
            "POWERTOOLS_SERVICE_NAME": "metadata-sync",
            "POWERTOOLS_LOG_LEVEL": "INFO",
        }

    def _grant_looking(self, role: iam.Role) -> None:
        """Grant what a look at an object needs. HeadObject takes the permission of GetObject."""
        source, tags = self.source_bucket, ["s3:GetObjectTagging"] if self._options.tags else []
        grant_on_objects(
            role,
            source,
            "s3:GetObject",
            *tags,
            prefix=self._options.prefix,
            reason="The function looks at any object under the prefix.",
        )
        # Also so that S3 answers 404, not 403, if an object is gone.
        # https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
        grant_on_bucket(role, source, "s3:ListBucket")
        grant_use_of_key(role, source.encryption_key, "kms:Decrypt")  # for the checksum

    def _make_schedule(self) -> scheduler.Schedule:
        # The group, not the schedule:
        # https://docs.aws.amazon.com/scheduler/latest/UserGuide/cross-service-confused-deputy-prevention.html
        stack = Stack.of(self)
        group = stack.format_arn(service="scheduler", resource="schedule-group", resource_name="default")
        conditions = {"StringEquals": {"aws:SourceAccount": stack.account, "aws:SourceArn": group}}
        principal = iam.ServicePrincipal("scheduler.amazonaws.com", conditions=conditions)
        role = iam.Role(self, "ScheduleRole", assumed_by=principal)
        role.add_to_policy(
            iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[self.reconciler.function_arn])
        )
        return scheduler.Schedule(
            self,
            "Schedule",
            description="Invokes the reconciler to begin or continue a comparison",
            # The first invocation is at once: https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
            schedule=scheduler.ScheduleExpression.rate(Duration.minutes(_TICK_MINUTES)),
            target=scheduler_targets.LambdaInvoke(
                self.reconciler,
                role=role.without_policy_updates(),  # the CDK would add every version and alias
                retry_attempts=0,
            ),
        )
