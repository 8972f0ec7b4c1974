"""Event subscriptions and rules get the events of RDS, and RDS refuses what AWS refuses of subscriptions."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.databases import MASTER, new_name
from helpers.lambda_functions import Functions, Queue, eventually
from helpers.stacks import DeploymentFailedError, deploy, ref
from localaws import LocalAws

pytestmark = pytest.mark.local

RDS = "events.rds.amazonaws.com"


@pytest.fixture
def functions(local_aws: LocalAws) -> Functions:
    return Functions(local_aws)


@pytest.fixture
def instance(local_aws: LocalAws) -> str:
    """An instance without a server: it costs nothing."""
    name = new_name("database")
    local_aws.client("rds").create_db_instance(
        DBInstanceIdentifier=name,
        Engine="mysql",
        DBInstanceClass="db.t4g.micro",
        AllocatedStorage=20,
        MultiAZ=True,
        Tags=[{"Key": "team", "Value": "orders"}],
        **MASTER,
    )
    return name


@pytest.fixture
def subscription(functions: Functions) -> Iterator[dict[str, Any]]:
    """The arguments of a subscription that is allowed, and the queue behind its topic."""
    queue = functions.queue(writable_by="sns.amazonaws.com")
    topic = functions.topic(queue, raw=False)
    allow(functions.aws, topic, functions.arn("rds", "*"))
    name = f"events-{uuid.uuid4().hex[:8]}"
    yield {"SubscriptionName": name, "SnsTopicArn": topic, "queue": queue}
    client = functions.aws.client("rds")
    for one in client.describe_event_subscriptions()["EventSubscriptionsList"]:
        client.delete_event_subscription(SubscriptionName=one["CustSubscriptionId"])


def allow(aws: LocalAws, topic: str, source: str) -> None:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": RDS},
        "Action": "sns:Publish",
        "Resource": topic,
        "Condition": {
            "ArnLike": {"aws:SourceArn": source},
            "StringEquals": {"aws:SourceAccount": aws.account},
        },
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    aws.client("sns").set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=policy)


def create(aws: LocalAws, given: dict[str, Any], **more: Any) -> Any:
    arguments = {name: value for name, value in {**given, **more}.items() if name != "queue"}
    return aws.client("rds").create_event_subscription(**arguments)["EventSubscription"]


def messages(queue: Queue, count: int) -> list[dict[str, Any]]:
    """The next notifications, which come in any order."""
    found: list[dict[str, Any]] = []

    def enough() -> bool:
        found.extend(json.loads(one["Body"]) for one in queue.receive())
        return len(found) >= count

    eventually(enough)
    return found


def test_a_subscription_gets_the_events_of_its_source_and_categories(
    functions: Functions, instance: str, subscription: dict[str, Any]
) -> None:
    aws, queue = functions.aws, subscription["queue"]
    made = create(
        aws, subscription, SourceType="db-instance", SourceIds=[instance], EventCategories=["failover"]
    )
    assert (made["Status"], made["Enabled"], made["SourceIdsList"]) == ("active", True, [instance])
    (first,) = messages(queue, 1)
    assert first["Message"].startswith("This is a message to notify that RDS will attempt to send")

    aws.client("rds").reboot_db_instance(DBInstanceIdentifier=instance, ForceFailover=True)
    received = messages(queue, 2)
    arn = functions.arn("rds", f"db:{instance}")
    assert {one["Subject"] for one in received} == {"RDS Notification Message"}
    assert {one["MessageAttributes"]["EventID"]["Value"] for one in received} == {
        "RDS-EVENT-0013",
        "RDS-EVENT-0049",
    }
    assert {one["MessageAttributes"]["Resource"]["Value"] for one in received} == {arn}
    (started,) = (
        one for body in received if "started" in (one := json.loads(body["Message"]))["Event Message"]
    )
    time = started.pop("Event Time")
    assert len(time) == len("2021-11-07 17:43:51.876")
    manual = "http://docs.amazonwebservices.com/AmazonRDS/latest/UserGuide/USER_Events.html"
    assert started == {
        "Event Source": "db-instance",
        "Identifier Link": f"https://console.aws.amazon.com/rds/home?region={aws.region}#dbinstance:id={instance}",
        "Source ID": instance,
        "Source ARN": arn,
        "Event ID": f"{manual}#RDS-EVENT-0013",
        "Event Message": "Multi-AZ instance failover started.",
        "Tags": {"team": "orders"},
    }


def test_eventbridge_gets_every_event(functions: Functions, instance: str) -> None:
    aws, rule = functions.aws, f"rule-{uuid.uuid4().hex[:8]}"
    queue = functions.queue(writable_by="events.amazonaws.com")
    pattern = {"source": ["aws.rds"], "detail": {"SourceIdentifier": [instance]}}
    aws.client("events").put_rule(Name=rule, EventPattern=json.dumps(pattern))
    aws.client("events").put_targets(Rule=rule, Targets=[{"Id": "queue", "Arn": queue.arn}])
    aws.client("rds").reboot_db_instance(DBInstanceIdentifier=instance)
    events = {one["detail"]["EventID"]: one for one in messages(queue, 2)}
    assert events.keys() == {"RDS-EVENT-0004", "RDS-EVENT-0006"}
    arn, event = functions.arn("rds", f"db:{instance}"), events["RDS-EVENT-0006"]
    assert event["detail"]["Date"].endswith("Z")
    assert event["resources"] == [arn]
    assert event["detail-type"] == "RDS DB Instance Event"
    assert event["detail"] | {"Date": ""} == {
        "EventCategories": ["availability"],
        "SourceType": "DB_INSTANCE",
        "SourceArn": arn,
        "Date": "",
        "Message": "DB instance restarted.",
        "SourceIdentifier": instance,
        "EventID": "RDS-EVENT-0006",
        "Tags": {"team": "orders"},
    }
    described = aws.client("rds").describe_events(SourceType="db-instance", SourceIdentifier=instance)
    assert {one["Message"] for one in described["Events"]} == {
        "DB instance shutdown.",
        "DB instance restarted.",
    }


def test_the_failover_of_a_cluster_is_reported(local_aws: LocalAws) -> None:
    client, name = local_aws.client("rds"), new_name("cluster")
    client.create_db_cluster(DBClusterIdentifier=name, Engine="aurora-mysql", **MASTER)
    for member in ("one", "two"):
        client.create_db_instance(
            DBInstanceIdentifier=f"{name}-{member}",
            DBClusterIdentifier=name,
            Engine="aurora-mysql",
            DBInstanceClass="db.t4g.medium",
        )
    client.failover_db_cluster(DBClusterIdentifier=name, TargetDBInstanceIdentifier=f"{name}-two")
    events = client.describe_events(SourceType="db-cluster", SourceIdentifier=name)["Events"]
    assert [(one["Message"], one["EventCategories"]) for one in events] == [
        (f"Started cross AZ failover to DB instance: {name}-two.", ["failover"]),
        (f"Completed failover to DB instance: {name}-two.", ["failover"]),
    ]


def test_only_what_is_subscribed_to_is_published(
    functions: Functions, instance: str, subscription: dict[str, Any]
) -> None:
    aws, queue = functions.aws, subscription["queue"]
    name = subscription["SubscriptionName"]
    create(aws, subscription, SourceType="db-instance", EventCategories=["notification"])
    create(aws, subscription, SubscriptionName=f"{name}-clusters", SourceType="db-cluster")
    create(aws, subscription, SubscriptionName=f"{name}-off", SourceType="db-instance", Enabled=False)
    assert len(messages(queue, 3)) == 3  # the first message of each
    client = aws.client("rds")
    client.reboot_db_instance(DBInstanceIdentifier=instance)
    restarted = {"SourceType": "db-instance", "SourceIdentifier": instance}
    eventually(lambda: len(client.describe_events(**restarted)["Events"]) == 2)
    client.stop_db_instance(DBInstanceIdentifier=instance)
    (received,) = messages(queue, 1)
    assert json.loads(received["Message"])["Event Message"] == "DB instance stopped."


def test_a_policy_that_does_not_allow_the_source_costs_the_notification(
    functions: Functions, instance: str, subscription: dict[str, Any]
) -> None:
    aws, topic, client = functions.aws, subscription["SnsTopicArn"], functions.aws.client("rds")
    create(aws, subscription, SourceType="db-instance")
    name = subscription["SubscriptionName"]

    def status() -> str:
        answer = client.describe_event_subscriptions(SubscriptionName=name)
        return str(answer["EventSubscriptionsList"][0]["Status"])

    allow(aws, topic, functions.arn("rds", "db:prefix-*"))
    client.stop_db_instance(DBInstanceIdentifier=instance)
    assert status() == "no-permission"
    allow(aws, topic, functions.arn("rds", "db:*"))
    client.start_db_instance(DBInstanceIdentifier=instance)
    assert status() == "active"
    aws.client("sns").delete_topic(TopicArn=topic)
    client.stop_db_instance(DBInstanceIdentifier=instance)
    assert status() == "topic-not-exist"


REFUSED: dict[str, dict[str, Any]] = {
    "InvalidParameterValue": {"SourceType": "db-table"},
    "InvalidParameterCombination": {"SourceIds": ["orders"]},
    "SubscriptionCategoryNotFound": {"SourceType": "db-proxy", "EventCategories": ["failover"]},
    "SourceNotFound": {"SourceType": "db-instance", "SourceIds": ["nowhere"]},
    "SNSInvalidTopic": {"SnsTopicArn": "arn:aws:sns:us-east-1:123456789012:events.fifo"},
    "SNSTopicArnNotFound": {"SnsTopicArn": "arn:aws:sns:us-east-1:{account}:nowhere"},
    "InvalidParameterValue ": {"SubscriptionName": "n" * 255},
}


@pytest.mark.parametrize("code", REFUSED)
def test_a_subscription_is_refused(local_aws: LocalAws, subscription: dict[str, Any], code: str) -> None:
    changed = json.loads(json.dumps(REFUSED[code]).replace("{account}", local_aws.account))
    with pytest.raises(ClientError) as raised:
        create(local_aws, subscription, **changed)
    assert raised.value.response["Error"]["Code"] == code.strip()


@pytest.mark.parametrize(
    ("source_type", "source"),
    [
        ("db-security-group", "a b--"),
        ("db-security-group", "default"),
        ("blue-green-deployment", "bgd-nowhere"),
        ("custom-engine-version", "19.nowhere"),
        ("zero-etl", "nowhere"),
        ("db-proxy", "nowhere"),
    ],
)
def test_a_source_that_does_not_exist_is_refused(
    local_aws: LocalAws, subscription: dict[str, Any], source_type: str, source: str
) -> None:
    with pytest.raises(ClientError, match="SourceNotFound"):
        create(local_aws, subscription, SourceType=source_type, SourceIds=[source])


def test_a_blank_source_is_not_every_source(
    local_aws: LocalAws, instance: str, subscription: dict[str, Any]
) -> None:
    for ids in ([""], [instance, ""]):
        with pytest.raises(ClientError, match="InvalidParameterValue"):
            create(local_aws, subscription, SourceType="db-instance", SourceIds=ids)
    properties = {"SnsTopicArn": subscription["SnsTopicArn"], "SourceType": "db-instance", "SourceIds": [""]}
    resources = {"Events": {"Type": "AWS::RDS::EventSubscription", "Properties": properties}}
    with pytest.raises(DeploymentFailedError, match="one is blank"):
        deploy(local_aws, resources, {})


def test_identifiers_are_stored_in_lower_case(
    local_aws: LocalAws, instance: str, subscription: dict[str, Any]
) -> None:
    client, name = local_aws.client("rds"), new_name("Mixed-Case")
    client.create_db_parameter_group(
        DBParameterGroupName=name, DBParameterGroupFamily="mysql8.4", Description="d"
    )
    client.create_db_snapshot(DBSnapshotIdentifier=name, DBInstanceIdentifier=instance)
    (found,) = client.describe_db_parameter_groups(DBParameterGroupName=name)["DBParameterGroups"]
    assert found["DBParameterGroupName"] == name.lower()
    for kind, given in {"db-parameter-group": name, "db-snapshot": name, "db-instance": instance}.items():
        more = {"SubscriptionName": f"{subscription['SubscriptionName']}-{kind}"}
        made = create(local_aws, subscription, **more, SourceType=kind, SourceIds=[given.upper()])
        assert made["SourceIdsList"] == [given.lower()]
    changed = client.remove_source_identifier_from_subscription(**more, SourceIdentifier=instance.upper())
    assert changed["EventSubscription"]["SourceIdsList"] == []
    changed = client.add_source_identifier_to_subscription(**more, SourceIdentifier=instance.upper())
    assert changed["EventSubscription"]["SourceIdsList"] == [instance]
    properties = {"DBParameterGroupName": f"{name}-2", "Family": "mysql8.4", "Description": "d"}
    group = {"Group": {"Type": "AWS::RDS::DBParameterGroup", "Properties": properties}}
    assert deploy(local_aws, group, {"Name": ref("Group")}).outputs["Name"] == f"{name}-2".lower()


def test_the_default_policy_of_a_topic_allows_rds(
    functions: Functions, instance: str, subscription: dict[str, Any]
) -> None:
    aws = functions.aws
    topic = aws.client("sns").create_topic(Name=new_name("default"))["TopicArn"]
    create(aws, subscription, SnsTopicArn=topic, SourceType="db-instance", SourceIds=[instance])
    aws.client("rds").stop_db_instance(DBInstanceIdentifier=instance)
    answer = aws.client("rds").describe_event_subscriptions(SubscriptionName=subscription["SubscriptionName"])
    assert answer["EventSubscriptionsList"][0]["Status"] == "active"


def test_a_topic_must_allow_rds(local_aws: LocalAws, subscription: dict[str, Any]) -> None:
    create(local_aws, subscription)
    with pytest.raises(ClientError, match="SubscriptionAlreadyExist"):
        create(local_aws, subscription)
    topic = subscription["SnsTopicArn"]
    # The example of AWS's guide: no ARN of a subscription would pass.
    allow(local_aws, topic, f"arn:aws:rds:us-east-1:{local_aws.account}:db:prefix-*")
    create(local_aws, subscription, SubscriptionName="prefixed")
    allow(local_aws, topic, "arn:aws:rds:us-east-1:999999999999:db:*")
    with pytest.raises(ClientError, match="SNSNoAuthorization"):
        create(local_aws, subscription, SubscriptionName="another")


def test_the_categories_of_each_source_type_are_listed(local_aws: LocalAws) -> None:
    client = local_aws.client("rds")
    (found,) = client.describe_event_categories(SourceType="db-proxy")["EventCategoriesMapList"]
    assert found["EventCategories"] == ["configuration change", "creation", "deletion", "failure"]
    every = client.describe_event_categories()["EventCategoriesMapList"]
    assert len({one["SourceType"] for one in every}) == 10


def test_a_template_makes_changes_and_deletes_a_subscription(
    local_aws: LocalAws, instance: str, subscription: dict[str, Any]
) -> None:
    client = local_aws.client("rds")

    def resources(**more: Any) -> dict[str, Any]:
        properties = {"SnsTopicArn": subscription["SnsTopicArn"], "SourceType": "db-instance", **more}
        return {"Events": {"Type": "AWS::RDS::EventSubscription", "Properties": properties}}

    stack = deploy(local_aws, resources(SourceIds=[instance]), {"Name": ref("Events")})
    name = stack.outputs["Name"]
    client.modify_event_subscription(SubscriptionName=name, Enabled=False)
    stack.update(resources(EventCategories=["failover"]))
    (found,) = client.describe_event_subscriptions(SubscriptionName=name)["EventSubscriptionsList"]
    seen = (found.get("SourceIdsList"), found["EventCategoriesList"], found["Enabled"])
    assert seen == ([], ["failover"], True)
    with pytest.raises(DeploymentFailedError, match="SubscriptionCategoryNotFound"):
        stack.update(resources(EventCategories=["restoring"]))
    stack.delete()
    with pytest.raises(ClientError, match="SubscriptionNotFound"):
        client.describe_event_subscriptions(SubscriptionName=name)
