"""Books through RDS Proxy from more callers than the database has connections, and breaks the database."""

from __future__ import annotations

import datetime
from collections.abc import Mapping

from scenarios.data.rds_proxy.bookings import Bookings, booking, require_success, waiting_times
from scenarios.data.rds_proxy.drill import drill
from scenarios.data.rds_proxy.unpooled import UNPOOLED
from scenarios.framework import BilledEvent, Covered, DeployedStack, NotYet, Outcome, Story, require
from scenarios.support.migration import migrate

__all__ = ["ACCEPTED_NOT_EMULATED", "DRILL_IS_LONG", "EVENT", "ROLES", "drill", "leftovers", "run", "smoke"]

# What the embedded AWS accepts but does not emulate, and why the scenario is still a proof.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {
    "AWS::Lambda::Function.VpcConfig": "functions run on this machine and no packet is filtered; the tests "
    "of the template check the security groups",
    "AWS::RDS::DBInstance.DeleteAutomatedBackups": "there are no backups that could outlive the database",
    "AWS::RDS::DBInstance.EnableCloudwatchLogsExports": "the scenario does not read the server's log",
}

DRILL_IS_LONG = True  # hundreds of cold starts

# Callers for each connection of the database.
_CALLERS, _MAX_ROUNDS = 2, 5


def run(stack: DeployedStack) -> Outcome:
    """More callers than connections book at the same time; each booking is made once.

    Raises:
        ScenarioFailed: A check failed.
    """
    story = Story("More callers than connections", stack.tell)
    began = datetime.datetime.now(datetime.UTC)
    with booking(stack) as bookings:
        with story.timed("bookings"):
            _check_callers(bookings, story)
        _check_repetitions(bookings, story)
        _check_invalid_requests(bookings, story)
        _check_metrics(stack, bookings, story, began)
    story.say("Reversed all bookings: the accounts are at 0. A ledger keeps the bookings themselves.")
    return story.outcome()


def smoke(stack: DeployedStack) -> None:
    """Exercise each permission once.

    Raises:
        ScenarioFailed: The booking failed.
    """
    with booking(stack) as bookings:
        answer = bookings.book(bookings.request_ids(1)[0])
        require(answer.error is None, f"the booking failed: {answer.reason}")


def smoke_of_proxy(stack: DeployedStack) -> None:
    """Let the proxy log in as the owner with the secret, and as the function's user with IAM.

    Raises:
        ScenarioFailed: Migration or booking failed.
    """
    migrate(stack)
    smoke(stack)


# New execution environments, because an open connection outlives the permission to connect.
def one_booking(stack: DeployedStack) -> None:
    """Book once; it is not reversed, which would be another event."""
    bookings = Bookings(stack)
    require_success([bookings.book(bookings.request_ids(1)[0])])


EVENT = BilledEvent("a booking", one_booking)

ROLES = (
    Covered("FunctionName", smoke, new_instances=True),
    Covered("MigrationName", migrate),
    Covered("ProxyName", smoke_of_proxy, function="FunctionName", new_instances=True),
)


def leftovers(stack: DeployedStack) -> list[str]:
    """Return what a run or a drill left behind: the copy of the function that bypasses the proxy."""
    pages = stack.client("lambda").get_paginator("list_functions").paginate()
    names = [function["FunctionName"] for page in pages for function in page["Functions"]]
    return [f"function: {name}" for name in names if name.endswith(UNPOOLED)]


def _check_callers(bookings: Bookings, story: Story) -> None:
    first = bookings.book(bookings.request_ids(1)[0], amount=0)  # creates the tables if there are none
    require_success([first])
    story.say(f"Booked once, with a cold start: {first.seconds:.2f} s.")
    count, connected, answers = _CALLERS * bookings.max_connections, 0, []
    # A fast environment serves several callers, so a round may need few: the next one has more callers.
    for number in range(1, _MAX_ROUNDS + 1):
        answers += bookings.at_once(bookings.book, bookings.request_ids(number * count))
        require_success(answers)
        connected = sum(answer.connected for answer in answers)
        if connected > bookings.max_connections:
            break
    require(
        connected > bookings.max_connections,
        f"only {connected} environments connected, too few to prove a pool of {bookings.max_connections}",
    )
    balance = bookings.balance()
    require(balance == len(answers), f"after {len(answers)} bookings of 1 the balance is {balance}")
    story.fact("bookings", len(answers))
    story.fact("environments", connected)
    story.say(
        f"Up to {number * count} concurrent callers made {len(answers)} bookings from {connected} execution "
        "environments, each with its own connection to the proxy; the database has "
        f"{bookings.max_connections}. All succeeded: {waiting_times(answers)}."
    )
    answers = bookings.at_once(bookings.book, bookings.request_ids(count))
    require_success(answers)
    reused = sum(not answer.connected for answer in answers)
    require(reused > count // 2, f"only {reused} of {count} invocations reused a connection")
    story.fact("reused_connections", reused)
    story.say(f"{count} more, of which {reused} reused an open connection: {waiting_times(answers)}.")


def _check_repetitions(bookings: Bookings, story: Story) -> None:
    before = bookings.balance()
    [request_id] = bookings.request_ids(1)
    answers = bookings.at_once(bookings.book, [request_id] * 10)
    require_success(answers)
    made = [answer for answer in answers if not answer.payload["replayed"]]
    require(len(made) == 1, f"one request sent ten times was booked {len(made)} times")
    require(bookings.balance() == before + 1, "the balance changed by more than the one booking")
    story.fact("replays", len(answers) - len(made))
    story.say("Sent one request ten times at once: booked once, and all ten got the same balance.")


def _check_invalid_requests(bookings: Bookings, story: Story) -> None:
    answer = bookings.send({"request_id": "x", "account": bookings.account, "amount": "a lot"})
    require(answer.error == "InvalidBooking", f"an amount in words was answered with {answer.payload}")
    [request_id] = bookings.request_ids(1)
    bookings.book(request_id)
    reused = bookings.book(request_id, amount=2)
    require(reused.error == "RequestIdReused", f"another amount was answered with {reused.payload}")
    story.say(f"Refused an amount in words: {answer.reason}.")
    story.say(f"Refused a request id with another amount: {reused.error}.")


def _check_metrics(stack: DeployedStack, bookings: Bookings, story: Story, began: datetime.datetime) -> None:
    """Check the proxy's metrics in CloudWatch; in AWS they arrive a minute or two later."""
    clients = _maximum(stack, "ClientConnections", began)
    connections = _maximum(stack, "DatabaseConnections", began)
    pinned = _maximum(stack, "DatabaseConnectionsCurrentlySessionPinned", began)
    require(connections <= bookings.max_connections, f"the proxy had {connections:g} connections")
    require(pinned == 0, f"{pinned:g} sessions were pinned to a connection")
    story.fact("client_connections", int(clients))
    story.fact("database_connections", int(connections))
    story.fact("pinned_sessions", int(pinned))
    story.say(
        f"CloudWatch: up to {clients:g} client connections to the proxy, {connections:g} connections to the "
        "database, no pinned session."
    )


def _maximum(stack: DeployedStack, metric: str, began: datetime.datetime) -> float:
    """Return the maximum of a metric of the proxy since the scenario began."""

    def check() -> float:
        answer = stack.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/RDS",
            MetricName=metric,
            Dimensions=[{"Name": "ProxyName", "Value": stack.output("ProxyName")}],
            StartTime=began - datetime.timedelta(minutes=1),
            EndTime=datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=1),
            Period=60,
            Statistics=["Maximum"],
        )
        values = [float(point["Maximum"]) for point in answer["Datapoints"]]
        if not values or (metric == "ClientConnections" and not any(values)):
            raise NotYet(f"values {values}")
        return max(values)

    return stack.wait_until(check, what=f"metric {metric} of the proxy")
