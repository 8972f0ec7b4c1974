"""Settings of event source mappings, and partial batch responses, for queues and streams.

Faithful to: `Tags`, `TumblingWindowInSeconds`, `StartingPositionTimestamp`, `ProvisionedPollerConfig`,
`MetricsConfig`, `Queues` and `SourceAccessConfigurations` are stored, from a template and through the API. A
stack update that changes `Queues` or the virtual host succeeds and changes neither: CloudFormation does not
replace the mapping for them, and UpdateEventSourceMapping takes neither.
Partial batch responses: which responses mean that all, some or none of a batch failed. The alias or version
in the mapping is what runs.
Not to: provisioned pollers and metrics of mappings, which are only recorded; the time until a failed batch is
retried, which is `LOCALAWS_SOURCE_RETRY_DELAY` (seconds, default 0.2). In AWS a message returns when its
visibility timeout ends, and a stream's batch is retried with increasing delays.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html#services-sqs-batchfailurereporting
https://docs.aws.amazon.com/lambda/latest/api/API_UpdateEventSourceMapping.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-lambda-eventsourcemapping.html
https://github.com/aws-cloudformation/cloudformation-coverage-roadmap/issues/2140
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Collection, Mapping
from typing import Any

from ministack.core.responses import json_response
from ministack.services import lambda_svc

from localaws.patching import Created, Handler, Properties, around, resource
from localaws.settings import numbers

logger = logging.getLogger("localaws.lambda")

_STORED = (
    "TumblingWindowInSeconds",
    "StartingPositionTimestamp",
    "ProvisionedPollerConfig",
    "MetricsConfig",
    "Queues",
    "SourceAccessConfigurations",
)
_ACCESS, _HOST = "SourceAccessConfigurations", "VIRTUAL_HOST"


(RETRY_DELAY,) = numbers("LOCALAWS_SOURCE_RETRY_DELAY", "0.2", "a number of seconds")

#: The limit of an invocation's payload.
MAX_PAYLOAD_BYTES = 6 * 1024 * 1024


@resource("AWS::Lambda::EventSourceMapping", after=["iam.functions"]).create
def _create(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    return _stored(stock(logical_id, properties, stack), properties)


@resource("AWS::Lambda::EventSourceMapping", after=["iam.functions"]).update
def _update(
    stock: Handler, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
) -> Created:
    before = dict(lambda_svc._esms.get(physical_id) or {})
    made = stock(physical_id, old, new, stack, logical_id)
    return _stored(made, new | _unchangeable(before, new) if made[0] == physical_id else new)


def _unchangeable(before: Mapping[str, Any], new: Properties) -> Properties:
    """Queue and virtual host, which CloudFormation neither replaces a mapping for nor can update."""
    queues = before.get("Queues")
    if queues is None:
        return {}
    if new.get("Queues") != queues:
        logger.warning("mapping %s: Queues stays %s: no update can change it", before["UUID"], queues)
    access = [one for one in new.get(_ACCESS) or () if one["Type"] != _HOST]
    return {"Queues": queues, _ACCESS: [*access, *_hosts(before)]}


def _hosts(record: Mapping[str, Any]) -> list[Any]:
    return [one for one in record.get(_ACCESS) or () if one["Type"] == _HOST]


def _stored(mapping: Created, properties: Properties) -> Created:
    """The mapping, with the properties that the emulator drops stored."""
    physical_id, _attributes = mapping
    _store(physical_id, properties)
    tags = properties.get("Tags")
    lambda_svc._esms[physical_id]["Tags"] = {tag["Key"]: tag["Value"] for tag in tags or ()}
    wake_in(0)
    return mapping


@around(lambda_svc, "_create_esm", after=["iam.functions"])
def _create_esm(stock: Callable[[Properties], Any], data: Properties) -> Any:
    answer = stock(data)
    if answer[0] >= 300:
        return answer
    mapping_id = json.loads(answer[2])["UUID"]
    _store(mapping_id, data)
    wake_in(0)  # there may be records already
    return json_response(lambda_svc._esm_response(lambda_svc._esms[mapping_id]), answer[0])


@around(lambda_svc, "_update_esm")
def _update_esm(stock: Callable[[str, Properties], Any], esm_id: str, data: Properties) -> Any:
    answer = stock(esm_id, data)
    if answer[0] >= 300:
        return answer
    record = lambda_svc._esms[esm_id]
    if data.get(_ACCESS) is not None:  # the virtual host of a broker stays: no update can name it
        data = data | {_ACCESS: [*data[_ACCESS], *_hosts(record)]}
    _store(esm_id, record | data)
    return json_response(lambda_svc._esm_response(record))


def _store(mapping_id: str, properties: Mapping[str, Any]) -> None:
    record = lambda_svc._esms[mapping_id]
    if ":mq:" in record["EventSourceArn"]:
        record.pop("StartingPosition", None)  # the emulator's default is for streams
        record["BatchSize"] = int(properties.get("BatchSize") or 100)
        window = properties.get("MaximumBatchingWindowInSeconds")
        if window is None:
            record.pop("MaximumBatchingWindowInSeconds", None)  # 500 ms; the emulator's default is 0
        else:
            record["MaximumBatchingWindowInSeconds"] = int(window)
    for name in _STORED:
        value = properties.get(name)
        if value is None:
            record.pop(name, None)
        else:
            record[name] = value


def run_function(mapping: dict[str, Any], event: object) -> dict[str, Any]:
    """Invoke the function of a mapping and return the result in the emulator's form.

    An exception in the emulator counts as a failed invocation: records must not be lost with it.
    """
    func, config, _ = lambda_svc._get_func_record_for_ref(mapping["FunctionArn"])
    if not func or not config:
        message = f"Function not found: {mapping['FunctionArn']}"
        return {"error": True, "body": {"errorType": "ResourceNotFoundException", "errorMessage": message}}
    record = func | {"config": config | {"FunctionArn": mapping["FunctionArn"]}}
    try:
        result: dict[str, Any] = lambda_svc._execute_function(record, event)
    except Exception as error:
        logger.exception("%s: the invocation failed in the emulator", mapping["FunctionArn"])
        return {"error": True, "body": {"errorType": type(error).__name__, "errorMessage": str(error)}}
    return result


def failed_items(mapping: Mapping[str, Any], result: Mapping[str, Any], sent: Collection[str]) -> set[str]:
    """The identifiers of the items that failed: all of them after an error or an invalid response.

    Args:
        mapping: The event source mapping.
        result: The result of the invocation.
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
    # An identifier that is missing, empty or not in the batch means that the whole batch failed.
    return set(sent) if any(name not in sent for name in named) else {str(name) for name in named}


def wake_in(seconds: float) -> None:
    """Let the pollers run again after some seconds."""
    timer = threading.Timer(seconds, lambda_svc._esm_wake.set)
    timer.daemon = True
    timer.start()
