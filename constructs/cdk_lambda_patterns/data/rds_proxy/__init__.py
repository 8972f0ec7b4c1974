"""Function in private subnets → RDS Proxy (IAM, TLS) → PostgreSQL or MySQL."""

from cdk_lambda_patterns.data.rds_proxy.construct import RdsProxyFunction
from cdk_lambda_patterns.data.rds_proxy.database import DatabaseOptions, Engine
from cdk_lambda_patterns.data.rds_proxy.existing import (
    ExistingCluster,
    ExistingDatabase,
    ExistingInstance,
    ExistingProxy,
)
from cdk_lambda_patterns.data.rds_proxy.pooled_database import PooledDatabase, PoolOptions

__all__ = [
    "DatabaseOptions",
    "Engine",
    "ExistingCluster",
    "ExistingDatabase",
    "ExistingInstance",
    "ExistingProxy",
    "PoolOptions",
    "PooledDatabase",
    "RdsProxyFunction",
]
