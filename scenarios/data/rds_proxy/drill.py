"""The failure drill: no pool, a failover under load, and clients that the proxy must reject."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from scenarios.data.rds_proxy import rejected_clients
from scenarios.data.rds_proxy.bookings import Answer, Bookings, booking, require_success, waiting_times
from scenarios.data.rds_proxy.unpooled import unpooled_function
from scenarios.framework import DeployedStack, Outcome, Story, require
from scenarios.support.faults import Faults

_CALLERS = 6  # for each connection of the database
_DURING_THE_FAILOVER = 150


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """Without the pool callers fail; a failover loses and duplicates nothing; bad clients are rejected.

    Raises:
        ScenarioFailed: A check failed.
    """
    story = Story("What the proxy is for", stack.tell)
    with booking(stack) as bookings:
        with story.timed("with and without the pool"):
            compare_with_unpooled(stack, bookings, story, _CALLERS * bookings.max_connections)
        with story.timed("failover"):
            _fail_over(stack, bookings, story)
        _reject_clients(stack, bookings, story, faults)
    return story.outcome()


def compare_with_unpooled(stack: DeployedStack, bookings: Bookings, story: Story, callers: int) -> None:
    """Let the same number of callers book through the proxy, and with the same handler directly."""
    # One caller first: Python compiles a function's packages once, not in each environment at the same time.
    require_success([bookings.book(bookings.request_ids(1)[0])])
    pooled = bookings.at_once(bookings.book, bookings.request_ids(callers))
    require_success(pooled)
    story.say(
        f"{callers} concurrent callers through the proxy, to a database with {bookings.max_connections} "
        f"connections: all succeeded, {waiting_times(pooled)}."
    )
    # The reboot closes the pool's connections, so that the callers without a pool can have all of them.
    stack.client("rds").reboot_db_instance(DBInstanceIdentifier=stack.output("DatabaseIdentifier"))
    with unpooled_function(stack, bookings.function) as unpooled:

        def book(request_id: str) -> Answer:
            return bookings.book(request_id, function=unpooled)

        require_success([book(bookings.request_ids(1)[0])])
        answers = bookings.at_once(book, bookings.request_ids(callers))
    failed = [answer for answer in answers if answer.error is not None]
    require(bool(failed), f"{callers} callers without the proxy all succeeded: the pool proves nothing")
    reasons = [answer.reason for answer in failed if "connection" in answer.reason]
    require(bool(reasons), f"they failed for another reason than missing connections: {failed[0].reason}")
    reason = reasons[0].partition("FATAL:")[2].strip() or reasons[0]
    story.fact("failed_without_pool", len(failed))
    story.say(
        f"The same callers with the same handler, without the proxy: {len(failed)} of {callers} failed, "
        f"although each retried for seconds: {reason.splitlines()[0]}."
    )


def _fail_over(stack: DeployedStack, bookings: Bookings, story: Story) -> None:
    """Reboot the database, and stop it for two seconds, while ten callers book."""
    before = bookings.balance()
    request_ids = bookings.request_ids(_DURING_THE_FAILOVER)
    done: list[list[Answer]] = []
    breaker = threading.Thread(target=_break_database, args=(stack, done))
    breaker.start()
    for start in range(0, len(request_ids), 10):
        done += bookings.at_once(bookings.book_until_done, request_ids[start : start + 10])
    breaker.join()
    resent = sum(len(answers) - 1 for answers in done)
    lost = before + len(request_ids) - bookings.balance()
    require(lost == 0, f"the balance is {lost} lower than the sum of the bookings")
    again = bookings.at_once(bookings.book, request_ids[::5])
    require(all(answer.payload["replayed"] for answer in again), "a confirmed booking does not exist")
    story.fact("lost_in_failover", lost)
    story.fact("resent_in_failover", resent)
    slowest = max(answers[-1].seconds for answers in done)
    story.say(
        f"Rebooted the database and stopped it for 2 s during {len(request_ids)} bookings: none was lost, "
        f"none duplicated. Callers had to resend {resent}; the slowest took {slowest:.1f} s."
    )


def _break_database(stack: DeployedStack, done: Sequence[object]) -> None:
    rds, name = stack.client("rds"), stack.output("DatabaseIdentifier")
    _wait_for(done, _DURING_THE_FAILOVER // 5)
    rds.reboot_db_instance(DBInstanceIdentifier=name)
    _wait_for(done, _DURING_THE_FAILOVER // 2)
    rds.stop_db_instance(DBInstanceIdentifier=name)
    time.sleep(2)  # the length of the outage; callers try again until it is over
    rds.start_db_instance(DBInstanceIdentifier=name)


def _wait_for(done: Sequence[object], count: int) -> None:
    while len(done) < count:
        time.sleep(0.005)


def _reject_clients(stack: DeployedStack, bookings: Bookings, story: Story, faults: Faults) -> None:
    [request_id] = bookings.request_ids(1)
    with faults.environment(bookings.function, DB_USER="postgres"):
        answer = bookings.book(request_id)
    require("no credentials for the role postgres" in answer.reason, f"another user got: {answer.reason}")
    story.say("Connected as another user: rejected, the proxy has no credentials for it.")
    with (
        faults.without_permission(bookings.role, "rds-db:connect"),
        faults.environment(bookings.function, NEW_ENVIRONMENT="1"),
    ):
        answer = bookings.book(request_id)
    require("IAM authentication failed" in answer.reason, f"without the permission: {answer.reason}")
    story.say("Removed rds-db:connect: rejected, the IAM authentication failed.")
    require_success([bookings.book(request_id)])  # with the permission again
    user = bookings.user
    require(rejected_clients.connect(stack, user) == "", "the proxy rejected a valid token")
    message = rejected_clients.connect(stack, user, tls=False)
    require("requires TLS" in message, f"without TLS the proxy answered: {message!r}")
    story.say("Connected without TLS: rejected, the proxy requires it.")
    message = rejected_clients.connect(stack, user, expired=True)
    require("IAM authentication failed" in message, f"to an expired token the proxy answered: {message!r}")
    story.fact("rejected_clients", 4)
    story.say("Connected with an expired token: rejected. The function signs a new one for each connection.")
