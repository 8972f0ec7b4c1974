"""Where the rows are: a table in DynamoDB, or a table in PostgreSQL behind RDS Proxy.

Both have one row for each key, with the same attributes. The functions create the table in PostgreSQL with
their first connection; an existing table in DynamoDB needs the keys that ``DynamoTarget`` lists.
"""

from dataclasses import dataclass

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.network import PrivateNetwork
from cdk_lambda_patterns.core.options import NetworkOptions
from cdk_lambda_patterns.core.table import check_keys, make_table, text
from cdk_lambda_patterns.data.rds_proxy.database import DatabaseOptions
from cdk_lambda_patterns.data.rds_proxy.existing import ExistingDatabase
from cdk_lambda_patterns.data.rds_proxy.pooled_database import (
    PooledDatabase,
    PoolOptions,
    check_pooled_database,
    make_pooled_database,
)

BY_LAST_MODIFIED = "by-last-modified"


@check_types
@dataclass(frozen=True, kw_only=True)
class DynamoTarget:
    """A table in DynamoDB.

    Args:
        table: Partition key ``bucket``, sort key ``key``, both strings; time to live on ``expires_at``; for
            queries by time an index ``by-last-modified`` (``modified_shard``, ``last_modified``, both
            strings). Default: a new on-demand table with point-in-time recovery.
        network: The VPC that the functions run in. Default: none of yours.

    Example::

        DynamoTarget(table=dynamodb.Table.from_table_name(self, "Rows", "rows"))
    """

    table: dynamodb.ITable | None = None
    network: NetworkOptions | None = None


@check_types
@dataclass(frozen=True, kw_only=True)
class PostgresTarget:
    """A table in PostgreSQL, which functions in its network reach through RDS Proxy.

    Args:
        database: Options for a new database, or an existing one, whose user must be allowed to create tables.
            Default: a new Aurora Serverless v2 cluster.
        pool: How the proxy shares the database's connections.
        network: The network of database, proxy and functions. Default: a new one; required for an existing
            database.

    Raises:
        ValueError: The engine is not PostgreSQL.

    Example::

        PostgresTarget(database=DatabaseOptions(instance_type=ec2.InstanceType("t4g.medium")))
    """

    database: DatabaseOptions | ExistingDatabase | None = None
    pool: PoolOptions | None = None
    network: PrivateNetwork | None = None

    def __post_init__(self) -> None:
        if self.database is not None and self.database.engine != "postgres":
            raise ValueError(
                f"engine={self.database.engine!r}: the rows are written with PostgreSQL's SQL; choose "
                "'postgres'."
            )


def check_target(target: DynamoTarget | PostgresTarget, timeout: Duration) -> None:
    """Check that the parts of a target fit together.

    Args:
        target: The target.
        timeout: The timeout of the function that writes to it.

    Raises:
        ValueError: They do not.
    """
    if isinstance(target, DynamoTarget):
        check_keys(target.table, "bucket", "key")
    else:
        check_pooled_database(target.database or DatabaseOptions(), target.pool, target.network, timeout)


def make_target(
    scope: Construct, target: DynamoTarget | PostgresTarget, removal_policy: RemovalPolicy
) -> dynamodb.ITable | PooledDatabase:
    """Make the table or the database unless it exists.

    Args:
        scope: The construct that gets it as a child.
        target: The target.
        removal_policy: What happens to a new table or database when the stack is deleted.
    """
    if isinstance(target, DynamoTarget):
        return target.table or _make_table(scope, removal_policy)
    return make_pooled_database(
        scope,
        options=target.database or DatabaseOptions(),
        pool=target.pool,
        network=target.network,
        removal_policy=removal_policy,
    )


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
        # Each new object changes these anyway, so they cause no further write of the index.
        projection_type=dynamodb.ProjectionType.INCLUDE,
        non_key_attributes=["version_id", "size", "etag"],
    )
    return table
