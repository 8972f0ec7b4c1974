"""Handles the records of one invocation one by one, so that what fails costs itself alone."""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from shared.clients import FailureQueue
from shared.failures import Invocation, PermanentFailure, failure_message
from shared.s3_events import ObjectEvent

if TYPE_CHECKING:
    from aws_lambda_powertools.logging import Logger

Record = TypeVar("Record")


def handle_each(records: Iterable[Record], handle: Callable[[Record], str]) -> dict[str, int]:
    """Handle every record, and raise what failed when all others are done.

    Args:
        records: The records.
        handle: Handles one and says what the outcome was. What it raises is to be tried again.

    Returns:
        How many records had which outcome.

    Raises:
        Exception: One record failed.
        ExceptionGroup: Several records failed.
    """
    outcomes: Counter[str] = Counter()
    to_retry: list[Exception] = []
    for record in records:
        try:
            outcomes[handle(record)] += 1
        except Exception as error:  # the other records come first
            to_retry.append(error)
    if len(to_retry) == 1:
        raise to_retry[0]
    if to_retry:
        raise ExceptionGroup(f"{len(to_retry)} records will be tried again", to_retry)
    return dict(outcomes)


def handle_object(
    parse: Callable[[], ObjectEvent],
    follow: Callable[[ObjectEvent], str],
    *,
    payload: object,
    failure_queue: FailureQueue,
    logger: "Logger",
    context: Invocation,
) -> str:
    """Handle one record about an object; what is wrong with it for good is reported, what may pass is raised.

    Args:
        parse: Reads the record.
        follow: Does what it asks for, and says what the outcome was.
        payload: The event that would bring this record alone.
        failure_queue: For what failed for good.
        logger: Tells of it, with the object's bucket and key.
        context: Lambda's context object.

    Returns:
        The outcome; ``"failed"`` for what went to the queue.
    """
    try:
        event = parse()
        logger.append_keys(bucket=event.bucket, key=event.key, event_name=event.name)
        outcome = follow(event)
        logger.info("handled", outcome=outcome)
        return outcome
    except PermanentFailure as failure:
        logger.warning("failed for good", error_type=type(failure).__name__, reason=str(failure))
        failure_queue.send(failure_message(payload, failure, context, now=datetime.now(UTC)))
        return "failed"
    except Exception:
        logger.exception("failed, to be tried again")
        raise
    finally:
        logger.remove_keys(["bucket", "key", "event_name"])
