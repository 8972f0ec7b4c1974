"""Jobs of S3 Batch Operations that invoke functions, each in a thread of its own.

Faithful to: the statuses New, Preparing, Suspended (until the job is confirmed), Ready, Active, and Complete,
Failed or Cancelled. A synchronous invocation of the function, as the job's role, for each task, with the
event of invocation schema 1.0 (`s3BucketArn`) or 2.0 (`s3Bucket`, `userArguments`); keys in it are
URL-encoded. The answer has a result for each task id; others get `treatMissingKeysAs`, by default
`TemporaryFailure`. Such tasks, and those of invocations that Lambda throttles, are redriven before the job
completes. An error of the function, and an answer that is none, fail the task permanently. A job fails when
it has run 1,000 tasks or more and more than half of them failed. The role must trust
`batchoperations.s3.amazonaws.com`, and allow `lambda:InvokeFunction`. Cancelling lets running tasks end.
Not to: how often tasks are redriven (here: twice, after all others), how many run at once (here: four), and
tasks that share an invocation, of which AWS documents nothing more; priorities, which are only recorded;
functions in other accounts. Whether AWS compares the invocation id and the schema version of an answer with
those of its event is not documented: an answer with others counts as none here. As all of the account, jobs
end with the server.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/batch-ops-invoke-lambda.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/batch-ops-job-status.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_control_LambdaInvokeOperation.html
"""

from __future__ import annotations

import base64
import contextvars
import json
import logging
import secrets
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ministack.core.responses import get_account_id, get_region, new_uuid, request_scope
from ministack.services import lambda_svc

from localaws.patching import on_reset
from localaws.services.iam.roles import role_allows, role_trusts
from localaws.services.lambda_.references import FunctionReference
from localaws.services.s3control.manifests import JobFailed, Task, generate, tasks_of
from localaws.services.s3control.reports import Result, write_report

ENDED = ("Complete", "Failed", "Cancelled")
_ENDING = (*ENDED, "Completing", "Failing", "Cancelling")
CODES = ("Succeeded", "TemporaryFailure", "PermanentFailure")
_PRINCIPAL = "batchoperations.s3.amazonaws.com"
_ATTEMPTS = 3
_LANES = 4
_FAILURE_THRESHOLD = 1000  # tasks that have run, from which on their failure rate counts
_NO_ANSWER = "Invalid JSON returned in Lambda payload"
_NO_RESULT = "The answer has no result for this task"

_log = logging.getLogger(__name__)


class _Cancelled(Exception):
    """The job is to end without more tasks."""


@dataclass
class Job:
    """A job and its progress.

    Args:
        request: The request that created it.
    """

    request: dict[str, Any]
    id: str = field(default_factory=new_uuid)
    status: str = "New"
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    ended: datetime | None = None
    suspended: datetime | None = None
    reason: str = ""
    failures: list[dict[str, str]] = field(default_factory=list)
    generated: Any = None
    tags: list[dict[str, str]] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    results: list[tuple[Task, Result]] = field(default_factory=list)
    succeeded: int = 0
    failed: int = 0
    active_seconds: float = 0.0
    confirmed: threading.Event = field(default_factory=threading.Event)
    cancelled: threading.Event = field(default_factory=threading.Event)
    _moving: threading.Lock = field(default_factory=threading.Lock)
    _too_many_failed: bool = False
    _account: str = field(default_factory=get_account_id)
    _region: str = field(default_factory=get_region)

    @property
    def arn(self) -> str:
        """Its ARN."""
        return f"arn:aws:s3:{self._region}:{self._account}:job/{self.id}"

    def start(self) -> None:
        """Start its thread."""
        name, context = f"s3 batch {self.id}", contextvars.copy_context()
        threading.Thread(target=context.run, args=(self._run,), daemon=True, name=name).start()

    def confirm(self) -> bool:
        """Let a suspended job go on; return whether it is one."""
        with self._moving:
            if self.status != "Suspended":
                return False
            self.status = "Ready"
        self.confirmed.set()
        return True

    def cancel(self, reason: str) -> bool:
        """End it after the tasks that are running; return False if it is ending already."""
        with self._moving:
            if self.status in _ENDING:
                return False
            self.status, self.reason = "Cancelling", reason
            self.cancelled.set()
        self.confirmed.set()
        return True

    # --- Called by its thread

    def _run(self) -> None:
        with request_scope(self._account, self._region):
            last = "Complete"
            try:
                self._prepare()
                self._work()
            except _Cancelled:
                last = "Cancelled"
            except JobFailed as failure:
                last = self._fail(failure)
            except Exception:
                _log.exception("The job %s failed unexpectedly", self.id)
                last = self._fail(JobFailed("InternalError", "Unexpected error; see the server's log"))
            try:
                write_report(self.request["Report"], self.request["RoleArn"], self.id, self.results)
            except JobFailed as failure:
                last = self._fail(failure)
            self.status, self.ended = last, datetime.now(UTC)

    def _fail(self, failure: JobFailed) -> str:
        with self._moving:
            self.status = "Failing"
        self.failures.append({"FailureCode": failure.code, "FailureReason": str(failure)[:256]})
        return "Failed"

    def _prepare(self) -> None:
        self._move("Preparing")
        role = self.request["RoleArn"]
        if not role_trusts(role, _PRINCIPAL, self.arn):
            raise JobFailed("AccessDenied", f"{role} cannot be assumed by {_PRINCIPAL}")
        if "Manifest" in self.request:
            self.tasks = tasks_of(self.request["Manifest"], role)
        else:
            generator = self.request["ManifestGenerator"]["S3JobManifestGenerator"]
            self.tasks, self.generated = generate(generator, role, self.id)
        if self.request.get("ConfirmationRequired", True):
            self.suspended = datetime.now(UTC)
            self._move("Suspended")
            self.confirmed.wait()
        self._move("Ready")

    def _move(self, status: str) -> None:
        with self._moving:
            if self.cancelled.is_set():
                raise _Cancelled
            self.status = status

    def _work(self) -> None:
        self._move("Active")
        began = time.monotonic()
        left: Iterable[Task] = self.tasks
        for attempt in range(_ATTEMPTS):
            left = self._pass(left, last=attempt == _ATTEMPTS - 1)
            self.active_seconds = time.monotonic() - began
        self._move("Completing")

    def _pass(self, tasks: Iterable[Task], *, last: bool) -> list[Task]:
        """Run tasks, unless the job is to end; return those that are to be redriven."""
        context = contextvars.copy_context()
        with ThreadPoolExecutor(_LANES) as lanes:
            again = list(lanes.map(lambda task: context.copy().run(self._try, task, last), tasks))
        if self._too_many_failed:
            raise JobFailed("FailureThresholdExceeded", "More than 50% of the tasks that have run failed")
        if self.cancelled.is_set():
            raise _Cancelled
        return [task for task in again if task is not None]

    def _try(self, task: Task, last: bool) -> Task | None:
        """Run a task; return it if it is to be redriven."""
        if self.cancelled.is_set() or self._too_many_failed:
            return None
        try:
            result = self._invoke(task)
        except Exception as error:
            _log.exception("The task of %s failed unexpectedly", task.key)
            result = Result("PermanentFailure", f"Unexpected error: {error}", 500)
        if result.code == "TemporaryFailure" and not last:
            return task
        with self._moving:
            self.results.append((task, result))
            self.succeeded += result.succeeded
            self.failed += not result.succeeded
            ran = self.succeeded + self.failed
            self._too_many_failed |= ran >= _FAILURE_THRESHOLD and self.failed * 2 > ran
        return None

    def _invoke(self, task: Task) -> Result:
        if task.version == "":
            return Result("PermanentFailure", "The version ID is an empty string", 400)
        lambda_invoke = self.request["Operation"]["LambdaInvoke"]
        named = FunctionReference.parse(lambda_invoke["FunctionArn"])
        arn = named.arn(self._region, self._account) if named else lambda_invoke["FunctionArn"]
        if not role_allows(self.request["RoleArn"], "lambda:InvokeFunction", arn):
            why = f"{self.request['RoleArn']} is not authorized to perform: lambda:InvokeFunction on {arn}"
            return Result("PermanentFailure", why, 403)
        record, config, _name = lambda_svc._get_func_record_for_ref(arn)
        if record is None or config is None:
            return Result("PermanentFailure", f"Function not found: {arn}", 404)
        event = self._event(task, lambda_invoke)
        runnable = lambda_svc._execution_record_for_config(record, config)
        answered = lambda_svc._execute_function_with_config_scope(runnable, event)
        if answered.get("throttle"):
            return Result("TemporaryFailure", "Rate Exceeded.", 429)
        if answered.get("error"):
            said = json.dumps(answered.get("body"), separators=(",", ":"))
            return Result("PermanentFailure", f"Lambda returned function error: {said}")
        return _read(answered.get("body"), event)

    def _event(self, task: Task, lambda_invoke: dict[str, Any]) -> dict[str, Any]:
        version = lambda_invoke.get("InvocationSchemaVersion", "1.0")
        job: dict[str, Any] = {"id": self.id}
        named: dict[str, Any] = {"s3Bucket": task.bucket}
        if version == "1.0":
            named = {"s3BucketArn": f"arn:aws:s3:::{task.bucket}"}
        elif lambda_invoke.get("UserArguments"):
            job["userArguments"] = lambda_invoke["UserArguments"]
        of_task = {"taskId": _token(), "s3Key": task.key, "s3VersionId": task.version, **named}
        return {
            "invocationSchemaVersion": version,
            "invocationId": _token(),
            "job": job,
            "tasks": [of_task],
        }


def _token() -> str:
    return base64.b64encode(secrets.token_bytes(39)).decode()


def _read(answer: Any, event: dict[str, Any]) -> Result:
    """The result in a function's answer."""
    copied = ("invocationSchemaVersion", "invocationId")
    if not isinstance(answer, dict) or any(answer.get(name) != event[name] for name in copied):
        return Result("PermanentFailure", _NO_ANSWER)
    results = answer.get("results")
    if not isinstance(results, list) or not all(isinstance(one, dict) for one in results):
        return Result("PermanentFailure", _NO_ANSWER)
    for one in results:
        if one.get("taskId") == event["tasks"][0]["taskId"]:
            code, text = one.get("resultCode"), one.get("resultString") or ""
            break
    else:
        code = answer.get("treatMissingKeysAs", "TemporaryFailure")
        text = _NO_RESULT
    if code not in CODES or not isinstance(text, str):
        return Result("PermanentFailure", _NO_ANSWER)
    if code == "PermanentFailure" and text != _NO_RESULT:
        text = "The function answered PermanentFailure"  # S3 ignores the result string
    return Result(code, text)


#: All jobs since the last reset, by account, Region and id, the newest last.
_jobs: dict[tuple[str, str, str], Job] = {}


def add(job: Job) -> None:
    """Add a job and start it."""
    _jobs[get_account_id(), get_region(), job.id] = job
    job.start()


def find(id: str) -> Job | None:
    """The job of an id, in the account and Region of the request."""
    return _jobs.get((get_account_id(), get_region(), id))


def of_request() -> list[Job]:
    """The jobs in the account and Region of the request, the newest first."""
    here = (get_account_id(), get_region())
    return [job for place, job in reversed(list(_jobs.items())) if place[:2] == here]


@on_reset
def _clear() -> None:
    """Abandon all jobs."""
    for job in list(_jobs.values()):
        job.cancel("")
    _jobs.clear()
