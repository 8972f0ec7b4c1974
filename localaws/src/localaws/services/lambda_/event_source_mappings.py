"""What event source mappings of queues and streams have in common.

Faithful to: `Tags`, `TumblingWindowInSeconds`, `StartingPositionTimestamp`, `ProvisionedPollerConfig` and
`MetricsConfig` are kept, from a template and through the API; partial batch responses: which answers of a
function mean that all, some or none of a batch failed. The function runs as its alias or version says.
Not to: provisioned pollers and metrics of mappings are a record only; how long a failed batch waits before it
is tried again: `LOCALAWS_SOURCE_RETRY_DELAY` (seconds, default 0.2) everywhere. In AWS a message comes back
when its visibility timeout ends, and a stream's batch is retried with a growing delay.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html#services-sqs-batchfailurereporting
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Collection, Mapping
from typing import Any

from ministack.services import lambda_svc
from ministack.services.cloudformation import provisioners

_KEPT = (
    "TumblingWindowInSeconds",
    "StartingPositionTimestamp",
    "ProvisionedPollerConfig",
    "MetricsConfig",
)


def _retry_delay() -> float:
    variable = "LOCALAWS_SOURCE_RETRY_DELAY"
    given = os.environ.get(variable, "0.2")
    try:
        return float(given)
    except ValueError:
        raise ValueError(f"{variable}={given!r}: give a number of seconds, such as '0.2'") from None


RETRY_DELAY = _retry_delay()

#: Lambda sends an invocation at most this many bytes.
MAX_PAYLOAD_BYTES = 6 * 1024 * 1024


def install() -> None:
    """Keep what the emulator drops of a mapping."""
    mapping = provisioners._RESOURCE_HANDLERS["AWS::Lambda::EventSourceMapping"]
    mapping["create"] = _keeping(mapping["create"], properties_at=1)
    mapping["update"] = _keeping(mapping["update"], properties_at=2)
    lambda_svc._create_esm = _keeping_of_request(lambda_svc._create_esm)


def _keeping(provision: Callable[..., Any], properties_at: int) -> Callable[..., Any]:
    def provision_and_keep(*args: Any) -> Any:
        physical_id, attributes = provision(*args)
        properties = args[properties_at]
        _keep(physical_id, properties)
        tags = properties.get("Tags")
        lambda_svc._esms[physical_id]["Tags"] = {tag["Key"]: tag["Value"] for tag in tags or ()}
        return physical_id, attributes

    return provision_and_keep


def _keeping_of_request(create: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    def create_and_keep(data: dict[str, Any]) -> Any:
        answer = create(data)
        if answer[0] < 300:
            _keep(json.loads(answer[2])["UUID"], data)
        return answer

    return create_and_keep


def _keep(mapping_id: str, properties: Mapping[str, Any]) -> None:
    record = lambda_svc._esms[mapping_id]
    for name in _KEPT:
        value = properties.get(name)
        if value is None:
            record.pop(name, None)
        else:
            record[name] = value


def run_function(mapping: dict[str, Any], event: object) -> dict[str, Any]:
    """Invoke the function of a mapping and return the result in the emulator's form."""
    func, config, _ = lambda_svc._get_func_record_for_ref(mapping["FunctionArn"])
    if not func or not config:
        message = f"Function not found: {mapping['FunctionArn']}"
        return {"error": True, "body": {"errorType": "ResourceNotFoundException", "errorMessage": message}}
    record = func | {"config": config | {"FunctionArn": mapping["FunctionArn"]}}
    result: dict[str, Any] = lambda_svc._execute_function(record, event)
    return result


def failed_items(mapping: Mapping[str, Any], result: Mapping[str, Any], sent: Collection[str]) -> set[str]:
    """Which of the items that were sent have failed: all of them if the function or its answer is broken.

    Args:
        mapping: The event source mapping.
        result: What came of the invocation.
        sent: The identifiers of the items in the batch.
    """
    if result.get("error"):
        return set(sent)
    if "ReportBatchItemFailures" not in (mapping.get("FunctionResponseTypes") or ()):
        return set()
    body = result.get("body")
    if body is None:
        return set()
    if not isinstance(body, dict):
        return set(sent)
    reported = body.get("batchItemFailures") or []
    named = [one.get("itemIdentifier") if isinstance(one, dict) else None for one in reported]
    # An identifier that is missing, empty or of no item in the batch means that nothing succeeded.
    return set(sent) if any(name not in sent for name in named) else {str(name) for name in named}


def wake_in(seconds: float) -> None:
    """Let the pollers look again after a while."""
    timer = threading.Timer(seconds, lambda_svc._esm_wake.set)
    timer.daemon = True
    timer.start()
