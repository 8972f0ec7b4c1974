"""The part of the scenario about an AWS Config rule: its events are delivered, and its results read."""

from __future__ import annotations

import json
import secrets
import uuid
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

from scenarios.framework import Covered, DeployedStack, NotYet, Story, require
from scenarios.support.failure_queue import FailureQueue
from scenarios.support.faults import Faults

ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}
_PRINCIPAL = "config.amazonaws.com"
_TYPE = "AWS::Lambda::Function"


class Runtimes:
    """The rule and its function.

    Args:
        stack: The deployed stack.
    """

    def __init__(self, stack: DeployedStack) -> None:
        self._stack = stack
        self.rule, self.function = stack.output("RuntimesRuleName"), stack.output("RuntimesFunctionName")
        self._arn = stack.client("lambda").get_function_configuration(FunctionName=self.function)[
            "FunctionArn"
        ]
        self._now = datetime.now(UTC).replace(microsecond=0)

    def item(self, id: str, runtime: str, *, status: str = "OK", minutes: int = 0) -> dict[str, Any]:
        """Return a configuration item of a function, of a minute of this run."""
        return {
            "awsAccountId": self._arn.split(":")[4],
            "awsRegion": self._arn.split(":")[3],
            "resourceType": _TYPE,
            "resourceId": id,
            "configurationItemStatus": status,
            "configurationItemCaptureTime": (self._now + timedelta(minutes=minutes)).isoformat(),
            "configuration": {"functionName": id, "runtime": runtime},
        }

    def changed(self, item: dict[str, Any]) -> dict[str, Any]:
        """Return the event that a function has changed."""
        return self._event(
            "ConfigurationItemChangeNotification", configurationItem=item, configurationItemDiff=None
        )

    def oversized(self, id: str) -> dict[str, Any]:
        """Return the event for the present item of a function, as if it were too large for one."""
        changed = self._stack.client("lambda").get_function_configuration(FunctionName=id)["LastModified"]
        summary = {**self.item(id, ""), "configurationItemCaptureTime": changed}
        del summary["configuration"]
        return self._event("OversizedConfigurationItemChangeNotification", configurationItemSummary=summary)

    def scheduled(self) -> dict[str, Any]:
        """Return the event of a regular time."""
        return self._event("ScheduledNotification", awsAccountId=self._arn.split(":")[4])

    def _event(self, kind: str, **invoking: Any) -> dict[str, Any]:
        invoking |= {
            "messageType": kind,
            "notificationCreationTime": self._now.isoformat(),
            "recordVersion": "1.0",
        }
        return {
            "version": "1.0",
            "invokingEvent": json.dumps(invoking),
            "ruleParameters": json.dumps({"runtimes": "python3.14,python3.13"}),
            "resultToken": str(uuid.uuid4()),
            "eventLeftScope": False,
            "configRuleName": self.rule,
            "configRuleArn": self._stack.output("RuntimesRuleArn"),
            "configRuleId": self._stack.output("RuntimesRuleArn").rpartition("/")[2],
            "accountId": self._arn.split(":")[4],
        }

    def deliver(self, event: dict[str, Any]) -> None:
        """Deliver an event as Config does."""
        assert self._stack.deliver_as is not None
        self._stack.deliver_as(_PRINCIPAL, event["configRuleArn"], self._arn, event)

    def invoke(self, event: dict[str, Any]) -> Any:
        """Invoke the function with an event, and return what it returns."""
        answer = self._stack.client("lambda").invoke(FunctionName=self.function, Payload=json.dumps(event))
        return json.load(answer["Payload"])

    def results(self) -> dict[str, tuple[str, str]]:
        """Return compliance and annotation by the id of the function."""
        found = self._stack.client("config").get_compliance_details_by_config_rule(ConfigRuleName=self.rule)
        return {
            one["EvaluationResultIdentifier"]["EvaluationResultQualifier"]["ResourceId"]: (
                one["ComplianceType"],
                one.get("Annotation", ""),
            )
            for one in found["EvaluationResults"]
        }

    def wait_for(self, id: str, compliance: str) -> str:
        """Wait until a function has this result, and return its annotation."""

        def check() -> str:
            found, why = self.results().get(id, ("none", ""))
            if found != compliance:
                raise NotYet(f"{found} {why}")
            return why

        return self._stack.wait_until(check, f"{compliance} for {id}")


def run(stack: DeployedStack, story: Story) -> None:
    """Changed, oversized, deleted and late items, all functions at a regular time, and a test."""
    rule = Runtimes(stack)
    tested = rule.invoke({**rule.scheduled(), "resultToken": "TESTMODE"})
    require(tested.get("evaluations", 0) > 0, f"in test mode the function returned {tested}")
    if stack.deliver_as is None:
        story.say("AWS Config: the function evaluates in test mode. Config itself sends the other events.")
        return
    shop = f"shop-{secrets.token_hex(4)}"
    first = rule.changed(rule.item(shop, "python3.8", minutes=1))
    rule.deliver(first)
    story.say(f"AWS Config: a function changes to python3.8: {rule.wait_for(shop, 'NON_COMPLIANT')}.")
    rule.deliver(rule.changed(rule.item(shop, "python3.14", minutes=2)))
    rule.wait_for(shop, "COMPLIANT")
    require(rule.invoke(first) == {"evaluations": 1}, "an event that comes twice is not evaluated")
    rule.wait_for(shop, "COMPLIANT")
    rule.deliver(rule.changed(rule.item(shop, "python3.14", status="ResourceDeleted", minutes=3)))
    rule.wait_for(shop, "NOT_APPLICABLE")
    own = stack.output("RowsFunctionName")
    rule.deliver(rule.oversized(own))
    rule.wait_for(own, "COMPLIANT")
    rule.deliver(rule.scheduled())
    rule.wait_for(rule.function, "COMPLIANT")
    story.fact("config rule: events", 6)
    story.say("The first event again, late, changes nothing. A deleted function is not applicable. An item")
    story.say("that was too large for its event is fetched. At a regular time all functions are evaluated.")


def drill(stack: DeployedStack, faults: Faults, story: Story) -> None:
    """An event without parameters, and a function that may not report, end in the failure queue."""
    rule, shop = Runtimes(stack), f"shop-{secrets.token_hex(4)}"
    url = stack.output("RuntimesFailureQueueUrl")
    with closing(FailureQueue(stack, url, lambda one: shop in json.dumps(one.event))) as failed:
        poison = {**rule.changed(rule.item(shop, "python3.8")), "ruleParameters": "{}"}
        rule.deliver(poison)
        unreported = rule.changed(rule.item(shop, "python3.8"))
        with faults.without_permission(faults.role_of(rule.function), "config:PutEvaluations"):
            rule.deliver(unreported)
            records = failed.wait_for(2)
        reasons = sorted(one.reason for one in records)
        require(["runtimes" in one for one in reasons].count(True) == 1, f"the failure queue has {reasons}")
        require(["PutEvaluations" in one for one in reasons].count(True) == 1, f"it has {reasons}")
        rule.deliver(unreported)
        rule.wait_for(shop, "NON_COMPLIANT")
    story.fact("config rule: events in the failure queue", len(records))
    story.say(
        "AWS Config: an event without parameters, and one that could not be reported, are in the queue."
    )


def smoke(stack: DeployedStack) -> None:
    """Exercise each permission of the function.

    Raises:
        ScenarioFailed: Something was not reported.
    """
    rule = Runtimes(stack)
    own = stack.output("RowsFunctionName")
    for event in (rule.oversized(own), rule.scheduled()):
        rule_event = {**event, "resultToken": "TESTMODE"}
        answer = rule.invoke(rule_event)
        require("evaluations" in answer, f"the function returned {answer}")


ROLES: tuple[Covered, ...] = (
    Covered("RuntimesFunctionName", smoke, only_for_failures=frozenset({"sqs:SendMessage"})),
)


def leftovers(stack: DeployedStack) -> list[str]:
    """Return nothing: results belong to the rule, which is deleted with the stack."""
    return []
