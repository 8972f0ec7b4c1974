"""What one run sends as CodePipeline and CodeCommit, and what came of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from scenarios.events.pipeline_events.changes import Event, job, reference_change, state_change
from scenarios.framework import DeployedStack, NotYet, ScenarioFailed
from scenarios.support.failure_queue import FailureQueue, Messages
from scenarios.support.redrive import redrive

_CODEPIPELINE = "codepipeline.amazonaws.com"


class Releases:
    """The releases of one run.

    Args:
        stack: The deployed stack.
    """

    def __init__(self, stack: DeployedStack) -> None:
        self.stack, self.run_id = stack, uuid4().hex[:12]
        self.pipeline, self.repository = stack.output("PipelineArn"), stack.output("RepositoryArn")
        self.function, self.check = stack.output("FunctionName"), stack.output("CheckFunctionName")
        self._lambda, self._iam = stack.client("lambda"), stack.client("iam")
        self._bus = f"{self._arn('events')}:event-bus/default"
        self._role = ""
        self.inbox = Messages(stack, stack.output("InboxQueueUrl"), self._is_mine)
        self.undelivered = Messages(stack, stack.output("UndeliveredQueueUrl"), self._is_mine)
        self.failed = FailureQueue(
            stack, stack.output("FailureQueueUrl"), lambda one: self.run_id in json.dumps(one.event)
        )
        self.unreported = FailureQueue(
            stack, stack.output("ReporterFailureQueueUrl"), lambda one: self.run_id in json.dumps(one.event)
        )
        self._releases: set[str] = set()

    def _is_mine(self, body: str) -> bool:
        return self.run_id in body

    def _arn(self, service: str) -> str:
        _arn, partition, _service, region, account, _name = self.pipeline.split(":", 5)
        return f"arn:{partition}:{service}:{region}:{account}"

    def state_change(self, level: str, state: str, pipeline: str = "") -> Event:
        """A state change of an execution of this run."""
        execution = f"{self.run_id}-{uuid4().hex[:8]}"
        return state_change(level, pipeline or self.pipeline, execution, state)

    def reference_change(self, change: str, kind: str = "branch") -> Event:
        """A change of a branch or tag of this run."""
        return reference_change(change, self.repository, f"{self.run_id}-{uuid4().hex[:8]}", kind)

    def emit(self, event: Event) -> None:
        """Send an event to the default bus as its service; in a real account, to the function as a caller."""
        if self.stack.deliver_as is None:
            self._invoke(self.function, event)
        else:
            principal = event["source"].replace("aws.", "") + ".amazonaws.com"
            self.stack.deliver_as(principal, event["resources"][0], self._bus, event)

    def _invoke(self, function: str, event: Event) -> None:
        payload = json.dumps(event)
        self._lambda.invoke(FunctionName=function, InvocationType="Event", Payload=payload)

    def deliver(self, event: Event) -> None:
        """Deliver an event to the function as EventBridge does: a second time, it is a duplicate."""
        if self.stack.deliver_as is None:
            self.emit(event)
        else:
            function = f"{self._arn('lambda')}:function:{self.function}"
            self.stack.deliver_as("events.amazonaws.com", self.stack.output("RuleArn"), function, event)

    def wait_for_reports(self, *events: Event) -> list[str]:
        """Wait until each event is reported, and return the texts of all notifications of this run."""

        def check() -> list[str]:
            bodies = [message["Body"] for message in self.inbox.poll()]
            if missing := [one for one in events if not any(_key(one) in body for body in bodies)]:
                raise NotYet(f"{len(missing)} of {len(events)} are missing: {missing[0]['detail']}")
            return [json.loads(body)["text"] for body in bodies]

        return self.stack.patient.wait_until(check, "notifications")

    def wait_for_result(self, event: Event) -> None:
        """Wait until it is stored that an event is reported, which prevents a second report."""
        key = _hash(event["id"])

        def check() -> None:
            found = [item["status"]["S"] for item in self._results() if item["id"]["S"].endswith(key)]
            if found != ["COMPLETED"]:
                raise NotYet(f"results: {found}")

        self.stack.wait_until(check, "result of an event")

    def _results(self) -> Iterator[dict[str, Any]]:
        """What Powertools has stored about events."""
        pages = self.stack.client("dynamodb").get_paginator("scan")
        for page in pages.paginate(TableName=self.stack.output("IdempotencyTableName"), ConsistentRead=True):
            yield from page["Items"]

    def release(self, state: str, *, pause: float = 0) -> dict[str, str]:
        """Write the state of a new release as its deployment does; return the parameters of the action."""
        name = f"{self.run_id}-{uuid4().hex[:8]}"
        self._releases.add(name)
        self.set_state(name, state, pause=pause)
        return {"release": name}

    def set_state(self, name: str, state: str, *, pause: float = 0) -> None:
        """Change the state of a release."""
        item = {
            "release": {"S": name},
            "state": {"S": state},
            "version": {"S": "2.4.0"},
            "pause": {"N": str(pause)},
        }
        self.stack.client("dynamodb").put_item(TableName=self.stack.output("ReleasesTableName"), Item=item)

    def start(self, parameters: object, token: str | None = None, *, times: int = 1) -> str:
        """Invoke the function with a job as CodePipeline does, and return the id of the job.

        Raises:
            ScenarioFailed: Only the embedded AWS can do that.
        """
        if self.stack.deliver_as is None:
            raise ScenarioFailed("jobs come from CodePipeline only")
        event = self.job(parameters, token)
        function = f"{self._arn('lambda')}:function:{self.check}"
        for _ in range(times):
            self.stack.deliver_as(
                _CODEPIPELINE, self.pipeline, function, event, role=self._role or self._make_role(function)
            )
        return str(event["CodePipeline.job"]["id"])

    def job(self, parameters: object, token: str | None = None) -> Event:
        """The event of a job."""
        return job(self.check, self.pipeline.split(":")[4], parameters, token)

    def pretend(self, parameters: object) -> None:
        """Invoke the function with a job that CodePipeline does not have."""
        self._invoke(self.check, self.job(parameters))

    def _make_role(self, function: str) -> str:
        """The role of the action, which the CDK's `LambdaInvokeAction` makes with the pipeline."""
        name = f"action-{self.run_id}"
        allow = {"Effect": "Allow", "Principal": {"Service": _CODEPIPELINE}, "Action": "sts:AssumeRole"}
        invoke = {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": function}
        trust, policy = (json.dumps({"Version": "2012-10-17", "Statement": [one]}) for one in (allow, invoke))
        made = self._iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)
        self._iam.put_role_policy(RoleName=name, PolicyName="invoke", PolicyDocument=policy)
        self._role = str(made["Role"]["Arn"])
        return self._role

    def calls(self, job_id: str) -> list[dict[str, Any]]:
        """What functions said to CodePipeline about a job, from the event history of CloudTrail."""
        source = {"AttributeKey": "EventSource", "AttributeValue": _CODEPIPELINE}
        pages = self.stack.client("cloudtrail").get_paginator("lookup_events")
        events = [
            json.loads(one["CloudTrailEvent"])
            for page in pages.paginate(LookupAttributes=[source])
            for one in page["Events"]
        ]
        return [one for one in events if one["requestParameters"]["jobId"] == job_id]

    def all_calls(self, job_id: str, count: int) -> list[dict[str, Any]]:
        """Wait until functions have called about a job this often, and return the calls."""

        def check() -> list[dict[str, Any]]:
            if len(found := self.calls(job_id)) < count:
                raise NotYet(f"calls about it: {found}")
            return found

        return self.stack.wait_until(check, "calls about a job")

    def answer(self, job_id: str) -> dict[str, Any]:
        """Wait for the one answer to a job that CodePipeline has accepted, and return the call.

        Raises:
            ScenarioFailed: There is none in time, or there are several.
        """

        def check() -> list[dict[str, Any]]:
            calls = self.calls(job_id)
            if not (found := [one for one in calls if "errorCode" not in one]):
                raise NotYet(f"calls about it: {calls}")
            return found

        found = self.stack.wait_until(check, "answer to a job")
        if len(found) > 1:
            raise ScenarioFailed(f"several answers to a job: {found}")
        return found[0]

    def redrive(self, queue: str) -> int:
        """Send what is in a queue to the function again, and return how many events were sent."""
        self.failed.release()
        self.undelivered.release()
        url = self.stack.output(f"{queue}QueueUrl")
        return redrive(self.stack.session, queue_url=url, function_name=self.function).resent

    def close(self) -> None:
        """Delete what this run has left: role, releases, messages, and the results of its events."""
        dynamodb = self.stack.client("dynamodb")
        if self._role:
            name = self._role.rpartition("/")[2]
            self._iam.delete_role_policy(RoleName=name, PolicyName="invoke")
            self._iam.delete_role(RoleName=name)
        for name in self._releases:
            key = {"release": {"S": name}}
            dynamodb.delete_item(TableName=self.stack.output("ReleasesTableName"), Key=key)
        reported = {_hash(json.loads(message["Body"])["event"]["id"]) for message in self.inbox.poll()}
        for item in self._results():
            if item["id"]["S"].rpartition("#")[2] in reported:
                key = {"id": item["id"]}
                dynamodb.delete_item(TableName=self.stack.output("IdempotencyTableName"), Key=key)
        for queue in (self.inbox, self.undelivered, self.failed, self.unreported):
            queue.close()


def _hash(event_id: str) -> str:
    """How Powertools writes an idempotency key."""
    return hashlib.sha256(json.dumps(event_id).encode()).hexdigest()


def _key(event: Event) -> str:
    """What a notification about an event, and no other one, has in it."""
    detail = event["detail"]
    return str(detail.get("execution-id") or detail["referenceName"])
