"""Message of a device → IoT rule → one row in DynamoDB for each reading that is too high.

The rule's SQL chooses the messages and makes the event: ``device`` comes from the topic, which a policy of
AWS IoT restricts for each device, and not from the message, in which a device can write what it likes.

A message comes at least once: a device sends it again (QoS 1) if it saw no acknowledgement, and Lambda tries
again after an error. So the device numbers its readings, and device and number are the key of the row.

https://docs.aws.amazon.com/iot/latest/developerguide/mqtt.html#mqtt-qos
https://docs.aws.amazon.com/iot/latest/developerguide/iot-sql-functions.html
"""

import math
import os
from typing import TYPE_CHECKING, Any

from shared.startup import no_garbage_collection

with no_garbage_collection():
    from aws_lambda_powertools.logging import Logger

    from shared.clients import make_clients
    from shared.storable import check_text

    from .records import Records

    logger = Logger()
    (_dynamodb,) = make_clients("dynamodb")
    records = Records(_dynamodb, os.environ["TABLE_NAME"])

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


class NotAReading(ValueError):
    """The event has another form than the rule's SQL gives it; the text gives the reason."""


def row_of(event: Any) -> tuple[str, dict[str, Any]]:
    """Return the key and the values of the row of a reading.

    Raises:
        NotAReading: A field is missing or has another type.
    """
    if not isinstance(event, dict):
        raise NotAReading("the event is not an object")
    try:
        device = check_text("device", event.get("device"), max_characters=128, max_bytes=256)
    except ValueError as reason:
        raise NotAReading(str(reason)) from None
    sequence, temperature = event.get("sequence"), event.get("temperature")
    if not isinstance(sequence, int) or isinstance(sequence, bool) or not 0 <= sequence < 2**63:
        raise NotAReading("sequence must be a whole number from 0 to 2^63 - 1")
    if not isinstance(temperature, int | float) or isinstance(temperature, bool):
        raise NotAReading("temperature must be a number")
    if not math.isfinite(temperature):
        raise NotAReading("temperature must be a finite number")
    values = {
        "device": device,
        "temperature": str(temperature),
        "client_id": str(event.get("client_id"))[:128],
        "received_at": str(event.get("received_at"))[:32],
    }
    return f"reading#{device}#{sequence}", values


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: "LambdaContext") -> None:
    """Record a reading. AWS IoT invokes the function asynchronously, with one message at a time."""
    key, values = row_of(event)
    new = records.add(key, values)
    logger.info("recorded" if new else "came twice", device=values["device"])
