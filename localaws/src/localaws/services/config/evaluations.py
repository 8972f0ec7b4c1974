"""What the functions of custom rules report to AWS Config, and the configuration items that they ask for.

    deliver_as("config.amazonaws.com", ...) -> function -> PutEvaluations -> GetComplianceDetailsByConfigRule

Faithful to: PutEvaluations takes the result token of an event that was delivered for a rule, at most 100
evaluations with annotations of 256 characters, and no INSUFFICIENT_DATA. In test mode any token will do, and
nothing is recorded. GetComplianceDetailsByConfigRule and DescribeComplianceByConfigRule show the results.
GetResourceConfigHistory has the items that were delivered and, of functions that exist, the present one.
Not to: the words of errors. An evaluation does not replace one with a later OrderingTimestamp: the guide says
that the timestamp orders them, but not what happens to an older one. How long a token is valid; other
resources; paging; earlierTime and chronologicalOrder of the history.

https://docs.aws.amazon.com/config/latest/APIReference/API_PutEvaluations.html
https://docs.aws.amazon.com/config/latest/APIReference/API_Evaluation.html
https://docs.aws.amazon.com/config/latest/APIReference/API_GetResourceConfigHistory.html
https://docs.aws.amazon.com/config/latest/developerguide/evaluate-config_develop-rules_example-events.html
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from ministack.core.responses import (
    AccountRegionScopedDict,
    error_response_json,
    get_account_id,
    get_region,
    json_response,
)
from ministack.services import config, lambda_svc

from localaws.patching import around, on_reset, replaces
from localaws.refusals import Parameters, Refusal, refuses

Answer = tuple[int, dict[str, str], bytes]

_FUNCTION = "AWS::Lambda::Function"
_HISTORY_LIMIT = 10

_tokens = AccountRegionScopedDict()  # by the result token: the rule's name and when it was invoked
_results = AccountRegionScopedDict()  # by the rule's name: the results, by type and id of the resource
_items = AccountRegionScopedDict()  # by type and id of the resource: its items, the newest first


def note_event(event: Any) -> None:
    """Note the token and the configuration item of an event that is delivered to the function of a rule."""
    if not isinstance(event, dict) or not isinstance(event.get("resultToken"), str):
        return
    _tokens[event["resultToken"]] = (str(event.get("configRuleName")), time.time())
    try:
        item = json.loads(event.get("invokingEvent", "")).get("configurationItem")
    except (AttributeError, TypeError, ValueError):
        return
    if isinstance(item, dict) and {"resourceType", "resourceId", "configurationItemCaptureTime"} <= set(item):
        key = f"{item['resourceType']}/{item['resourceId']}"
        _items[key] = [_as_answered(item), *_items.get(key, [])]


def forget(rule: str) -> None:
    """Forget the results of a rule."""
    _results.pop(rule, None)


@around(config, "handle_request")
async def _handle_request(
    stock: Callable[..., Awaitable[Answer]],
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    query_params: Any,
) -> Answer:
    action = _ACTIONS.get(headers.get("x-amz-target", "").rpartition(".")[2])
    if action is None:
        return await stock(method, path, headers, body, query_params)
    return action(json.loads(body or b"{}"))


@refuses("config", "PutEvaluations")
def _insufficient_data(request: Parameters) -> Refusal | None:
    given = [one.get("ComplianceType") for one in request.get("Evaluations") or ()]
    if "INSUFFICIENT_DATA" in given:
        text = "PutEvaluations takes COMPLIANT, NON_COMPLIANT and NOT_APPLICABLE, not INSUFFICIENT_DATA"
        return Refusal("InvalidParameterValueException", text)
    return None


def _put_evaluations(request: dict[str, Any]) -> Answer:
    if request.get("TestMode"):
        return _json({"FailedEvaluations": []})
    token = request["ResultToken"]
    if token not in _tokens:
        text = f"The specified ResultToken is not valid: {token[:20]}"
        return _refused("InvalidResultTokenException", text)
    rule, invoked = _tokens[token]
    if rule not in config._config_rules:
        return _refused("NoSuchConfigRuleException", f"The ConfigRule '{rule}' provided is invalid")
    results = _results.setdefault(rule, {})
    for one in request.get("Evaluations") or ():
        key = (one["ComplianceResourceType"], one["ComplianceResourceId"])
        ordering = one["OrderingTimestamp"]
        known = results.get(key)
        if known and known["EvaluationResultIdentifier"]["OrderingTimestamp"] > ordering:
            continue
        qualifier = {
            "ConfigRuleName": rule,
            "ResourceType": key[0],
            "ResourceId": key[1],
            "EvaluationMode": "DETECTIVE",
        }
        results[key] = {
            "EvaluationResultIdentifier": {
                "EvaluationResultQualifier": qualifier,
                "OrderingTimestamp": ordering,
            },
            "ComplianceType": one["ComplianceType"],
            "ResultRecordedTime": time.time(),
            "ConfigRuleInvokedTime": invoked,
            **({"Annotation": one["Annotation"]} if "Annotation" in one else {}),
        }
    return _json({"FailedEvaluations": []})


@around(config, "_get_compliance_details_by_config_rule")
def _details(stock: Callable[..., Answer], data: dict[str, Any]) -> Answer:
    rule = data.get("ConfigRuleName")
    if rule not in config._config_rules:
        return stock(data)
    kinds = data.get("ComplianceTypes") or ("COMPLIANT", "NON_COMPLIANT", "NOT_APPLICABLE")
    found = [one for one in _results.get(rule, {}).values() if one["ComplianceType"] in kinds]
    return _json({"EvaluationResults": found})


@replaces(config, "_compliance_by_rule")
def _compliance_by_rule(name: str) -> dict[str, Any]:
    kinds = [one["ComplianceType"] for one in _results.get(name, {}).values()]
    known = [kind for kind in ("NON_COMPLIANT", "COMPLIANT") if kind in kinds]
    return {
        "ConfigRuleName": name,
        "Compliance": {"ComplianceType": known[0] if known else "INSUFFICIENT_DATA"},
    }


def _history(request: dict[str, Any]) -> Answer:
    type_, id_ = request["resourceType"], request["resourceId"]
    items = [*_present(type_, id_), *_items.get(f"{type_}/{id_}", [])]
    later = request.get("laterTime")
    chosen = [one for one in items if later is None or one["configurationItemCaptureTime"] <= later]
    if not chosen:
        text = f"Resource {id_} of resourceType:{type_} is unknown or has not been discovered"
        return _refused("ResourceNotDiscoveredException", text)
    return _json({"configurationItems": chosen[: request.get("limit") or _HISTORY_LIMIT]})


def _present(type_: str, id_: str) -> list[dict[str, Any]]:
    """The item of a function that exists."""
    _record, found, _name = lambda_svc._get_func_record_for_ref(id_) if type_ == _FUNCTION else (None,) * 3
    if not found:
        return []
    item = {
        "resourceType": type_,
        "resourceId": id_,
        "resourceName": id_,
        "ARN": found["FunctionArn"],
        "awsAccountId": get_account_id(),
        "awsRegion": get_region(),
        "configurationItemStatus": "OK",
        "configurationItemCaptureTime": found["LastModified"],
        "configuration": {name[:1].lower() + name[1:]: found.get(name) for name in _COPIED},
    }
    return [_as_answered(item)]


_COPIED = (
    "FunctionName",
    "FunctionArn",
    "Runtime",
    "Role",
    "Handler",
    "Timeout",
    "MemorySize",
    "PackageType",
)


def _as_answered(item: dict[str, Any]) -> dict[str, Any]:
    """An item of an event, as the API returns it: some members have other names."""
    renamed = {"ARN": "arn", "awsAccountId": "accountId", "configurationItemVersion": "version"}
    answered = {renamed.get(name, name): value for name, value in item.items() if value is not None}
    captured = datetime.fromisoformat(str(item["configurationItemCaptureTime"]).replace("+0000", "+00:00"))
    answered["configurationItemCaptureTime"] = captured.replace(tzinfo=captured.tzinfo or UTC).timestamp()
    answered["configuration"] = json.dumps(item.get("configuration"))
    return answered


def _json(answer: dict[str, Any]) -> Answer:
    answered: Answer = json_response(answer)
    return answered


def _refused(code: str, text: str) -> Answer:
    answered: Answer = error_response_json(code, text, 400)
    return answered


_ACTIONS = {"PutEvaluations": _put_evaluations, "GetResourceConfigHistory": _history}


@on_reset
def _clear() -> None:
    """Forget tokens, results and items."""
    for kept in (_tokens, _results, _items):
        kept.clear()
