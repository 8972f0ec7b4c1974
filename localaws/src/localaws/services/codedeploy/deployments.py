"""Deployments of CodeDeploy for Lambda, each in a thread of its own.

Faithful to: the sequence BeforeAllowTraffic, AllowTraffic, AfterAllowTraffic; hooks, which respond with
PutLifecycleEventHookExecutionStatus within an hour; canary, linear and all-at-once shifts of the alias, which
keeps its old version until all traffic has shifted; the alarms of the group, checked from start to end;
stopping; rollback by event, which is a deployment of its own, all at once and without hooks. All of it uses
the permissions of the group's service role.
Not to: the time. The minutes of shifts, and the hour of a hook, are shortened (LOCALAWS_SECONDS_PER_MINUTE).
Nor to the wording of errors of hooks and stops, which AWS does not document. A hook that ends in an error
fails its event immediately: Lambda would retry it twice, and CodeDeploy wait for the rest of the hour. As in
AWS, the alias can be changed by others meanwhile, and the next shift overwrites the change.

https://docs.aws.amazon.com/codedeploy/latest/userguide/deployment-steps-lambda.html
https://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file-structure-hooks.html
https://docs.aws.amazon.com/codedeploy/latest/userguide/deployments-rollback-and-redeploy.html
https://docs.aws.amazon.com/codedeploy/latest/userguide/monitoring-create-alarms.html
"""

from __future__ import annotations

import contextvars
import logging
import math
import secrets
import string
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ministack.core.responses import get_account_id, get_region, now_epoch, request_scope
from ministack.services import lambda_svc

from localaws.pace import shortened
from localaws.patching import on_reset
from localaws.services.codedeploy.groups import ROLLBACK_EVENTS
from localaws.services.codedeploy.records import Record
from localaws.services.codedeploy.revisions import AFTER, BEFORE, SHIFT, AppSpec
from localaws.services.codedeploy.targets import DeploymentEnded, ServiceRole, Target


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


_HOOK_SECONDS = 3600.0
_POLL_SECONDS = 5.0
_FASTEST_POLL = 0.02
_FAILED, _ALARM, _STOPPED = ROLLBACK_EVENTS
_log = logging.getLogger(__name__)
_LETTERS = string.ascii_uppercase + string.digits


class _Abandoned(Exception):
    """The account was reset."""


@dataclass
class Deployment:
    """A deployment and its progress.

    Args:
        group: The record of its deployment group.
        revision: The revision in the request.
        spec: The content of the revision.
        routing: How traffic is routed.
        settings: Other members of its description: creator, names, configurations.
        rolls_back: The deployment that this one rolls back.
    """

    group: Record
    revision: Record
    spec: AppSpec
    routing: Record
    settings: Record
    rolls_back: Deployment | None = None
    id: str = field(default_factory=lambda: "d-" + "".join(secrets.choice(_LETTERS) for _ in range(9)))
    status: str = "Created"
    times: dict[str, float] = field(default_factory=lambda: {"createTime": now_epoch()})
    error: Record = field(default_factory=dict)
    rollback: Record = field(default_factory=dict)
    events: dict[str, Record] = field(default_factory=dict)
    weight: float = 0.0
    hook_answers: dict[str, str] = field(default_factory=dict)
    roll_back_when_stopped: bool = False
    stopping: bool = False
    abandoned: bool = False
    ended: threading.Event = field(default_factory=threading.Event)
    _woken: threading.Event = field(default_factory=threading.Event)
    account_and_region: tuple[str, str] = field(default_factory=lambda: (get_account_id(), get_region()))

    def __post_init__(self) -> None:
        self._target = Target(self.spec, ServiceRole(self.group["serviceRoleArn"]))
        self.events = {
            name: {"lifecycleEventName": name, "status": "Pending"} for name in (BEFORE, SHIFT, AFTER)
        }

    # --- Called by requests

    @property
    def is_active(self) -> bool:
        """Whether it has not ended."""
        return self.status in ("Created", "Queued", "InProgress")

    def start(self) -> None:
        """Start its thread."""
        context = contextvars.copy_context()
        name = f"codedeploy {self.id}"
        threading.Thread(target=context.run, args=(self._run,), daemon=True, name=name).start()

    def stop(self, *, roll_back: bool | None) -> None:
        """Stop the deployment.

        Args:
            roll_back: Whether it is rolled back; None means as the group's settings say.
        """
        wanted = self._is_rolled_back_after(_STOPPED) if roll_back is None else roll_back
        self.roll_back_when_stopped = wanted
        self.stopping = True
        self._woken.set()

    def answer_hook(self, execution: str, status: str) -> bool:
        """Store the response of a hook; returns whether it is the first one.

        Args:
            execution: The execution id of the hook.
            status: `Succeeded` or `Failed`.
        """
        if self.hook_answers[execution]:
            return False
        self.hook_answers[execution] = status
        self._woken.set()
        return True

    def abandon(self) -> None:
        """End it without doing anything more."""
        self.abandoned = True
        self._woken.set()

    # --- Called by its thread

    def _run(self) -> None:
        with request_scope(*self.account_and_region):
            try:
                self._work()
            except DeploymentEnded as end:
                self._end(end)
            except _Abandoned:
                self.status = "Failed"
            except Exception:
                _log.exception("Deployment %s failed unexpectedly", self.id)
                self._end(
                    DeploymentEnded(
                        "Failed", "INTERNAL_ERROR", "Unexpected error of the embedded AWS; see its log."
                    )
                )
            finally:
                self.ended.set()

    def _work(self) -> None:
        self.status, self.times["startTime"] = "InProgress", now_epoch()
        self._target.check(any_version=self.rolls_back is not None)
        self._check_for_end()
        with LifecycleEvent(self.events[BEFORE]):
            self._run_hook(BEFORE)
        with LifecycleEvent(self.events[SHIFT]):
            self._shift()
        with LifecycleEvent(self.events[AFTER]):
            self._run_hook(AFTER)
        self.status, self.times["completeTime"] = "Succeeded", now_epoch()

    def _end(self, end: DeploymentEnded) -> None:
        self.error = {"code": end.code, "message": str(end)}
        self.times["completeTime"] = now_epoch()
        for event in self.events.values():
            if event["status"] == "Pending":
                event["status"] = "Skipped"
        rollback_deployment = None
        stopped = end.event == _STOPPED and self.roll_back_when_stopped
        if stopped or (end.event not in (None, _STOPPED) and self._is_rolled_back_after(end.event)):
            rollback_deployment = self._make_rollback()
        self.status = end.status
        if rollback_deployment:
            rollback_deployment._run()

    def _is_rolled_back_after(self, event: str | None) -> bool:
        settings = self.settings["autoRollbackConfiguration"]
        return bool(self.rolls_back is None and settings["enabled"] and event in settings["events"])

    def _make_rollback(self) -> Deployment:
        spec = self.spec.reversed()
        settings = self.settings | {"creator": "codeDeployRollback"}
        rollback_deployment = Deployment(
            self.group, spec.revision(), spec, {"type": "AllAtOnce"}, settings, rolls_back=self
        )
        rollback_deployment.rollback = {
            "rollbackTriggeringDeploymentId": self.id,
            "rollbackMessage": f"Deployment {rollback_deployment.id} is triggered to roll back deployment "
            f"{self.id}.",
        }
        self.rollback = {
            "rollbackDeploymentId": rollback_deployment.id,
            "rollbackMessage": f"Deployment {self.id} terminated. Automatic rollback is triggered with a "
            f"DeploymentId {rollback_deployment.id}.",
        }
        deployments[rollback_deployment.id] = rollback_deployment
        return rollback_deployment

    def _run_hook(self, event: str) -> None:
        name = self.spec.hooks.get(event)
        if not name:
            return
        record, config, _ = lambda_svc._get_func_record_for_ref(name)
        if record is None or config is None:
            raise _hook_failed(event, f"the function {name} does not exist")
        self._target.role.permit("lambda:InvokeFunction", config["FunctionArn"])
        execution, answers = secrets.token_urlsafe(48), self.hook_answers
        answers[execution] = ""
        payload = {"DeploymentId": self.id, "LifecycleEventHookExecutionId": execution}
        run = HookRun(record | {"config": config}, payload, self._woken)
        self._wait(_HOOK_SECONDS, until=lambda: bool(answers[execution] or run.error))
        answer, answers[execution] = answers[execution], answers[execution] or "Failed"
        if not answer:
            raise _hook_failed(event, run.error or "it did not respond within an hour")
        if answer == "Failed":
            raise _hook_failed(event, "its function reported Failed")

    def _shift(self) -> None:
        for step, (weight, minutes) in enumerate(shifts(self.routing)):
            if step:
                self._wait(minutes * 60)
            self._target.shift(weight)
            self.weight = weight / 100

    # --- Waiting

    def _wait(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Wait for a documented time, or until a condition holds, unless there is a reason to end."""
        deadline = time.monotonic() + shortened(seconds)
        interval = max(_FASTEST_POLL, shortened(_POLL_SECONDS))
        while not until() and (left := deadline - time.monotonic()) > 0:
            self._check_for_end()
            self._woken.wait(min(left, interval))
            self._woken.clear()
        self._check_for_end()

    def _check_for_end(self) -> None:
        """End the deployment if there is a reason: a stop, an alarm or a missing alias."""
        if self.abandoned:
            raise _Abandoned
        if self.rolls_back is not None:
            return
        if self.stopping:
            raise DeploymentEnded(
                "Stopped",
                "MANUAL_STOP",
                f"The deployment {self.id} was stopped by a request.",
                _STOPPED,
            )
        self._target.find()
        active = self._target.role.active_alarms(self.settings["alarmConfiguration"])
        if active:
            raise DeploymentEnded(
                "Stopped",
                "ALARM_ACTIVE",
                "One or more alarms have been activated according to the Amazon CloudWatch metrics you "
                "selected, and the affected deployments have been stopped. Activated alarms: "
                + " ".join(f"<{name}>" for name in active),
                _ALARM,
            )


#: All deployments since the last reset, by id, the oldest first.
deployments: dict[str, Deployment] = {}


@on_reset
def clear() -> None:
    """Abandon all deployments."""
    for deployment in list(deployments.values()):
        deployment.abandon()
    deployments.clear()


def active_deployment(group: Record) -> Deployment | None:
    """The deployment of a group that has not ended."""
    for deployment in list(deployments.values()):
        if deployment.is_active and deployment.group["deploymentGroupId"] == group["deploymentGroupId"]:
            return deployment
    return None


def _hook_failed(event: str, reason: str) -> DeploymentEnded:
    return DeploymentEnded(
        "Failed",
        "HOOK_EXECUTION_FAILURE",
        f"The deployment failed because the {event} hook failed: {reason}.",
        _FAILED,
    )
