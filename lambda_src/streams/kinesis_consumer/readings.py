"""Readings of devices, and their summary: plain Python that knows no AWS."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace


class NotAReading(ValueError):
    """The record can never be counted; the text says why."""


@dataclass(frozen=True)
class Reading:
    """What a device measured.

    Args:
        device: The device, which is also the record's partition key: so its readings come in order.
        value: A whole number.
        sequence: The record's sequence number: it grows from record to record of a partition key.
    """

    device: str
    value: int
    sequence: int

    @classmethod
    def parse(cls, data: bytes, partition_key: str, sequence: int) -> "Reading":
        """Read the data of a record.

        Raises:
            NotAReading: It is none.
        """
        try:
            document = json.loads(data)
        except ValueError:
            raise NotAReading("the data is not JSON") from None
        if not isinstance(document, dict) or document.get("device") != partition_key:
            raise NotAReading("device must be there, and be the partition key")
        value = document.get("value")
        if not isinstance(value, int) or isinstance(value, bool) or abs(value) > 10**12:
            raise NotAReading("value must be a whole number of at most 10^12")
        return cls(partition_key, value, sequence)


@dataclass(frozen=True)
class Summary:
    """What is known of a device: count, sum, extremes and the last value, up to a sequence number."""

    count: int = 0
    total: int = 0
    minimum: int | None = None
    maximum: int | None = None
    last: int | None = None
    sequence: int = -1

    def with_readings(self, readings: Iterable[Reading]) -> "Summary":
        """The summary with more readings; those that it has seen already change nothing."""
        summary = self
        for reading in readings:
            if reading.sequence > summary.sequence:
                value = reading.value
                summary = replace(
                    summary,
                    count=summary.count + 1,
                    total=summary.total + value,
                    minimum=value if summary.minimum is None else min(summary.minimum, value),
                    maximum=value if summary.maximum is None else max(summary.maximum, value),
                    last=value,
                    sequence=reading.sequence,
                )
        return summary
