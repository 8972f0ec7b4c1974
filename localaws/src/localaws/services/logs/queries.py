"""Queries of CloudWatch Logs Insights run, and can be saved: StartQuery, and AWS::Logs::QueryDefinition.

The emulator ignores what it does not understand of a query, so that a filter may let everything pass. It has
no saved queries.

Faithful to: what `logs.insights` says of the language, the order (the newest event first unless the query
sorts), and the number of results. A query that is not valid, or not emulated, is a MalformedQueryException.
PutQueryDefinition, DescribeQueryDefinitions by prefix and DeleteQueryDefinition, also in CloudFormation.
Not to: the time that a query takes, and the other query languages; parameters of saved queries. A saved query
is not read before it is started, as in AWS.

https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_StartQuery.html
https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutQueryDefinition.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-logs-querydefinition.html
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

from ministack.core.responses import (
    AccountRegionScopedDict,
    error_response_json,
    get_account_id,
    json_response,
    new_uuid,
)
from ministack.services import cloudwatch_logs

from localaws.patching import Created, Properties, around, new_resource, on_reset
from localaws.services.logs.insights import DEFAULT_LIMIT, Query, QueryError, fields_of, shown

Event = dict[str, Any]
Response = tuple[int, dict[str, str], bytes]

_definitions = AccountRegionScopedDict()
on_reset(_definitions.clear)


@around(cloudwatch_logs, "_start_query")
def _start_query(stock: Callable[[Event], Response], data: Event) -> Response:
    if data.get("queryLanguage", "CWLI") != "CWLI":
        return _malformed(f"queryLanguage {data['queryLanguage']} is not emulated; emulated is CWLI")
    try:
        query = Query(str(data.get("queryString") or ""))
    except QueryError as error:
        return _malformed(str(error))
    status, headers, body = stock({**data, "queryString": ""})
    if status != 200:
        return status, headers, body
    started = cloudwatch_logs._queries[json.loads(body)["queryId"]]
    groups = cloudwatch_logs._resolve_query_log_groups(data)
    found = cloudwatch_logs._collect_query_records(groups, started["startTime"], started["endTime"])
    rows = query.run([_record(one) for one in reversed(found)])
    rows = rows[: int(data.get("limit") or DEFAULT_LIMIT)]
    started["queryString"] = data["queryString"]
    started["statistics"]["recordsMatched"] = float(len(rows))
    started["results"] = [
        [{"field": name, "value": shown(value)} for name, value in row.items()] for row in rows
    ]
    return status, headers, body


def _record(stored: Event) -> Event:
    public = cloudwatch_logs._public_log_record(stored)
    return {
        **fields_of(stored["@message"]),
        **public,
        "@log": f"{get_account_id()}:{stored['@log']}",
        "_milliseconds": stored["_timestamp_ms"],
    }


def _malformed(text: str) -> Response:
    answer: Response = error_response_json("MalformedQueryException", text, 400)
    return answer


# --- Saved queries


@around(cloudwatch_logs, "handle_request", after=["logs.metric_filters"])
async def _handle_request(
    stock: Callable[..., Awaitable[Response]],
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    query_params: Any,
) -> Response:
    action = headers.get("x-amz-target", "").rpartition(".")[2]
    if action in _ACTIONS:
        return _ACTIONS[action](json.loads(body or b"{}"))
    return await stock(method, path, headers, body, query_params)


def _put(data: Event) -> Response:
    given = data.get("queryDefinitionId")
    if given and given not in _definitions:
        return _unknown(given)
    identity = given or new_uuid()
    kept = ("name", "queryString", "logGroupNames", "queryLanguage")
    _definitions[identity] = {
        "queryDefinitionId": identity,
        "queryLanguage": "CWLI",
        **{name: data[name] for name in kept if data.get(name)},
        "lastModified": int(time.time() * 1000),
    }
    answer: Response = json_response({"queryDefinitionId": identity})
    return answer


def _describe(data: Event) -> Response:
    prefix = data.get("queryDefinitionNamePrefix") or ""
    found = [one for one in _definitions.values() if one["name"].startswith(prefix)]
    answer: Response = json_response({"queryDefinitions": sorted(found, key=lambda one: str(one["name"]))})
    return answer


def _delete(data: Event) -> Response:
    identity = data.get("queryDefinitionId")
    if _definitions.pop(identity, None) is None:
        return _unknown(identity)
    answer: Response = json_response({"success": True})
    return answer


def _unknown(identity: object) -> Response:
    text = f"The query definition {identity} does not exist."
    answer: Response = error_response_json("ResourceNotFoundException", text, 400)
    return answer


_ACTIONS: dict[str, Callable[[Event], Response]] = {
    "PutQueryDefinition": _put,
    "DescribeQueryDefinitions": _describe,
    "DeleteQueryDefinition": _delete,
}
_resource = new_resource("AWS::Logs::QueryDefinition")


def _request(properties: Properties) -> Event:
    return {name[0].lower() + name[1:]: value for name, value in properties.items()}


@_resource.create
def _create(_logical_id: str, properties: Properties, _stack: str) -> Created:
    identity = json.loads(_put(_request(properties))[2])["queryDefinitionId"]
    return identity, {"QueryDefinitionId": identity}


@_resource.update
def _update(physical_id: str, _old: Properties, new: Properties, _stack: str) -> Created:
    _put({**_request(new), "queryDefinitionId": physical_id})
    return physical_id, {"QueryDefinitionId": physical_id}


@_resource.delete
def _remove(physical_id: str, _properties: Properties) -> None:
    _delete({"queryDefinitionId": physical_id})
