"""The message that says what failed for good, in the form of Lambda's own record of a failed invocation.

So one reader, and one redrive, serve both: what Lambda sends after its last attempt, and what the handler
sends without any further attempt. Its ``condition`` tells them apart.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
"""

import json
from datetime import datetime
from typing import Protocol

CONDITION = "PermanentFailure"  # Lambda's own are RetriesExhausted and EventAgeExceeded


class PermanentFailure(Exception):
    """The record can never succeed as it is: it is set aside with the reason, and not tried again.

    The name of the class is the ``errorType`` in the failure queue, so it is part of what operators see.
    """


class Invocation(Protocol):
    """What is known of the invocation: Lambda's context object."""

    @property
    def aws_request_id(self) -> str:
        """Tells this invocation from others."""

    @property
    def invoked_function_arn(self) -> str:
        """The function, and the version or alias if one was named."""

    @property
    def function_version(self) -> str:
        """The version that runs."""


def failure_message(
    payload: object, failure: PermanentFailure, invocation: Invocation, *, now: datetime
) -> str:
    """Return the message for one record: the event that brings it alone, and what is wrong with it."""
    message = {
        "version": "1.0",
        "timestamp": now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{now.microsecond // 1000:03d}Z",
        "requestContext": {
            "requestId": invocation.aws_request_id,
            "functionArn": _qualified(invocation),
            "condition": CONDITION,
            "approximateInvokeCount": 1,  # a handler cannot know of earlier attempts
        },
        "requestPayload": payload,
        "responseContext": {
            "statusCode": 200,
            "executedVersion": invocation.function_version,
            "functionError": "Unhandled",
        },
        "responsePayload": {"errorType": type(failure).__name__, "errorMessage": str(failure)},
    }
    # Everything beyond ASCII is escaped: SQS refuses some characters, and half surrogates have no UTF-8.
    return json.dumps(message)


def _qualified(invocation: Invocation) -> str:
    """The function's ARN with its version, as Lambda writes it there."""
    arn = invocation.invoked_function_arn
    return arn if arn.count(":") > 6 else f"{arn}:{invocation.function_version}"
