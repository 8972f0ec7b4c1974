"""The API of S3 Batch Operations, of which the emulator has nothing.

Faithful to: CreateJob, DescribeJob, ListJobs, UpdateJobStatus, UpdateJobPriority, PutJobTagging,
GetJobTagging and DeleteJobTagging, with the constraints of AWS's model. Each needs the permission of its
name, on the job's ARN or, for CreateJob and ListJobs, on `*`; CreateJob also `iam:PassRole` on the role,
which is of the same account. The
keys `s3:RequestJobOperation`, `s3:RequestJobPriority`, `s3:ExistingJobOperation` and
`s3:ExistingJobPriority`. A request with the token of another one returns its job, if they are equal. A job
must be confirmed unless the request says `ConfirmationRequired=false`. A suspended job can be confirmed, and
one that has not ended be cancelled. What a job does is in `s3control.jobs`.
Not to: operations other than LambdaInvoke, directory buckets, and the filters that `s3control.manifests`
lists, which are refused as not emulated; the words of errors; `aws:RequestTag` and the other keys of tags;
quotas; the 90 days after which jobs are forgotten.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_control_CreateJob.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_control_UpdateJobStatus.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/batch-ops-iam-role-policies.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ministack import app
from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.core.router import extract_access_key_id
from ministack.services import s3

from localaws.faults.rules import Rule, rules
from localaws.patching import around
from localaws.services.iam.roles import iam_is_enforced
from localaws.services.s3control import jobs
from localaws.services.s3control.documents import (
    SERVICE,
    Malformed,
    Values,
    input_of,
    operation,
    parsed,
    written,
)
from localaws.services.s3control.jobs import Job

Answer = tuple[int, dict[str, str], bytes]

_PRINCIPAL = "batchoperations.s3.amazonaws.com"
_MAX_TAGS = 50
_PAGE = 1000
_FILTERS_NOT_EMULATED = ("EligibleForReplication", "ObjectReplicationStatuses", "MatchAnyObjectEncryption")


class Refused(Exception):
    """A request that is refused.

    Args:
        code: The error code.
        message: The message.
        status: The HTTP status.
    """

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.status = code, status


@around(app, "_handle_s3_control_request")
async def _handle(
    stock: Callable[..., Awaitable[Answer | None]],
    path: str,
    method: str,
    body: bytes,
    query_params: dict[str, Any],
    request_id: str,
    headers: dict[str, str] | None = None,
) -> Answer | None:
    name, job = _route(method, path)
    if not name:
        return await stock(path, method, body, query_params, request_id, headers)
    headers = headers or {}
    answer = await _fault(name, headers, query_params)
    answer = answer or _answer(name, job, headers, body, query_params, request_id)
    return answer[0], {**answer[1], "x-amzn-requestid": request_id}, answer[2]


async def _fault(name: str, headers: dict[str, str], query: dict[str, Any]) -> Answer | None:
    """The error that a test asked for: `aws.faults.api("s3control", …)`."""
    caller = iam_evaluator.request_caller_arn(headers, query)

    def concerns(rule: Rule) -> bool:
        return (
            SERVICE in rule.target
            and rule.operation in (None, name)
            and (rule.role is None or f":assumed-role/{rule.role}/" in caller)
        )

    rule = rules.applying("api", concerns) if rules.has("api") else None
    if rule is None:
        return None
    await asyncio.sleep(rule.latency)
    return s3.s3control_error(rule.error, rule.message, rule.status) if rule.error else None


def _route(method: str, path: str) -> tuple[str, str]:
    """The operation of a request and the id of its job; empty if it is about no job."""
    for name in _OPERATIONS:
        http = operation(name).http
        pattern = str(http["requestUri"]).replace("{id}", "(?P<id>[^/]+)")
        found = re.fullmatch(f"{pattern}/?", path)
        if found and http["method"] == method:
            return name, found.groupdict().get("id", "")
    return "", ""


def _answer(
    name: str, id: str, headers: dict[str, str], body: bytes, query: dict[str, Any], request_id: str
) -> Answer:
    try:
        given = {"AccountId": headers.get("x-amz-account-id", ""), **_in_query(name, query)}
        request = parsed(name, body, given | ({"JobId": id} if id else {}))
        denied = _denied(name, id, request, headers, query, request_id)
        if denied:
            return denied
        return 200, {"Content-Type": "application/xml"}, written(name, _OPERATIONS[name](request))
    except Malformed as problem:
        code = "InvalidRequestException" if name == "ListJobs" else "BadRequestException"
        refused = Refused(code, str(problem))
    except Refused as error:
        refused = error
    answer: Answer = s3.s3control_error(refused.code, str(refused), refused.status)
    return answer


def _in_query(name: str, query: Mapping[str, Any]) -> Values:
    """The parameters of a request that are in its query."""
    found = {}
    for member, inner in input_of(name).members.items():
        given = query.get(inner.serialization.get("name", member))
        if inner.serialization.get("location") == "querystring" and given:
            values = given if isinstance(given, list) else [given]
            found[member] = values if inner.type_name == "list" else values[0]
    return found


def _denied(
    name: str, id: str, request: Values, headers: dict[str, str], query: Any, request_id: str
) -> Answer | None:
    """The answer to a caller that may not; None to others."""
    job = jobs.find(id) if id else None
    context = {}
    for which, described in (("request", request), ("existing", job.request if job else {})):
        if "Operation" in described:
            context[f"s3:{which}joboperation"] = next(iter(described["Operation"]), "")
        if "Priority" in described:
            context[f"s3:{which}jobpriority"] = str(described["Priority"])
    arn = f"arn:aws:s3:{get_region()}:{get_account_id()}:job/{id}" if id else "*"
    refused: Answer | None = app._enforce_data_plane(
        "s3", f"s3:{name}", headers, query, request_id, resource_arn=arn, service_context=context
    )
    refused = refused or (s3.s3control_account_error(headers) if iam_is_enforced() else None)
    return refused or _may_not_pass(request.get("RoleArn"), headers, query)


def _may_not_pass(role: str | None, headers: dict[str, str], query: Any) -> Answer | None:
    if role is None:
        return None
    if role.split(":")[4:5] not in ([], [get_account_id()]):
        across: Answer = s3.s3control_error("AccessDenied", "Cross-account pass role is not allowed.", 403)
        return across
    if not iam_is_enforced():
        return None
    denied = iam_evaluator.enforce(
        extract_access_key_id(headers, query),
        "iam:PassRole",
        "iam",
        get_region(),
        resource_arn=role,
        service_context={"iam:PassedToService": _PRINCIPAL},
    )
    if denied is None:
        return None
    who = getattr(denied, "principal_arn", "")
    message = f"User: {who} is not authorized to perform: iam:PassRole on resource: {role}"
    answer: Answer = s3.s3control_error("AccessDenied", message, 403)
    return answer


# --- Operations


def _create(request: Values) -> Values:
    _check(request)
    for other in jobs.of_request():
        if other.request["ClientRequestToken"] == request["ClientRequestToken"]:
            if other.request != request:
                raise Refused("IdempotencyException", "The token was used for a job with other parameters")
            return {"JobId": other.id}
    job = Job(request, tags=request.get("Tags", []))
    _check_tags(job.tags)
    jobs.add(job)
    return {"JobId": job.id}


def _check(request: Values) -> None:
    """Refuse what S3 refuses, or is not emulated."""
    if len(request["Operation"]) != 1:
        raise Refused("BadRequestException", "Operation must have exactly one operation")
    name, settings = next(iter(request["Operation"].items()))
    if name != "LambdaInvoke":
        raise Refused("BadRequestException", f"{name} is not emulated here; only LambdaInvoke is")
    version = settings.get("InvocationSchemaVersion", "1.0")
    if "FunctionArn" not in settings or version not in ("1.0", "2.0"):
        raise Refused("BadRequestException", "LambdaInvoke needs a FunctionArn, and the schema 1.0 or 2.0")
    if settings.get("UserArguments") and version != "2.0":
        raise Refused("BadRequestException", "UserArguments need the InvocationSchemaVersion 2.0")
    if ("Manifest" in request) == ("ManifestGenerator" in request):
        raise Refused("BadRequestException", "Give either a Manifest or a ManifestGenerator")
    report = request["Report"]
    if report["Enabled"] and not {"Bucket", "Format", "ReportScope"} <= set(report):
        raise Refused("BadRequestException", "An enabled Report needs Bucket, Format and ReportScope")
    if "Manifest" in request:
        _check_manifest(request["Manifest"]["Spec"])
    else:
        _check_generator(request["ManifestGenerator"].get("S3JobManifestGenerator"))


def _check_manifest(spec: Values) -> None:
    fields = [name for name in spec.get("Fields", []) if name != "Ignore"]
    if spec["Format"] == "S3InventoryReport_CSV_20161130":
        if fields:
            raise Refused("BadRequestException", "Fields are for manifests in CSV only")
    elif not {"Bucket", "Key"} <= set(fields) or len(fields) != len(set(fields)):
        raise Refused("BadRequestException", "Fields must have Bucket and Key, and each field once")


def _check_generator(generator: Values | None) -> None:
    if generator is None:
        raise Refused("BadRequestException", "ManifestGenerator needs an S3JobManifestGenerator")
    if generator["EnableManifestOutput"] and "ManifestOutputLocation" not in generator:
        raise Refused("BadRequestException", "EnableManifestOutput needs a ManifestOutputLocation")
    for name in _FILTERS_NOT_EMULATED:
        if name in generator.get("Filter", {}):
            raise Refused("BadRequestException", f"The filter {name} is not emulated here")


def _found(request: Values) -> Job:
    job = jobs.find(request["JobId"])
    if job is None:
        raise Refused("NotFoundException", f"No such job: {request['JobId']}", 404)
    return job


def _listed(job: Job) -> Values:
    """What DescribeJob and ListJobs say of a job."""
    progress = {
        "TotalNumberOfTasks": len(job.tasks),
        "NumberOfTasksSucceeded": job.succeeded,
        "NumberOfTasksFailed": job.failed,
        "Timers": {"ElapsedTimeInActiveSeconds": int(job.active_seconds)},
    }
    return {
        "JobId": job.id,
        "Description": job.request.get("Description"),
        "Priority": job.request["Priority"],
        "Status": job.status,
        "CreationTime": job.created,
        "TerminationDate": job.ended,
        "ProgressSummary": progress,
    }


def _describe(request: Values) -> Values:
    job = _found(request)
    copied = ("ConfirmationRequired", "Manifest", "ManifestGenerator", "Operation", "Report", "RoleArn")
    more = {
        "JobArn": job.arn,
        "StatusUpdateReason": job.reason or None,
        "FailureReasons": job.failures,
        "SuspendedDate": job.suspended,
        "SuspendedCause": "Awaiting confirmation" if job.suspended else None,
        "GeneratedManifestDescriptor": job.generated,
    }
    return {"Job": {**{name: job.request.get(name) for name in copied}, **more, **_listed(job)}}


def _list(request: Values) -> Values:
    wanted = request.get("JobStatuses") or []
    found = [job for job in jobs.of_request() if not wanted or job.status in wanted]
    first = 0
    if token := request.get("NextToken"):
        ids = [job.id for job in found]
        if token not in ids:
            raise Refused("InvalidNextTokenException", "The token is not valid")
        first = ids.index(token)
    size = int(request.get("MaxResults") or _PAGE)
    page, rest = found[first : first + size], found[first + size :]
    described = [_listed(job) | {"Operation": next(iter(job.request["Operation"]))} for job in page]
    return {"Jobs": described, "NextToken": rest[0].id if rest else None}


def _update_status(request: Values) -> Values:
    job, wanted = _found(request), request["RequestedJobStatus"]
    reason = request.get("StatusUpdateReason", "")
    if not (job.confirm() if wanted == "Ready" else job.cancel(reason)):
        raise Refused("JobStatusException", f"A job that is {job.status} cannot become {wanted}")
    return {"JobId": job.id, "Status": job.status, "StatusUpdateReason": reason or None}


def _update_priority(request: Values) -> Values:
    job, priority = _found(request), int(request["Priority"])
    if job.status in jobs.ENDED:
        raise Refused("BadRequestException", f"The job is {job.status}")
    job.request = {**job.request, "Priority": priority}
    return {"JobId": job.id, "Priority": priority}


def _put_tags(request: Values) -> Values:
    job = _found(request)
    _check_tags(request["Tags"])
    job.tags = request["Tags"]
    return {}


def _check_tags(tags: list[Values]) -> None:
    if len(tags) > _MAX_TAGS:
        raise Refused("TooManyTagsException", f"A job has at most {_MAX_TAGS} tags")
    if len({tag["Key"] for tag in tags}) < len(tags):
        raise Refused("BadRequestException", "A tag key is given twice")


def _delete_tags(request: Values) -> Values:
    _found(request).tags = []
    return {}


_OPERATIONS: dict[str, Callable[[Values], Values]] = {
    "CreateJob": _create,
    "DescribeJob": _describe,
    "ListJobs": _list,
    "UpdateJobStatus": _update_status,
    "UpdateJobPriority": _update_priority,
    "PutJobTagging": _put_tags,
    "GetJobTagging": lambda request: {"Tags": _found(request).tags},
    "DeleteJobTagging": _delete_tags,
}
