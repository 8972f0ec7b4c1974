"""Runs one-time copies of the deployed schedule, and compares reports and runs with the scheduled times."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from datetime import datetime

from scenarios.events.scheduled_function.nights import ZONE, Nights
from scenarios.framework import BilledEvent, Covered, DeployedStack, Outcome, Story, require
from scenarios.support import leftovers as left
from scenarios.support.faults import Faults
from scenarios.support.redrive import redrive

#: What the embedded AWS accepts but does not emulate, and why the scenario proves its point anyway.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}

_INVOKE = "lambda:InvokeFunction"
# On the embedded AWS, Lambda's last attempt starts at least a second and a half after the first.
_BEFORE_THE_LAST_ATTEMPT = 1.4
_NIGHTS = 10


def run(stack: DeployedStack) -> Outcome:
    """A run in Berlin's time, a duplicate of it, and one that fails.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story = Story("Each scheduled time has one report", stack.tell)
    with closing(Nights(stack)) as nights:
        zone, window = nights.deployed["ScheduleExpressionTimezone"], nights.deployed["FlexibleTimeWindow"]
        require(zone == ZONE and window["MaximumWindowInMinutes"] == 15, f"deployed: {nights.deployed}")
        at = nights.schedule()
        require(len(nights.wait_for_report(at)["execution_id"]["S"]) > 0, "no execution id")
        story.fact("first run", nights.wait_for_end(at))
        story.say("A one-time copy of the schedule, in Berlin's time: the report has the scheduled time.")
        nights.schedule(at)
        outcomes = nights.wait_for_outcomes(at, 2)
        require(nights.report(at) is not None, "a duplicate deleted the report")
        story.fact("outcomes of one scheduled time", ", ".join(outcomes))
        story.say("The same time again: the duplicate has no effect.")
        bad = nights.schedule(pause="long")
        (record,) = nights.failed.wait_for(1)
        require(record.event["scheduled_time"] == bad, f"the failure queue has {record}")
        require(record.attempts == 3 and "InvalidRun" in record.reason, f"the record is {record}")
        require(not nights.undelivered.poll() and nights.report(bad) is None, "a failed run was delivered")
        story.fact("attempts of the failed run", record.attempts or 0)
        story.say("A run that fails: three attempts, then the failure queue of the function, and no other.")
    return story.outcome()


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """Overlapping runs, a crash that leaves the lease, throttles, and a schedule without its permission.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story = Story("Overlap, crash, throttle, no permission", stack.tell)
    with closing(Nights(stack)) as nights:
        _overlap(nights, story)
        _crash(nights, story)
        _throttle(nights, story)
        _refuse(nights, faults, story)
    return story.outcome()


def _overlap(nights: Nights, story: Story) -> None:
    """The lease ends between the first attempt and the last; on a busy machine, even before the first."""
    for _ in range(_NIGHTS):
        first, second = nights.next_time(), nights.next_time()
        nights.take_lease(first, until=datetime.fromisoformat(second).timestamp() + _BEFORE_THE_LAST_ATTEMPT)
        nights.schedule(second)
        ended = nights.wait_for_end(second)
        if met := nights.met(first):
            break
    require(met > 0, f"in {_NIGHTS} nights no run met another one")
    story.fact("second of two runs", ended)
    story.say("A run that meets the lease of another one fails, and Lambda runs it when the lease is free.")


def _crash(nights: Nights, story: Story) -> None:
    crashed = nights.schedule(pause=30)  # longer than the function may run
    require(nights.wait_for_end(crashed) == "done", "the crashed run was not repeated")
    require(nights.timed_out(), "the run did not crash")
    require(nights.report(crashed) is not None and nights.lease() is None, "the lease is still held")
    after = nights.schedule()
    story.fact("run after a crash", nights.wait_for_end(after))
    story.say("A run ended with the lease held: it expired, and the repeated run had no second effect.")


def _throttle(nights: Nights, story: Story) -> None:
    """Lambda has accepted the event and keeps it, so Scheduler has nothing to retry."""
    with nights.concurrency(1):
        holding = nights.schedule(pause=2)
        nights.wait_for_report(holding)
        late = nights.schedule()
        nights.wait_for_report(late)
    require(not nights.undelivered.poll(), "a throttled run is in the dead-letter queue of the schedule")
    story.fact("throttled run", nights.wait_for_end(late))
    story.say("A run while the function was throttled waits in Lambda's queue, and knows its own time.")


def _refuse(nights: Nights, faults: Faults, story: Story) -> None:
    role = nights.stack.output("ScheduleRoleArn").rpartition("/")[2]
    with faults.without_permission(role, _INVOKE):
        lost = nights.schedule()
        (letter,) = nights.undelivered.wait_for(1)
    values = {name: one["StringValue"] for name, one in letter["MessageAttributes"].items()}
    require(lost == values["SCHEDULED_TIME"] and lost in letter["Body"], f"the dead letter has {values}")
    require(_INVOKE in values["ERROR_MESSAGE"], f"the dead letter has {values}")
    require(values["EXHAUSTED_RETRY_CONDITION"] == "MaximumRetryAttempts", f"the dead letter has {values}")
    require(nights.report(lost) is None and not nights.failed.poll(), "the function was invoked")
    story.fact("retries of the refused run", int(values["RETRY_ATTEMPTS"]))
    story.fact("error of the refused run", values["ERROR_CODE"])
    story.say("Without its permission: in the dead-letter queue of the schedule, with the reason.")
    nights.undelivered.release()
    report = redrive(
        nights.stack.session,
        queue_url=nights.stack.output("UndeliveredQueueUrl"),
        function_name=nights.function,
    )
    nights.wait_for_report(lost)
    story.fact("redriven", report.resent)
    story.fact("redriven run", nights.wait_for_end(lost))
    story.say("The redrive ran it, with the time that it was scheduled for.")


def smoke(stack: DeployedStack) -> None:
    """Exercise each permission once, with a run that ends.

    Raises:
        ScenarioFailed: There is no report, or the run has not ended.
    """
    with closing(Nights(stack)) as nights:
        at = nights.schedule()
        nights.wait_for_report(at)
        require(nights.wait_for_end(at) == "done", "the run is not done")


EVENT = BilledEvent("a scheduled time", smoke, also={"EventBridge Scheduler invocations": 1})

ROLES = (
    # Only events that failed permanently are sent to the queues; `run` and `drill` have one each.
    Covered("FunctionName", smoke, only_for_failures=frozenset({"sqs:SendMessage"})),
    Covered(
        "ScheduleRoleArn",
        smoke,
        function="FunctionName",
        only_for_failures=frozenset({"sqs:SendMessage"}),
    ),
)


def leftovers(stack: DeployedStack) -> list[str]:
    """Return what is in the tables and queues, and the schedules of the scenario."""
    schedules = stack.client("scheduler").list_schedules(NamePrefix="once-")["Schedules"]
    return [*left.in_tables(stack), *left.in_queues(stack), *(one["Name"] for one in schedules)]
