"""Records of asynchronous invocations and dead letters, sent with the permissions of the function's role.

`lambda_.async_invocation` uses it. Everything is sent through the emulator's API with the credentials of the
role: if it may not send, the record is lost, as in AWS.

Faithful to: the form of the record; SQS, SNS, Lambda, EventBridge and S3 (failures only) as destinations,
with the documented permissions, which are two for S3; the original event with `RequestID`, `ErrorCode` and
`ErrorMessage` as dead letter; the metrics `DestinationDeliveryFailures` and `DeadLetterErrors`.
Not to: size limits of records. The documentation does not show the record of an event that expired while it
was throttled: its response context here has status code 429.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-configuring.html
"""

from __future__ import annotations

import functools
import json
import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import botocore.session
from botocore.config import Config
from ministack.core import lambda_runtime
from ministack.services import cloudwatch, sqs

from localaws.engines.python_runtime.environment import gateway

logger = logging.getLogger("localaws.lambda")

#: A dead letter has the first kilobyte of the error message.
ERROR_MESSAGE_BYTES = 1024


@dataclass(frozen=True)
class Record:
    """The outcome of an event."""

    config: dict[str, Any]
    qualifier: str
    request_id: str
    event: object
    condition: str
    invoke_count: int
    response: dict[str, Any] | None
    executed_version: str | None

    @property
    def function_arn(self) -> str:
        """The ARN that was invoked; `$LATEST` if it had no qualifier."""
        return ":".join([*self.config["FunctionArn"].split(":")[:7], self.qualifier])

    @property
    def succeeded(self) -> bool:
        """Whether the function succeeded."""
        return self.condition == "Success"

    def document(self) -> dict[str, Any]:
        """The invocation record."""
        record: dict[str, Any] = {
            "version": "1.0",
            "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "requestContext": {
                "requestId": self.request_id,
                "functionArn": self.function_arn,
                "condition": self.condition,
                "approximateInvokeCount": self.invoke_count,
            },
            "requestPayload": self.event,
        }
        if self.response is not None:
            context: dict[str, Any] = {
                "statusCode": self.status_code,
                "executedVersion": self.executed_version or "$LATEST",
            }
            if self.response.get("error") and not self.response.get("throttle"):
                context["functionError"] = self.response.get("function_error") or "Unhandled"
            record["responseContext"] = context
            record["responsePayload"] = self.response.get("body")
        return record

    @property
    def status_code(self) -> int:
        """The HTTP status of the last attempt: 200 also when the function failed."""
        return 429 if self.response is None or self.response.get("throttle") else 200

    @property
    def error_message(self) -> str:
        """The error of the last attempt."""
        body = (self.response or {}).get("body")
        if isinstance(body, dict):
            return str(body.get("errorMessage") or body.get("message") or "")
        return "Function not invoked: its reserved concurrency is zero"


def deliver(record: Record, settings: dict[str, Any]) -> None:
    """Send the record to the destination for its outcome, and a failed event to the dead-letter queue.

    Args:
        record: The outcome of the event.
        settings: The event invoke configuration that applied.
    """
    outcome = "OnSuccess" if record.succeeded else "OnFailure"
    destination = ((settings.get("DestinationConfig") or {}).get(outcome) or {}).get("Destination")
    if destination:
        _attempt(_send_record, record, destination, "DestinationDeliveryFailures")
    dead_letters = (record.config.get("DeadLetterConfig") or {}).get("TargetArn")
    if dead_letters and not record.succeeded:
        _attempt(_send_dead_letter, record, dead_letters, "DeadLetterErrors")


def _attempt(send: Callable[[Record, str], None], record: Record, target: str, metric: str) -> None:
    try:
        send(record, target)
    except Exception as error:
        # AWS only counts a metric; here the log also names the missing permission.
        name = record.config["FunctionName"]
        logger.warning("%s: the record of %s did not reach %s: %s", name, record.request_id, target, error)
        cloudwatch.record_metric("AWS/Lambda", metric, 1, "Count", {"FunctionName": name})


def _send_record(record: Record, target: str) -> None:
    document = json.dumps(record.document())
    service, name = target.split(":")[2], target.split(":")[-1]
    client = client_of(record.config, service)
    if service == "sqs":
        client.send_message(QueueUrl=sqs._queue_url(name), MessageBody=document)
    elif service == "sns":
        client.publish(TopicArn=target, Message=document)
    elif service == "lambda":
        client.invoke(FunctionName=target, InvocationType="Event", Payload=document)
    elif service == "s3":
        now = time.gmtime()
        folder = f"aws/lambda/async/{record.config['FunctionName']}/{time.strftime('%Y/%m/%d', now)}"
        client.list_objects_v2(Bucket=name, MaxKeys=1)  # Lambda needs the permission s3:ListBucket as well
        key = f"{folder}/{time.strftime('%Y-%m-%dT%H.%M.%S', now)}-{uuid.uuid4()}"
        client.put_object(Bucket=name, Key=key, Body=document)
    else:
        _put_event(client, record, target, document)


def _put_event(client: Any, record: Record, bus: str, document: str) -> None:
    entry = {
        "Source": "lambda",
        "DetailType": f"Lambda Function Invocation Result - {'Success' if record.succeeded else 'Failure'}",
        "Detail": document,
        "EventBusName": bus,
        "Resources": [record.function_arn, bus],
    }
    answer = client.put_events(Entries=[entry])
    if answer["FailedEntryCount"]:
        raise RuntimeError(answer["Entries"][0]["ErrorMessage"])


def _send_dead_letter(record: Record, target: str) -> None:
    event = json.dumps(record.event)
    message = record.error_message.encode()[:ERROR_MESSAGE_BYTES].decode(errors="ignore")
    attributes = {
        "RequestID": {"DataType": "String", "StringValue": record.request_id},
        "ErrorCode": {"DataType": "Number", "StringValue": str(record.status_code)},
        "ErrorMessage": {"DataType": "String", "StringValue": message or "none"},
    }
    service, name = target.split(":")[2], target.split(":")[-1]
    client = client_of(record.config, service)
    if service == "sqs":
        client.send_message(QueueUrl=sqs._queue_url(name), MessageBody=event, MessageAttributes=attributes)
    else:
        client.publish(TopicArn=target, Message=event, MessageAttributes=attributes)


def client_of(config: dict[str, Any], service: str) -> Any:
    """A client with the credentials of the function's role."""
    region = config["FunctionArn"].split(":")[3]
    credentials = lambda_runtime.execution_credentials(config)
    return _cached_client(service, region, *credentials.values())


@functools.lru_cache(maxsize=64)
def _cached_client(service: str, region: str, key: str, secret: str, token: str) -> Any:
    reach = gateway()
    return botocore.session.get_session().create_client(
        service,
        region_name=region,
        endpoint_url=reach["AWS_ENDPOINT_URL"],
        verify=reach.get("AWS_CA_BUNDLE"),
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        aws_session_token=token or None,
        config=Config(inject_host_prefix=False, s3={"addressing_style": "path"}),
    )
