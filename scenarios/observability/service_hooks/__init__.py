"""Sends what each service sends, and checks what each hook answers and leaves behind."""

from __future__ import annotations

from collections.abc import Mapping

from scenarios.framework import BilledEvent, Covered, DeployedStack, Outcome, Story
from scenarios.observability.service_hooks import config_rule, custom_resource, iot_rule, ses_inbound, skills
from scenarios.support import leftovers as left
from scenarios.support.faults import Faults

_PARTS = (custom_resource, config_rule, iot_rule, ses_inbound, skills)

#: What the embedded AWS accepts but does not emulate, and why the scenario proves its point anyway.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {
    path: reason for part in _PARTS for path, reason in part.ACCEPTED_NOT_EMULATED.items()
}
EVENT = BilledEvent(
    "a reading of a sensor, by AWS IoT",
    iot_rule.smoke,
    also={"IoT messages": 1, "IoT rules triggered": 1, "IoT rule actions": 1},
)

ROLES: tuple[Covered, ...] = tuple(role for part in _PARTS for role in part.ROLES)


def run(stack: DeployedStack) -> Outcome:
    """Each hook does its work once and gives the answer that its service expects.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story = Story("Each service gets its own answer", stack.tell)
    for part in _PARTS:
        part.run(stack, story)
    return story.outcome()


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """What goes wrong in each hook, and what becomes of it.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story = Story("No service waits in vain, and nothing is lost", stack.tell)
    for part in _PARTS:
        part.drill(stack, faults, story)
    return story.outcome()


def leftovers(stack: DeployedStack) -> list[str]:
    """Return what is in the table, in queues and wherever else the hooks write."""
    found = [*left.in_tables(stack), *left.in_queues(stack)]
    found = [one for one in found if "row/hours" not in one]  # of the stack itself
    return [*found, *(one for part in _PARTS for one in part.leftovers(stack))]
