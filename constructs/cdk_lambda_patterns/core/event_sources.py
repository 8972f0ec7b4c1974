"""What Lambda's event source mappings have in common, whether they poll a queue or a stream."""

from collections.abc import Mapping, Sequence
from typing import Any

from cdk_lambda_patterns.core.limits import Limit

# https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
BATCH_SIZE = Limit("Lambda", 1, 10_000)
MAX_BATCHING_WINDOW = Limit("Lambda", 0, 300, "seconds")
_FILTERS = Limit("Lambda", 1, 10, "filters")  # 5 by default, and up to 10 on request


def check_filters(filters: Sequence[Mapping[str, Any]] | None) -> None:
    """Check the filters of an event source mapping.

    Args:
        filters: A sequence of what ``lambda_.FilterCriteria.filter`` returns; ``None`` (not given) passes.

    Raises:
        ValueError: There are too many, or a single filter was given instead of a sequence.
    """
    if filters is None:
        return
    if isinstance(filters, Mapping):
        raise ValueError(
            f"filters={filters!r}: this is one filter; give a sequence of filters, such as "
            "[lambda_.FilterCriteria.filter(...)]."
        )
    _FILTERS.check("len(filters)", len(filters))
