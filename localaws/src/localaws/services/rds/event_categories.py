"""The sources of RDS events, and the categories of events of each.

Faithful to: DescribeEventCategories with the categories in the tables of both user guides. What the tables
call "global failover" is `global-failover` in requests and events.
Not to: the source type `zero-etl`, of which AWS publishes no categories; here it has none.

https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_Events.Messages.html
https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/USER_Events.Messages.html
https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DescribeEventCategories.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ministack.services import rds

from localaws.patching import new_action

Response = tuple[int, dict[str, str], bytes]


def _listed(names: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in names.split(","))


#: By the source type of an event subscription.
CATEGORIES: Mapping[str, tuple[str, ...]] = {
    "db-instance": _listed(
        "availability, backtrack, backup, configuration change, creation, deletion, failover, failure, "
        "low storage, maintenance, notification, read replica, recovery, restoration, security, "
        "security patching"
    ),
    "db-cluster": _listed(
        "configuration change, creation, deletion, failover, failure, global-failover, maintenance, "
        "migration, notification, read replica, serverless"
    ),
    "db-parameter-group": ("configuration change",),
    "db-security-group": ("configuration change", "failure"),
    "db-snapshot": ("creation", "deletion", "failure", "notification", "restoration"),
    "db-cluster-snapshot": ("backup", "failure", "notification"),
    "db-proxy": ("configuration change", "creation", "deletion", "failure"),
    "zero-etl": (),
    "custom-engine-version": ("creation", "failure", "restoring"),
    "blue-green-deployment": ("creation", "deletion", "failure", "notification"),
}


@new_action(rds, "DescribeEventCategories")
def _describe(p: dict[str, Any]) -> Response:
    wanted = rds._p(p, "SourceType")
    if wanted and wanted not in CATEGORIES:
        refused: Response = rds._error("InvalidParameterValue", unknown_source_type(wanted), 400)
        return refused
    maps = "".join(
        f"<EventCategoriesMap><SourceType>{source_type}</SourceType><EventCategories>"
        + "".join(f"<EventCategory>{category}</EventCategory>" for category in categories)
        + "</EventCategories></EventCategoriesMap>"
        for source_type, categories in CATEGORIES.items()
        if wanted in ("", source_type)
    )
    listed = f"<EventCategoriesMapList>{maps}</EventCategoriesMapList>"
    name = "DescribeEventCategories"
    answer: Response = rds._xml(200, f"{name}Response", f"<{name}Result>{listed}</{name}Result>")
    return answer


def unknown_source_type(given: str) -> str:
    """Why a source type is refused."""
    return f"Invalid source type: {given}. Valid values: {', '.join(CATEGORIES)}"
