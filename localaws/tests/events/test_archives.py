"""Archives, and replays of their events."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.lambda_functions import Functions, Queue, eventually
from helpers.refusals import Row, check, ids
from helpers.stacks import DeploymentFailedError, arn, deploy, ref
from localaws import LocalAws

pytestmark = pytest.mark.local

INVALID = "ValidationException"


def archive(**properties: Any) -> dict[str, Any]:
    """An archive in a template, on a bus of the template."""
    return {
        "Bus": {"Type": "AWS::Events::EventBus", "Properties": {"Name": f"bus-{uuid.uuid4().hex[:8]}"}},
        "Archive": {
            "Type": "AWS::Events::Archive",
            "Properties": {"SourceArn": arn("Bus"), "EventPattern": {"source": ["shop"]}} | properties,
        },
    }


def test_an_archive_in_a_template_stores_events_and_is_updated_and_deleted(local_aws: LocalAws) -> None:
    events, resources = local_aws.client("events"), archive(RetentionDays=3)
    stack = deploy(local_aws, resources, {"Name": ref("Archive"), "Arn": arn("Archive")})
    name = stack.outputs["Name"]
    assert stack.outputs["Arn"].endswith(f":archive/{name}")
    for source in ("shop", "other"):
        bus = resources["Bus"]["Properties"]["Name"]
        entry = {"Source": source, "DetailType": "order", "Detail": "{}", "EventBusName": bus}
        events.put_events(Entries=[entry])
    described = events.describe_archive(ArchiveName=name)
    assert (described["EventCount"], described["RetentionDays"]) == (1, 3)
    resources["Archive"]["Properties"] |= {"RetentionDays": 5, "Description": "orders"}
    stack.update(resources)
    described = events.describe_archive(ArchiveName=name)
    assert (described["EventCount"], described["RetentionDays"], described["Description"]) == (1, 5, "orders")
    stack.delete()
    assert name not in {each["ArchiveName"] for each in events.list_archives()["Archives"]}


def test_an_archive_with_a_new_name_replaces_the_old_one(local_aws: LocalAws) -> None:
    events, resources = local_aws.client("events"), archive(ArchiveName="orders-1")
    stack = deploy(local_aws, resources)
    resources["Archive"]["Properties"] |= {"ArchiveName": "orders-2"}
    stack.update(resources)
    names = {each["ArchiveName"] for each in events.list_archives(NamePrefix="orders-")["Archives"]}
    assert names == {"orders-2"}


def test_an_archive_of_another_bus_replaces_the_old_one(local_aws: LocalAws) -> None:
    events, resources = local_aws.client("events"), archive()
    stack = deploy(local_aws, resources, {"Name": ref("Archive")})
    first = stack.outputs["Name"]
    resources["Other"] = archive()["Bus"]
    resources["Archive"]["Properties"]["SourceArn"] = arn("Other")
    stack.update(resources, {"Name": ref("Archive"), "Bus": arn("Other")})
    described = events.describe_archive(ArchiveName=stack.outputs["Name"])
    assert described["EventSourceArn"] == stack.outputs["Bus"]
    with pytest.raises(events.exceptions.ResourceNotFoundException):
        events.describe_archive(ArchiveName=first)


# --- Replays


class Archived:
    """A bus with an archive, and two rules for all of its events, each to a queue."""

    def __init__(self, functions: Functions) -> None:
        self.events, self.name = functions.aws.client("events"), f"bus-{uuid.uuid4().hex[:8]}"
        self.arn = self.events.create_event_bus(Name=self.name)["EventBusArn"]
        created = self.events.create_archive(ArchiveName=self.name, EventSourceArn=self.arn)
        self.archive = created["ArchiveArn"]
        self.queues = [functions.queue(writable_by="events.amazonaws.com") for _ in range(2)]
        self.rules = [self._rule(queue) for queue in self.queues]

    def _rule(self, queue: Queue) -> str:
        everything = json.dumps({"source": ["shop"]})
        named = {"EventBusName": self.name}
        rule: str = self.events.put_rule(Name=queue.name, EventPattern=everything, **named)["RuleArn"]
        self.events.put_targets(Rule=queue.name, Targets=[{"Id": "1", "Arn": queue.arn}], **named)
        return rule

    def put(self, *times: int) -> None:
        """Put an event for each of these times, and forget the messages about it."""
        for at in times:
            detail = json.dumps({"time": at})
            entry = {"Source": "shop", "DetailType": "order", "Detail": detail, "EventBusName": self.name}
            self.events.put_events(Entries=[{**entry, "Time": at}])
        for queue in self.queues:
            arrived = 0
            while arrived < len(times):
                arrived += len(eventually(queue.receive))

    def start(self, *rules: str, start: int = 0, end: int | None = None, name: str = "") -> str:
        """Start a replay, and wait until it is complete."""
        name = name or f"replay-{uuid.uuid4().hex[:8]}"
        self.events.start_replay(
            ReplayName=name,
            EventSourceArn=self.archive,
            EventStartTime=start,
            EventEndTime=end or int(time.time()) + 60,
            Destination={"Arn": self.arn, "FilterArns": list(rules)},
        )
        eventually(lambda: self.events.describe_replay(ReplayName=name)["State"] == "COMPLETED")
        return name


def bodies(queue: Queue) -> list[dict[str, Any]]:
    return [json.loads(message["Body"]) for message in queue.receive()]


def test_a_replay_reaches_the_chosen_rules_only(functions: Functions) -> None:
    archived = Archived(functions)
    archived.put(1000)
    name = archived.start(archived.rules[0])
    (replayed,) = bodies(archived.queues[0])
    assert (replayed["replay-name"], replayed["detail"]) == (name, {"time": 1000})
    assert bodies(archived.queues[1]) == []
    archived.start()
    assert [len(bodies(queue)) for queue in archived.queues] == [1, 1]


def test_a_replay_has_the_events_of_its_time_in_order(functions: Functions) -> None:
    archived = Archived(functions)
    archived.put(3000, 1000, 2000, 4000)
    name = archived.start(start=1000, end=3000)
    assert [one["time"][14:19] for one in bodies(archived.queues[0])] == ["16:40", "33:20", "50:00"]
    last = archived.events.describe_replay(ReplayName=name)["EventLastReplayedTime"]
    assert last.timestamp() == 3000


def test_a_rule_may_exclude_replayed_events(functions: Functions) -> None:
    archived = Archived(functions)
    live = json.dumps({"replay-name": [{"exists": False}]})
    archived.events.put_rule(Name=archived.queues[1].name, EventBusName=archived.name, EventPattern=live)
    archived.put(1000)
    archived.start()
    assert [len(bodies(queue)) for queue in archived.queues] == [1, 0]


def test_no_archive_has_a_replayed_event_also_not_that_of_the_next_bus(functions: Functions) -> None:
    archived, other = Archived(functions), Archived(functions)
    archived.events.put_targets(
        Rule=archived.queues[0].name,
        EventBusName=archived.name,
        Targets=[{"Id": "bus", "Arn": other.arn}],
    )
    archived.put(1000)
    other.queues[0].wait()
    archived.start()
    assert other.queues[0].wait_for_body()["replay-name"]
    for one in (archived, other):
        assert one.events.describe_archive(ArchiveName=one.name)["EventCount"] == 1


def test_a_finished_replay_is_not_cancelled_and_its_name_not_used_again(functions: Functions) -> None:
    archived = Archived(functions)
    name = archived.start()
    with pytest.raises(ClientError, match="is not in a valid state for this operation") as raised:
        archived.events.cancel_replay(ReplayName=name)
    assert raised.value.response["Error"]["Code"] == "IllegalStatusException"
    with pytest.raises(archived.events.exceptions.ResourceAlreadyExistsException):
        archived.start(name=name)


def test_a_bus_with_an_archive_or_a_rule_is_not_deleted(functions: Functions) -> None:
    archived = Archived(functions)
    for remove in (
        lambda: archived.events.delete_archive(ArchiveName=archived.name),
        lambda: [
            (
                archived.events.remove_targets(Rule=queue.name, EventBusName=archived.name, Ids=["1"]),
                archived.events.delete_rule(Name=queue.name, EventBusName=archived.name),
            )
            for queue in archived.queues
        ],
    ):
        with pytest.raises(ClientError, match="can't be deleted since it has rules"):
            archived.events.delete_event_bus(Name=archived.name)
        remove()
    archived.events.delete_event_bus(Name=archived.name)


def test_a_stack_with_a_bus_of_another_archive_is_not_deleted(local_aws: LocalAws) -> None:
    events = local_aws.client("events")
    resources = {"Bus": archive()["Bus"]}
    stack = deploy(local_aws, resources, {"Arn": arn("Bus")})
    name = f"archive-{uuid.uuid4().hex[:8]}"
    events.create_archive(ArchiveName=name, EventSourceArn=stack.outputs["Arn"])
    with pytest.raises(DeploymentFailedError, match="can't be deleted since it has rules"):
        stack.delete()
    events.delete_archive(ArchiveName=name)
    stack.delete()


BUS = "arn:aws:events:us-east-1:123456789012:event-bus/"
ARCHIVE = "arn:aws:events:us-east-1:123456789012:archive/"


def replay(**changes: Any) -> dict[str, Any]:
    return {
        "ReplayName": "any",
        "EventSourceArn": f"{ARCHIVE}held",
        "EventStartTime": 1000,
        "EventEndTime": 2000,
        "Destination": {"Arn": f"{BUS}default"},
        **changes,
    }


MISSING = "ResourceNotFoundException"
REFUSED: list[Row] = [
    ("create_archive", {"ArchiveName": "a", "EventSourceArn": f"{BUS}missing"}, MISSING, "does not exist"),
    ("create_archive", {"ArchiveName": "a" * 49, "EventSourceArn": f"{BUS}default"}, INVALID, "equal to 48"),
    (
        "create_archive",
        {"ArchiveName": "a", "EventSourceArn": f"{BUS}default", "RetentionDays": -1},
        INVALID,
        "greater than or equal to 0",
    ),
    ("start_replay", replay(EventSourceArn=f"{ARCHIVE}missing"), INVALID, "Archive missing does not exist"),
    ("start_replay", replay(EventSourceArn=f"{BUS}default"), INVALID, "Must contain an archive ARN"),
    ("start_replay", replay(Destination={"Arn": f"{ARCHIVE}held"}), INVALID, "Must contain an event bus ARN"),
    ("start_replay", replay(Destination={"Arn": f"{BUS}missing"}), MISSING, "Event bus missing does not"),
    ("start_replay", replay(Destination={"Arn": f"{BUS}other"}), INVALID, "Cross event bus replay is not"),
    ("start_replay", replay(EventEndTime=1000), INVALID, "EventStartTime must be before EventEndTime"),
    (
        "start_replay",
        replay(Destination={"Arn": f"{BUS}default", "FilterArns": [f"{BUS}default"]}),
        INVALID,
        "FilterArns",
    ),
]


@pytest.fixture(scope="module")
def held(local_aws: LocalAws) -> LocalAws:
    """An account with an archive and another bus."""
    events = local_aws.client("events")
    events.create_archive(ArchiveName="held", EventSourceArn=f"{BUS}default")
    events.create_event_bus(Name="other")
    return local_aws


@pytest.mark.parametrize("row", REFUSED, ids=ids(REFUSED))
def test_an_archive_or_a_replay_is_refused(held: LocalAws, row: Row) -> None:
    check(held, "events", row)


# --- Why the bridges are needed


def test_still_needed_the_stock_emulator_knows_no_archive_of_a_template(stock_aws: LocalAws) -> None:
    with pytest.raises((DeploymentFailedError, ClientError), match="AWS::Events::Archive"):
        deploy(stock_aws, archive())
