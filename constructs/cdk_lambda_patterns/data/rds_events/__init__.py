"""Amazon RDS event → SNS topic or EventBridge rule, or both → Lambda; what fails → two queues.

Use it to act on what happens to databases: a failover, full storage, maintenance. Do not use it to follow the
data in them (DynamoDB Streams, or Database Activity Streams), or where a missed event does harm: RDS delivers
on a best-effort basis, out of order, and through SNS up to five minutes late.

https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_Events.overview.html
"""

from cdk_lambda_patterns.data.rds_events.construct import RdsEvents
from cdk_lambda_patterns.data.rds_events.sources import (
    BlueGreenDeploymentCategory,
    CustomEngineVersionCategory,
    DbClusterCategory,
    DbClusterSnapshotCategory,
    DbInstanceCategory,
    DbParameterGroupCategory,
    DbProxyCategory,
    DbSecurityGroupCategory,
    DbShardGroupCategory,
    DbSnapshotCategory,
    RdsEventCategory,
    RdsEventSource,
    RdsSourceType,
)

__all__ = [
    "BlueGreenDeploymentCategory",
    "CustomEngineVersionCategory",
    "DbClusterCategory",
    "DbClusterSnapshotCategory",
    "DbInstanceCategory",
    "DbParameterGroupCategory",
    "DbProxyCategory",
    "DbSecurityGroupCategory",
    "DbShardGroupCategory",
    "DbSnapshotCategory",
    "RdsEventCategory",
    "RdsEventSource",
    "RdsEvents",
    "RdsSourceType",
]
