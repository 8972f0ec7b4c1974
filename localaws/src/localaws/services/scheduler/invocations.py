"""Schedules invoke their targets with their execution role, retry, and use their dead-letter queues.

The emulator treats a schedule as a rule: it evaluates the policy of the target and not the schedule's
role, a rate of five minutes starts after five minutes, and an invocation that fails is lost.

Faithful to: targets are called through the API with a session of the schedule's role: functions
(asynchronously), queues, topics, event buses, state machines, streams, delivery streams, and every
operation that a universal target names. Context attributes in the input, the default event without one. A
call that fails is repeated as the retry policy says, and then sent to the dead-letter queue, with the
documented attributes and the role's permission. A schedule is deleted after completion when its last
invocation was delivered or given up.
Not to: the time between retries, which doubles from a quarter of a minute and is shortened like every
minute (see `pace`); the other templated targets, which fail; metrics. AWS invokes up to a minute late;
here it is a fraction of a second.

https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets.html
https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html
https://docs.aws.amazon.com/scheduler/latest/UserGuide/configuring-schedule-dlq.html
"""

from __future__ import annotations

import copy
import itertools
import json
import logging
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError
from ministack.core.responses import request_scope
from ministack.services import scheduler, sqs

from localaws.engines.node_sdk.relay import folders_of_packages
from localaws.pace import shortened
from localaws.patching import changes, on_reset, replaces
from localaws.services.iam.roles import role_trusts
from localaws.services.lambda_.destinations import client_of
from localaws.services.scheduler import expressions
from localaws.services.scheduler.schedules import SERVICE, group_arn

logger = logging.getLogger("localaws.scheduler")

Schedule = dict[str, Any]
Key = tuple[str, str, str]
_UNIVERSAL = "arn:aws:scheduler:::aws-sdk:"
_FIRST_RETRY, _LAST_RETRY = 15.0, 3600.0
# Of each schedule, when it was created and changed, and when it is due.
_due: dict[Key, tuple[tuple[float, float], float | None]] = {}
# How many invocations of each are under way, and which have had their last one.
_delivering: Counter[Key] = Counter()
_ended: set[Key] = set()


@changes(scheduler, "_SCHEDULE_TICK_INTERVAL")
def _tick_interval(_stock: float) -> float:
    return 0.25


@on_reset
def _forget() -> None:
    _due.clear()
    _delivering.clear()
    _ended.clear()


@replaces(scheduler, "_tick_schedules")
def _tick_schedules() -> None:
    schedules = dict(scheduler._schedules._data)
    for key in _due.keys() - schedules.keys():
        del _due[key]
        _ended.discard(key)
    for key, schedule in schedules.items():
        try:
            _tick(key, schedule)
        except Exception:
            logger.exception("%s cannot be invoked", schedule.get("Arn"))


def _tick(key: Key, schedule: Schedule) -> None:
    """Invoke the schedule if it is due."""
    now, dates = time.time(), (schedule["CreationDate"], schedule["LastModificationDate"])
    known, due = _due.get(key, (None, None))
    if known != dates:
        due = expressions.first_time(schedule)
        _ended.discard(key)
    fires = due is not None and due <= now and schedule["State"] == "ENABLED"
    if fires:
        assert due is not None
        invocation = Invocation(copy.deepcopy(schedule), due, key[0], key[1])
        _delivering[key] += 1
        arguments = (key, invocation)
        threading.Thread(target=_deliver, args=arguments, daemon=True, name="localaws-schedule").start()
        due = expressions.next_time(schedule, max(now, due + 1))
        if due is None:
            _ended.add(key)
    _due[key] = (dates, due)
    end = scheduler._to_epoch(schedule.get("EndDate"))
    is_complete = due is None and (key in _ended or (end is not None and end < now))
    # A deleted schedule retries nothing, so it is deleted once its last invocation is delivered or given up.
    if is_complete and not _delivering[key] and schedule.get("ActionAfterCompletion") == "DELETE":
        with request_scope(key[0], key[1]):
            scheduler._delete_schedule(schedule["Name"], {"groupName": schedule["GroupName"]})


def _deliver(key: Key, invocation: Invocation) -> None:
    try:
        invocation.deliver()
    finally:
        _delivering[key] -= 1


@dataclass
class Invocation:
    """One time of a schedule, until it is delivered or given up."""

    schedule: Schedule
    due: float
    account: str
    region: str

    def __post_init__(self) -> None:
        self.id = str(uuid.uuid4())
        self.target: dict[str, Any] = self.schedule["Target"]

    def deliver(self) -> None:
        """Call the target until it succeeds or the retry policy ends."""
        policy = self.target["RetryPolicy"]
        deadline = time.time() + shortened(policy["MaximumEventAgeInSeconds"])
        with request_scope(self.account, self.region):
            for attempt in itertools.count():
                try:
                    self._require_trust()
                    self._call(self._input(attempt + 1))
                    return
                except Exception as error:
                    failure = error
                logger.warning("%s: %s", self.schedule["Arn"], failure)
                wait = shortened(min(_FIRST_RETRY * 2**attempt, _LAST_RETRY))
                if attempt >= policy["MaximumRetryAttempts"]:
                    self._give_up(failure, attempt, "MaximumRetryAttempts")
                    return
                if time.time() + wait > deadline:
                    self._give_up(failure, attempt, "MaximumEventAgeInSeconds")
                    return
                time.sleep(wait)
                if self.schedule["Arn"] not in {one["Arn"] for one in scheduler._schedules.values()}:
                    return  # it is gone, for example with a reset

    def _client(self, service: str) -> Any:
        # As if it were a function with this role.
        name = f"scheduler-{self.schedule['Name']}"
        arn = f"arn:aws:lambda:{self.region}:{self.account}:function:{name}"
        config = {"FunctionArn": arn, "FunctionName": name, "Role": self.target["RoleArn"]}
        return client_of(config, service)

    def _require_trust(self) -> None:
        role = self.target["RoleArn"]
        if not role_trusts(role, SERVICE, group_arn(self.schedule["GroupName"])):
            raise PermissionError(f"the role {role} does not trust {SERVICE}")

    def _input(self, attempt: int) -> str:
        """What the target gets at an attempt."""
        text = self.target.get("Input") or json.dumps(self._default_event())
        for name, value in {
            "schedule-arn": self.schedule["Arn"],
            "scheduled-time": self._scheduled_time,
            "execution-id": self.id,
            "attempt-number": str(attempt),
        }.items():
            text = text.replace(f"<aws.scheduler.{name}>", value)
        return str(text)

    @property
    def _scheduled_time(self) -> str:
        return datetime.fromtimestamp(int(self.due), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def _default_event(self) -> dict[str, Any]:
        return {
            "version": "0",
            "id": self.id,
            "detail-type": "Scheduled Event",
            "source": "aws.scheduler",
            "account": self.account,
            "time": self._scheduled_time,
            "region": self.region,
            "resources": [self.schedule["Arn"]],
            "detail": "{}",
        }

    def _call(self, text: str) -> None:
        """Call the operation of the target with its input."""
        arn: str = self.target["Arn"]
        if arn.startswith(_UNIVERSAL):
            service, _, action = arn.removeprefix(_UNIVERSAL).partition(":")
            client = self._client(folders_of_packages().get(service, service))
            parameters = json.loads(text) if self.target.get("Input") else {}
            client._make_api_call(action[0].upper() + action[1:], parameters)
            return
        service, name = arn.split(":")[2], arn.rpartition(":")[2]
        calls: dict[str, Callable[[Any], Any]] = {
            "lambda": lambda it: it.invoke(FunctionName=arn, InvocationType="Event", Payload=text),
            "sqs": lambda it: it.send_message(
                QueueUrl=sqs._queue_url(name), MessageBody=text, **self.target.get("SqsParameters", {})
            ),
            "sns": lambda it: it.publish(TopicArn=arn, Message=text),
            "states": lambda it: it.start_execution(stateMachineArn=arn, input=text),
            "kinesis": lambda it: it.put_record(
                StreamARN=arn, Data=text, PartitionKey=self.target["KinesisParameters"]["PartitionKey"]
            ),
            "firehose": lambda it: it.put_record(
                DeliveryStreamName=arn.rpartition("/")[2], Record={"Data": text}
            ),
            "events": lambda it: self._put_event(it, arn, text),
        }
        if service not in calls:
            raise NotImplementedError(f"targets of {service} are not emulated: {arn}")
        calls[service](self._client(service))

    def _put_event(self, client: Any, bus: str, text: str) -> None:
        entry = {"EventBusName": bus, "Detail": text, **self.target["EventBridgeParameters"]}
        (answer,) = client.put_events(Entries=[entry])["Entries"]
        if "ErrorCode" in answer:
            raise RuntimeError(f"{answer['ErrorCode']}: {answer.get('ErrorMessage')}")

    def _give_up(self, failure: Exception, retries: int, condition: str) -> None:
        queue = (self.target.get("DeadLetterConfig") or {}).get("Arn")
        if not queue:
            logger.warning("%s: the event of %s is lost", self.schedule["Arn"], self._scheduled_time)
            return
        error = failure.response["Error"] if isinstance(failure, ClientError) else {}
        values = {
            "ERROR_CODE": error.get("Code", type(failure).__name__),
            "ERROR_MESSAGE": error.get("Message", str(failure)),
            "EXECUTION_ID": self.id,
            "EXHAUSTED_RETRY_CONDITION": condition,
            "IS_PAYLOAD_TRUNCATED": "false",
            "RETRY_ATTEMPTS": str(retries),
            "SCHEDULED_TIME": self._scheduled_time,
            "SCHEDULE_ARN": self.schedule["Arn"],
            "TARGET_ARN": self.target["Arn"],
        }
        try:
            self._client("sqs").send_message(
                QueueUrl=sqs._queue_url(queue.rpartition(":")[2]),
                MessageBody=self._input(retries + 1),
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": value or "none"}
                    for name, value in values.items()
                },
            )
        except Exception as lost:
            logger.warning("%s: the event did not reach %s: %s", self.schedule["Arn"], queue, lost)
