"""Change that is not tried again → message for the failure queue, in the form of Lambda's own.

Lambda sends the batches that it gives up to the same queue, without their data. This message has the data
too, in ``payload``, as the messages that Lambda sends to S3 have it: a redrive invokes the function with it.

https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html
"""

import json
from datetime import UTC, datetime
from typing import Any

from shared.failures import CONDITION, Invocation


def failure_message(record: dict[str, Any], error: Exception, invocation: Invocation) -> str:
    """Return the message about the record of a change."""
    number = record["dynamodb"]["SequenceNumber"]
    message = {
        "version": "1.0",
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "requestContext": {
            "requestId": invocation.aws_request_id,
            "functionArn": invocation.invoked_function_arn,
            "condition": CONDITION,
            "approximateInvokeCount": 1,  # a handler does not know about earlier attempts
        },
        "responsePayload": {"errorType": type(error).__name__, "errorMessage": str(error)},
        "DDBStreamBatchInfo": {
            "startSequenceNumber": number,
            "endSequenceNumber": number,
            "batchSize": 1,
            "streamArn": record["eventSourceARN"],
        },
        "payload": json.dumps({"Records": [record]}),
    }
    return json.dumps(message)
