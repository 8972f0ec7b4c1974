"""Writes thousands of log events, of functions and others, and follows the errors among them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from uuid import uuid4

from botocore.exceptions import ClientError

from scenarios.framework import BilledEvent, Covered, DeployedStack, Outcome, Story, require
from scenarios.streams.log_processor.lines import TRACE, Lines
from scenarios.support import leftovers as left
from scenarios.support.faults import Faults
from scenarios.support.redrive import redrive

#: What the embedded AWS accepts but does not emulate, and why the scenario proves its point anyway.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}

_SERVICE = "logs.amazonaws.com"
_STREAMS, _ERRORS, _BETWEEN = 3, 7, 100  # of the till


def run(stack: DeployedStack) -> Outcome:
    """Thousands of lines of two log groups, stack traces, a duplicate, and poison.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story = Story("Errors in thousands of log lines", stack.tell)
    with closing(Lines(stack)) as lines:
        of_shop = lines.sell(invocations=5, lines=400)
        traced = [
            one for number in range(_ERRORS) for one in (*lines.error(number), *["INFO paid"] * _BETWEEN)
        ]
        for _ in range(_STREAMS):
            lines.write(*traced)
        of_till = _STREAMS * _ERRORS
        rows = lines.wait_for_problems(of_shop + of_till)
        of_group = Counter(row["log_group"] for row in rows)
        require(of_group == {lines.shop: of_shop, lines.till: of_till}, f"problems: {of_group}")
        traces = {int(row["lines"]) for row in rows if row["log_group"] == lines.till}
        require(traces == {1 + len(TRACE)}, f"problems of the till have {traces} lines")
        story.fact("lines", 5 * 400 + _STREAMS * len(traced))
        story.fact("problems", len(rows))
        story.say(
            f"Of two log groups: {of_shop} errors in JSON, and {of_till} stack traces of five events each."
        )
        lines.deliver(lines.delivered())
        of_till += _poison(lines, story)
        lines.wait_for_problems(of_shop + of_till)
        lines.settle()
        number = lines.numbers(lines.till)[lines.minute]
        require(number == of_till, f"the number of the minute is {number}")
        require(len(lines.problems()) == of_shop + of_till, f"{len(lines.problems())} problems")
        lines.wait_for_metric(of_till)
        story.fact("number of the minute", number)
        story.say("All lines of the till came again: the number is the same, in the table and in the metric.")
        minutes = {(row["log_group"], row["minute"]) for row in lines.problems()}
        alerts = [json.loads(one["Body"]) for one in lines.alerts.wait_for(len(minutes))]
        require({(one["log_group"], one["minute"]) for one in alerts} == minutes, f"alerts: {alerts}")
        require(len(alerts) == len(minutes), f"{len(alerts)} alerts for {len(minutes)} minutes")
        story.fact("alerts of a minute", len(alerts) // len(minutes))
        story.say("Each minute of a log group with errors has one alert.")
    return story.outcome()


def _poison(lines: Lines, story: Story) -> int:
    """Odd lines, an event that is none, and what is no batch; returns how many errors are among them."""
    odd = (f'{{"run": "{lines.run_id}", "level": "ERROR"', f"{{{lines.run_id}" + "{" * 3000 + " ERROR")
    lines.write("\0", " ", "ERRORCODE 0", *odd, f"FATAL {lines.run_id} 🧨" + "x" * 200_000)
    broken = {"id": lines.run_id, "message": "ERROR"}
    good = {"id": str(uuid4().int), "timestamp": lines.timestamp, "message": f"ERROR {lines.run_id}: valid"}
    lines.deliver([broken, good])
    lines.invoke(f"no batch: {lines.run_id}".encode())
    failed = {one.condition: one for one in lines.failed.wait_for(2)}
    require(failed.keys() == {"PermanentFailure", "RetriesExhausted"}, f"the failure queue has {failed}")
    require("NotALogEvent" in failed["PermanentFailure"].reason, f"the failure queue has {failed}")
    require("NotABatch" in failed["RetriesExhausted"].reason, f"the failure queue has {failed}")
    story.fact("attempts of what is no batch", failed["RetriesExhausted"].attempts or 0)
    story.say(
        "Only a broken event of a batch is in the failure queue; what is no batch is, after three attempts."
    )
    return 4


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """A crash in the middle, a killed function, and two permissions removed.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story = Story("Crashes, and lost permissions", stack.tell)
    function = stack.output("FunctionName")
    with closing(Lines(stack)) as lines:
        with stack.faults.api("sns", "Publish", error="InternalErrorException", status=500, times=4):
            lines.write(*lines.error(1), *lines.error(2))
            lines.alerts.wait_for(1)
        with stack.faults.function(function, killed=True, times=1):
            lines.write(*lines.error(3))
            lines.wait_for_problems(3)
        number = lines.numbers(lines.till)[lines.minute]
        require(number == 3, f"the number of the minute is {number}")
        require(len(lines.alerts.poll()) == 1, "the minute has another alert")
        lines.wait_for_metric(3)
        story.fact("problems after two crashes", number)
        story.say("It crashed between count and alert, then was killed: each problem counts once, one alert.")
        _close_to_logs(stack, lines, faults, story)
        with faults.without_permission(faults.role_of(function), "dynamodb:PutItem"):
            lines.write(*lines.error(4))
            lines.failed.wait_for(1)
        lines.failed.release()
        report = redrive(stack.session, queue_url=stack.output("FailureQueueUrl"), function_name=function)
        lines.wait_for_problems(5)
        story.fact("redriven", report.resent)
        story.fact("problems", lines.numbers(lines.till)[lines.minute])
        story.say("Without a permission of its own: the batch waited in the failure queue, and was redriven.")
        lines.settle(lost=1 + len(TRACE))
    return story.outcome()


def _close_to_logs(stack: DeployedStack, lines: Lines, faults: Faults, story: Story) -> None:
    """Without permission, CloudWatch Logs delivers nothing and makes no filter."""
    logs, function = stack.client("logs"), stack.output("FunctionName")
    filters = logs.describe_subscription_filters(logGroupName=lines.till)["subscriptionFilters"]
    with faults.not_admitting(function, _SERVICE):
        lines.write(*lines.error(98))
        try:
            logs.put_subscription_filter(
                logGroupName=lines.till,
                filterName="another",
                filterPattern="",
                destinationArn=filters[0]["destinationArn"],
            )
        except ClientError as refused:
            story.fact("another filter", refused.response["Error"]["Code"])
    lines.write(*lines.error(5))
    rows = lines.wait_for_problems(4)
    require(not any("payment 98" in row["summary"] for row in rows), "a batch came without permission")
    story.fact("delivered without permission", 0)
    story.say("Without permission for CloudWatch Logs: the lines are not sent, and no filter can be made.")


def smoke(stack: DeployedStack) -> None:
    """Exercise each permission of the function.

    Raises:
        ScenarioFailed: The problem was not found, or has no alert.
    """
    with closing(Lines(stack)) as lines:
        lines.write(*lines.error(1))
        lines.alerts.wait_for(1)
        lines.settle()


# A failed batch and an event that is none are sent to the failure queue; `run` has both.
EVENT = BilledEvent("a new error in the log, which is alerted", smoke)

ROLES = (Covered("FunctionName", smoke, only_for_failures=frozenset({"sqs:SendMessage"})),)


def leftovers(stack: DeployedStack) -> list[str]:
    """Return what is in the table and in the queues."""
    return [*left.in_tables(stack), *left.in_queues(stack)]
