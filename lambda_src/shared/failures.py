"""Record that failed permanently → failure queue, in the form of Lambda's own record of a failed invocation.

Two kinds of message share the queue: those that Lambda sends after its last attempt, and those that a handler
sends at once because another attempt is pointless. They have the same form, so one redrive resends both;
``condition`` distinguishes them.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from shared.clients import FailureQueue

if TYPE_CHECKING:
    from aws_lambda_powertools.logging import Logger

CONDITION = "PermanentFailure"  # Lambda's own are RetriesExhausted and EventAgeExceeded

# What a handler adds to its log lines while it works on one record.
_RECORD_KEYS = ("bucket", "key", "event_name")


class PermanentFailure(Exception):
    """The record can never succeed: it goes to the failure queue with the reason and is not tried again.

    The name of the class is the ``errorType`` in the failure queue, so operators see it.
    """


class Invocation(Protocol):
    """The parts of Lambda's context object that a message needs."""

    @property
    def aws_request_id(self) -> str:
        """The id of the invocation."""

    @property
    def invoked_function_arn(self) -> str:
        """The function's ARN, with the version or alias if the caller named one."""

    @property
    def function_version(self) -> str:
        """The version that runs."""


class Failures:
    """Sends the records of one invocation that failed permanently to the failure queue.

    Args:
        queue: The failure queue.
        logger: Logs each failure.
        context: Lambda's context object.

    Example::

        failures = Failures(queue, logger, context)
        for record in event["Records"]:
            with failures.recorded({"Records": [record]}):
                work_on(record)  # may raise PermanentFailure
    """

    def __init__(self, queue: FailureQueue, logger: "Logger", context: Invocation) -> None:
        self._queue = queue
        self._logger = logger
        self._context = context

    @contextmanager
    def recorded(self, payload: object) -> Iterator[None]:
        """Work on one record in the body.

        A ``PermanentFailure`` is logged, sent to the failure queue and not raised further. Every other
        exception is logged and raised, so that the record can be tried again. The keys that the body appends
        to the logger (``bucket``, ``key``, ``event_name``) are removed at the end.

        Args:
            payload: An event that contains only this record; a redrive sends it to the function again.
        """
        try:
            yield
        except PermanentFailure as failure:
            self._logger.warning("failed permanently", error_type=type(failure).__name__, reason=str(failure))
            self._queue.send(failure_message(payload, failure, self._context, now=datetime.now(UTC)))
        except Exception:
            self._logger.exception("failed, will be tried again")
            raise
        finally:
            self._logger.remove_keys(_RECORD_KEYS)


def failure_message(
    payload: object, failure: PermanentFailure, invocation: Invocation, *, now: datetime
) -> str:
    """Return the message about one record: an event that contains only this record, and the reason."""
    message = {
        "version": "1.0",
        "timestamp": now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{now.microsecond // 1000:03d}Z",
        "requestContext": {
            "requestId": invocation.aws_request_id,
            "functionArn": _qualified(invocation),
            "condition": CONDITION,
            "approximateInvokeCount": 1,  # a handler does not know about earlier attempts
        },
        "requestPayload": payload,
        "responseContext": {
            "statusCode": 200,
            "executedVersion": invocation.function_version,
            "functionError": "Unhandled",
        },
        "responsePayload": {"errorType": type(failure).__name__, "errorMessage": str(failure)},
    }
    # Everything outside ASCII is escaped: SQS refuses some characters, and lone surrogates have no UTF-8.
    return json.dumps(message)


def _qualified(invocation: Invocation) -> str:
    """Return the function's ARN with its version, as Lambda's own records have it."""
    arn = invocation.invoked_function_arn
    return arn if arn.count(":") > 6 else f"{arn}:{invocation.function_version}"
