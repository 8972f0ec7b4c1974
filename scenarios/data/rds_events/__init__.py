"""Lets a database fail over, and follows what RDS reports by both ways to alerts and journal."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime

from botocore.exceptions import ClientError

from scenarios.data.rds_events.reports import FAILOVER, FULL, NEARLY_FULL, NEW, Reports
from scenarios.framework import BilledEvent, Covered, DeployedStack, Outcome, Story, require
from scenarios.support import leftovers as left
from scenarios.support.faults import Faults

#: What the embedded AWS accepts but does not emulate, and why the scenario proves its point anyway.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {
    "AWS::RDS::DBInstance.DeleteAutomatedBackups": "there are no backups that could outlive the database",
    "AWS::RDS::DBInstance.EnableCloudwatchLogsExports": "the scenario does not read the server's log",
}


def run(stack: DeployedStack) -> Outcome:
    """A failover by both ways, an unknown kind of event, a duplicate, and what is no event.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story = Story("One failover, reported twice", stack.tell)
    with closing(Reports(stack)) as reports:
        require(reports.status() == "active", f"the event subscription is {reports.status()}")
        before = reports.fail_over()
        rows = reports.wait_for_rows(reports.database, *FAILOVER, since=before)
        for event_id in FAILOVER:
            reports.wait_for_deliveries(reports.database, event_id, 2, since=before)
        for event_id in FAILOVER:
            story.fact(rows[event_id]["message"], rows[event_id]["action"])
        alerts = reports.alerts(reports.database)
        seen = {event_id: alerts[event_id, rows[event_id]["time"]] for event_id in FAILOVER}
        require(set(seen.values()) == {1}, f"the alerts are {alerts}")
        story.fact("alerts of the failover", sum(seen.values()))
        story.say("Forced a failover: RDS reported start, restart and end, each to SNS and to EventBridge.")
        story.say("Each of the three is one alert and one row of the journal, although it came twice.")
        _strange(reports, story)
    return story.outcome()


def _strange(reports: Reports, story: Story) -> None:
    """What RDS has not reported until today, what it reports twice, and what it never reports."""
    now = datetime.now(UTC)
    for event in (NEW, FULL, NEW, FULL):
        reports.publish(event, now)
    for event in (NEW, FULL):
        reports.wait_for_deliveries(reports.run_id, event.id, 2, since=reports.began)
    rows, alerts = reports.journal(reports.run_id), reports.alerts(reports.run_id)
    require(rows.keys() == {NEW.id, FULL.id}, f"the journal has {rows}")
    require([(event_id, n) for (event_id, _), n in alerts.items()] == [(FULL.id, 1)], f"alerts: {alerts}")
    story.fact("unknown event", rows[NEW.id]["action"])
    story.say("A kind of event that is not in the table is in the journal, without an alert.")
    story.fact("alerts of a duplicate", alerts.total())
    story.say("The same notification twice is one alert.")
    reports.publish_text(f"not about a database: {reports.run_id}")
    (failed,) = reports.failed.wait_for(1)
    require("NotAnEvent" in failed.reason and failed.attempts == 3, f"the failure queue has {failed}")
    require(not reports.undelivered.poll(), "a delivered message is a dead letter")
    story.fact("attempts of the bad message", failed.attempts or 0)
    story.say("What is no event was tried three times, and is in the failure queue with the reason.")


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """Low storage, and lost permissions: of RDS, of SNS and EventBridge, of the function.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story = Story("Low storage, and lost permissions", stack.tell)
    with closing(Reports(stack)) as reports:
        reports.report_both_ways(NEARLY_FULL, datetime.now(UTC))
        reports.wait_for_deliveries(reports.database, NEARLY_FULL.id, 2, since=reports.began)
        row, alerts = reports.journal(reports.database)[NEARLY_FULL.id], reports.alerts(reports.database)
        require(list(alerts.values()) == [1], f"the alerts are {alerts}")
        story.fact("low storage", row["action"])
        story.say("RDS says by both ways that storage is low: one alarm. (Sent as RDS sends it.)")
        _close_topic(reports, story)
        _close_function(reports, faults, story)
    return story.outcome()


def _close_topic(reports: Reports, story: Story) -> None:
    """Without the statement in its policy, the topic gets nothing from RDS; the other way is open."""
    with reports.closed_topic():
        try:
            reports.subscribe_again()
        except ClientError as refused:
            story.fact("another subscription", refused.response["Error"]["Code"])
        before = reports.fail_over()
        reports.wait_for_rows(reports.database, *FAILOVER, since=before)
        story.fact("subscription without permission", reports.status())
    story.say("The topic no longer allows RDS: the rule still reports the failover, SNS does not.")
    before = reports.fail_over()
    for event_id in FAILOVER:
        reports.wait_for_deliveries(reports.database, event_id, 2, since=before)
    story.fact("subscription with permission", reports.status())
    reports.alerts(reports.database)


def _close_function(reports: Reports, faults: Faults, story: Story) -> None:
    """What neither SNS nor EventBridge can deliver waits for a redrive, and so does what failed."""
    function, source = reports.stack.output("FunctionName"), reports.database
    with (
        faults.not_admitting(function, "sns.amazonaws.com"),
        faults.not_admitting(function, "events.amazonaws.com"),
    ):
        reports.report_both_ways(FULL, datetime.now(UTC))
        reports.undelivered.wait_for(2)
    require(FULL.id not in reports.journal(source), "the function was invoked without a permission")
    story.say("The function allows neither service: both ways left the event in the undelivered queue.")
    with faults.without_permission(faults.role_of(function), "dynamodb:PutItem"):
        reports.publish(FULL, datetime.now(UTC))
        reports.failed.wait_for(1)
    story.say("Without a permission of the function: the event is in the failure queue.")
    story.fact("redriven", reports.redrive())
    reports.wait_for_rows(source, FULL.id)
    reports.wait_for_rows(reports.run_id, FULL.id)
    alerts = reports.alerts(source) + reports.alerts(reports.run_id)
    story.fact("alerts after the redrive", len([one for one in alerts if one[0] == FULL.id]))
    require(set(alerts.values()) == {1}, f"the alerts are {alerts}")
    story.say("After the redrive of both queues: one alarm of each event.")


def smoke(stack: DeployedStack) -> None:
    """Exercise each permission of the function.

    Raises:
        ScenarioFailed: The event is not in the journal.
    """
    with closing(Reports(stack)) as reports:
        reports.publish(FULL, datetime.now(UTC))
        reports.wait_for_rows(reports.run_id, FULL.id)


# `run` compares the alerts, which are sent with the same action as failed events.
EVENT = BilledEvent("an event of RDS by SNS", smoke)

ROLES = (Covered("FunctionName", smoke, only_for_failures=frozenset({"sqs:SendMessage"})),)


def leftovers(stack: DeployedStack) -> list[str]:
    """Return what is in the journal and in the queues, and the subscriptions of a drill."""
    found = stack.client("rds").describe_event_subscriptions()["EventSubscriptionsList"]
    names = [one["CustSubscriptionId"] for one in found]
    others = [name for name in names if name.startswith("run-")]
    return [*left.in_tables(stack), *left.in_queues(stack), *others]
