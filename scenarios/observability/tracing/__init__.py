"""Orders through the API, and the trace of each: as a tree, as a picture, and found by what it is about."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from scenarios.framework import BilledEvent, Covered, DeployedStack, NotYet, Outcome, Story, require
from scenarios.observability.tracing.traces import Step, Traces, drawn
from scenarios.support import leftovers as left
from scenarios.support.endpoints import Endpoint, HttpResponse
from scenarios.support.faults import Faults

# Properties that the embedded AWS ignores, with the reason why the scenario is a proof all the same.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}

_HEALTH_CHECKS = 3
_HEADER = "X-Amzn-Trace-Id"


class Shop:
    """The deployed stack, and the orders of this run.

    Args:
        stack: The deployed stack.
    """

    def __init__(self, stack: DeployedStack) -> None:
        self._stack = stack
        self._placed: list[str] = []
        names = {stack.output(f"{name}FunctionName"): name for name in ("Front", "Store")}
        self.traces = Traces(stack, names)

    def __enter__(self) -> Shop:
        return self

    def __exit__(self, *_: object) -> None:
        for order in self._placed:
            self._stack.client("dynamodb").delete_item(**self._key(order))

    def request(self, method: str, path: str, body: object = None, trace: str = "") -> HttpResponse:
        """Send a request, signed with the credentials of the session.

        Args:
            method: The method.
            path: The path without the stage.
            body: What is sent as JSON.
            trace: The tracing header.
        """
        url = self._stack.output("Url").rstrip("/") + path
        endpoint = Endpoint.of(self._stack, url)
        data = json.dumps(body).encode() if body is not None else b""
        target = urlsplit(url).path
        headers = {"Host": endpoint.host, "Content-Type": "application/json"}
        request = AWSRequest(
            method, f"{endpoint.scheme}://{endpoint.host}{target}", headers=headers, data=data
        )
        session = self._stack.session
        signer: Any = session.get_credentials()
        SigV4Auth(signer, "execute-api", session.region_name).add_auth(request)
        lines = [line for line in request.headers.items() if line[0] != "Host"]
        lines += [(_HEADER, trace)] if trace else []
        return endpoint.request(method, target, headers=lines, body=data)

    def order(self, trace: str = "") -> str:
        """Place an order; return its number."""
        answer = self.request("POST", "/orders", {"product": "lamp", "quantity": 2}, trace)
        require(answer.status == 202, f"POST /orders: {answer.status} {answer.body.decode()}")
        order = str(answer.json()["order_id"])
        self._placed.append(order)
        return order

    def wait_stored(self, order: str) -> None:
        """Wait until an order is in the table."""

        def check() -> None:
            if "Item" not in self._stack.client("dynamodb").get_item(**self._key(order), ConsistentRead=True):
                raise NotYet("no item")

        self._stack.wait_until(check, f"order {order} in the table")

    def _key(self, order: str) -> dict[str, Any]:
        return {"TableName": self._stack.output("TableName"), "Key": {"order_id": {"S": order}}}

    def trace_of(self, order: str) -> tuple[str, list[Step]]:
        """Wait for the trace of a stored order, found by its number; return its id and its steps."""

        def check() -> tuple[str, list[Step]]:
            found = self.traces.found(f'annotation.order_id = "{order}" AND !partial')
            if not found:
                raise NotYet("no trace with its number")
            steps = self.traces.steps(found[0])
            if not any(one.name == "DynamoDB.PutItem" and not one.failed for one in steps):
                raise NotYet(f"trace {found[0]} with {', '.join(one.name for one in steps)}")
            return found[0], steps

        return self._stack.wait_until(check, f"the trace of order {order}")


def run(stack: DeployedStack) -> Outcome:
    """An order is one trace across the queue, which its number finds; a health check has none.

    Raises:
        ScenarioFailed: A part of the trace is missing, or there is one too many.
    """
    story = Story("One trace from the API to the table", stack.tell)
    with Shop(stack) as shop:
        for _ in range(_HEALTH_CHECKS):
            require(shop.request("GET", "/health").status == 200, "GET /health failed")
        with story.timed("an order"):
            order = shop.order()
            shop.wait_stored(order)
        trace, steps = shop.trace_of(order)
        story.say(f'annotation.order_id = "{order}" finds trace {trace}. Start and time of each part:')
        for one in steps:
            story.say(one.line())
        (store,) = (one for one in steps if one.kind == "segment" and one.name == "Store")
        story.fact("segments", ", ".join(_segments(steps)))
        calls = [one.name for one in steps if one.document.get("aws", {}).get("operation")]
        story.fact("calls", ", ".join(calls))
        story.fact("parent of the store", _parent(steps, store).name)
        story.fact("annotations", ", ".join(sorted(_annotations(steps))))
        batch = store.document["links"][0]["trace_id"]
        linked = [link for one in shop.traces.steps(batch) for link in one.document.get("links", ())]
        story.fact("the batch is linked to it", int(trace in [link["trace_id"] for link in linked]))
        story.say(
            f"Lambda began trace {batch} for the batch, and linked it to this one. The function continues "
            "this one for the message, so one trace has all of an order."
        )
        checks = shop.traces.found('http.url ENDSWITH "/health"')
        story.fact("traces of health checks", len(checks))
        story.say(f"{_HEALTH_CHECKS} health checks, which a rule with rate 0 excludes: {len(checks)} traces.")
        path = stack.out / "tracing.svg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(drawn(steps, f"Order {order}, trace {trace}"), "utf-8")
    expected = {
        "segments": "API [AWS::ApiGateway::Stage], Front [AWS::Lambda], Front [AWS::Lambda::Function], Store",
        "calls": "Lambda.Invoke, SQS.SendMessage, DynamoDB.PutItem",
        "parent of the store": "Front [AWS::Lambda::Function]",
        "annotations": "attempt, order_id, product, quantity",
        "the batch is linked to it": 1,
        "traces of health checks": 0,
    }
    facts = story.outcome().facts
    require(facts == expected, f"expected {expected}, saw {facts}")
    return story.outcome([path])


def _segments(steps: Sequence[Step]) -> list[str]:
    stage = "AWS::ApiGateway::Stage"
    names = [one.name for one in steps if one.kind == "segment"]
    return [f"API [{stage}]" if name.endswith(f"[{stage}]") else name for name in names]


def _parent(steps: Sequence[Step], child: Step) -> Step:
    return next(one for one in steps if one.document["id"] == child.document["parent_id"])


def _annotations(steps: Sequence[Step]) -> set[str]:
    return {name for one in steps for name in one.document.get("annotations", {})}


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """A retry is in the same trace; without the permission to put segments only the traces are lost.

    Raises:
        ScenarioFailed: The failed attempt is not in the trace, or an order was lost with its trace.
    """
    story = Story("The table fails once, and a function may not put segments", stack.tell)
    with Shop(stack) as shop:
        role = faults.role_of(stack.output("StoreFunctionName"))
        with stack.faults.api("dynamodb", "PutItem", error="ResourceNotFoundException", role=role, times=1):
            order = shop.order()
            shop.wait_stored(order)
        trace, steps = shop.trace_of(order)
        for one in steps:
            story.say(one.line())
        attempts = [one for one in steps if one.kind == "segment" and one.name == "Store"]
        ends = ["failed" if one.failed else "stored" for one in attempts]
        story.fact("attempts in the trace", " then ".join(ends))
        group = f'group.name = "{stack.output("GroupName")}"'
        story.fact("in the group of retries", int(trace in shop.traces.found(group)))
        story.say("The failed attempt and the one that stored the order: one trace, which the group has.")
        with faults.without_permission(
            faults.role_of(stack.output("FrontFunctionName")), "xray:PutTraceSegments"
        ):
            chosen = f"1-{int(time.time()):08x}-{secrets.token_hex(12)}"
            order = shop.order(f"Root={chosen};Sampled=1")
            shop.wait_stored(order)
        shop.trace_of(order)
        left_over = _segments(shop.traces.steps(chosen))
        story.fact("segments without the permission", ", ".join(sorted(left_over)))
        story.say(f"The order is stored; of its trace there is only {', '.join(left_over)}.")
    facts = story.outcome().facts
    expected = {
        "attempts in the trace": "failed then stored",
        "in the group of retries": 1,
        "segments without the permission": "API [AWS::ApiGateway::Stage], Store",
    }
    require(facts == expected, f"expected {expected}, saw {facts}")
    return story.outcome()


def smoke(stack: DeployedStack) -> None:
    """Place an order: each permission is needed for it.

    Raises:
        ScenarioFailed: It was not stored.
    """
    with Shop(stack) as shop:
        shop.wait_stored(shop.order())


EVENT = BilledEvent("an order", smoke)

ROLES = (Covered("FrontFunctionName", smoke), Covered("StoreFunctionName", smoke))


def leftovers(stack: DeployedStack) -> Sequence[str]:
    """Return what is in the table and in the queues."""
    return [*left.in_tables(stack), *left.in_queues(stack)]
