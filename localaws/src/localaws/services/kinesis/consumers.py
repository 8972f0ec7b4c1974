"""AWS::Kinesis::StreamConsumer: enhanced fan-out consumers in templates, which the emulator does not know.

Faithful to: the consumer is registered and deregistered through the emulator's own API; its ARN, name, status
and creation time are attributes; a mapping of the consumer's ARN reads its stream, and is refused to a role
that may not `kinesis:SubscribeToShard` on the consumer.
Not to: throughput and latency of its own.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-kinesis-streamconsumer.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ministack.services import kinesis, lambda_svc
from ministack.services.cloudformation import provisioners


def install() -> None:
    """Register the type, and let mappings read consumers."""
    provisioners._RESOURCE_HANDLERS["AWS::Kinesis::StreamConsumer"] = {"create": _create, "delete": _delete}
    validate = lambda_svc._validate_event_source_arn

    def validate_also_consumers(source: str) -> Any:
        registered = source in kinesis._consumers
        return validate(source.partition("/consumer/")[0] if registered else source)

    lambda_svc._validate_event_source_arn = validate_also_consumers


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


def _delete(physical_id: str, _properties: Mapping[str, Any]) -> None:
    kinesis._consumers.pop(physical_id, None)
