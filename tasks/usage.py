"""`usage [ID]`: measures what AWS would bill of one event of an architecture, and records it for its page.

`docs/usage.json` has the amounts. The tests of the deployed rows measure them again, and compare.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Mapping
from types import ModuleType

from localaws import LocalAws, LocalAwsError
from scenarios.framework import BilledEvent, DeployedStack, ScenarioFailed
from stacks.catalogue import ARCHITECTURES, find
from tasks import console
from tasks.cdk import ROOT
from tasks.commands import parse
from tasks.demo import deploy
from tasks.errors import TaskError
from tasks.process import end_with_parent
from tasks.verify import scenario_of

RECORDED = ROOT / "docs" / "usage.json"
_LOGS = ROOT / ".cache" / "logs" / "usage"
_LOG_BYTES = "CloudWatch Logs bytes"
Amounts = dict[str, float]

# What sends an event. What else the caller of the scenario does looks at the effect, or cleans up.
_SENDS = (
    *("PUT", "POST", "BatchWriteItem", "Publish", "PublishBatch", "PutEvents", "PutItem", "PutLogEvents"),
    *("PutRecord", "PutRecordBatch", "PutRecords", "SendMessage", "SendMessageBatch"),
    *("TransactWriteItems", "UpdateItem"),
)
# Lines differ by some digits, and those of a cold start by one more member.
_LOGS_MAY_DIFFER = 1 / 3
# An environment that starts, and a schedule that is due meanwhile, can be in one measurement, not in each.
_ATTEMPTS = 4
_QUIET_SECONDS = 1.2


def main(arguments: list[str]) -> int:
    """Measure one row or all, and write what differs from the record."""
    options = parse("usage", arguments)
    end_with_parent()
    _LOGS.mkdir(parents=True, exist_ok=True)
    rows = [find(options.id)] if options.id else [row for row in ARCHITECTURES if row.has_scenario]
    failed = False
    with LocalAws(log_file=_LOGS / "aws.log") as aws:
        for row in rows:
            try:
                usage = recorded_anew(row.id, aws)
            except (TaskError, ScenarioFailed, LookupError, LocalAwsError) as error:
                print(f"run.py usage: {row.id}: {error}", file=sys.stderr)
                failed = True
            else:
                _write(row.id, usage)
                print(f"{row.id}: {usage}", flush=True)
            aws.reset()
    return int(failed)


def recorded_anew(id: str, aws: LocalAws) -> Amounts:
    """Deploy a row, run its scenario as its tests do, and measure its event until two measurements agree.

    Raises:
        ScenarioFailed: No two did.
    """
    stack = DeployedStack.embedded(id, deploy(id, aws, _LOGS), aws)
    scenario = scenario_of(id)
    scenario.run(stack)
    event, seen = event_of(scenario), list[Amounts]()
    for _ in range(_ATTEMPTS):
        last = measured(aws, stack, event)
        if any(not differences(id, last, before) for before in seen):
            return last
        seen.append(last)
    raise ScenarioFailed("; ".join(differences(id, seen[-1], seen[-2])) + ": no two measurements agree")


def event_of(scenario: ModuleType) -> BilledEvent:
    """The typical event that a scenario names."""
    found: BilledEvent = scenario.EVENT
    return found


def recorded() -> dict[str, Amounts]:
    """The recorded amounts of one event by row and unit."""
    found: dict[str, Amounts] = json.loads(RECORDED.read_text())
    return found


def check(id: str, aws: LocalAws, stack: DeployedStack, expected: Amounts) -> list[str]:
    """Measure the event of a deployed row, and say how it differs from the record in every attempt."""
    event, wrong = event_of(scenario_of(id)), [""]
    for attempt in range(_ATTEMPTS):
        patience = stack.patience if attempt == _ATTEMPTS - 1 else 5
        wrong = differences(id, measured(aws, stack, event, expected, patience), expected)
        if not wrong:
            break
    return wrong


def measured(
    aws: LocalAws,
    stack: DeployedStack,
    event: BilledEvent,
    expected: Amounts | None = None,
    patience: float = 30,
) -> Amounts:
    """Send the event, and return what it used.

    Args:
        aws: The embedded AWS that the stack is deployed on.
        stack: The deployed stack.
        event: What to send.
        expected: Wait until there is as much of everything. Default: until nothing more is used.
        patience: Seconds to wait at most.
    """
    before = _used(aws, event)
    event.send(stack)
    deadline, since, last = time.monotonic() + patience, time.monotonic(), Counter[str]()
    while time.monotonic() < deadline:
        seen = Counter({unit: amount - before[unit] for unit, amount in _used(aws, event).items()})
        if seen != last:
            last, since = seen, time.monotonic()
        if expected is None and time.monotonic() > since + _QUIET_SECONDS:
            break
        if expected is not None and all(
            seen[unit] >= amount or unit in event.also or unit == _LOG_BYTES
            for unit, amount in expected.items()
        ):
            break
        time.sleep(0.05)
    found = {unit: float(f"{amount:.4g}") for unit, amount in sorted(last.items()) if amount}
    return {**found, **event.also}


def _used(aws: LocalAws, event: BilledEvent) -> Counter[str]:
    """What was used by functions and services, and by the caller in order to send."""
    used: Counter[str] = Counter()
    for one in aws.usage():
        of_architecture = ":assumed-role/" in one.principal or not one.operation
        skipped = one.unit.startswith("Health check") or (event.without and event.without in one.principal)
        sends = one.operation in _SENDS and not event.preparing
        if (of_architecture or sends) and not skipped:
            used[one.unit] += one.amount  # type: ignore[assignment]  # some are fractions
    return used


def differences(id: str, found: Mapping[str, float], expected: Mapping[str, float]) -> list[str]:
    """A sentence for each unit of which there is more or less than recorded."""
    wrong = []
    for unit in sorted({*found, *expected}):
        now, before = found.get(unit, 0), expected.get(unit, 0)
        may_differ = before * _LOGS_MAY_DIFFER if unit == _LOG_BYTES else 0
        if abs(now - before) > may_differ:
            wrong.append(f"{id}: {unit} per event {now:g}, recorded {before:g}")
    return wrong


def _write(id: str, usage: Amounts) -> None:
    """Record the amounts of a row, unless they are as recorded."""
    known = recorded() if RECORDED.exists() else {}
    if id in known and not differences(id, usage, known[id]):
        return
    known[id] = usage
    ordered = {row.id: known[row.id] for row in ARCHITECTURES if row.id in known}
    RECORDED.write_text(json.dumps(ordered, indent=2) + "\n")


if __name__ == "__main__":
    console.start(main)
