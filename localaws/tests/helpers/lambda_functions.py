"""Small functions, queues and topics."""

from __future__ import annotations

import base64
import io
import json
import time
import uuid
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from localaws import LocalAws

T = TypeVar("T")


def zipped(files: Mapping[str, str]) -> bytes:
    """An archive with the files."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        for name, text in files.items():
            opened.writestr(name, text)
    return archive.getvalue()


# Pauses between two questions, in seconds. A question costs milliseconds of the processor, of the test and
# of the server, and several tests wait at the same time.
_FIRST_PAUSE, _GROWTH, _LONGEST_PAUSE = 0.02, 1.25, 0.2


def eventually(ask: Callable[[], T], seconds: float = 60) -> T:
    """Call until the result is true, and return it.

    Args:
        ask: Called again and again.
        seconds: After which it fails: long, because only a test that fails waits for it.
    """
    deadline = time.monotonic() + seconds
    pause = _FIRST_PAUSE
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"nothing within {seconds} s"
        time.sleep(pause)
        pause = min(pause * _GROWTH, _LONGEST_PAUSE)
    return answer


class Hold:
    """Keeps invocations running until the test releases them, so that it need not guess how long they run.

    Args:
        folder: An empty folder, in which the functions, which run on this machine, leave marks.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def source(self) -> str:
        """Python for the beginning of a function's code: it defines `hold()`."""
        return f"""
import pathlib, time, uuid
def hold(folder=pathlib.Path({str(self.folder)!r})):
    (folder / uuid.uuid4().hex).touch()
    while folder.exists() and not (folder / "released").exists():
        time.sleep(0.01)
"""

    def wait(self, count: int = 1) -> None:
        """Wait until that many invocations have called `hold()`, which now are running."""
        eventually(lambda: len(list(self.folder.iterdir())) >= count)

    def release(self) -> None:
        """Let all invocations go on, and later ones too."""
        (self.folder / "released").touch()


@dataclass(frozen=True)
class Invoked:
    """The response to an invocation."""

    payload: Any
    error: str | None
    log: str
    version: str
    request_id: str


class Functions:
    """Creates and invokes functions, and creates their destinations.

    Args:
        aws: A running embedded AWS.
    """

    def __init__(self, aws: LocalAws) -> None:
        self.aws = aws

    def role(self, *statements: tuple[str, str], service: str = "lambda.amazonaws.com") -> str:
        """A role for a service, by default Lambda, that may do each action on its resource."""
        iam, name = self.aws.client("iam"), f"role-{uuid.uuid4().hex[:8]}"
        trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
        if statements:
            allowed = [{"Effect": "Allow", "Action": a, "Resource": r} for a, r in statements]
            document = json.dumps({"Version": "2012-10-17", "Statement": allowed})
            iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=document)
        return arn

    def make(self, source: str, *, role: str | None = None, **settings: Any) -> str:
        """A Python function; returns its name."""
        name = f"function-{uuid.uuid4().hex[:8]}"
        files = {"index.py": source}
        self.aws.client("lambda").create_function(
            FunctionName=name,
            Role=role or self.role(),
            Code={"ZipFile": zipped(files)},
            **{"Runtime": "python3.13", "Handler": "index.handler", "Timeout": 30} | settings,
        )
        return name

    def invoke(self, name: str, event: object = None, *, qualifier: str = "") -> Invoked:
        """Invoke a function and wait."""
        named = {"Qualifier": qualifier} if qualifier else {}
        answer = self.aws.client("lambda").invoke(
            FunctionName=name, Payload=json.dumps(event), LogType="Tail", **named
        )
        return Invoked(
            payload=json.load(answer["Payload"]),
            error=answer.get("FunctionError"),
            log=base64.b64decode(answer.get("LogResult", "")).decode(),
            version=answer.get("ExecutedVersion", ""),
            request_id=answer["ResponseMetadata"]["RequestId"],
        )

    def send(self, name: str, event: object = None, *, qualifier: str = "") -> str:
        """Invoke a function asynchronously; returns the request id."""
        named = {"Qualifier": qualifier} if qualifier else {}
        answer = self.aws.client("lambda").invoke(
            FunctionName=name, Payload=json.dumps(event), InvocationType="Event", **named
        )
        request_id: str = answer["ResponseMetadata"]["RequestId"]
        return request_id

    def arn(self, service: str, name: str) -> str:
        """An ARN in the account."""
        return f"arn:aws:{service}:{self.aws.region}:{self.aws.account}:{name}"

    def settle(self, name: str, *, MaximumRetryAttempts: int = 0, **destinations: str) -> None:  # noqa: N803
        """Set the destinations of a function's events, by default without retries."""
        self.aws.client("lambda").put_function_event_invoke_config(
            FunctionName=name,
            MaximumRetryAttempts=MaximumRetryAttempts,
            DestinationConfig={outcome: {"Destination": arn} for outcome, arn in destinations.items()},
        )

    def queue(self, *, writable_by: str = "") -> Queue:
        """A queue, to which a service may send."""
        name = f"queue-{uuid.uuid4().hex[:8]}"
        arn = self.arn("sqs", name)
        attributes = {}
        if writable_by:
            allow = {"Effect": "Allow", "Principal": {"Service": writable_by}}
            statement = allow | {"Action": "sqs:SendMessage", "Resource": arn}
            attributes = {"Policy": json.dumps({"Version": "2012-10-17", "Statement": [statement]})}
        url = self.aws.client("sqs").create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        return Queue(self.aws, name, url, arn)

    def topic(self, subscriber: Queue, *, raw: bool = True) -> str:
        """A topic with a queue as subscriber; returns its ARN."""
        sns = self.aws.client("sns")
        arn: str = sns.create_topic(Name=f"topic-{subscriber.name}")["TopicArn"]
        attributes = {"RawMessageDelivery": str(raw).lower()}
        sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=subscriber.arn, Attributes=attributes)
        return arn


@dataclass(frozen=True)
class Queue:
    """A queue."""

    aws: LocalAws
    name: str
    url: str
    arn: str

    def receive(self) -> list[dict[str, Any]]:
        """Receive and delete the messages in the queue."""
        sqs = self.aws.client("sqs")
        answer = sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10, MessageAttributeNames=["All"])
        messages: list[dict[str, Any]] = answer.get("Messages", [])
        for message in messages:
            sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
        return messages

    def wait(self) -> dict[str, Any]:
        """The next message."""
        return eventually(self.receive)[0]

    def wait_for_body(self) -> Any:
        """The next message's body, which is JSON."""
        return json.loads(self.wait()["Body"])
