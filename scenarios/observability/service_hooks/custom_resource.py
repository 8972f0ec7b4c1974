"""The part of the scenario about a custom resource: CloudFormation creates, updates and deletes rows."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from textwrap import shorten
from typing import Any

from scenarios.framework import Covered, DeployedStack, NotYet, Story, require
from scenarios.support.faults import Faults

ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}
_TOO_LONG = "x" * 4096


class Rows:
    """A small stack with one row, whose function is in the deployed stack.

    Args:
        stack: The deployed stack.
    """

    def __init__(self, stack: DeployedStack) -> None:
        self._stack = stack
        self._cloudformation = stack.client("cloudformation")
        self.key = secrets.token_hex(4)
        self.name = f"{stack.name}-row-{self.key}"

    def deploy(self, text: str, *, key: str | None = None, update: bool = False) -> str:
        """Create or update the stack, and return its status."""
        properties = {
            "ServiceToken": self._stack.output("RowsServiceToken"),
            "ServiceTimeout": self._stack.output("RowsServiceTimeout"),
            "Key": key or self.key,
            "Text": text,
        }
        template = {
            "Resources": {"Row": {"Type": "Custom::Row", "Properties": properties}},
            "Outputs": {"Length": {"Value": {"Fn::GetAtt": ["Row", "Length"]}}},
        }
        operation = self._cloudformation.update_stack if update else self._cloudformation.create_stack
        operation(StackName=self.name, TemplateBody=json.dumps(template))
        return str(self._wait(self.name)["StackStatus"])

    def delete(self) -> str:
        """Delete the stack, if it is there, and return its status."""
        stacks = self._cloudformation.get_paginator("list_stacks").paginate()
        for page in stacks:
            for one in page["StackSummaries"]:
                if one["StackName"] == self.name and one["StackStatus"] != "DELETE_COMPLETE":
                    self._cloudformation.delete_stack(StackName=self.name)
                    return str(self._wait(one["StackId"])["StackStatus"])
        return "DELETE_COMPLETE"

    def length(self) -> str:
        """Return the output of the stack, which comes from the function's ``Data``."""
        (output,) = self._wait(self.name)["Outputs"]
        return str(output["OutputValue"])

    def row(self, key: str | None = None) -> str | None:
        """Return the text of the row; None if there is none."""
        found = self._stack.client("dynamodb").get_item(
            TableName=self._stack.output("TableName"),
            Key={"id": {"S": f"row/{key or self.key}"}},
            ConsistentRead=True,
        )
        return found["Item"]["text"]["S"] if "Item" in found else None

    def reason(self) -> str:
        """Return why the row failed: the first reason of the latest operation."""
        events = self._cloudformation.describe_stack_events(StackName=self.name)["StackEvents"]
        reasons = [
            str(one["ResourceStatusReason"])
            for one in events
            if one["LogicalResourceId"] == "Row" and one["ResourceStatus"].endswith("_FAILED")
        ]
        return reasons[0] if reasons else ""

    def deleted_ids(self) -> list[str]:
        """Return the physical ids that CloudFormation has deleted."""
        events = self._cloudformation.describe_stack_events(StackName=self.name)["StackEvents"]
        return [
            str(one["PhysicalResourceId"])
            for one in events
            if one["LogicalResourceId"] == "Row" and one["ResourceStatus"] == "DELETE_COMPLETE"
        ]

    def _wait(self, name: str) -> dict[str, Any]:
        def check() -> dict[str, Any]:
            described: dict[str, Any]
            (described,) = self._cloudformation.describe_stacks(StackName=name)["Stacks"]
            # An update is complete only when CloudFormation has deleted what it replaced.
            if described["StackStatus"].endswith("_IN_PROGRESS"):
                raise NotYet(described["StackStatus"])
            return described

        return self._stack.patient.wait_until(check, f"the stack {self.name}")


@contextmanager
def _rows(stack: DeployedStack) -> Iterator[Rows]:
    rows = Rows(stack)
    try:
        yield rows
    finally:
        rows.delete()


def run(stack: DeployedStack, story: Story) -> None:
    """A row is created, updated, replaced and deleted, and what cannot be created does no harm."""
    require(stack.output("HoursLength") == "6", "the row of the stack itself is missing")
    with _rows(stack) as rows, _rows(stack) as others:
        _change(rows, story)
        _fail(rows, others, story)
        status = rows.delete()
        require((status, rows.row(), rows.row(f"{rows.key}-b")) == ("DELETE_COMPLETE", None, None), status)
    story.say("Deleting the stack deletes the row.")


def _change(rows: Rows, story: Story) -> None:
    status = rows.deploy("tea")
    require((status, rows.row(), rows.length()) == ("CREATE_COMPLETE", "tea", "3"), f"create: {status}")
    status = rows.deploy("green tea", update=True)
    require((status, rows.row(), rows.length()) == ("UPDATE_COMPLETE", "green tea", "9"), f"update: {status}")
    replaced = f"{rows.key}-b"
    status = rows.deploy("black tea", key=replaced, update=True)
    require(status == "UPDATE_COMPLETE", f"replacement: {status}")
    require((rows.row(), rows.row(replaced)) == (None, "black tea"), "the old row is there, or no new one")
    story.fact("custom resource: changes", 3)
    story.say("CloudFormation, custom resource: a row is created, updated and, with another key, replaced.")


def _fail(rows: Rows, others: Rows, story: Story) -> None:
    """A row that belongs to another stack, and an answer that is too long."""
    taken = f"{rows.key}-b"
    status = others.deploy("coffee", key=taken)
    reason = others.reason()
    require((status, rows.row(taken)) == ("ROLLBACK_COMPLETE", "black tea"), f"{status}: {rows.row(taken)}")
    require("RowExists" in reason and others.deleted_ids()[0].startswith("not-created-"), reason)
    story.say("A row that another stack has cannot be created, and the rollback does not delete it:")
    story.say(f"    {_shown(reason)}")
    others.delete()
    status = others.deploy(_TOO_LONG)
    reason = others.reason()
    require("CloudFormation takes 4,096" in reason, f"{status}: {reason}")
    require((status, others.row()) == ("ROLLBACK_COMPLETE", None), f"{status}, and the row is there")
    story.fact("custom resource: failed creations without a trace", 2)
    story.say("An answer of more than 4,096 bytes is a failure with a reason, and the row is deleted again:")
    story.say(f"    {_shown(reason)}")


def drill(stack: DeployedStack, faults: Faults, story: Story) -> None:
    """The function fails, is killed or may not write; the answering function is killed or may not invoke."""
    function, answers = stack.output("RowsFunctionName"), stack.output("AnswersFunctionName")
    reasons = {}
    with stack.faults.function(function, error="OutOfTea", times=1):
        reasons["an exception"] = _failure(stack, "OutOfTea")
    with stack.faults.function(function, killed=True, times=1):
        reasons["a killed process"] = _failure(stack, "Runtime.ExitError")
    with stack.faults.function(answers, killed=True, times=1):
        reasons["a killed answering function"] = _failure(stack, "no response")
    with faults.without_permission(faults.role_of(function), "dynamodb:PutItem"):
        reasons["no permission to write"] = _failure(stack, "AccessDenied")
    story.say("CloudFormation, custom resource: each deployment fails within its time, with the reason:")
    for what, reason in reasons.items():
        story.say(f"    {what}: {shorten(reason, 100, placeholder=' …')}")
    story.fact("custom resource: failures with a reason", len(reasons))


def _shown(reason: str) -> str:
    """Return a reason without what CloudFormation puts around it."""
    return reason.rpartition("Message returned: ")[2].partition(" (RequestId")[0]


def _failure(stack: DeployedStack, expected: str) -> str:
    with _rows(stack) as rows:
        status = rows.deploy("tea")
        reason = rows.reason()
        require((status, rows.row()) == ("ROLLBACK_COMPLETE", None), f"{status}: {reason}")
        require(expected in reason, f"the reason is {reason}, without {expected}")
        return _shown(reason)


def smoke(stack: DeployedStack) -> None:
    """Exercise each permission of both functions.

    Raises:
        ScenarioFailed: A row is not created or not deleted.
    """
    with _rows(stack) as rows:
        status = rows.deploy("tea")
        require((status, rows.row()) == ("CREATE_COMPLETE", "tea"), f"{status}: {rows.reason()}")
        status = rows.delete()
        require((status, rows.row()) == ("DELETE_COMPLETE", None), status)


ROLES: tuple[Covered, ...] = (
    Covered("RowsFunctionName", smoke),
    Covered("AnswersFunctionName", smoke, only_for_failures=frozenset({"sqs:SendMessage"})),
)


def leftovers(stack: DeployedStack) -> list[str]:
    """Return the stacks that are still there."""
    pages = stack.client("cloudformation").get_paginator("list_stacks").paginate()
    return [
        one["StackName"]
        for page in pages
        for one in page["StackSummaries"]
        if one["StackName"].startswith(f"{stack.name}-row-") and one["StackStatus"] != "DELETE_COMPLETE"
    ]
