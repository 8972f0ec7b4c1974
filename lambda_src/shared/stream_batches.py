"""The records of a stream's batch that failed → what Lambda does with the batch."""

from collections.abc import Mapping, Sequence
from typing import Any


def partial_batch_response(numbers: Sequence[str], failures: Mapping[str, Exception]) -> dict[str, Any]:
    """Return the first record that failed: Lambda continues from there.

    If that is the first of several, the response would name the whole batch. Then its error is raised, and
    Lambda splits the batch, until the bad record is isolated.

    Args:
        numbers: The sequence numbers of the batch, in order.
        failures: Why records failed, by their sequence numbers.

    Raises:
        Exception: The first of several records failed.

    https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
    """
    first = next((number for number in numbers if number in failures), None)
    if first is None:
        return {"batchItemFailures": []}
    if first == numbers[0] and len(numbers) > 1:
        raise failures[first]
    return {"batchItemFailures": [{"itemIdentifier": first}]}
