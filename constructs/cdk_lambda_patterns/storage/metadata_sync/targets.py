"""Where the metadata of a bucket's objects goes: a table in DynamoDB, or one in PostgreSQL behind RDS Proxy.

Both hold one row for each key, with the same attributes. PostgreSQL makes its table itself, with the first
connection; a table in DynamoDB that is given needs the keys named at ``DynamoTarget``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from constructs import Construct

from cdk_lambda_patterns.core.function import HardenedFunction
from cdk_lambda_patterns.core.network import PrivateNetwork, Service
from cdk_lambda_patterns.core.options import NetworkOptions
from cdk_lambda_patterns.core.permissions import grant_use_of_key
from cdk_lambda_patterns.core.table import make_table, text
from cdk_lambda_patterns.data.private_function import PrivateFunction
from cdk_lambda_patterns.data.rds_proxy.database import DatabaseOptions, ExistingDatabase
from cdk_lambda_patterns.data.rds_proxy.pooled_database import (
    PooledDatabase,
    PoolOptions,
    check_pooled_database,
    make_pooled_database,
)

BY_LAST_MODIFIED = "by-last-modified"


@dataclass(frozen=True, kw_only=True)
class DynamoTarget:
    """A table in DynamoDB.

    Args:
        table: Partition key ``bucket``, sort key ``key``, both strings; TTL on ``expires_at``; an index
            ``by-last-modified`` (``modified_shard``, ``last_modified``, strings) for those who ask by time.
            Default: a new one, paid by the request, that can be restored to any point of the last 35 days.
        network: The VPC that the functions run in. Default: none of yours.
    """

    table: dynamodb.ITable | None = None
    network: NetworkOptions | None = None


@dataclass(frozen=True, kw_only=True)
class PostgresTarget:
    """A table in PostgreSQL, reached through RDS Proxy by functions in its network.

    Args:
        database: The database that is made, or one that is there already. Its user needs the right to make
            tables.
        pool: How the proxy shares the database's connections.
        network: Where all of it is. Default: a new one. For an existing database: its network.

    Raises:
        ValueError: The engine is not PostgreSQL.
    """

    database: DatabaseOptions | ExistingDatabase | None = None
    pool: PoolOptions | None = None
    network: PrivateNetwork | None = None

    def __post_init__(self) -> None:
        if self.database is not None and self.database.engine != "postgres":
            raise ValueError(
                f"engine={self.database.engine!r}: metadata is written with SQL of PostgreSQL; choose "
                "'postgres'."
            )


@dataclass(frozen=True)
class DynamoTable:
    """The table, and how functions come to write it."""

    table: dynamodb.ITable
    network: NetworkOptions | None = None

    @property
    def environment(self) -> Mapping[str, str]:
        """What tells the handlers where to write."""
        return {"TARGET": "dynamodb", "TABLE_NAME": self.table.table_name}

    def make_function(
        self,
        scope: Construct,
        id: str,
        *,
        actions: Sequence[str],
        services: Sequence[Service],
        **given: Any,
    ) -> HardenedFunction:
        """Make a function that may do this with the table.

        Args:
            scope: The parent.
            id: The id under the parent.
            actions: On the table.
            services: What else it calls; no matter for a function outside of a network.
            **given: For ``HardenedFunction``.
        """
        function = HardenedFunction(scope, id, network=self.network, **given)
        function.execution_role.add_to_policy(
            # On the table and not on its index, which these functions do not ask.
            iam.PolicyStatement(actions=list(actions), resources=[self.table.table_arn])
        )
        # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html
        grant_use_of_key(function.execution_role, self.table.encryption_key, "kms:Decrypt", "kms:DescribeKey")
        return function


@dataclass(frozen=True)
class PostgresTable:
    """The database, and how functions come to write it."""

    pooled: PooledDatabase

    @property
    def environment(self) -> Mapping[str, str]:
        """What tells the handlers where to write."""
        return {"TARGET": "postgres", **self.pooled.environment}

    def make_function(
        self,
        scope: Construct,
        id: str,
        *,
        actions: Sequence[str],
        services: Sequence[Service],
        **given: Any,
    ) -> HardenedFunction:
        """Make a function in the database's network, which may log in.

        Args:
            scope: The parent.
            id: The id under the parent.
            actions: On a table in DynamoDB; no matter here.
            services: What else it calls, and so needs a way to.
            **given: For ``PrivateFunction``.
        """
        function = PrivateFunction(scope, id, network=self.pooled.network, services=services, **given)
        self.pooled.grant_connect(function)
        return function


def make_target(
    scope: Construct, target: DynamoTarget | PostgresTarget, removal_policy: RemovalPolicy
) -> DynamoTable | PostgresTable:
    """Make the table or the database, unless it is there already.

    Args:
        scope: The construct that they belong to.
        target: What was asked for.
        removal_policy: What becomes of what is made.
    """
    if isinstance(target, DynamoTarget):
        return DynamoTable(target.table or _make_table(scope, removal_policy), target.network)
    return PostgresTable(
        make_pooled_database(
            scope,
            options=target.database or DatabaseOptions(),
            pool=target.pool,
            network=target.network,
            removal_policy=removal_policy,
        )
    )


def check_target(target: DynamoTarget | PostgresTarget, timeout: Duration) -> None:
    """Check that the parts of a target fit together.

    Args:
        target: What was asked for.
        timeout: Of the function that writes it.

    Raises:
        ValueError: They do not.
    """
    if isinstance(target, PostgresTarget):
        check_pooled_database(target.database or DatabaseOptions(), target.pool, target.network, timeout)


def _make_table(scope: Construct, removal_policy: RemovalPolicy) -> dynamodb.Table:
    table = make_table(
        scope,
        "Table",
        partition_key=text("bucket"),
        sort_key=text("key"),
        time_to_live_attribute="expires_at",
        removal_policy=removal_policy,
    )
    table.add_global_secondary_index(
        index_name=BY_LAST_MODIFIED,
        partition_key=text("modified_shard"),
        sort_key=text("last_modified"),
        # These change with every new object in any case, so they cost no further write of the index.
        projection_type=dynamodb.ProjectionType.INCLUDE,
        non_key_attributes=["version_id", "size", "etag"],
    )
    return table
