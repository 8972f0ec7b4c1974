"""Events of RDS reach DescribeEvents, event subscriptions and EventBridge.

    reboot, failover, stop, start -> DescribeEvents, topics of subscriptions, default event bus

Faithful to: the message in SNS with its attributes `EventID` and `Resource`, and the event in EventBridge, as
documented, both with the tags of the source. A subscription gets the events of its source type, sources and
categories while it is enabled. RDS publishes with the ARN of the source as `aws:SourceArn` and its account as
`aws:SourceAccount`, if the policy of the topic allows that; else the notification is lost and the status of
the subscription says so. The events of RebootDBInstance (with and without failover), FailoverDBCluster, and
of stopping and starting.
Not to: all other events, which `LocalAws.deliver_as` sends; the time, which is up to five minutes in AWS; the
order, which AWS does not guarantee. The name of a cluster in `Identifier Link` is a guess.

https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_Events.overview.html
https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_Events.TagsAttributesForFiltering.html
https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_Events.Messages.html
https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-cloud-watch-events.html
https://docs.aws.amazon.com/lambda/latest/dg/services-rds.html
"""

from __future__ import annotations

import json
import time
from typing import Any, NamedTuple

from ministack.services import eventbridge, rds

from localaws.patching import replaces
from localaws.services.iam.invocations import in_account_of
from localaws.services.rds.event_subscriptions import may_publish, publish, subscriptions, topic_exists

Record = dict[str, Any]

_MANUAL = "http://docs.amazonwebservices.com/AmazonRDS/latest/UserGuide/USER_Events.html"
_RETENTION = 14 * 86_400
# Of each kind of record: the type in subscriptions, in EventBridge's detail type, and in its detail.
_KINDS = {
    "DBInstance": ("db-instance", "RDS DB Instance Event", "DB_INSTANCE"),
    "DBCluster": ("db-cluster", "RDS DB Cluster Event", "CLUSTER"),
}


class Event(NamedTuple):
    """What can happen."""

    id: str
    category: str
    message: str


SHUT_DOWN = Event("RDS-EVENT-0004", "availability", "DB instance shutdown.")
RESTARTED = Event("RDS-EVENT-0006", "availability", "DB instance restarted.")
FAILOVER_STARTED = Event("RDS-EVENT-0013", "failover", "Multi-AZ instance failover started.")
FAILOVER_COMPLETED = Event("RDS-EVENT-0049", "failover", "Multi-AZ instance failover completed.")
CLUSTER_FAILOVER = Event("RDS-EVENT-0073", "failover", "Started cross AZ failover to DB instance: {}.")
CLUSTER_FAILOVER_COMPLETED = Event("RDS-EVENT-0071", "failover", "Completed failover to DB instance: {}.")
STOPPED = {
    "DBInstance": Event("RDS-EVENT-0087", "notification", "DB instance stopped."),
    "DBCluster": Event("RDS-EVENT-0150", "notification", "DB cluster stopped."),
}
STARTED = {
    "DBInstance": Event("RDS-EVENT-0088", "notification", "DB instance started."),
    "DBCluster": Event("RDS-EVENT-0151", "notification", "DB cluster started."),
}


def kind_of(record: Record) -> str:
    """`DBInstance` or `DBCluster`."""
    return "DBInstance" if "DBInstanceArn" in record else "DBCluster"


@replaces(rds, "_record_reboot_event")
def _restarted(instance: Record) -> None:
    report(instance, RESTARTED)


def report(record: Record, event: Event, *names: str) -> None:
    """Report what happened to an instance or a cluster.

    Args:
        record: Its record.
        event: What happened.
        *names: What the message names.
    """
    kind = kind_of(record)
    source_type, _, _ = _KINDS[kind]
    seen = {
        "SourceIdentifier": record[f"{kind}Identifier"],
        "SourceType": source_type,
        "SourceArn": record[f"{kind}Arn"],
        "Message": event.message.format(*names),
        "EventCategories": [event.category],
        "Date": time.time(),
    }
    tags = {tag["Key"]: tag["Value"] for tag in record.get("TagList") or []}
    with in_account_of(seen["SourceArn"]):
        _record(seen)
        for subscription in list(subscriptions.values()):
            if _is_for(subscription, seen):
                _notify(subscription, event, seen, tags)
        _send(event, seen, tags, kind)


def _record(seen: Record) -> None:
    """Keep it for DescribeEvents, for two weeks."""
    with rds._shared_container_lock:
        for key, event in list(rds._events.items()):
            if event["Date"] < seen["Date"] - _RETENTION:
                del rds._events[key]
        rds._events[rds.new_uuid()] = seen


def _is_for(subscription: Record, seen: Record) -> bool:
    categories, sources = subscription["EventCategoriesList"], subscription["SourceIdsList"]
    return (
        subscription["Enabled"]
        and subscription["SourceType"] in ("", seen["SourceType"])
        and (not sources or seen["SourceIdentifier"] in sources)
        and (not categories or not set(categories).isdisjoint(seen["EventCategories"]))
    )


def _notify(subscription: Record, event: Event, seen: Record, tags: dict[str, str]) -> None:
    topic, source, name = subscription["SnsTopicArn"], seen["SourceArn"], seen["SourceIdentifier"]
    if not topic_exists(topic):
        subscription["Status"] = "topic-not-exist"
        return
    if not may_publish(topic, source):
        subscription["Status"] = "no-permission"
        return
    subscription["Status"] = "active"
    anchor = f"{seen['SourceType'].replace('-', '')}:id={name}"
    message = {
        "Event Source": seen["SourceType"],
        "Event Time": _time(seen).replace("T", " ").rstrip("Z"),
        "Identifier Link": f"https://console.aws.amazon.com/rds/home?region={source.split(':')[3]}#{anchor}",
        "Source ID": name,
        "Source ARN": source,
        "Event ID": f"{_MANUAL}#{event.id}",
        "Event Message": seen["Message"],
        "Tags": tags,
    }
    publish(topic, json.dumps(message), {"EventID": event.id, "Resource": source})


def _send(event: Event, seen: Record, tags: dict[str, str], kind: str) -> None:
    _, detail_type, source_type = _KINDS[kind]
    detail = {
        "EventCategories": seen["EventCategories"],
        "SourceType": source_type,
        "SourceArn": seen["SourceArn"],
        "Date": _time(seen),
        "Message": seen["Message"],
        "SourceIdentifier": seen["SourceIdentifier"],
        "EventID": event.id,
        "Tags": tags,
    }
    entry = {
        "Source": "aws.rds",
        "DetailType": detail_type,
        "Detail": json.dumps(detail),
        "Resources": [seen["SourceArn"]],
    }
    eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)


def _time(seen: Record) -> str:
    return str(rds._format_time(seen["Date"]))
