"""Record that can never be published → message for the failure queue, in the form of Lambda's own.

Lambda sends the batches that it gives up to the same queue, without their data. A message about a refused
record has the data too, in ``payload``, as the messages that Lambda sends to S3 have it.

https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html
"""

import json
from datetime import UTC, datetime
from typing import Any

from shared.failures import CONDITION, Invocation

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
_MOST_BYTES = 1_048_576


def failure_message(record: dict[str, Any], reason: str, invocation: Invocation, *, now: datetime) -> str:
    """Return the message about a record.

    A record of more than about 780 KB does not fit with its data. Its message names the place in the stream,
    as Lambda's own messages do; the record can be read there until the stream's retention period ends.
    """
    kinesis = record["kinesis"]
    number = kinesis["sequenceNumber"]
    arrival = _stamp(datetime.fromtimestamp(kinesis["approximateArrivalTimestamp"], UTC))
    message = {
        "requestContext": {
            "requestId": invocation.aws_request_id,
            "functionArn": invocation.invoked_function_arn,
            "condition": CONDITION,
            "approximateInvokeCount": 1,
        },
        "responseContext": {
            "statusCode": 200,
            "executedVersion": invocation.function_version,
            "functionError": "Unhandled",
        },
        "responsePayload": {"errorType": "NotPublishable", "errorMessage": reason},
        "version": "1.0",
        "timestamp": _stamp(now),
        "KinesisBatchInfo": {
            "shardId": record["eventID"].partition(":")[0],
            "startSequenceNumber": number,
            "endSequenceNumber": number,
            "approximateArrivalOfFirstRecord": arrival,
            "approximateArrivalOfLastRecord": arrival,
            "batchSize": 1,
            "streamArn": record["eventSourceARN"],
        },
    }
    # Everything outside ASCII is escaped, so characters are bytes.
    whole = json.dumps({**message, "payload": json.dumps({"Records": [record]})})
    return whole if len(whole) <= _MOST_BYTES else json.dumps(message)


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
