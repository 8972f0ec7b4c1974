"""Asynchronous invocation: the queue of events, retries, and what happens to events that fail.

The emulator retries, but with waits of no documented length. It checks the age of an event only between
retries, the number of attempts in the record is always 3, and settings of versions and aliases are ignored.

Faithful to:
- 3 attempts in all, or as many as `MaximumRetryAttempts` allows, one minute and then two minutes apart.
- An event whose function is throttled waits, 1 second at first and then twice as long each time, up to 5
  minutes. These attempts do not count.
- An event older than `MaximumEventAgeInSeconds` is discarded, also if it would be too old by the next
  attempt.
- Reserved concurrency 0 discards events immediately.
- The settings of the version or alias that was invoked apply, and each attempt runs the current code. Events
  of a deleted function are dropped.
- The metrics AsyncEventsReceived, AsyncEventAge (of each attempt) and AsyncEventsDropped.
Not to: the length of the waits, which count with their full length in the event's age. Those of throttled
events are shortened like every minute (see `pace`). `LOCALAWS_ASYNC_RETRY_DELAYS` (seconds, default "0.5,1")
replaces those between attempts; "60,120" are the values of Lambda. Nor to duplicate delivery, scaling (four
events of a function run at a time, or as many as there are cores) and restarts.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-async.html
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-configuring.html
https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html#async-invocation-metrics
"""

from __future__ import annotations

import contextvars
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ministack.core.responses import request_scope
from ministack.services import lambda_svc

from localaws.pace import shortened
from localaws.patching import around, replaces
from localaws.services.lambda_.aliases import function_of
from localaws.services.lambda_.destinations import Record, deliver
from localaws.services.lambda_.invocation import Invocation, current
from localaws.services.lambda_.metrics import put_metric
from localaws.settings import numbers

#: The waits of Lambda before the second and the third attempt, in seconds.
DOCUMENTED_RETRY_DELAYS = (60.0, 120.0)
#: Its waits before a throttled event is tried again: the first, and the longest.
DOCUMENTED_THROTTLE_DELAYS = (1.0, 300.0)
DEFAULT_MAXIMUM_AGE = 21600.0


RETRY_DELAYS = numbers("LOCALAWS_ASYNC_RETRY_DELAYS", "0.5,1", "two numbers of seconds")

#: Events of one function that run at a time. In AWS, the function scales.
CONCURRENCY = max(4, os.cpu_count() or 1)

_turns: dict[str, threading.BoundedSemaphore] = {}
_turns_lock = threading.Lock()


@replaces(lambda_svc, "invoke_async_with_retry")
def enqueue(func: dict[str, Any], event: object) -> None:
    """Queue an event for the function with the record's ARN.

    Args:
        func: The emulator's record of the function, of which only the ARN matters.
        event: The payload.
    """
    arn = func["config"]["FunctionArn"]
    owner, qualifier = function_of(func["config"])
    if owner is None:
        return
    waiting = QueuedEvent(arn, owner, qualifier or "$LATEST", event)
    put_metric(arn, "AsyncEventsReceived", 1)
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
    #: Seconds that the event would have waited longer in AWS.
    saved: float = 0.0
    throttled: int = 0
    response: dict[str, Any] | None = None
    executed_version: str | None = None

    @property
    def age(self) -> float:
        """Its age in seconds, as if it had waited as long as in AWS."""
        return time.monotonic() - self.accepted + self.saved

    def wait(self, documented: float, here: float) -> None:
        """Wait for the next attempt, for a shorter time than in AWS."""
        time.sleep(here)
        self.saved += documented - here


def _process(event: QueuedEvent) -> None:
    _, _, _, region, account, *_ = event.arn.split(":")
    with request_scope(account, region):  # the event may come from another account
        _run_and_report(event)


def _run_and_report(event: QueuedEvent) -> None:
    """Run an event until it succeeds or is discarded, then send its record."""
    condition = None
    settings: dict[str, Any] = {}
    while condition is None:
        owner, _ = function_of({"FunctionArn": event.arn})
        if owner is not event.owner:
            return
        settings = lambda_svc._event_invoke_config(owner, event.qualifier) or {}
        if lambda_svc._reserved_concurrency(owner, owner["config"]) == 0:
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
    if condition != "Success":
        put_metric(event.arn, "AsyncEventsDropped", 1)
    deliver(record, settings)


def _attempt(event: QueuedEvent, settings: dict[str, Any]) -> str | None:
    """Run the function once; returns the final condition, or None after the wait for the next attempt."""
    _run(event)
    assert event.response is not None
    if event.response.get("throttle"):
        first, longest = DOCUMENTED_THROTTLE_DELAYS
        pause = min(first * 2**event.throttled, longest)
        event.wait(pause, shortened(pause))
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
    event.wait(wait, RETRY_DELAYS[event.attempts - 1])
    return None


def _run(event: QueuedEvent) -> None:
    """Run the current version of the function when a slot is free."""
    with _turn_of(event.owner["config"]["FunctionArn"]):
        func, config, _ = lambda_svc._get_func_record_for_ref(event.arn)
        if not func or not config:  # the alias or version was deleted meanwhile
            event.response = {"error": True, "body": {"errorMessage": f"Function not found: {event.arn}"}}
            return
        invocation = Invocation(event.request_id)
        current.set(invocation)
        record = func | {"config": config | {"FunctionArn": event.arn}}
        age = event.age
        event.response = lambda_svc._execute_function(record, event.payload)
        if not event.response.get("throttle"):
            put_metric(event.arn, "AsyncEventAge", age * 1000, "Milliseconds")
        event.executed_version = invocation.executed_version


def _turn_of(function_arn: str) -> threading.BoundedSemaphore:
    with _turns_lock:
        return _turns.setdefault(function_arn, threading.BoundedSemaphore(CONCURRENCY))


def _maximum_age(settings: dict[str, Any]) -> float:
    return float(settings.get("MaximumEventAgeInSeconds") or DEFAULT_MAXIMUM_AGE)


@around(lambda_svc, "_event_invoke_config")
def _event_invoke_config(
    stock: Callable[..., dict[str, Any] | None], func: dict[str, Any], qualifier: str | None
) -> dict[str, Any] | None:
    """The event invoke configuration of a version or alias; none and `$LATEST` mean the same."""
    found = stock(func, qualifier)
    if found is None and qualifier in (None, "", "$LATEST"):
        found = stock(func, None if qualifier else "$LATEST")
    return found
