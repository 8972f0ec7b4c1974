"""Metrics of executions, in the namespace AWS/States.

Faithful to: ExecutionsStarted, ExecutionsSucceeded, ExecutionsFailed, ExecutionsTimedOut, ExecutionsAborted
and ExecutionTime by `StateMachineArn`, for Standard and Express workflows.
Not to: the metrics of activities, of tasks, of versions and aliases, and of billing. The time of an Express
execution contains the full length of waits that were shortened.

https://docs.aws.amazon.com/step-functions/latest/dg/procedure-cw-metrics.html
"""

from __future__ import annotations

from collections.abc import Callable

from ministack.services import cloudwatch, stepfunctions

from localaws.patching import around
from localaws.services.stepfunctions.clocks import Clock, clock

_ENDED = {
    "SUCCEEDED": "ExecutionsSucceeded",
    "FAILED": "ExecutionsFailed",
    "TIMED_OUT": "ExecutionsTimedOut",
    "ABORTED": "ExecutionsAborted",
}


@around(stepfunctions, "_run_execution", after=["stepfunctions.clocks"])
def _run_execution(stock: Callable[[str], None], exec_arn: str) -> None:
    execution = stepfunctions._executions.get(exec_arn)
    if execution is None:
        stock(exec_arn)
        return
    watch = clock.get() or Clock()
    clock.set(watch)
    machine = {"StateMachineArn": execution["stateMachineArn"]}
    cloudwatch.record_metric("AWS/States", "ExecutionsStarted", 1, "Count", machine)
    stock(exec_arn)
    if metric := _ENDED.get(execution["status"]):
        cloudwatch.record_metric("AWS/States", metric, 1, "Count", machine)
        milliseconds = watch.elapsed * 1000
        cloudwatch.record_metric("AWS/States", "ExecutionTime", milliseconds, "Milliseconds", machine)
