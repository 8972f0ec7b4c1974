"""AWS::Kinesis::StreamConsumer: enhanced fan-out consumers in templates.

Faithful to: the consumer is registered and deregistered through the emulator's API. Its ARN, name, status and
creation time are attributes. An event source mapping with the consumer's ARN reads its stream, and is refused
if the role may not `kinesis:SubscribeToShard` on the consumer. A name that Kinesis does not allow is refused.
Not to: dedicated throughput and lower latency.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-kinesis-streamconsumer.html
https://docs.aws.amazon.com/kinesis/latest/APIReference/API_RegisterStreamConsumer.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from ministack.core.responses import error_response_json
from ministack.services import kinesis, lambda_svc

from localaws.patching import Properties, around, new_resource

_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,128}")

_consumer = new_resource("AWS::Kinesis::StreamConsumer")


@around(kinesis, "_register_consumer")
def _register_consumer(stock: Callable[[Properties], Any], data: Properties) -> Any:
    name = data.get("ConsumerName")
    if isinstance(name, str) and not _NAME.fullmatch(name):
        constraint = "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"
        if _NAME.fullmatch(name[:128]):
            constraint = "Member must have length less than or equal to 128"
        text = f"1 validation error detected: Value '{name}' at 'consumerName' failed to satisfy constraint: "
        return error_response_json("ValidationException", text + constraint, 400)
    return stock(data)


@around(lambda_svc, "_validate_event_source_arn")
def _validate_event_source_arn(stock: Callable[[str], Any], event_source_arn: str) -> Any:
    registered = event_source_arn in kinesis._consumers
    return stock(event_source_arn.partition("/consumer/")[0] if registered else event_source_arn)


@_consumer.create
def _create(_logical_id: str, properties: Mapping[str, Any], _stack: str) -> tuple[str, dict[str, Any]]:
    request = {name: properties.get(name) for name in ("StreamARN", "ConsumerName")}
    status, _, body = kinesis._register_consumer(request)
    answer = json.loads(body)
    if status >= 400:
        raise ValueError(f"AWS::Kinesis::StreamConsumer: {answer.get('message')}")
    consumer = answer["Consumer"]
    kinesis._consumers[consumer["ConsumerARN"]]["Tags"] = properties.get("Tags") or []
    attributes = {
        name: str(consumer[name])
        for name in ("ConsumerARN", "ConsumerName", "ConsumerStatus", "ConsumerCreationTimestamp")
    }
    return consumer["ConsumerARN"], {**attributes, "StreamARN": properties["StreamARN"]}


@_consumer.delete
def _delete(physical_id: str, _properties: Mapping[str, Any]) -> None:
    kinesis._consumers.pop(physical_id, None)
