"""The part of the scenario about an IoT rule."""

from __future__ import annotations

from collections.abc import Mapping

from scenarios.framework import Covered, DeployedStack, Story
from scenarios.support.faults import Faults

ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}
ROLES: tuple[Covered, ...] = ()


def run(stack: DeployedStack, story: Story) -> None:
    """Send what the service sends, and check what comes of it."""


def drill(stack: DeployedStack, faults: Faults, story: Story) -> None:
    """Break things, and check that nothing is lost."""


def leftovers(stack: DeployedStack) -> list[str]:
    """Return what the others do not see: tables and queues are looked at by the whole scenario."""
    return []
