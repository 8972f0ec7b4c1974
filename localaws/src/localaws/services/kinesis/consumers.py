"""AWS::Kinesis::StreamConsumer: enhanced fan-out consumers in templates.

Faithful to: the consumer is registered and deregistered through the emulator's API. Its ARN, name, status and
creation time are attributes. An event source mapping with the consumer's ARN reads its stream, and is refused
if the role may not `kinesis:SubscribeToShard` on the consumer.
Not to: dedicated throughput and lower latency.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-kinesis-streamconsumer.html
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ministack.services import kinesis, lambda_svc

from localaws.patching import around, new_resource

_consumer = new_resource("AWS::Kinesis::StreamConsumer")


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
