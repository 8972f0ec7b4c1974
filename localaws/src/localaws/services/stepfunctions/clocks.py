"""Executions end when their time is over: `TimeoutSeconds`, and five minutes for Express workflows.

The emulator lets every execution run for ever, and waits in full.

Faithful to: an execution that is not over in time ends with the status `TIMED_OUT`, also while a task runs,
and no state follows. No `Catch` sees that.
Not to: waiting. In an Express workflow a `Wait` and the pause before a retry take the shorter time of `pace`,
and count in full against the limits, so that the limit of five minutes is reached after seconds. The task
that runs when the time is over goes on, without effect on the execution. Branches that wait at the same time
count one after the other.

https://docs.aws.amazon.com/step-functions/latest/dg/statemachine-structure.html
https://docs.aws.amazon.com/step-functions/latest/dg/choosing-workflow-type.html
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from typing import Any

from ministack.core.responses import now_iso
from ministack.services import stepfunctions

from localaws.pace import shortened
from localaws.patching import around

Execution = dict[str, Any]
EXPRESS_SECONDS = 300
_LONGEST_PAUSE = 0.05  # seconds between two looks at the clock


class Clock:
    """The time of an execution, in seconds of AWS: what passed here, and what waiting was shortened by."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._skipped = 0.0
        self.limit = math.inf
        self.shortens = False

    @property
    def elapsed(self) -> float:
        """The seconds since the start."""
        return time.monotonic() - self._start + self._skipped

    def wait(self, seconds: float) -> None:
        """Wait.

        Raises:
            _Over: The time of the execution ends before.
        """
        left = max(self.limit - self.elapsed, 0)
        if not self.shortens:
            time.sleep(min(seconds, left))
        elif seconds < left:
            real = shortened(seconds)
            self._skipped += seconds - real
            time.sleep(real)
        else:
            self._skipped += left
        if seconds >= left:
            raise _Over


class _Over(BaseException):
    """The time of the execution is over: no exception that a state could catch."""


#: The clock of the current execution. What starts one may set it before, to look at it meanwhile.
clock: ContextVar[Clock | None] = ContextVar("localaws_execution_clock", default=None)


@around(stepfunctions, "_run_execution")
def _run_execution(stock: Callable[[str], None], exec_arn: str) -> None:
    execution = stepfunctions._executions.get(exec_arn) or {}
    machine = stepfunctions._state_machines.get(execution.get("stateMachineArn", "")) or {}
    watch = clock.get() or Clock()
    clock.set(watch)
    watch.shortens = machine.get("type") == "EXPRESS"
    watch.limit = min(_timeout_seconds(machine), EXPRESS_SECONDS if watch.shortens else math.inf)
    if watch.limit == math.inf:
        stock(exec_arn)
        return
    worker = threading.Thread(target=copy_context().run, args=(_until_over, stock, exec_arn), daemon=True)
    worker.start()
    while worker.is_alive() and (left := watch.limit - watch.elapsed) > 0:
        worker.join(min(left, _LONGEST_PAUSE))
    worker.join(0 if watch.elapsed < watch.limit else _LONGEST_PAUSE)  # it may just be waiting for the end
    if execution.get("status") == "RUNNING":
        execution.update(status="TIMED_OUT", stopDate=now_iso(), error="States.Timeout", cause=None)
        stepfunctions._add_event(execution, "ExecutionTimedOut", {"executionTimedOutEventDetails": {}})
        stepfunctions._emit_execution_status_event(execution)


def _until_over(stock: Callable[[str], None], exec_arn: str) -> None:
    try:
        stock(exec_arn)
    except _Over:
        return


def _timeout_seconds(machine: dict[str, Any]) -> float:
    try:
        return float(json.loads(machine.get("definition", "{}")).get("TimeoutSeconds", math.inf))
    except (ValueError, TypeError, AttributeError):  # the emulator reports such a definition
        return math.inf


@around(stepfunctions, "_scaled_sleep")
def _scaled_sleep(stock: Callable[[float], None], seconds: float) -> None:
    watch = clock.get()
    if watch is None or watch.limit == math.inf:
        stock(seconds)
    else:
        watch.wait(seconds)


@around(stepfunctions, "_fail_execution")
def _fail_execution(stock: Callable[..., None], execution: Execution, error: str, cause: str) -> None:
    if execution["status"] == "RUNNING":  # not if it has timed out meanwhile
        stock(execution, error, cause)
