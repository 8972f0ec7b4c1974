"""Asynchronous invocation: the queue before the function, its retries, and what happens to lost events.

The emulator retries, but the waits have no documented length, the age of an event is looked at only between
retries, the number of attempts in the record is always 3, and settings of versions and aliases are ignored.

Faithful to: 3 attempts in all, or what `MaximumRetryAttempts` says, one minute and then two minutes apart;
an event whose function is throttled waits, from 1 second up to 5 minutes between tries, and does not use up
its attempts; events older than `MaximumEventAgeInSeconds` are given up, also if they would be by the time of
the next attempt; reserved concurrency 0 gives up at once; the settings of the version or alias that was
invoked; the code of the function as it is at each attempt; events of a deleted function are dropped.
Not to: the length of the waits. `LOCALAWS_ASYNC_RETRY_DELAYS` (seconds, default "0.5,1") shortens those
between attempts, which count in full for the event's age; `LOCALAWS_ASYNC_THROTTLE_DELAYS` (first and
longest, default "0.1,2") those of throttled events. "60,120" and "1,300" are Lambda's own. Nor to:
duplicates that the queue of Lambda may deliver, scaling (four events of a function run at a time, or as many
as there are cores), survival of a restart.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-async.html
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-configuring.html
"""

from __future__ import annotations

import contextvars
import os
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from ministack.core.responses import request_scope
from ministack.services import lambda_svc

from localaws.services.lambda_.aliases import function_of
from localaws.services.lambda_.concurrency import reserved
from localaws.services.lambda_.destinations import Record, deliver
from localaws.services.lambda_.invocation import Invocation, current

#: Lambda's own waits, in seconds: before the second and the third attempt.
DOCUMENTED_RETRY_DELAYS = (60.0, 120.0)
DEFAULT_MAXIMUM_AGE = 21600.0


def _seconds(variable: str, default: str) -> tuple[float, float]:
    given = os.environ.get(variable, default)
    try:
        first, second = (float(part) for part in given.split(","))
    except ValueError:
        raise ValueError(f"{variable}={given!r}: give two numbers of seconds, such as {default!r}") from None
    return first, second


RETRY_DELAYS = _seconds("LOCALAWS_ASYNC_RETRY_DELAYS", "0.5,1")
THROTTLE_DELAYS = _seconds("LOCALAWS_ASYNC_THROTTLE_DELAYS", "0.1,2")

#: Events of one function that run at a time. In AWS the queue lets a function scale; one machine does not.
CONCURRENCY = max(4, os.cpu_count() or 1)

_turns: dict[str, threading.BoundedSemaphore] = {}
_turns_lock = threading.Lock()
_stock_settings = lambda_svc._event_invoke_config


def install() -> None:
    """Queue events here, and treat settings without a qualifier as those of `$LATEST`."""
    lambda_svc.invoke_async_with_retry = enqueue
    lambda_svc._event_invoke_config = _settings


def enqueue(func: dict[str, Any], event: object) -> None:
    """Accept an event for the function that the record's ARN names, and return.

    Args:
        func: The emulator's record of what to run; only the ARN in its configuration matters.
        event: The payload.
    """
    arn = func["config"]["FunctionArn"]
    owner, qualifier = function_of(func["config"])
    if owner is None:
        return
    waiting = QueuedEvent(arn, owner, qualifier or "$LATEST", event)
    given = current.get()
    if given is not None:
        waiting.request_id = given.request_id
    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(_process, waiting), daemon=True, name=f"async {arn}").start()


@dataclass
class QueuedEvent:
    """An event in the queue before a function."""

    arn: str
    owner: dict[str, Any]
    qualifier: str
    payload: object
    request_id: str = field(default_factory=lambda: Invocation().request_id)
    accepted: float = field(default_factory=time.monotonic)
    attempts: int = 0
    #: Seconds that the event did not wait here and would have waited in AWS.
    saved: float = 0.0
    throttled: int = 0
    response: dict[str, Any] | None = None
    executed_version: str | None = None

    @property
    def age(self) -> float:
        """Its age, had it waited as long as in AWS."""
        return time.monotonic() - self.accepted + self.saved


def _process(event: QueuedEvent) -> None:
    _, _, _, region, account, *_ = event.arn.split(":")
    with request_scope(account, region):  # Whoever sent the event may work for another account.
        _run_and_report(event)


def _run_and_report(event: QueuedEvent) -> None:
    """Run an event until it has succeeded or is given up, then report it."""
    condition = None
    settings: dict[str, Any] = {}
    while condition is None:
        owner, _ = function_of({"FunctionArn": event.arn})
        if owner is not event.owner:
            return
        settings = _settings(owner, event.qualifier) or {}
        if reserved(owner, owner["config"]) == 0:
            condition, event.response = "ZeroReservedConcurrency", None
        elif event.age > _maximum_age(settings):
            condition = "EventAgeExceeded"
        else:
            condition = _attempt(event, settings)
    record = Record(
        config=event.owner["config"],
        qualifier=event.qualifier,
        request_id=event.request_id,
        event=event.payload,
        condition=condition,
        invoke_count=event.attempts,
        response=event.response,
        executed_version=event.executed_version,
    )
    deliver(record, settings)


def _attempt(event: QueuedEvent, settings: dict[str, Any]) -> str | None:
    """Run the function once; returns how the event ended, or None after waiting for another attempt."""
    _run(event)
    assert event.response is not None
    if event.response.get("throttle"):
        first, longest = THROTTLE_DELAYS
        time.sleep(min(first * 2**event.throttled, longest))
        event.throttled += 1
        return None
    event.attempts += 1
    event.throttled = 0
    if not event.response.get("error"):
        return "Success"
    if event.attempts > min(int(settings.get("MaximumRetryAttempts", 2)), len(RETRY_DELAYS)):
        return "RetriesExhausted"
    wait = DOCUMENTED_RETRY_DELAYS[event.attempts - 1]
    if event.age + wait > _maximum_age(settings):
        return "EventAgeExceeded"
    time.sleep(RETRY_DELAYS[event.attempts - 1])
    event.saved += wait - RETRY_DELAYS[event.attempts - 1]
    return None


def _run(event: QueuedEvent) -> None:
    """Run the function as it is now, when its turn has come."""
    with _turn_of(event.owner["config"]["FunctionArn"]):
        func, config, _ = lambda_svc._get_func_record_for_ref(event.arn)
        if not func or not config:  # The alias or version has gone since.
            event.response = {"error": True, "body": {"errorMessage": f"Function not found: {event.arn}"}}
            return
        invocation = Invocation(event.request_id)
        current.set(invocation)
        record = func | {"config": config | {"FunctionArn": event.arn}}
        event.response = lambda_svc._execute_function(record, event.payload)
        event.executed_version = invocation.executed_version


def _turn_of(function_arn: str) -> threading.BoundedSemaphore:
    with _turns_lock:
        return _turns.setdefault(function_arn, threading.BoundedSemaphore(CONCURRENCY))


def _maximum_age(settings: dict[str, Any]) -> float:
    return float(settings.get("MaximumEventAgeInSeconds") or DEFAULT_MAXIMUM_AGE)


def _settings(func: dict[str, Any], qualifier: str | None) -> dict[str, Any] | None:
    """The event invoke configuration of a version or alias; none and `$LATEST` mean the same."""
    found: dict[str, Any] | None = _stock_settings(func, qualifier)
    if found is None and qualifier in (None, "", "$LATEST"):
        found = _stock_settings(func, None if qualifier else "$LATEST")
    return found
