"""Readings of devices and their summary: plain Python without AWS."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from shared.storable import NotStorable, check_not_aggregated, load_json


class NotAReading(ValueError):
    """The record can never be counted; the text gives the reason."""


@dataclass(frozen=True)
class Reading:
    """What a device measured.

    Args:
        device: The device. It is also the record's partition key, so its readings arrive in order.
        value: A whole number.
        sequence: The record's sequence number, which increases from record to record of a partition key.
    """

    device: str
    value: int
    sequence: int

    @classmethod
    def parse(cls, data: bytes, partition_key: str, sequence: int) -> "Reading":
        """Read the data of a record.

        Raises:
            NotAReading: It is not a reading; the text gives the reason.
        """
        try:
            check_not_aggregated(data)
            document = load_json(data)
        except NotStorable as reason:
            raise NotAReading(f"the data: {reason}") from None
        if not isinstance(document, dict) or document.get("device") != partition_key:
            raise NotAReading("device must be the partition key")
        value = document.get("value")
        if not isinstance(value, int) or isinstance(value, bool) or abs(value) > 10**12:
            raise NotAReading("value must be a whole number of at most 10^12")
        return cls(partition_key, value, sequence)


@dataclass(frozen=True)
class Summary:
    """The readings of a device up to a sequence number: count, total, minimum, maximum and last value."""

    count: int = 0
    total: int = 0
    minimum: int | None = None
    maximum: int | None = None
    last: int | None = None
    sequence: int = -1

    def with_readings(self, readings: Iterable[Reading]) -> "Summary":
        """Return the summary with more readings; those that it contains already change nothing."""
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
