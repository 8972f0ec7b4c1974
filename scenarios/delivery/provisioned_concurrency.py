"""Calls an alias with provisioned concurrency, lets it scale, and uses up the account's concurrency."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from botocore.config import Config
from botocore.exceptions import ClientError

from scenarios.framework import BilledEvent, Covered, DeployedStack, NotYet, Outcome, Story, require
from scenarios.support import charts
from scenarios.support.faults import Faults

# Properties that the embedded AWS ignores, with the reason why the scenario is a proof all the same.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}

_REQUEST = {"from": "Berlin", "to": "Paris"}
_ZONE = "Europe/Berlin"
_ACTION = "scenario"
_AT_ONCE = 4
_LATEST = "$LATEST"
_KINDS = {"initialized in advance": "provisioned-concurrency", "spilled over, on-demand": "on-demand"}


def run(stack: DeployedStack) -> Outcome:
    """Calls find an initialized environment, more calls spill over, and the number follows clock and use.

    Raises:
        ScenarioFailed: The code outside the handler ran during a call that provisioned concurrency answers,
            or the number did not change.
    """
    story = Story("Environments that are initialized in advance", stack.tell)
    scaling = _Scaling(stack)
    scaling.bring_to(1)
    with story.timed("a price"):
        answer = _price(stack)
    require(answer["euros"] == "7.41", f"the price is {answer}")
    require(answer["initialization"] == "provisioned-concurrency", f"the first call found {answer}")
    story.fact("first call", answer["initialization"])
    story.say("The alias has one initialized environment, which answers the first call: 7.41 EUR.")
    kinds = stack.wait_until(lambda: _spilled_over(stack), "a call that spills over")
    story.fact("more calls at once", "on-demand")
    story.say("More calls at once than that: one of them spills over into an environment that is on-demand.")
    latest = _price(stack, _LATEST)["initialization"]
    story.fact("without the alias", latest)
    story.say(f"A call without the alias does not use provisioned concurrency: {latest}.")
    with scaling.soon(2) as local:
        stack.patient.wait_until(lambda: scaling.require(2), "the scheduled action")
        causes = scaling.causes()
        require(any(f"name {_ACTION} was" in one for one in causes[:2]), f"why it was scaled: {causes}")
        story.fact("by schedule", scaling.number())
        story.say(f"A scheduled action for {local:%H:%M:%S} in {_ZONE}: at that time there are 2.")
    scaling.bring_to(1)

    def busy() -> None:
        _price(stack)
        scaling.require(2)

    stack.patient.wait_until(busy, "target tracking")
    causes = scaling.causes()
    require("-AlarmHigh-" in causes[0], f"why it was scaled: {causes}")
    story.fact("by utilization", scaling.number())
    story.say("The one environment is busier than the target of 70 % for three minutes: there are 2.")
    scaling.bring_to(1)
    rows = [charts.Bar(name, kinds.count(kind), _AT_ONCE) for name, kind in _KINDS.items()]
    title = f"{_AT_ONCE} short calls at once, and one environment that is initialized in advance"
    picture = charts.bars(title, rows)
    return story.outcome([charts.save(stack.out / "provisioned-concurrency.svg", picture)])


def smoke(stack: DeployedStack) -> None:
    """Invoke both functions once: they need no permission of their own.

    Raises:
        ScenarioFailed: A call failed.
    """
    _price(stack)
    _invoke(stack.client("lambda"), stack.output("ReportsFunctionName"), _LATEST, {"seconds": 0})


EVENT = BilledEvent("a call of the alias", lambda stack: _price(stack))

ROLES = (Covered("FunctionName", smoke), Covered("ReportsFunctionName", smoke))


def leftovers(stack: DeployedStack) -> list[str]:
    """Return the scheduled action and the reserved concurrency: only scenario and drill make them."""
    made = _Scaling(stack).actions()
    reserved = stack.client("lambda").get_function_concurrency(FunctionName=stack.output("FunctionName"))
    number = reserved.get("ReservedConcurrentExecutions")
    return [f"action: {name}" for name in made if name == _ACTION] + (
        [f"reserved: {number}"] if number is not None else []
    )


def drill(stack: DeployedStack, _faults: Faults) -> Outcome:
    """A noisy neighbour uses up the account; provisioned and reserved concurrency are what it cannot use.

    Raises:
        ScenarioFailed: A call was not throttled, an event was lost, or reserving did not help.
    """
    story = Story("A noisy neighbour uses up the account's concurrency", stack.tell)
    client, name = stack.client("lambda"), stack.output("FunctionName")
    once = stack.session.client("lambda", config=Config(retries={"total_max_attempts": 1}))
    _Scaling(stack).bring_to(1)
    free = client.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"] - 1
    with stack.faults.concurrency(free - 1), _report(stack):
        refused = _refusal(once, name)
        require(refused == "ConcurrentInvocationLimitExceeded", f"a call without the alias got {refused}")
        story.fact("synchronous", refused)
        story.say(f"{free - 1} other executions and one report: a synchronous call gets 429, {refused}.")
        answer = _price(stack)["initialization"]
        story.fact("with the alias", answer)
        story.say("The alias still answers: its provisioned concurrency is its own.")
        throttles, runs = _total(stack, "Throttles"), _total(stack, "Invocations")
        client.invoke(FunctionName=name, InvocationType="Event", Payload=json.dumps(_REQUEST))
        stack.wait_until(lambda: _more(stack, "Throttles", throttles), "a throttled event")
        require(_total(stack, "Invocations") == runs, "the event ran although nothing was free")
        story.say("An asynchronous event is accepted, throttled, and waits in Lambda's queue.")
        try:
            client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=3)
            stack.wait_until(lambda: _more(stack, "Invocations", runs), "the event that waited")
            answer = _price(stack, _LATEST)["initialization"]
            story.fact("with reserved concurrency", answer)
            story.say(
                "3 reserved for the function: the event that waited runs, and calls are answered again."
            )
        finally:
            client.delete_function_concurrency(FunctionName=name)
    return story.outcome()


def _invoke(client: Any, name: str, qualifier: str, event: object) -> Any:
    answer = client.invoke(FunctionName=name, Qualifier=qualifier, Payload=json.dumps(event))
    result = json.loads(answer["Payload"].read())
    require("FunctionError" not in answer, f"{name} failed: {result}")
    return result


def _price(stack: DeployedStack, qualifier: str | None = None) -> dict[str, str]:
    alias = qualifier or stack.output("AliasName")
    return dict(_invoke(stack.client("lambda"), stack.output("FunctionName"), alias, _REQUEST))


def _spilled_over(stack: DeployedStack) -> list[str]:
    """Call several times at once, until one call does not find the environment free; how each was started."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers = list(pool.map(lambda _: _price(stack), range(_AT_ONCE)))
    kinds = [one["initialization"] for one in answers]
    if "on-demand" not in kinds:
        raise NotYet(str(kinds))
    return kinds


def _refusal(client: Any, name: str) -> str:
    try:
        _invoke(client, name, _LATEST, _REQUEST)
    except ClientError as error:
        return str(error.response.get("Reason", error))
    return "an answer"


@contextmanager
def _report(stack: DeployedStack) -> Iterator[None]:
    """A report that runs until the end of the body."""
    name = stack.output("ReportsFunctionName")
    config = Config(read_timeout=120, retries={"total_max_attempts": 1})
    client = stack.session.client("lambda", config=config)
    with ThreadPoolExecutor(1) as pool:
        payload = json.dumps({"seconds": 100})
        running = pool.submit(lambda: client.invoke(FunctionName=name, Payload=payload))
        try:
            stack.wait_until(lambda: _more(stack, "ConcurrentExecutions", 0, name), "the report")
            yield
        finally:
            stack.faults.kill(name)
            running.result()


def _total(stack: DeployedStack, metric: str, name: str | None = None) -> float:
    now = datetime.now(UTC)
    points = stack.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/Lambda",
        MetricName=metric,
        Dimensions=[
            {"Name": "FunctionName", "Value": name or stack.output("FunctionName")},
            *([] if name else [{"Name": "Resource", "Value": stack.output("FunctionName")}]),
        ],
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(minutes=5),
        Period=60,
        Statistics=["Sum"],
    )["Datapoints"]
    return sum(float(one["Sum"]) for one in points)


def _more(stack: DeployedStack, metric: str, than: float, name: str | None = None) -> None:
    if (total := _total(stack, metric, name)) <= than:
        raise NotYet(f"{metric}: {total:g}")


class _Scaling:
    """The scalable target of the alias."""

    def __init__(self, stack: DeployedStack) -> None:
        self._stack, self._client = stack, stack.client("application-autoscaling")
        self._alias = {
            "FunctionName": stack.output("FunctionName"),
            "Qualifier": stack.output("AliasName"),
        }
        self._target = {
            "ServiceNamespace": "lambda",
            "ScalableDimension": "lambda:function:ProvisionedConcurrency",
            "ResourceId": "function:{FunctionName}:{Qualifier}".format(**self._alias),
        }

    def _config(self) -> dict[str, Any]:
        return dict(self._stack.client("lambda").get_provisioned_concurrency_config(**self._alias))

    def number(self) -> int:
        """How many environments are initialized."""
        return int(self._config()["AvailableProvisionedConcurrentExecutions"])

    def require(self, number: int) -> None:
        """Raise `NotYet` unless that many are initialized."""
        found = self._config()
        if found["Status"] != "READY" or found["AvailableProvisionedConcurrentExecutions"] != number:
            raise NotYet(f"{found['AvailableProvisionedConcurrentExecutions']}, {found['Status']}")

    def bring_to(self, number: int) -> None:
        """Bring it to a number by the range, and restore the range of the template."""
        self._client.register_scalable_target(**self._target, MinCapacity=number, MaxCapacity=number)
        self._stack.patient.wait_until(lambda: self.require(number), f"{number} initialized")
        self._client.register_scalable_target(**self._target, MinCapacity=1, MaxCapacity=2)

    @contextmanager
    def soon(self, number: int) -> Iterator[datetime]:
        """A scheduled action in a few seconds, in a time zone; the range of the template afterwards."""
        local = datetime.now(ZoneInfo(_ZONE)) + timedelta(seconds=3)
        try:
            self._client.put_scheduled_action(
                **self._target,
                ScheduledActionName=_ACTION,
                Schedule=f"at({local:%Y-%m-%dT%H:%M:%S})",
                Timezone=_ZONE,
                ScalableTargetAction={"MinCapacity": number},
            )
            yield local
        finally:
            self._client.delete_scheduled_action(**self._target, ScheduledActionName=_ACTION)

    def actions(self) -> list[str]:
        """The names of the scheduled actions."""
        found = self._client.describe_scheduled_actions(
            ServiceNamespace="lambda", ResourceId=self._target["ResourceId"]
        )
        return [one["ScheduledActionName"] for one in found["ScheduledActions"]]

    def causes(self) -> list[str]:
        """Why the number was changed, newest first."""
        found = self._client.describe_scaling_activities(
            ServiceNamespace="lambda", ResourceId=self._target["ResourceId"]
        )
        return [one["Cause"] for one in found["ScalingActivities"]]
