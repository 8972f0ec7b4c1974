"""The API of AWS X-Ray, of which the emulator has nothing.

Faithful to: PutTraceSegments, which names the documents that it does not accept; PutTelemetryRecords;
BatchGetTraces and GetTraceSummaries, by the time of traces and with filter expressions; sampling rules and
targets; groups; tags. Each needs the permission of its name.
Not to: every other operation (service graphs, insights, encryption, Transaction Search and the endpoint
for OTLP), which is refused as not emulated; pages: answers are complete; GetTraceSummaries by events or
services, `Sampling`, and the parts of a summary about root causes and instances; resource-level permissions
of groups and rules.

https://docs.aws.amazon.com/xray/latest/api/API_Operations.html
https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsx-ray.html
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ministack.core import iam_actions
from ministack.core.responses import error_response_json

from localaws.patching import changes, new_service
from localaws.services.xray import filters, groups, sampling, segments, tags
from localaws.services.xray.filters import InvalidExpression
from localaws.services.xray.sampling import RefusedError
from localaws.services.xray.segments import Trace, Unprocessed, end_of, everything

Values = dict[str, Any]

_JSON = "application/json"
_MOST_TRACES = 5


@changes(iam_actions, "_SERVICE_PROTOCOL")
def _protocols(stock: dict[str, str]) -> dict[str, str]:
    return {**stock, "xray": "rest-json"}


@new_service("xray", target_prefix="AWSXRay")
async def handle_request(_method: str, path: str, _headers: dict[str, str], body: bytes, _query: Any) -> Any:
    """Respond to a request."""
    action = _ACTIONS.get(path.strip("/"))
    try:
        if action is None:
            raise RefusedError(f"{path} is not emulated")
        answer = action(json.loads(body or b"{}"))
    except (RefusedError, InvalidExpression) as refusal:
        code = getattr(refusal, "code", "InvalidRequestException")
        return error_response_json(code, str(refusal), 400, message_key="Message", content_type=_JSON)
    return 200, {"Content-Type": _JSON}, json.dumps(answer).encode()


def _put(request: Values) -> Values:
    refused = []
    for text in request["TraceSegmentDocuments"]:
        try:
            segments.put(segments.read(text))
        except Unprocessed as error:
            refused.append({"Id": error.id, "ErrorCode": error.code, "Message": str(error)})
    return {"UnprocessedTraceSegments": refused}


def _get_traces(request: Values) -> Values:
    ids = request["TraceIds"]
    if len(ids) > _MOST_TRACES:
        raise RefusedError(f"A request may name {_MOST_TRACES} traces")
    found = {one: segments.find(one) for one in dict.fromkeys(ids)}
    return {
        "Traces": [
            {
                "Id": trace.id,
                "Duration": round(trace.duration, 3),
                "LimitExceeded": False,
                "Segments": [{"Id": one["id"], "Document": json.dumps(one)} for one in trace.segments],
            }
            for trace in found.values()
            if trace
        ],
        "UnprocessedTraceIds": [one for one, trace in found.items() if trace is None],
    }


def _summaries(request: Values) -> Values:
    if request["StartTime"] > request["EndTime"]:
        raise RefusedError("EndTime must not be before StartTime")
    if request.get("TimeRangeType", "TraceId") != "TraceId":
        raise RefusedError(f"TimeRangeType {request['TimeRangeType']} is not emulated")
    filters.compiled(request.get("FilterExpression") or "")
    within = [one for one in segments.all_traces() if request["StartTime"] <= one.start <= request["EndTime"]]
    found = [one for one in within if groups.selects(request.get("FilterExpression") or "", one)]
    return {
        "TraceSummaries": [_summary(one) for one in found],
        "ApproximateTime": request["EndTime"],
        "TracesProcessedCount": len(within),
    }


def _summary(trace: Trace) -> Values:
    root, documents = trace.root, [inner for one in trace.segments for inner in everything(one)]
    http = root.get("http") or {}
    request, response = http.get("request") or {}, http.get("response") or {}
    names = {"url": "HttpURL", "method": "HttpMethod", "user_agent": "UserAgent", "client_ip": "ClientIp"}
    annotations: dict[str, list[Values]] = {}
    for segment in trace.segments:
        for one in everything(segment):
            for name, value in (one.get("annotations") or {}).items():
                entry = {"AnnotationValue": _annotation(value), "ServiceIds": [_service(segment)]}
                annotations.setdefault(name, []).append(entry)
    return {
        "Id": trace.id,
        "StartTime": trace.start,
        "Duration": round(trace.duration, 3),
        "ResponseTime": round(end_of(root) - root["start_time"], 3),
        "HasFault": bool(root.get("fault")),
        "HasError": bool(root.get("error")),
        "HasThrottle": bool(root.get("throttle")),
        "IsPartial": trace.is_partial,
        "Http": {name: request[field] for field, name in names.items() if field in request}
        | ({"HttpStatus": response["status"]} if "status" in response else {}),
        "Annotations": annotations,
        "Users": [
            {"UserName": one["user"], "ServiceIds": [_service(one)]} for one in documents if "user" in one
        ],
        "ServiceIds": [_service(one) for one in trace.segments],
        "EntryPoint": _service(root),
        "Revision": len(documents),
    }


def _annotation(value: Any) -> Values:
    kind = "Boolean" if isinstance(value, bool) else "Number" if isinstance(value, (int, float)) else "String"
    return {f"{kind}Value": value}


def _service(segment: Values) -> Values:
    found = {"Name": segment["name"], "Names": [segment["name"]]}
    return found | ({"Type": segment["origin"]} if "origin" in segment else {})


def _create_group(request: Values) -> Values:
    made = groups.create(request)
    tags.replace(made["GroupARN"], request.get("Tags"))
    return {"Group": made}


def _delete_group(request: Values) -> Values:
    arn = groups.find(request)["GroupARN"]
    groups.delete(request)
    tags.replace(arn, None)
    return {}


def _create_rule(request: Values) -> Values:
    made = sampling.create(request["SamplingRule"])
    tags.replace(made.values["RuleARN"], request.get("Tags"))
    return {"SamplingRuleRecord": made.record()}


def _update_rule(request: Values) -> Values:
    return {"SamplingRuleRecord": sampling.update(request["SamplingRuleUpdate"]).record()}


def _delete_rule(request: Values) -> Values:
    gone = sampling.delete(request)
    tags.replace(gone.values["RuleARN"], None)
    return {"SamplingRuleRecord": gone.record()}


_ACTIONS: dict[str, Callable[[Values], Values]] = {
    "TraceSegments": _put,
    "TelemetryRecords": lambda _request: {},
    "Traces": _get_traces,
    "TraceSummaries": _summaries,
    "CreateSamplingRule": _create_rule,
    "UpdateSamplingRule": _update_rule,
    "DeleteSamplingRule": _delete_rule,
    "GetSamplingRules": lambda _: {"SamplingRuleRecords": [one.record() for one in sampling.rules()]},
    "SamplingTargets": lambda given: sampling.targets(given["SamplingStatisticsDocuments"]),
    "CreateGroup": _create_group,
    "UpdateGroup": lambda given: {"Group": groups.update(given)},
    "GetGroup": lambda given: {"Group": groups.find(given)},
    "Groups": lambda _: {"Groups": groups.groups()},
    "DeleteGroup": _delete_group,
    "ListTagsForResource": tags.listed,
    "TagResource": tags.tag,
    "UntagResource": tags.untag,
}
