"""On-failure records of discarded stream batches, sent with the permissions of the function's role.

They are sent through the emulator's API with the credentials of the role: if it may not send, the record is
lost, as in AWS.

https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from ministack.services import cloudwatch, lambda_svc, sqs

from localaws.services.lambda_.destinations import client_of

logger = logging.getLogger("localaws.streams")


def send_failure(
    mapping: dict[str, Any],
    records: Sequence[dict[str, Any]],
    *,
    shard: str,
    condition: str,
    attempts: int,
    answered: bool,
) -> None:
    """Send a record of a discarded batch to the mapping's on-failure destination.

    Args:
        mapping: The event source mapping.
        records: The batch, in the form of the event.
        shard: The id of the shard.
        condition: Why the batch was discarded.
        attempts: How often the function was invoked.
        answered: Whether the function was invoked at all.
    """
    destination = ((mapping.get("DestinationConfig") or {}).get("OnFailure") or {}).get("Destination")
    _, config, _ = lambda_svc._get_func_record_for_ref(mapping["FunctionArn"])
    if not destination or not config:
        return
    document: dict[str, Any] = {
        "requestContext": {
            "requestId": str(uuid.uuid4()),
            "functionArn": mapping["FunctionArn"],
            "condition": condition,
            "approximateInvokeCount": attempts,
        },
        "version": "1.0",
        "timestamp": _iso(time.time()),
        "KinesisBatchInfo": {
            "shardId": shard,
            "startSequenceNumber": records[0]["kinesis"]["sequenceNumber"],
            "endSequenceNumber": records[-1]["kinesis"]["sequenceNumber"],
            "approximateArrivalOfFirstRecord": _iso(records[0]["kinesis"]["approximateArrivalTimestamp"]),
            "approximateArrivalOfLastRecord": _iso(records[-1]["kinesis"]["approximateArrivalTimestamp"]),
            "batchSize": len(records),
            "streamArn": records[0]["eventSourceARN"],
        },
    }
    if answered:
        document["responseContext"] = {
            "statusCode": 200,
            "executedVersion": config["Version"],
            "functionError": "Unhandled",
        }
    try:
        _send(config, mapping, shard, destination, document, records)
    except Exception as error:
        # AWS only counts a metric; here the log also names the missing permission.
        mapping["LastProcessingResult"] = f"PROBLEM: the failure record did not reach {destination}: {error}"
        logger.warning("%s: the failure record did not reach %s: %s", mapping["UUID"], destination, error)
        cloudwatch.record_metric(
            "AWS/Lambda",
            "DestinationDeliveryFailures",
            1,
            "Count",
            {"FunctionName": config["FunctionName"]},
        )


def _send(
    config: dict[str, Any],
    mapping: dict[str, Any],
    shard: str,
    destination: str,
    document: dict[str, Any],
    records: Sequence[dict[str, Any]],
) -> None:
    service, name = destination.split(":")[2], destination.split(":")[-1]
    client = client_of(config, service)
    if service == "sqs":
        client.send_message(QueueUrl=sqs._queue_url(name), MessageBody=json.dumps(document))
    elif service == "sns":
        client.publish(TopicArn=destination, Message=json.dumps(document))
    else:  # only a bucket gets the records
        document["payload"] = json.dumps({"Records": records})
        now = time.gmtime()
        folder = f"aws/lambda/{mapping['UUID']}/{shard}/{time.strftime('%Y/%m/%d', now)}"
        key = f"{folder}/{time.strftime('%Y-%m-%dT%H.%M.%S', now)}-{uuid.uuid4()}"
        client.put_object(Bucket=name, Key=key, Body=json.dumps(document))


def _iso(seconds: float) -> str:
    stamp = datetime.fromtimestamp(seconds, UTC)
    return stamp.isoformat(timespec="milliseconds").replace("+00:00", "Z")
