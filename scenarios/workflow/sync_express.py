"""Orders through both APIs, with requests that are signed as any client of AWS signs them.

The REST API answers with the output, or with the status of the error. The HTTP API answers with what Step
Functions says, and its client reads the status of the execution.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError

from scenarios.framework import (
    BilledEvent,
    Covered,
    DeployedStack,
    NotYet,
    Outcome,
    Story,
    require,
    wait_until,
)
from scenarios.support import leftovers as left
from scenarios.support.endpoints import Endpoint, HttpResponse
from scenarios.support.faults import Faults

#: What the embedded AWS accepts but does not emulate, and why the scenario proves its point anyway.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {
    "AWS::StepFunctions::StateMachine.TracingConfiguration": "no outcome depends on traces",
}

FRONTS = ("Rest", "Http")
_LOG_MINUTES = 5


@dataclass(frozen=True)
class Answer:
    """What a client learns: a status, and the order or the error."""

    status: int
    body: dict[str, Any]


class Shop:
    """The deployed stack, and the products of this run."""

    def __init__(self, stack: DeployedStack) -> None:
        self._stack = stack
        self.run_id = uuid4().hex[:8]
        self._dynamodb = stack.client("dynamodb")
        self._table = stack.output("TableName")
        self.lamp, self.pencil = f"lamp/{self.run_id}", f"pencil/{self.run_id}"
        for product, number in ((self.lamp, 3), (self.pencil, 1_000)):
            item = {"product": {"S": product}, "in_stock": {"N": str(number)}, "orders": {"SS": ["none"]}}
            self._dynamodb.put_item(TableName=self._table, Item=item)

    def order(self, front: str, product: str, quantity: object = 1, **more: object) -> Answer:
        """Place an order through one of the APIs."""
        order = {"order_id": uuid4().hex, "product": product, "quantity": quantity, **more}
        return read(front, self.post(front, json.dumps(order).encode()))

    def post(self, front: str, body: bytes, *, signed: bool = True) -> HttpResponse:
        """Send a request, signed with the credentials of the session."""
        url = self._stack.output(f"{front}Url").rstrip("/") + "/orders"
        endpoint = Endpoint.of(self._stack, url)
        request = AWSRequest(
            "POST",
            f"{endpoint.scheme}://{endpoint.host}{urlsplit(url).path}",
            headers={"Host": endpoint.host, "Content-Type": "application/json"},
            data=body,
        )
        if signed:
            session = self._stack.session
            signer: Any = session.get_credentials()
            SigV4Auth(signer, "execute-api", session.region_name).add_auth(request)
        headers = [line for line in request.headers.items() if line[0] != "Host"]
        return endpoint.request("POST", urlsplit(url).path, headers=headers, body=body)

    def in_stock(self, product: str) -> int:
        """The number in stock."""
        key = {"product": {"S": product}}
        answer = self._dynamodb.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        return int(answer["Item"]["in_stock"]["N"])

    def close(self) -> None:
        """Delete the products of this run."""
        for product in (self.lamp, self.pencil):
            self._dynamodb.delete_item(TableName=self._table, Key={"product": {"S": product}})


def read(front: str, response: HttpResponse) -> Answer:
    """Read a response: behind the HTTP API, an execution that failed has status 200, too."""
    body = response.json()
    if front == "Http" and response.status == 200:
        body = json.loads(body["output"]) if body["status"] == "SUCCEEDED" else {"error": body["error"]}
    return Answer(response.status, body)


def run(stack: DeployedStack) -> Outcome:
    """Place orders that succeed, fail and take too long, through both APIs.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story = Story("Orders that a workflow answers", stack.tell)
    with closing(Shop(stack)) as shop:
        for front in FRONTS:
            with story.timed(front):
                answer = shop.order(front, shop.lamp)
            expect(answer, 200, cents=4_900, attempts=1)
        story.say("Both APIs answer with the order: priced by another API, reserved by a function.")
        busy(stack, shop, story)
        _errors(shop, story)
        _repeat(shop, story)
        for front in FRONTS:
            refused = shop.post(front, b"{}", signed=False)
            require(refused.status == 403, f"{front}: an unsigned request is answered {refused.status}")
        story.say("Both APIs refuse unsigned requests with 403.")
        _log(stack, shop, story)
    return story.outcome()


def busy(stack: DeployedStack, shop: Shop, story: Story) -> None:
    """The function finds the stock busy: twice, and in every attempt."""
    if stack.faults is None:
        expect(shop.order("Rest", shop.pencil, 10), 200, cents=1_500, attempts=1)
        story.say("Not shown: a stock that is busy. Only the embedded AWS is as busy as it is asked to be.")
        return
    function = stack.output("FunctionName")
    with stack.faults.function(function, error="StockBusy", times=2):
        cured = shop.order("Rest", shop.pencil, 10)
    expect(cured, 200, cents=1_500, attempts=3)
    with stack.faults.function(function, error="StockBusy"):
        expect(shop.order("Rest", shop.lamp), 503, error="Busy")
    story.say("The stock was busy twice (StockBusy): the workflow tried again, and the client waited.")
    story.say("It was busy in all three attempts: Busy 503.")
    story.fact("attempts", cured.body["attempts"])


def _errors(shop: Shop, story: Story) -> None:
    """Each error of the workflow is a status of the REST API."""
    shown = []
    for error, status, answer in (
        ("InvalidInput", 400, read("Rest", shop.post("Rest", b"not JSON"))),
        ("InvalidOrder", 400, shop.order("Rest", shop.lamp, "many")),
        ("InvalidOrder", 400, fraction := shop.order("Rest", shop.lamp, 1.5)),  # raised by the function
        ("UnknownProduct", 404, shop.order("Rest", f"spoon/{shop.run_id}")),
        ("OutOfStock", 409, shop.order("Rest", shop.lamp, 5)),
        ("Timeout", 504, shop.order("Rest", shop.lamp, hold=60)),
    ):
        expect(answer, status, error=error)
        shown.append(f"{error} {status}")
    require("whole quantity" in str(fraction.body["message"]), f"no reason: {fraction}")
    story.say(f"The REST API answers errors of the workflow with their status: {', '.join(shown)}.")
    expect(shop.order("Http", shop.lamp, 5), 200, error="OutOfStock")
    story.say(
        "The HTTP API answers 200 to an execution that failed: its client reads the status in the body."
    )
    require(shop.in_stock(shop.lamp) == 1, f"{shop.in_stock(shop.lamp)} lamps are in stock, not 1")
    story.fact("errors", len(shown))


def _repeat(shop: Shop, story: Story) -> None:
    """A client that repeats its request starts the workflow again, and the tasks change nothing."""
    body = json.dumps({"order_id": uuid4().hex, "product": shop.pencil, "quantity": 90}).encode()
    answers = [read(front, shop.post(front, body)) for front in FRONTS]
    require(answers[0] == answers[1], f"a repeated request is answered otherwise: {answers}")
    require(shop.in_stock(shop.pencil) == 900, f"{shop.in_stock(shop.pencil)} pencils are in stock, not 900")
    story.say("A repeated order is answered again, and reserved once.")


def _log(stack: DeployedStack, shop: Shop, story: Story) -> None:
    """The log has the events of an execution, without its data."""

    def check() -> list[dict[str, Any]]:
        logged = executions(stack)
        done = [line["execution_arn"] for line in logged if line["type"] == "ExecutionSucceeded"]
        if not done:
            raise NotYet(f"{len(logged)} lines, none about the end of an execution")
        return [line for line in logged if line["execution_arn"] == done[-1]]

    lines = wait_until(check, what="log of executions", timeout=stack.patience)
    require(shop.run_id not in json.dumps(lines), "the log contains data of an order")
    story.fact("logged events", len(lines))
    story.say(f"The log of an execution has {len(lines)} events, and no data of the order.")


def executions(stack: DeployedStack) -> list[dict[str, Any]]:
    """The events in the log of executions of the last minutes, in order."""
    pages = (
        stack.client("logs")
        .get_paginator("filter_log_events")
        .paginate(
            logGroupName=stack.output("ExecutionLogName"),
            startTime=int((time.time() - _LOG_MINUTES * 60) * 1000),
        )
    )
    return [json.loads(event["message"]) for page in pages for event in page["events"]]


def expect(answer: Answer, status: int, **body: object) -> None:
    """Check the status of an answer, and some of its body.

    Raises:
        ScenarioFailed: It is another one.
    """
    seen = {name: answer.body.get(name) for name in body}
    require((answer.status, seen) == (status, body), f"{status} {body} expected, not {answer}")


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """Take permissions and capacity away: no order is lost halfway, and no client sees the inside.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story = Story("What clients see of faults", stack.tell)
    arn = stack.output("StateMachine")
    described = stack.client("stepfunctions").describe_state_machine(stateMachineArn=arn)
    machine = described["roleArn"].rpartition("/")[2]
    with closing(Shop(stack)) as shop:
        with faults.without_permission(stack.output("RestRole"), "states:StartSyncExecution"):
            expect(shop.order("Rest", shop.lamp), 500, error="InternalServerError")
        with faults.without_permission(stack.output("HttpRole"), "states:StartSyncExecution"):
            require(shop.order("Http", shop.lamp).status == 400, "the HTTP API has hidden the refusal")
        story.say("An API that may not start the workflow: 500 (REST), and 400 of Step Functions (HTTP).")
        with faults.without_permission(machine, "execute-api:Invoke"):
            expect(shop.order("Rest", shop.lamp), 500, error="InternalServerError")
            expect(shop.order("Http", shop.lamp), 200, error="ApiGateway.403")
        story.say("A workflow that may not call the prices: ApiGateway.403, of which REST clients see 500.")
        with faults.without_permission(machine, "lambda:InvokeFunction"):
            expect(shop.order("Rest", shop.lamp), 503, error="Busy")
        story.say(
            "A workflow that may not invoke its function: Lambda.AWSLambdaException, retried in vain: 503."
        )
        with throttled(stack, stack.output("FunctionName")):
            expect(shop.order("Rest", shop.lamp), 503, error="Busy")
        story.say("A function without capacity: Lambda.TooManyRequestsException, retried in vain: 503.")
        require(shop.in_stock(shop.lamp) == 3, "an order that failed was reserved")
        expect(shop.order("Rest", shop.lamp, 3), 200, cents=14_700)
        story.say("Nothing was reserved meanwhile; the next order is.")
        story.fact("in stock", shop.in_stock(shop.lamp))
    return story.outcome()


@contextmanager
def throttled(stack: DeployedStack, function: str) -> Iterator[None]:
    """Give a function no capacity while the body runs."""
    client = stack.client("lambda")
    client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
    try:
        yield
    finally:
        client.delete_function_concurrency(FunctionName=function)


def smoke(stack: DeployedStack, front: str) -> None:
    """Exercise each permission of an API's role, or of the function's, once.

    Raises:
        ScenarioFailed: The order was not placed.
    """
    with closing(Shop(stack)) as shop:
        expect(shop.order(front, shop.lamp), 200, cents=4_900)


def smoke_workflow(stack: DeployedStack) -> None:
    """Exercise each permission of the workflow's role once: the delivery of logs is checked at an update.

    Raises:
        ScenarioFailed: The order was not placed; the message has the causes from the log.
    """
    client, arn = stack.client("stepfunctions"), stack.output("StateMachine")
    settings = client.describe_state_machine(stateMachineArn=arn)["loggingConfiguration"]
    try:
        client.update_state_machine(stateMachineArn=arn, loggingConfiguration=settings)
    except ClientError as error:
        require(False, str(error))
    with closing(Shop(stack)) as shop:
        order = {"order_id": uuid4().hex, "product": shop.lamp, "quantity": 1}
        answer = client.start_sync_execution(stateMachineArn=arn, input=json.dumps(order))
        mine = answer["executionArn"]
        causes = [one["details"].get("cause") for one in executions(stack) if one["execution_arn"] == mine]
        require(answer["status"] == "SUCCEEDED", f"{answer['status']}: {causes}")


EVENT = BilledEvent("an order at the REST API", partial(smoke, front="Rest"))

ROLES = (
    Covered(role_of="FunctionName", scenario=partial(smoke, front="Rest")),
    Covered(role_of="RestRole", function="FunctionName", scenario=partial(smoke, front="Rest")),
    Covered(role_of="HttpRole", function="FunctionName", scenario=partial(smoke, front="Http")),
    Covered(role_of="StateMachine", function="FunctionName", scenario=smoke_workflow),
)


def leftovers(stack: DeployedStack) -> Sequence[str]:
    """Return what is in the table."""
    return left.in_tables(stack)
