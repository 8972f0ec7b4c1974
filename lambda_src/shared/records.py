"""Works on all records of an invocation, so that one failure does not stop the others."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

from shared.clients import FailureQueue
from shared.failures import Failures, Invocation
from shared.s3_events import ObjectEvent

if TYPE_CHECKING:
    from aws_lambda_powertools.logging import Logger

Record = TypeVar("Record")


def raise_all(errors: Sequence[Exception]) -> None:
    """Raise the errors of several records, if there are any: Lambda then tries the whole event again.

    Raises:
        Exception: The error, if there is only one.
        ExceptionGroup: All of them, if there are several.
    """
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise ExceptionGroup(f"{len(errors)} records will be tried again", list(errors))


def handle_each(records: Iterable[Record], handle: Callable[[Record], str]) -> dict[str, int]:
    """Work on every record, and raise what failed when all others are done.

    Args:
        records: The records.
        handle: Works on one record and returns the outcome. What it raises is to be tried again.

    Returns:
        How many records had which outcome.

    Raises:
        Exception: One record failed.
        ExceptionGroup: Several records failed.
    """
    outcomes: Counter[str] = Counter()
    errors: list[Exception] = []
    for record in records:
        try:
            outcomes[handle(record)] += 1
        except Exception as error:  # the other records come first
            errors.append(error)
    raise_all(errors)
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
    """The older spelling of ``Failures.recorded``, until every handler uses that."""
    outcome = "failed"
    with Failures(failure_queue, logger, context).recorded(payload):
        event = parse()
        logger.append_keys(bucket=event.bucket, key=event.key, event_name=event.name)
        outcome = follow(event)
        logger.info("handled", outcome=outcome)
    return outcome
