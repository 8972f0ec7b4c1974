"""Deploys rows of metadata for two buckets, one in DynamoDB and one in PostgreSQL."""

from aws_cdk import RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from cdk_lambda_patterns.core.bucket import make_bucket
from cdk_lambda_patterns.data.rds_proxy import DatabaseOptions
from cdk_lambda_patterns.storage.metadata_sync import MetadataOptions, MetadataSync, PostgresTarget
from stacks.architecture import Architecture
from stacks.pattern_stack import PatternStack, switch


class MetadataSyncStack(PatternStack):
    """Two buckets: a versioned one with its rows in DynamoDB, and one without versions, in PostgreSQL.

    The events of the first arrive by its own notifications, those of the second through EventBridge. The
    second needs a database, a proxy and a network, which are charged by the hour: the context
    ``metadata-sync-postgres=false`` leaves it out. A demonstration: deleting the stack deletes everything
    (``RemovalPolicy.DESTROY``).
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        versioned = MetadataSync(
            self,
            "Versioned",
            options=MetadataOptions(user_metadata=True, tags=True),
            removal_policy=RemovalPolicy.DESTROY,
        )
        self._output_names("", versioned)
        if versioned.table:
            self.output("TableName", versioned.table.table_name)
        if switch(self, "metadata-sync-postgres", default=True):
            self._deploy_relational()

    def _deploy_relational(self) -> None:
        relational = MetadataSync(
            self,
            "Relational",
            source=make_bucket(self, "Plain", versioned=False, removal_policy=RemovalPolicy.DESTROY),
            target=PostgresTarget(
                # An instance: the proxy of Aurora Serverless v2 is charged for at least 8 capacity units.
                database=DatabaseOptions(
                    instance_type=ec2.InstanceType.of(ec2.InstanceClass.T4G, ec2.InstanceSize.MICRO)
                )
            ),
            options=MetadataOptions(delivery="eventbridge", user_metadata=True, tags=True),
            removal_policy=RemovalPolicy.DESTROY,
        )
        self._output_names("Relational", relational)
        if relational.database and relational.migration:
            self.output("RelationalMigrationName", relational.migration.function_name)
            self.output("RelationalProxyName", relational.database.proxy.db_proxy_name)

    def _output_names(self, which: str, sync: MetadataSync) -> None:
        self.output(f"{which}BucketName", sync.source_bucket.bucket_name)
        self.output(f"{which}FunctionName", sync.function.function_name)
        self.output(f"{which}ReconcilerName", sync.reconciler.function_name)
        self.output(f"{which}ScheduleName", sync.schedule.schedule_name)
        self.output(f"{which}FailureQueueUrl", sync.failure_queue.queue_url)
