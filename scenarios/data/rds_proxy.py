"""Books through RDS Proxy from more callers than the database takes, and breaks what is behind the proxy."""

from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from scenarios.data import strangers
from scenarios.data.bookings import Answer, Bookings, in_words
from scenarios.data.unpooled import unpooled_function
from scenarios.framework import DeployedStack, NotYet, Outcome, ScenarioFailed, Story, require
from scenarios.support.faults import Faults

# What the embedded AWS accepts and does not do, and why the scenario is a proof all the same.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {
    "AWS::Lambda::Function.VpcConfig": "functions run on this machine, no packet is routed: who may reach "
    "whom is in the security groups of the template, and tested there",
    "AWS::RDS::DBInstance.DeleteAutomatedBackups": "there are no backups that could outlive the database",
    "AWS::RDS::DBInstance.EnableCloudwatchLogsExports": "the server's log is not what this scenario reads",
}

# How many callers there are for each connection of the database.
_CALLERS, _CALLERS_IN_THE_DRILL, _ROUNDS = 3, 6, 5
_DURING_A_FAILOVER = 150


def run(stack: DeployedStack) -> Outcome:
    """More callers than connections book at the same time; each booking is made once.

    Raises:
        ScenarioFailed: Something did not come out as it should.
    """
    story = Story("More callers than connections", stack.tell)
    with _bookings(stack) as bookings:
        began = datetime.datetime.now(datetime.UTC)
        with story.timed("bookings"):
            _check_callers(bookings, story)
        _check_repetitions(bookings, story)
        _check_what_is_no_booking(bookings, story)
        _check_pool(stack, bookings, story, began)
    story.say("Booked everything back: the accounts are at 0. The bookings stay; a ledger forgets nothing.")
    return story.outcome()


def smoke(stack: DeployedStack) -> None:
    """The shortest way past everything that the function may do: for checks that repeat it often.

    Raises:
        ScenarioFailed: Something did not come out as it should.
    """
    with _bookings(stack) as bookings:
        answer = bookings.book(bookings.request_ids(1)[0])
        require(answer.error is None, f"the booking failed: {answer.reason}")


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """Without the pool callers fail; a failover loses and doubles nothing; strangers are refused.

    Raises:
        ScenarioFailed: Something did not come out as it should.
    """
    story = Story("What the proxy is for", stack.tell)
    with _bookings(stack) as bookings:
        with story.timed("pool or none"):
            pool_or_none(stack, bookings, story, _CALLERS_IN_THE_DRILL * bookings.max_connections)
        with story.timed("failover"):
            _fail_over(stack, bookings, story)
        _refuse_strangers(stack, bookings, story, faults)
    return story.outcome()


@contextmanager
def _bookings(stack: DeployedStack) -> Iterator[Bookings]:
    bookings = Bookings(stack)
    yield bookings
    bookings.close()


# --- The parts of a run


def _check_callers(bookings: Bookings, story: Story) -> None:
    first = bookings.book(bookings.request_ids(1)[0], amount=0)  # where the tables are missing, it makes them
    _require_success([first])
    story.say(f"Booked once, with a cold start: {first.seconds:.2f} s.")
    count, opened, answers = _CALLERS * bookings.max_connections, 0, []
    for _ in range(_ROUNDS):  # instances that finish quickly are used again, so one round may need few
        answers += bookings.at_once(bookings.book, bookings.request_ids(count))
        _require_success(answers)
        opened = sum(answer.connected for answer in answers)
        if opened > bookings.max_connections:
            break
    require(
        opened > bookings.max_connections,
        f"{opened} instances connected: too few to show anything with {bookings.max_connections} connections",
    )
    balance = bookings.balance()
    require(balance == len(answers), f"after {len(answers)} bookings of 1 the balance is {balance}")
    story.say(
        f"{count} callers booked at the same time, {len(answers)} bookings from {opened} instances with a "
        f"connection each to the proxy; the database takes {bookings.max_connections}. All succeeded: "
        f"{in_words(answers)}."
    )
    answers = bookings.at_once(bookings.book, bookings.request_ids(count))
    _require_success(answers)
    kept = sum(not answer.connected for answer in answers)
    require(kept > count // 2, f"only {kept} of {count} invocations found a connection from before")
    story.say(f"{count} again, of which {kept} found a connection from before: {in_words(answers)}.")


def _check_repetitions(bookings: Bookings, story: Story) -> None:
    before = bookings.balance()
    [request_id] = bookings.request_ids(1)
    answers = bookings.at_once(bookings.book, [request_id] * 10)
    _require_success(answers)
    made = [answer for answer in answers if not answer.payload["replayed"]]
    require(len(made) == 1, f"one request sent ten times was booked {len(made)} times")
    require(bookings.balance() == before + 1, "the balance has changed by more than the one booking")
    story.say("Sent one request ten times at once: booked once, answered ten times with the same balance.")


def _check_what_is_no_booking(bookings: Bookings, story: Story) -> None:
    answer = bookings.send({"request_id": "x", "account": bookings.account, "amount": "a lot"})
    require(answer.error == "InvalidBooking", f"an amount in words was answered with {answer.payload}")
    [request_id] = bookings.request_ids(1)
    bookings.book(request_id)
    reused = bookings.book(request_id, amount=2)
    require(reused.error == "RequestIdReused", f"another amount was answered with {reused.payload}")
    story.say(f"Refused, for good: {answer.reason}. {reused.error}.")


def _check_pool(stack: DeployedStack, bookings: Bookings, story: Story, began: datetime.datetime) -> None:
    """What CloudWatch has seen of the proxy; in AWS it comes a minute or two later."""
    most = {
        name: _most(stack, name, began)
        for name in ("ClientConnections", "DatabaseConnections", "DatabaseConnectionsCurrentlySessionPinned")
    }
    clients, connections, pinned = most.values()
    require(connections <= bookings.max_connections, f"the proxy had {connections:g} connections")
    require(pinned == 0, f"{pinned:g} sessions were pinned to a connection")
    story.say(
        f"CloudWatch: up to {clients:g} clients at the proxy, {connections:g} connections behind it, none "
        "pinned."
    )


def _most(stack: DeployedStack, metric: str, began: datetime.datetime) -> float:
    """The highest value of a metric of the proxy since the scenario began."""

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


# --- The parts of the drill


def pool_or_none(stack: DeployedStack, bookings: Bookings, story: Story, callers: int) -> None:
    """The same handler and the same callers, once through the proxy and once past it."""
    # One caller first: Python compiles the packages of a function once, and not for everybody at once.
    _require_success([bookings.book(bookings.request_ids(1)[0])])
    pooled = bookings.at_once(bookings.book, bookings.request_ids(callers))
    _require_success(pooled)
    story.say(
        f"{callers} callers at once through the proxy, to a database that takes {bookings.max_connections} "
        f"connections: all succeeded, {in_words(pooled)}."
    )
    # The pool gives its connections up, so that the others have them all.
    stack.client("rds").reboot_db_instance(DBInstanceIdentifier=stack.output("DatabaseIdentifier"))
    with unpooled_function(stack, bookings.function) as unpooled:

        def book(request_id: str) -> Answer:
            return bookings.book(request_id, function=unpooled)

        _require_success([book(bookings.request_ids(1)[0])])
        answers = bookings.at_once(book, bookings.request_ids(callers))
    failed = [answer for answer in answers if answer.error is not None]
    require(bool(failed), f"{callers} callers past the proxy all succeeded: the pool proves nothing")
    reasons = [answer for answer in failed if "connection" in answer.reason]
    require(bool(reasons), f"they failed, but not for want of connections: {failed[0].reason}")
    told = reasons[0].reason.partition("FATAL:")[2].strip() or reasons[0].reason
    story.say(
        f"The same callers with the same handler past the proxy: {len(failed)} of {callers} failed although "
        f"each tried for seconds: {told.splitlines()[0]}."
    )


def _fail_over(stack: DeployedStack, bookings: Bookings, story: Story) -> None:
    """Reboot the database and stop it for two seconds while callers book."""
    before = bookings.balance()
    request_ids = bookings.request_ids(_DURING_A_FAILOVER)
    done: list[list[Answer]] = []
    breaker = threading.Thread(target=_break_database, args=(stack, done))
    breaker.start()
    for start in range(0, len(request_ids), 10):  # ten callers, one booking after the other
        done += bookings.at_once(bookings.book_until_done, request_ids[start : start + 10])
    breaker.join()
    last = [answers[-1] for answers in done]
    resent = sum(len(answers) - 1 for answers in done)
    expected = before + len(request_ids)
    require(bookings.balance() == expected, f"the balance is {bookings.balance()}, not {expected}")
    again = bookings.at_once(bookings.book, request_ids[::5])
    require(all(answer.payload["replayed"] for answer in again), "an answered booking was not there")
    story.say(
        f"Rebooted the database and stopped it for 2 s while {len(request_ids)} bookings were made: none was "
        f"lost, none made twice. {resent} had to be sent again by their callers; slowest "
        f"{max(answer.seconds for answer in last):.1f} s."
    )


def _break_database(stack: DeployedStack, done: Sequence[object]) -> None:
    rds, name = stack.client("rds"), stack.output("DatabaseIdentifier")
    _wait_for(done, _DURING_A_FAILOVER // 5)
    rds.reboot_db_instance(DBInstanceIdentifier=name)
    _wait_for(done, _DURING_A_FAILOVER // 2)
    rds.stop_db_instance(DBInstanceIdentifier=name)
    time.sleep(2)
    rds.start_db_instance(DBInstanceIdentifier=name)


def _wait_for(done: Sequence[object], count: int) -> None:
    while len(done) < count:
        time.sleep(0.005)


def _refuse_strangers(stack: DeployedStack, bookings: Bookings, story: Story, faults: Faults) -> None:
    [request_id] = bookings.request_ids(1)
    with faults.environment(bookings.function, DB_USER="postgres"):
        answer = bookings.book(request_id)
    require("no credentials for the role postgres" in answer.reason, f"another user got: {answer.reason}")
    story.say("Connected as another user: refused, the proxy has no credentials for it.")
    with (
        faults.without_permission(bookings.role, "rds-db:connect"),
        faults.environment(bookings.function, NEW_INSTANCES="please"),
    ):
        answer = bookings.book(request_id)
    require("IAM authentication failed" in answer.reason, f"without the permission: {answer.reason}")
    story.say("Took rds-db:connect away: refused, the IAM authentication failed.")
    answer = bookings.book(request_id)
    require(answer.error is None, f"with the permission back: {answer.reason}")
    user = bookings.user
    require(strangers.connect(stack, user) == "", "with a good token the proxy refused a connection")
    said = strangers.connect(stack, user, tls=False)
    require("requires TLS" in said, f"without TLS the proxy said: {said!r}")
    story.say("Connected without TLS: refused, the proxy requires it.")
    said = strangers.connect(stack, user, expired=True)
    require("IAM authentication failed" in said, f"to an expired token the proxy said: {said!r}")
    story.say("Connected with an expired token: refused. The function makes a new one for each connection.")


def _require_success(answers: Sequence[Answer]) -> None:
    failed = [answer for answer in answers if answer.error is not None]
    if failed:
        raise ScenarioFailed(f"{len(failed)} of {len(answers)} bookings failed: {failed[0].reason}")
