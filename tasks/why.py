"""`why ID [--without ACTION]`: explains what IAM denies an architecture on the embedded AWS, with the remedy.

`demo` ends when something is denied that should not be. This deploys the same, runs the same scenario, and
prints each denial: the statements that were looked at, and the grant that is missing, in CDK code. A
scenario that provokes denials on purpose has those, too.

Nothing else is denied to an architecture that works, so `--without` takes a permission away from its roles
first, as the tests of least privilege do.
"""

from __future__ import annotations

import contextlib
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

from botocore.exceptions import BotoCoreError, ClientError

from localaws import Explanation, LocalAws, LocalAwsError
from scenarios.framework import DeployedStack, ScenarioFailed, giving_up_when
from scenarios.support.faults import Faults, Grant
from stacks.catalogue import find
from tasks import console
from tasks.cdk import ROOT
from tasks.commands import parse
from tasks.demo import deploy
from tasks.errors import TaskError, unknown
from tasks.process import end_with_parent
from tasks.verify import scenario_of

_ACTION = re.compile("`([a-z0-9-]+:[A-Za-z0-9*]+)`")
_LOGS = ROOT / ".cache" / "logs" / "why"


def main(arguments: list[str]) -> int:
    """Deploy an architecture, run its scenario, and explain each denial."""
    options = parse("why", arguments)
    end_with_parent()
    _LOGS.mkdir(parents=True, exist_ok=True)
    try:
        scenario_of(options.id)
        if options.without:
            check(options.id, options.without)
        with LocalAws(log_file=_LOGS / f"aws-{options.id}.log") as aws:
            outputs = deploy(options.id, aws, _LOGS)
            stack = DeployedStack.embedded(options.id, outputs, aws, out=ROOT / "out")
            return _without(stack, options.without, aws) if options.without else _as_it_is(stack, aws)
    except (TaskError, LookupError, LocalAwsError, ClientError, BotoCoreError) as error:
        print(f"run.py why: {options.id}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; all processes ended.", file=sys.stderr)
        return 130


def check(id: str, action: str) -> None:
    """Refuse an action that no role of an architecture can have, before anything is deployed.

    Raises:
        TaskError: Neither its page nor the common permissions have it, which are generated.
    """
    pages = (ROOT / "docs" / find(id).family / f"{id}.md", ROOT / "docs" / "common-permissions.md")
    known = {each for page in pages for each in _ACTION.findall(page.read_text("utf-8"))}
    if action not in known:
        names = sorted(known)
        raise TaskError(unknown("action in the roles", action, names, see=str(pages[0].relative_to(ROOT))))


def _as_it_is(stack: DeployedStack, aws: LocalAws) -> int:
    """Run the scenario."""
    code = 0
    try:
        scenario_of(stack.name).run(stack)
    except ScenarioFailed as error:
        print(f"\nFAILED: {error}", file=sys.stderr)
        code = 1
    explained = aws.explain()
    show(explained)
    if not explained:
        actions = sorted({grant.action for grant in _grants(stack)})
        print("\nIAM has denied nothing. `--without ACTION` takes one of these away and explains the denial:")
        print(f"  {', '.join(actions)}")
    return code


def _without(stack: DeployedStack, action: str, aws: LocalAws) -> int:
    """Run the scenarios that use the permissions of the roles until one is denied the action."""
    grants = _grants(stack)
    taken = [grant for grant in grants if grant.action == action]
    if not taken:
        names = sorted({grant.action for grant in grants})
        shown = f"`python3 run.py why {stack.name}`"
        raise TaskError(f"{unknown('action in the roles', action, names, see=shown)} ({', '.join(names)})")
    since, roles = time.time(), {grant.role for grant in taken}

    def found() -> list[Explanation]:
        return [
            one
            for one in aws.explain(since)
            if one.action == action and any(f":assumed-role/{role}/" in one.principal for role in roles)
        ]

    print(f"\nWithout {action} of {', '.join(sorted(roles))}:")
    with Faults(stack.session).without(*taken):
        for covered in scenario_of(stack.name).ROLES:
            with (
                contextlib.suppress(ScenarioFailed),
                giving_up_when(lambda: "denied" if found() else None),
            ):
                covered.scenario(replace(stack, patience=covered.patience))
            if explained := found():
                show(explained)
                return 0
    print(f"Nothing that the scenario does needs {action}, or the embedded AWS does not enforce it.")
    return 1


def _grants(stack: DeployedStack) -> list[Grant]:
    """What the roles of a stack allow, action by action."""
    return [grant for role in _roles(stack) for grant in Faults(stack.session).grants(role)]


def _roles(stack: DeployedStack) -> Iterator[str]:
    resources = stack.client("cloudformation").describe_stack_resources(StackName=stack.name)
    for one in resources["StackResources"]:
        if one["ResourceType"] == "AWS::IAM::Role":
            yield one["PhysicalResourceId"]


def show(explained: list[Explanation]) -> None:
    """Print explanations."""
    for one in explained:
        print(f"\n{one}")


if __name__ == "__main__":
    console.start(main)
