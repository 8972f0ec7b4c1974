"""Transformation: a function gets a buffer of records, and its answer is checked.

Used by `firehose.delivery`.

Faithful to:
- The event, with `sourceKinesisStreamArn` and `kinesisRecordMetadata` for records of a Kinesis stream.
- The delivery role must allow `lambda:InvokeFunction` and `lambda:GetFunctionConfiguration`.
- An invocation that fails is tried again `NumberOfRetries` times (default 3); then all of its records have
  failed. An answer is final, however wrong it is: one that is no list of records, with an id twice, another
  result than Ok, Dropped and ProcessingFailed, or an Ok without valid base64, fails all of its records. Of
  records without an answer, only these fail.
- Error codes and texts of AWS. A response of more than 6 MB is an error of the function.
Not to: the wait between two attempts, and whether an attempt follows when the role is not allowed to invoke.
One invocation of a delivery stream runs at a time. AWS ends an invocation after five minutes.

https://docs.aws.amazon.com/firehose/latest/dev/data-transformation.html
https://docs.aws.amazon.com/firehose/latest/dev/data-transformation-status-model.html
https://docs.aws.amazon.com/firehose/latest/dev/data-transformation-failure-handling.html
https://docs.aws.amazon.com/firehose/latest/dev/monitoring-with-cloudwatch-logs.html
"""

from __future__ import annotations

import base64
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from ministack.core.responses import get_region

from localaws.pace import shortened
from localaws.services.firehose.records import Record
from localaws.services.iam.roles import role_allows, role_trusts
from localaws.services.lambda_.event_source_mappings import run_function

SERVICE = "firehose.amazonaws.com"
_RETRIES, _WAIT = 3, 5.0


class Problem(NamedTuple):
    """An error, as in error records and logs."""

    code: str
    text: str


_NO_ROLE = Problem(
    "Lambda.AssumeRoleAccessDenied",
    "Access was denied. Ensure that the trust policy for the provided IAM role allows Amazon Data Firehose "
    "to assume the role.",
)
_DENIED = Problem(
    "Lambda.InvokeAccessDenied",
    "Access was denied. Ensure that the access policy allows access to the Lambda function.",
)
_THROTTLED = Problem(
    "Lambda.InvokeLimitExceeded",
    "The Lambda concurrent execution limit is exceeded. Increase the concurrent execution limit.",
)
_GONE = Problem(
    "Lambda.ResourceNotFound",
    "The specified Lambda function does not exist. Use a different function that does exist.",
)
_TIMED_OUT = Problem(
    "Lambda.FunctionTimedOut",
    "The Lambda function invocation timed out. Increase the Timeout setting in the Lambda function.",
)
_FAILED = Problem(
    "Lambda.FunctionError",
    "The Lambda function was successfully invoked but it returned an error result.",
)
_NO_RECORDS = Problem(
    "Lambda.JsonProcessingException",
    "There was an error parsing returned records from the Lambda function. Ensure that the returned records "
    "follow the status model required by Amazon Data Firehose.",
)
_WRONG_RECORD = Problem(
    "Lambda.FunctionError",
    "Check your function and make sure the output is in required format. In addition to that, make sure the "
    "processed records contain valid result status of Dropped, Ok, or ProcessingFailed",
)
_TWICE = Problem(
    "Lambda.DuplicatedRecordId",
    "Multiple records were returned with the same record ID. Ensure that the Lambda function returns unique "
    "record IDs for each record.",
)
_MISSING = Problem(
    "Lambda.MissingRecordId",
    "One or more record IDs were not returned. Ensure that the Lambda function returns all received record "
    "IDs.",
)
_BY_FUNCTION = Problem("Lambda.ProcessingFailedStatus", "ProcessingFailed status set for record")


@dataclass(frozen=True)
class Failed:
    """A record that goes to the error output."""

    record: Record
    problem: Problem
    attempts: int
    function: str = ""


@dataclass(frozen=True)
class Transformed:
    """What became of a batch.

    Attributes:
        records: Those to deliver, with the data and the partition keys of the function.
        failed: Those that failed.
        invocations: For each invocation, seconds and whether it succeeded.
        error: Why the batch as a whole failed.
    """

    records: list[Record]
    failed: list[Failed]
    invocations: list[tuple[float, bool]]
    error: Problem | None = None


def parameters_of(settings: Mapping[str, Any], kind: str) -> dict[str, str] | None:
    """The parameters of the processor of a kind; None if the destination has none."""
    processing = settings.get("ProcessingConfiguration") or {}
    if str(processing.get("Enabled")).lower() != "true":
        return None
    for processor in processing.get("Processors") or []:
        if processor.get("Type") == kind:
            found = processor.get("Parameters") or []
            return {str(one["ParameterName"]): str(one["ParameterValue"]) for one in found}
    return None


def transformed(
    stream: Mapping[str, Any], role: str, parameters: Mapping[str, str], records: Sequence[Record]
) -> Transformed:
    """Let the function transform a batch.

    Args:
        stream: The delivery stream.
        role: The role of its destination.
        parameters: Those of the processor.
        records: The batch.
    """
    function, role = parameters["LambdaArn"], parameters.get("RoleArn") or role
    event = _event(stream, records)
    invocations: list[tuple[float, bool]] = []
    answer: Any = None
    for attempt in range(1 + int(parameters.get("NumberOfRetries") or _RETRIES)):
        if attempt:
            time.sleep(shortened(_WAIT))
        start = time.time()
        problem, answer = _invoke(stream, role, function, event)
        invocations.append((time.time() - start, problem is None))
        if problem is None:
            break
    attempts = len(invocations)
    found: dict[str, Mapping[str, Any]] = {}
    if problem is None:
        problem, found = _checked(answer)
    if problem:
        failed = [Failed(record, problem, attempts, function) for record in records]
        return Transformed([], failed, invocations, problem)
    kept, lost = [], []
    for record in records:
        result = found.get(record.id, {}).get("result")
        if result == "Ok":
            kept.append(_result(record, found[record.id]))
        elif result != "Dropped":
            why = _BY_FUNCTION if result else _MISSING
            lost.append(Failed(record, why, attempts, function))
    missing = _MISSING if any(one.problem is _MISSING for one in lost) else None
    return Transformed(kept, lost, invocations, missing)


def _event(stream: Mapping[str, Any], records: Sequence[Record]) -> dict[str, Any]:
    source = (stream.get("kinesis_source") or {}).get("KinesisStreamARN")
    event: dict[str, Any] = {
        "invocationId": str(uuid.uuid4()),
        **({"sourceKinesisStreamArn": source} if source else {}),
        "deliveryStreamArn": stream["arn"],
        "region": get_region(),
        "records": [],
    }
    for record in records:
        entry: dict[str, Any] = {
            "recordId": record.id,
            "approximateArrivalTimestamp": int(record.arrived * 1000),
            "data": base64.b64encode(record.data).decode(),
        }
        if record.kinesis:
            entry["kinesisRecordMetadata"] = record.kinesis
        event["records"].append(entry)
    return event


def _invoke(
    stream: Mapping[str, Any], role: str, function: str, event: dict[str, Any]
) -> tuple[Problem | None, Any]:
    if not role_trusts(role, SERVICE, stream["arn"]):
        return _NO_ROLE, None
    actions = ("lambda:InvokeFunction", "lambda:GetFunctionConfiguration")
    if not all(role_allows(role, action, function) for action in actions):
        return _DENIED, None
    result = run_function({"FunctionArn": function}, event)
    if result.get("throttle"):
        return _THROTTLED, None
    body = result.get("body")
    if not result.get("error"):
        return None, body
    said = body if isinstance(body, dict) else {}
    if said.get("errorType") == "ResourceNotFoundException":
        return _GONE, None
    return (_TIMED_OUT if "Task timed out after" in str(said.get("errorMessage")) else _FAILED), None


def _checked(answer: Any) -> tuple[Problem | None, dict[str, Mapping[str, Any]]]:
    """What the answer says of each record id, or what is wrong with it as a whole."""
    given = answer.get("records") if isinstance(answer, dict) else None
    if not isinstance(given, list):
        return _NO_RECORDS, {}
    found: dict[str, Mapping[str, Any]] = {}
    for one in given:
        if not isinstance(one, dict) or not _is_valid(one):
            return _WRONG_RECORD, {}
        if one["recordId"] in found:
            return _TWICE, {}
        found[one["recordId"]] = one
    return None, found


def _is_valid(one: Mapping[str, Any]) -> bool:
    if not isinstance(one.get("recordId"), str) or one.get("result") not in (
        "Ok",
        "Dropped",
        "ProcessingFailed",
    ):
        return False
    if one["result"] != "Ok":
        return True
    try:
        base64.b64decode(one["data"], validate=True)
    except (KeyError, TypeError, ValueError):
        return False
    return True


def _result(record: Record, one: Mapping[str, Any]) -> Record:
    keys = (one.get("metadata") or {}).get("partitionKeys")
    named = keys.items() if isinstance(keys, dict) else ()
    values = {f"partitionKeyFromLambda:{name}": value for name, value in named}
    return replace(record, data=base64.b64decode(one["data"]), keys=values)
