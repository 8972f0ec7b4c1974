"""Jobs of Lambda actions: how a function answers CodePipeline, of which the emulator has nothing.

There are no pipelines: `LocalAws.deliver_as("codepipeline.amazonaws.com", …)` delivers the event of a job,
and with that the job exists.

Faithful to: PutJobSuccessResult and PutJobFailureResult need the permission of their name, on `*`. They take
one answer to a job that was delivered in the account and Region; JobNotFoundException refuses others, and
InvalidJobStateException a second one. With a continuation token the job has its answer, too: CodePipeline
continues with a new job. An answer with a token has no output variables, and variables have 122,880 bytes
at most. CloudTrail has each call, with its parameters, the caller, and the error if it was refused.
Not to: the words of the errors; the 20 minutes after which CodePipeline waits no longer, and what it does
with an answer; the delay of CloudTrail.

https://docs.aws.amazon.com/codepipeline/latest/userguide/actions-invoke-lambda-function.html
https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_PutJobSuccessResult.html
https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_PutJobFailureResult.html
https://docs.aws.amazon.com/codepipeline/latest/userguide/limits.html
https://docs.aws.amazon.com/codepipeline/latest/userguide/monitoring-cloudtrail-logs.html
"""

from __future__ import annotations

import json
import time
from typing import Any

from ministack.core.iam_evaluator import request_caller_arn
from ministack.core.responses import (
    AccountRegionScopedDict,
    error_response_json,
    get_account_id,
    get_region,
    new_uuid,
)
from ministack.core.router import extract_access_key_id
from ministack.services import cloudtrail

from localaws.patching import new_service, on_reset
from localaws.refusals import Parameters, Refusal, refuses

_JSON = "application/x-amz-json-1.1"
_MAX_VARIABLES = 122_880

_answered = AccountRegionScopedDict()  # by the id of the job: whether it has its answer


def open_job(event: Any) -> None:
    """Note that the event of a job is delivered. A duplicate of it is no new job."""
    job = event.get("CodePipeline.job") if isinstance(event, dict) else None
    if isinstance(job, dict) and isinstance(job.get("id"), str):
        _answered.setdefault(job["id"], False)


@new_service("codepipeline", target_prefix="CodePipeline_20150709")
async def handle_request(_method: str, _path: str, headers: dict[str, str], body: bytes, query: Any) -> Any:
    """Respond to a request."""
    name = headers.get("x-amz-target", "").rpartition(".")[2]
    request = json.loads(body or b"{}")
    refused = _answer(request["jobId"]) if name in _ACTIONS else ("InvalidAction", f"{name} is not emulated")
    if name in _ACTIONS:
        _log(name, request, headers, query, refused)
    if refused:
        return error_response_json(*refused, 400, content_type=_JSON)
    return 200, {"Content-Type": _JSON}, b""


_ACTIONS = ("PutJobSuccessResult", "PutJobFailureResult")


def _answer(job: str) -> tuple[str, str] | None:
    """Take the answer to a job; return why it is refused."""
    if job not in _answered:
        return "JobNotFoundException", f"No job found with id {job}"
    if _answered[job]:
        return "InvalidJobStateException", f"Job {job} has already completed"
    _answered[job] = True
    return None


@refuses("codepipeline", "PutJobSuccessResult")
def _variables(answer: Parameters) -> Refusal | None:
    variables = answer.get("outputVariables") or {}
    if variables and "continuationToken" in answer:
        return Refusal(
            "ValidationException", "outputVariables can be included only when there is no continuation token"
        )
    size = sum(len(name.encode()) + len(value.encode()) for name, value in variables.items())
    if size > _MAX_VARIABLES:
        return Refusal(
            "OutputVariablesSizeExceededException",
            f"The output variables have {size} bytes; the limit is {_MAX_VARIABLES}",
        )
    return None


def _log(
    name: str, request: Any, headers: dict[str, str], query: Any, refused: tuple[str, str] | None
) -> None:
    """Write the call into CloudTrail's event history."""
    caller, now, event_id = request_caller_arn(headers, query), time.time(), new_uuid()
    event = {
        "eventVersion": "1.11",
        "userIdentity": {
            "type": "AssumedRole" if ":assumed-role/" in caller else "IAMUser",
            "arn": caller,
            "accountId": get_account_id(),
        },
        "eventTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)),
        "eventSource": "codepipeline.amazonaws.com",
        "eventName": name,
        "awsRegion": get_region(),
        "requestParameters": request,
        "responseElements": None,
        "eventID": event_id,
        "readOnly": False,
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": get_account_id(),
    }
    if refused:
        event |= {"errorCode": refused[0], "errorMessage": refused[1]}
    cloudtrail._get_event_queue().append(
        {
            "EventId": event_id,
            "EventName": name,
            "EventSource": event["eventSource"],
            "EventTime": now,
            "Username": caller.rpartition("/")[2],
            "AccessKeyId": extract_access_key_id(headers, query) or "",
            "ReadOnly": "false",
            "Resources": [],
            "CloudTrailEvent": json.dumps(event),
        }
    )


@on_reset
def _clear() -> None:
    """Forget the jobs."""
    _answered.clear()
