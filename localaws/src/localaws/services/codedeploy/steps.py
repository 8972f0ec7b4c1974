"""The steps of a deployment: shifts of traffic, lifecycle events, runs of hooks.

Used by `codedeploy.deployments`.

https://docs.aws.amazon.com/codedeploy/latest/userguide/deployment-configurations.html
"""

from __future__ import annotations

import contextvars
import math
import threading

from ministack.core.responses import now_epoch
from ministack.services import lambda_svc

from localaws.services.codedeploy.records import Record


def shifts(routing: Record) -> list[tuple[int, int]]:
    """The percentage of each shift, and the minutes before it.

    Args:
        routing: The `trafficRoutingConfig` of a deployment configuration.
    """
    if routing["type"] == "TimeBasedCanary":
        canary = routing["timeBasedCanary"]
        return [(canary["canaryPercentage"], 0), (100, canary["canaryInterval"])]
    if routing["type"] == "TimeBasedLinear":
        linear = routing["timeBasedLinear"]
        step, minutes = linear["linearPercentage"], linear["linearInterval"]
        return [(min(100, step * (n + 1)), minutes * bool(n)) for n in range(math.ceil(100 / step))]
    return [(100, 0)]


class LifecycleEvent:
    """Records the start and the end of a lifecycle event, as a context manager."""

    def __init__(self, record: Record) -> None:
        self._record = record

    def __enter__(self) -> None:
        self._record |= {"status": "InProgress", "startTime": now_epoch()}

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        self._record |= {"status": "Failed" if error else "Succeeded", "endTime": now_epoch()}
        if error:
            self._record["diagnostics"] = {"errorCode": "UnknownError", "message": str(error)}


class HookRun:
    """Runs the function of a hook in a thread, while the deployment waits for its response."""

    def __init__(self, record: Record, payload: Record, woken: threading.Event) -> None:
        self.error = ""
        self._record, self._payload, self._woken = record, payload, woken
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(self._run,), daemon=True, name="codedeploy hook").start()

    def _run(self) -> None:
        result = lambda_svc._execute_function(self._record, self._payload)
        if result.get("error") or result.get("throttle"):
            body = result.get("body")
            reason = body.get("errorMessage") if isinstance(body, dict) else body
            self.error = f"its function failed: {reason}"
        self._woken.set()
