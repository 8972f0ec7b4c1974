"""What RDS reports on: the source types, the categories of events of each, and the sources.

https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_Events.Messages.html
https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/USER_Events.Messages.html
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from aws_cdk import Token
from aws_cdk import aws_events as events

from cdk_lambda_patterns.core.arguments import check_types

_ACRONYMS = {"db": "DB", "etl": "ETL"}


class RdsSourceType(StrEnum):
    """What an event can be about."""

    DB_INSTANCE = "db-instance"
    DB_CLUSTER = "db-cluster"
    DB_PARAMETER_GROUP = "db-parameter-group"
    DB_SECURITY_GROUP = "db-security-group"
    DB_SNAPSHOT = "db-snapshot"
    DB_CLUSTER_SNAPSHOT = "db-cluster-snapshot"
    DB_PROXY = "db-proxy"
    #: Only by rule: an event subscription has no such source type.
    DB_SHARD_GROUP = "db-shard-group"
    #: AWS publishes no categories for it.
    ZERO_ETL = "zero-etl"
    CUSTOM_ENGINE_VERSION = "custom-engine-version"
    BLUE_GREEN_DEPLOYMENT = "blue-green-deployment"


class RdsEventCategory(StrEnum):
    """A category of events; each source type has its own."""


class DbInstanceCategory(RdsEventCategory):
    """Categories of a DB instance."""

    AVAILABILITY = "availability"
    BACKTRACK = "backtrack"
    BACKUP = "backup"
    CONFIGURATION_CHANGE = "configuration change"
    CREATION = "creation"
    DELETION = "deletion"
    FAILOVER = "failover"
    FAILURE = "failure"
    LOW_STORAGE = "low storage"
    MAINTENANCE = "maintenance"
    NOTIFICATION = "notification"
    READ_REPLICA = "read replica"
    RECOVERY = "recovery"
    RESTORATION = "restoration"
    SECURITY = "security"
    SECURITY_PATCHING = "security patching"


class DbClusterCategory(RdsEventCategory):
    """Categories of a DB cluster, Aurora or Multi-AZ."""

    CONFIGURATION_CHANGE = "configuration change"
    CREATION = "creation"
    DELETION = "deletion"
    FAILOVER = "failover"
    FAILURE = "failure"
    #: The tables of the user guide call it "global failover".
    GLOBAL_FAILOVER = "global-failover"
    MAINTENANCE = "maintenance"
    MIGRATION = "migration"
    NOTIFICATION = "notification"
    READ_REPLICA = "read replica"
    SERVERLESS = "serverless"


class DbParameterGroupCategory(RdsEventCategory):
    """Categories of a DB parameter group."""

    CONFIGURATION_CHANGE = "configuration change"


class DbSecurityGroupCategory(RdsEventCategory):
    """Categories of a DB security group (EC2-Classic)."""

    CONFIGURATION_CHANGE = "configuration change"
    FAILURE = "failure"


class DbSnapshotCategory(RdsEventCategory):
    """Categories of a DB snapshot."""

    CREATION = "creation"
    DELETION = "deletion"
    FAILURE = "failure"
    NOTIFICATION = "notification"
    RESTORATION = "restoration"


class DbClusterSnapshotCategory(RdsEventCategory):
    """Categories of a DB cluster snapshot."""

    BACKUP = "backup"
    FAILURE = "failure"
    NOTIFICATION = "notification"


class DbProxyCategory(RdsEventCategory):
    """Categories of an RDS Proxy."""

    CONFIGURATION_CHANGE = "configuration change"
    CREATION = "creation"
    DELETION = "deletion"
    FAILURE = "failure"


class DbShardGroupCategory(RdsEventCategory):
    """Categories of a DB shard group (Aurora Limitless Database)."""

    FAILURE = "failure"
    MAINTENANCE = "maintenance"
    NOTIFICATION = "notification"


class CustomEngineVersionCategory(RdsEventCategory):
    """Categories of a custom engine version (RDS Custom)."""

    CREATION = "creation"
    FAILURE = "failure"
    RESTORING = "restoring"


class BlueGreenDeploymentCategory(RdsEventCategory):
    """Categories of a blue/green deployment."""

    CREATION = "creation"
    DELETION = "deletion"
    FAILURE = "failure"
    NOTIFICATION = "notification"


#: The categories of each source type that has any.
CATEGORIES: Mapping[RdsSourceType, type[RdsEventCategory]] = {
    RdsSourceType.DB_INSTANCE: DbInstanceCategory,
    RdsSourceType.DB_CLUSTER: DbClusterCategory,
    RdsSourceType.DB_PARAMETER_GROUP: DbParameterGroupCategory,
    RdsSourceType.DB_SECURITY_GROUP: DbSecurityGroupCategory,
    RdsSourceType.DB_SNAPSHOT: DbSnapshotCategory,
    RdsSourceType.DB_CLUSTER_SNAPSHOT: DbClusterSnapshotCategory,
    RdsSourceType.DB_PROXY: DbProxyCategory,
    RdsSourceType.DB_SHARD_GROUP: DbShardGroupCategory,
    RdsSourceType.CUSTOM_ENGINE_VERSION: CustomEngineVersionCategory,
    RdsSourceType.BLUE_GREEN_DEPLOYMENT: BlueGreenDeploymentCategory,
}


_NAME = "[A-Za-z](-?[A-Za-z0-9])*"
_NAME_RULE = "letters, digits and single hyphens, a letter first and no hyphen last"


@dataclass(frozen=True)
class _Identifier:
    """How RDS writes the identifiers of a source type.

    Args:
        longest: How many characters it has at most.
        lower: Whether RDS stores it in lower case. If AWS does not say so, a rule matches both.
        pattern: What it looks like.
        rule: The same in words.
    """

    longest: int
    lower: bool = False
    pattern: str = _NAME
    rule: str = _NAME_RULE


# RDS and AWS Backup make snapshots with these prefixes.
_SNAPSHOT = {"pattern": f"((rds|awsbackup):)?{_NAME}", "rule": f"{_NAME_RULE}; rds: or awsbackup: before it"}
# Each from the action that creates it, such as
# https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBInstance.html
# https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBParameterGroup.html
# https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DescribeDBSnapshots.html (lower case)
_IDENTIFIERS: Mapping[RdsSourceType, _Identifier] = {
    RdsSourceType.DB_INSTANCE: _Identifier(63, lower=True),
    RdsSourceType.DB_CLUSTER: _Identifier(63, lower=True),
    RdsSourceType.DB_PARAMETER_GROUP: _Identifier(255, lower=True),
    RdsSourceType.DB_SECURITY_GROUP: _Identifier(255, lower=True),
    RdsSourceType.DB_SNAPSHOT: _Identifier(255, lower=True, **_SNAPSHOT),
    RdsSourceType.DB_CLUSTER_SNAPSHOT: _Identifier(255, lower=True, **_SNAPSHOT),
    RdsSourceType.DB_PROXY: _Identifier(63),
    RdsSourceType.DB_SHARD_GROUP: _Identifier(63),
    RdsSourceType.ZERO_ETL: _Identifier(
        255, pattern="[A-Za-z0-9_:/-]+", rule="letters, digits and the characters _ : / -"
    ),
    RdsSourceType.CUSTOM_ENGINE_VERSION: _Identifier(
        60, pattern="[a-z0-9_.-]+", rule="small letters, digits and the characters _ . -"
    ),
    RdsSourceType.BLUE_GREEN_DEPLOYMENT: _Identifier(
        255,
        pattern="[A-Za-z][A-Za-z0-9:._-]*",
        rule="letters, digits and the characters : . _ -, a letter first",
    ),
}


@check_types
@dataclass(frozen=True, kw_only=True)
class RdsEventSource:
    """What to report: by source type, by category and by source.

    Args:
        source_type: What the events are about. Default: everything in this account and Region.
        categories: Of that source type, such as ``DbInstanceCategory.FAILOVER``. Default: all.
        source_ids: Identifiers of that source type, such as ``database.instance_identifier``; capitals do
            not matter where RDS stores them in lower case. Default: all.

    Raises:
        ValueError: A category does not exist for the source type, an identifier is malformed, or there is
            one of them without a source type.

    Example::

        RdsEventSource(
            source_type=RdsSourceType.DB_INSTANCE,
            categories=[DbInstanceCategory.FAILOVER, DbInstanceCategory.LOW_STORAGE],
            source_ids=[database.instance_identifier],
        )
    """

    source_type: RdsSourceType | None = None
    categories: Sequence[RdsEventCategory] = ()
    source_ids: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.source_type is None:
            for name, given in (("categories", self.categories), ("source_ids", self.source_ids)):
                if given:
                    raise ValueError(f"{name}={list(given)}: RDS needs their source type; give source_type.")
            return
        allowed = [str(one) for one in CATEGORIES.get(self.source_type, ())]
        for category in self.categories:
            if category not in allowed:
                remedy = (
                    f"choose from {', '.join(allowed)}" if allowed else "leave them out to get all events"
                )
                raise ValueError(
                    f"categories: {str(category)!r} does not exist for {self.source_type}; {remedy}."
                )
        known, ids = _IDENTIFIERS[self.source_type], list(self.source_ids)
        for source in () if Token.is_unresolved(ids) else ids:
            if Token.is_unresolved(source):
                continue
            if len(source) > known.longest or not re.fullmatch(known.pattern, source):
                raise ValueError(
                    f"source_ids: {source!r} is no identifier of a {self.source_type}; give 1 to "
                    f"{known.longest} characters: {known.rule}. An ARN is no identifier."
                )

    def subscription(self) -> dict[str, Any]:
        """Return the properties of an event subscription."""
        return {
            "source_type": self.source_type and str(self.source_type),
            "event_categories": self._categories() or None,
            "source_ids": self._ids() or None,
        }

    def pattern(self) -> events.EventPattern:
        """Return the event pattern of a rule.

        ``aws.rds`` is also the source of API calls that CloudTrail reports; the detail type excludes them.
        An example of AWS puts ``rds:`` before the identifier of an instance, and others do not.

        https://docs.aws.amazon.com/eventbridge/latest/ref/events-ref-rds.html
        """
        detail: dict[str, Any] = {}
        if self.categories:
            detail["EventCategories"] = self._categories()
        if ids := self._ids():
            detail["SourceIdentifier"] = ids if Token.is_unresolved(ids) else _spellings(ids)
        return events.EventPattern(
            source=["aws.rds"],
            detail_type=[self._detail_type()] if self.source_type else events.Match.prefix("RDS "),
            detail=detail or None,
        )

    def is_same_as(self, other: "RdsEventSource") -> bool:
        """Whether both choose the same events."""
        return self._chosen() == other._chosen()

    def _chosen(self) -> tuple[RdsSourceType | None, set[str], set[str]]:
        return self.source_type, set(self._categories()), set(self._ids())

    def _categories(self) -> list[str]:
        return list(dict.fromkeys(map(str, self.categories)))

    def _ids(self) -> list[str]:
        """Each once, as RDS stores it: rules distinguish capitals, and CloudFormation refuses duplicates."""
        given = list(self.source_ids)
        if self.source_type is None or Token.is_unresolved(given):
            return given
        if _IDENTIFIERS[self.source_type].lower:
            given = [one if Token.is_unresolved(one) else one.lower() for one in given]
        return list(dict.fromkeys(given))

    def _detail_type(self) -> str:
        words = str(self.source_type).split("-")
        return f"RDS {' '.join(_ACRONYMS.get(word, word.capitalize()) for word in words)} Event"


def _spellings(ids: Sequence[str]) -> list[str]:
    """Return identifiers as events may have them: with and without ``rds:``, as given and in lower case."""
    plain = (one.removeprefix("rds:") for one in ids)
    cases = (case for one in plain for case in ((one,) if Token.is_unresolved(one) else (one, one.lower())))
    return list(dict.fromkeys(prefix + one for one in cases for prefix in ("", "rds:")))
