"""A deployment of CodeDeploy for Lambda, from its start to its end: one thread for each.

Faithful to: the sequence, BeforeAllowTraffic, AllowTraffic, AfterAllowTraffic; hooks, which answer through
PutLifecycleEventHookExecutionStatus within an hour; canary, linear and all-at-once shifts of the alias,
which keeps its old version until all traffic has moved; the group's alarms, looked at from the start to the
end; stopping; rollback by event, which is a deployment of its own, back at once and without hooks. All of
it is done with the permissions of the group's service role.
Not to: the time. The minutes of shifts, and the hour of a hook, are shortened (see `pace`). Nor to the
wording of errors of hooks and stops, which AWS does not publish. A hook that ends in an error fails its
event at once: Lambda would try it again twice, and CodeDeploy wait for the rest of the hour. Lambda lets
anybody change the alias meanwhile, as in AWS; the next shift writes over it.

https://docs.aws.amazon.com/codedeploy/latest/userguide/deployment-steps-lambda.html
https://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file-structure-hooks.html
https://docs.aws.amazon.com/codedeploy/latest/userguide/deployments-rollback-and-redeploy.html
https://docs.aws.amazon.com/codedeploy/latest/userguide/monitoring-create-alarms.html
"""

from __future__ import annotations

import contextvars
import logging
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
from localaws.services.codedeploy.steps import HookRun, LifecycleEvent, shifts
from localaws.services.codedeploy.targets import DeploymentEnded, ServiceRole, Target

_HOOK_SECONDS = 3600.0
_POLL_SECONDS = 5.0
_FASTEST_POLL = 0.02
_FAILED, _ALARM, _STOPPED = ROLLBACK_EVENTS
_log = logging.getLogger(__name__)
_LETTERS = string.ascii_uppercase + string.digits


class _Abandoned(Exception):  # noqa: N818
    """The account was emptied."""


@dataclass
class Deployment:
    """A deployment and what has become of it.

    Args:
        group: The record of its deployment group.
        revision: The revision, as it was given.
        spec: What the revision says.
        routing: How traffic is routed.
        settings: What else GetDeployment tells: creator, names, configurations.
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

    # --- From outside

    @property
    def is_active(self) -> bool:
        """Whether it still has something to do."""
        return self.status in ("Created", "Queued", "InProgress")

    def start(self) -> None:
        """Begin, in a thread of its own."""
        context = contextvars.copy_context()
        name = f"codedeploy {self.id}"
        threading.Thread(target=context.run, args=(self._run,), daemon=True, name=name).start()

    def stop(self, *, roll_back: bool | None) -> None:
        """Stop it.

        Args:
            roll_back: Whether it is rolled back; None leaves it to the group's settings.
        """
        wanted = self._is_rolled_back_after(_STOPPED) if roll_back is None else roll_back
        self.roll_back_when_stopped = wanted
        self.stopping = True
        self._woken.set()

    def answer_hook(self, execution: str, status: str) -> bool:
        """Take the answer of a hook; returns whether it is the first one.

        Args:
            execution: The id that the hook was given.
            status: `Succeeded` or `Failed`.
        """
        if self.hook_answers[execution]:
            return False
        self.hook_answers[execution] = status
        self._woken.set()
        return True

    def abandon(self) -> None:
        """Forget it where it stands: there is nothing left that it could do."""
        self.abandoned = True
        self._woken.set()

    # --- In its thread

    def _run(self) -> None:
        with request_scope(*self.account_and_region):
            try:
                self._work()
            except DeploymentEnded as end:
                self._end(end)
            except _Abandoned:
                self.status = "Failed"
            except Exception:
                _log.exception("Deployment %s broke", self.id)
                self._end(DeploymentEnded("Failed", "INTERNAL_ERROR", "The embedded AWS broke; see its log."))
            finally:
                self.ended.set()

    def _work(self) -> None:
        self.status, self.times["startTime"] = "InProgress", now_epoch()
        self._target.check(whatever_it_is_at=self.rolls_back is not None)
        self._look_up()
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
        way_back = None
        stopped = end.event == _STOPPED and self.roll_back_when_stopped
        if stopped or (end.event not in (None, _STOPPED) and self._is_rolled_back_after(end.event)):
            way_back = self._make_rollback()
        self.status = end.status
        if way_back:
            way_back._run()

    def _is_rolled_back_after(self, event: str | None) -> bool:
        settings = self.settings["autoRollbackConfiguration"]
        return bool(self.rolls_back is None and settings["enabled"] and event in settings["events"])

    def _make_rollback(self) -> Deployment:
        spec = self.spec.reversed()
        settings = self.settings | {"creator": "codeDeployRollback"}
        way_back = Deployment(
            self.group, spec.revision(), spec, {"type": "AllAtOnce"}, settings, rolls_back=self
        )
        way_back.rollback = {
            "rollbackTriggeringDeploymentId": self.id,
            "rollbackMessage": f"Deployment {way_back.id} is triggered to roll back deployment {self.id}.",
        }
        self.rollback = {
            "rollbackDeploymentId": way_back.id,
            "rollbackMessage": f"Deployment {self.id} terminated. Automatic rollback is triggered with a "
            f"DeploymentId {way_back.id}.",
        }
        deployments[way_back.id] = way_back
        return way_back

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
            raise _hook_failed(event, run.error or "no answer came within an hour")
        if answer == "Failed":
            raise _hook_failed(event, "its function answered Failed")

    def _shift(self) -> None:
        for step, (weight, minutes) in enumerate(shifts(self.routing)):
            if step:
                self._wait(minutes * 60)
            self._target.shift(weight)
            self.weight = weight / 100

    # --- Waiting

    def _wait(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Wait for a documented time, or until something has happened, unless the deployment ends before."""
        deadline = time.monotonic() + shortened(seconds)
        interval = max(_FASTEST_POLL, shortened(_POLL_SECONDS))
        while not until() and (left := deadline - time.monotonic()) > 0:
            self._look_up()
            self._woken.wait(min(left, interval))
            self._woken.clear()
        self._look_up()

    def _look_up(self) -> None:
        """See whether there is a reason to end."""
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
        active = self._target.role.ringing(self.settings["alarmConfiguration"])
        if active:
            raise DeploymentEnded(
                "Stopped",
                "ALARM_ACTIVE",
                "One or more alarms have been activated according to the Amazon CloudWatch metrics you "
                "selected, and the affected deployments have been stopped. Activated alarms: "
                + " ".join(f"<{name}>" for name in active),
                _ALARM,
            )


#: Every deployment since the last reset, by its id, oldest first.
deployments: dict[str, Deployment] = {}


@on_reset
def clear() -> None:
    """Abandon all deployments and forget them."""
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
