"""Events of an AWS Config rule → is the runtime of each function allowed? → PutEvaluations.

The same function works for changes of single functions and for all of them at a regular time. An event may
come twice or late: Config gets the time of the event with each evaluation.

https://docs.aws.amazon.com/config/latest/developerguide/evaluate-config_develop-rules_example-events.html
"""

import json
import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from shared.startup import no_garbage_collection

with no_garbage_collection():
    from shared.clients import make_clients

    _config, _lambda = make_clients("config", "lambda")

_TYPE = "AWS::Lambda::Function"
_MOST_EVALUATIONS, _LONGEST_ANNOTATION = 100, 256
# https://docs.aws.amazon.com/config/latest/APIReference/API_ConfigurationItem.html
_GONE = ("ResourceDeleted", "ResourceDeletedNotRecorded", "ResourceNotRecorded")
_SAME_TIME = timedelta(seconds=1)  # an event has milliseconds, and the API may have fewer digits
_TEST = "TESTMODE"  # the token of an event that a person has written

logger = logging.getLogger()
logger.setLevel(logging.INFO)

Evaluation = dict[str, Any]


class NotRecorded(Exception):
    """AWS Config did not take some of the evaluations, or does not have an item yet."""


def handler(event: dict[str, Any], _context: object) -> dict[str, int]:
    """Evaluate what the event is about, and report it.

    Raises:
        ValueError: The event is of another kind, or the rule has no parameter ``runtimes``.
        NotRecorded: Lambda tries again, and then sends the event to the failure queue.
    """
    invoking = json.loads(event["invokingEvent"])
    allowed = _allowed(event.get("ruleParameters"))
    match invoking["messageType"]:
        case "ConfigurationItemChangeNotification":
            item = invoking["configurationItem"]
            evaluations = [_of_item(item, allowed, left=event.get("eventLeftScope") is True)]
        case "OversizedConfigurationItemChangeNotification":
            summary = invoking["configurationItemSummary"]
            item = summary if summary["configurationItemStatus"] in _GONE else _whole(summary)
            evaluations = [_of_item(item, allowed, left=event.get("eventLeftScope") is True)]
        case "ScheduledNotification":
            evaluations = list(_of_all(allowed, invoking["notificationCreationTime"]))
        case other:
            raise ValueError(f"messageType={other!r}: this rule is for changes of functions, or periodic")
    _report(evaluations, event["resultToken"])
    return {"evaluations": len(evaluations)}


def _allowed(parameters: str | None) -> frozenset[str]:
    """The runtimes that the rule allows."""
    given = json.loads(parameters or "{}")
    names = given.get("runtimes") if isinstance(given, dict) else None
    runtimes = frozenset(one.strip() for one in str(names or "").split(",") if one.strip())
    if not runtimes:
        raise ValueError(
            "ruleParameters: give the rule the parameter runtimes, such as 'python3.14,nodejs24.x'"
        )
    return runtimes


def _of_item(item: dict[str, Any], allowed: frozenset[str], *, left: bool) -> Evaluation:
    """Evaluate a configuration item. What is gone, or out of the rule's scope, is not applicable."""
    time, id_, type_ = item["configurationItemCaptureTime"], item["resourceId"], item["resourceType"]
    if left or item["configurationItemStatus"] in _GONE:
        why = "The resource is gone, or the rule is not for it"
        return _evaluation(id_, "NOT_APPLICABLE", why, time, type_=type_)
    if type_ != _TYPE:
        return _evaluation(id_, "NOT_APPLICABLE", "Not a function", time, type_=type_)
    configuration = item.get("configuration")
    if not isinstance(configuration, dict):
        raise ValueError(
            f"configuration of {id_} is {configuration!r:.80}: an item of a function has an object"
        )
    return _of_runtime(id_, configuration.get("runtime"), allowed, time)


def _of_all(allowed: frozenset[str], time: str) -> Iterator[Evaluation]:
    for page in _lambda.get_paginator("list_functions").paginate():
        for one in page["Functions"]:
            yield _of_runtime(one["FunctionName"], one.get("Runtime"), allowed, time)


def _of_runtime(id_: str, runtime: str | None, allowed: frozenset[str], time: str) -> Evaluation:
    if runtime is None:
        return _evaluation(id_, "NOT_APPLICABLE", "A container image has its own runtime", time)
    if runtime in allowed:
        return _evaluation(id_, "COMPLIANT", f"{runtime} is allowed", time)
    return _evaluation(id_, "NON_COMPLIANT", f"{runtime} is none of {', '.join(sorted(allowed))}", time)


def _evaluation(id_: str, compliance: str, why: str, time: str, *, type_: str = _TYPE) -> Evaluation:
    return {
        "ComplianceResourceType": type_,
        "ComplianceResourceId": id_,
        "ComplianceType": compliance,
        "Annotation": why[:_LONGEST_ANNOTATION],
        "OrderingTimestamp": datetime.fromisoformat(time),
    }


def _whole(summary: dict[str, Any]) -> dict[str, Any]:
    """The item that was too large for the event: that of the same time, with the names that events have."""
    time = datetime.fromisoformat(summary["configurationItemCaptureTime"])
    found = _config.get_resource_config_history(
        resourceType=summary["resourceType"], resourceId=summary["resourceId"], laterTime=time, limit=1
    )["configurationItems"]
    # An older item would be reported with the time of this one.
    if not found or abs(found[0]["configurationItemCaptureTime"] - time) >= _SAME_TIME:
        raise NotRecorded(f"the history of {summary['resourceId']} has no item of {time.isoformat()}")
    return {**summary, "configuration": json.loads(found[0]["configuration"])}


def _report(evaluations: list[Evaluation], token: str) -> None:
    for start in range(0, len(evaluations), _MOST_EVALUATIONS):
        part = evaluations[start : start + _MOST_EVALUATIONS]
        answer = _config.put_evaluations(Evaluations=part, ResultToken=token, TestMode=token == _TEST)
        if failed := answer.get("FailedEvaluations"):
            names = ", ".join(one["ComplianceResourceId"] for one in failed)
            raise NotRecorded(f"{len(failed)} evaluations were not recorded: {names}")
    logger.info("reported: %d evaluations", len(evaluations))
