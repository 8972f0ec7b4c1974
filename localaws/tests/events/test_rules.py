"""EventBridge: dead-letter queues of targets, and archives."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.lambda_functions import Functions, Queue
from helpers.stacks import DeploymentFailedError, arn, deploy, ref
from localaws import LocalAws

pytestmark = pytest.mark.local

EVENTS = "events.amazonaws.com"


def rule_to(functions: Functions, target: str, **settings: Any) -> str:
    """The ARN of a rule for events of a source with its name."""
    events, name = functions.aws.client("events"), f"rule-{uuid.uuid4().hex[:8]}"
    rule: str = events.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))["RuleArn"]
    events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": target, **settings}])
    return rule


def put_event(functions: Functions, rule: str) -> None:
    """Send an event that the rule matches."""
    entry = {"Source": rule.rpartition("/")[2], "DetailType": "order", "Detail": '{"number": 7}'}
    functions.aws.client("events").put_events(Entries=[entry])


def attributes(message: dict[str, Any]) -> dict[str, str]:
    """The message attributes as strings."""
    return {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}


def buried(functions: Functions, target: str, dead_letters: Queue, **settings: Any) -> dict[str, Any]:
    """The dead letter of an event that cannot be delivered to the target."""
    rule = rule_to(functions, target, DeadLetterConfig={"Arn": dead_letters.arn}, **settings)
    put_event(functions, rule)
    message = dead_letters.wait()
    assert attributes(message)["RULE_ARN"] == rule
    assert attributes(message)["TARGET_ARN"] == target
    return message


def test_a_function_gets_the_whole_documented_event(functions: Functions) -> None:
    # https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html
    queue = functions.queue()
    name = functions.make(
        "def handler(event, context): return event", role=functions.role(("sqs:SendMessage", queue.arn))
    )
    functions.settle(name, OnSuccess=queue.arn)
    functions.aws.client("lambda").add_permission(
        FunctionName=name, StatementId="1", Action="lambda:InvokeFunction", Principal=EVENTS
    )
    rule = rule_to(functions, functions.arn("lambda", f"function:{name}"))
    put_event(functions, rule)
    event = queue.wait_for_body()["responsePayload"]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", event.pop("id"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", event.pop("time"))
    assert event == {
        "version": "0",
        "detail-type": "order",
        "source": rule.rpartition("/")[2],
        "account": functions.aws.account,
        "region": functions.aws.region,
        "resources": [],
        "detail": {"number": 7},
    }


def test_an_event_for_a_target_that_does_not_allow_the_rule_goes_to_the_dead_letter_queue_unchanged(
    functions: Functions,
) -> None:
    name = functions.make("def handler(event, context): pass")
    target = functions.arn("lambda", f"function:{name}")
    message = buried(functions, target, functions.queue(writable_by=EVENTS), Input='{"changed": true}')
    assert json.loads(message["Body"])["detail"] == {"number": 7}
    assert attributes(message)["ERROR_CODE"] == "NO_PERMISSIONS"
    assert attributes(message)["RETRY_ATTEMPTS"] == "0"
    assert target in attributes(message)["ERROR_MESSAGE"]


@pytest.mark.parametrize(
    ("service", "name"),
    [
        ("lambda", "function:missing"),
        ("sqs", "missing"),
        ("sns", "missing"),
        ("states", "stateMachine:missing"),
    ],
)
def test_an_event_for_a_target_that_does_not_exist_goes_to_the_dead_letter_queue(
    functions: Functions, service: str, name: str
) -> None:
    with_role = {"RoleArn": functions.role()} if service == "states" else {}
    dead_letters = functions.queue(writable_by=EVENTS)
    message = buried(functions, functions.arn(service, name), dead_letters, **with_role)
    assert attributes(message)["ERROR_CODE"] == "NO_RESOURCE"


def test_a_delivered_event_is_not_in_the_dead_letter_queue(functions: Functions) -> None:
    target, dead_letters = functions.queue(writable_by=EVENTS), functions.queue(writable_by=EVENTS)
    put_event(functions, rule_to(functions, target.arn, DeadLetterConfig={"Arn": dead_letters.arn}))
    assert target.wait_for_body()["detail"] == {"number": 7}
    assert dead_letters.receive() == []


def test_a_dead_letter_queue_must_allow_the_rule(functions: Functions) -> None:
    closed, after = functions.queue(), functions.queue(writable_by=EVENTS)
    missing = functions.arn("sqs", "missing")
    put_event(functions, rule_to(functions, missing, DeadLetterConfig={"Arn": closed.arn}))
    buried(functions, missing, after)  # the first event has been handled by now
    assert closed.receive() == []


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"RetryPolicy": {"MaximumRetryAttempts": 186}}, "Member must have value less than or equal to 185"),
        (
            {"RetryPolicy": {"MaximumEventAgeInSeconds": 86401}},
            "Member must have value less than or equal to 86400",
        ),
        ({"DeadLetterConfig": {"Arn": "arn:aws:sqs:us-east-1:1:dead.fifo"}}, "must be a standard queue"),
    ],
)
def test_settings_beyond_the_limits_are_refused(
    functions: Functions, settings: dict[str, Any], problem: str
) -> None:
    target = functions.queue().arn
    with pytest.raises(ClientError, match=problem):
        rule_to(functions, target, **settings)
    rule = {"EventPattern": {"source": ["shop"]}, "Targets": [{"Id": "1", "Arn": target, **settings}]}
    with pytest.raises(DeploymentFailedError, match=problem):
        deploy(functions.aws, {"Rule": {"Type": "AWS::Events::Rule", "Properties": rule}})


def test_the_rule_of_a_template_has_a_dead_letter_queue(functions: Functions) -> None:
    dead_letters = functions.queue(writable_by=EVENTS)
    source = f"shop-{dead_letters.name}"
    target = {
        "Id": "1",
        "Arn": functions.arn("sqs", "missing"),
        "DeadLetterConfig": {"Arn": dead_letters.arn},
        "RetryPolicy": {"MaximumRetryAttempts": 2, "MaximumEventAgeInSeconds": 60},
    }
    rule = {"EventPattern": {"source": [source]}, "Targets": [target]}
    deploy(functions.aws, {"Rule": {"Type": "AWS::Events::Rule", "Properties": rule}})
    put_event(functions, source)
    assert json.loads(dead_letters.wait()["Body"])["source"] == source


# --- Archives


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


# --- Why the bridges are needed


def test_still_needed_the_emulator_loses_undeliverable_events(stock_functions: Functions) -> None:
    dead_letters = stock_functions.queue(writable_by=EVENTS)
    missing = stock_functions.arn("sqs", "missing")
    put_event(stock_functions, rule_to(stock_functions, missing, DeadLetterConfig={"Arn": dead_letters.arn}))
    taken = stock_functions.queue(writable_by=EVENTS)
    put_event(stock_functions, rule_to(stock_functions, taken.arn))
    taken.wait()
    assert dead_letters.receive() == []


def test_still_needed_the_stock_emulator_knows_no_archive_of_a_template(stock_aws: LocalAws) -> None:
    with pytest.raises((DeploymentFailedError, ClientError), match="AWS::Events::Archive"):
        deploy(stock_aws, archive())
