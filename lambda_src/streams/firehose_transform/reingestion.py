"""Records that do not fit into an answer → the delivery stream again, marked with how often that happened.

An invocation begins with those that have the highest mark, so each record has its turn. The limit is for the
case that it has none. A backup of everything that was put has such a record again for each round, with the
mark: a replay leaves out what begins with it, because the original is there too.

https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html
"""

import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

#: Then a record has failed.
MOST_ROUNDS = 50
_MARK = re.compile(rb"\x00again:(\d\d)\x00")  # no text and no gzip file starts with it
_MOST_RECORDS, _MOST_BYTES, _LONGEST_RECORD = 500, 4 * 1024 * 1024, 1000 * 1024
_ATTEMPTS, _PAUSE = 4, 0.2  # seconds, at most before the second attempt, and then doubled


class Marked(NamedTuple):
    """The data of a record, and how often it was put again."""

    data: bytes
    rounds: int


def unmarked(data: bytes) -> Marked:
    """Read the mark of a record."""
    mark = _MARK.match(data) if data.startswith(b"\x00") else None
    return Marked(data[mark.end() :], int(mark[1])) if mark else Marked(data, 0)


def marked(record: Marked) -> bytes | None:
    """Return the data for the next round; None if there is none, or the mark makes the record too long."""
    data = b"\x00again:%02d\x00" % (record.rounds + 1) + record.data
    return data if record.rounds < MOST_ROUNDS and len(data) <= _LONGEST_RECORD else None


def put_again(
    firehose: Any, stream: str, records: Sequence[bytes], pause: Callable[[float], None] = time.sleep
) -> tuple[set[int], str]:
    """Put records; return the places of those that Firehose did not take, and its last error.

    Args:
        firehose: A client of Firehose, which repeats calls that fail as a whole.
        stream: The delivery stream.
        records: Their data.
        pause: Waits some seconds.
    """
    left: set[int] = set()
    error = ""
    for batch in _batches(records):
        for attempt in range(_ATTEMPTS):
            if attempt:
                pause(random.uniform(0, _PAUSE * 2 ** (attempt - 1)))  # noqa: S311 - no secret
            entries = [{"Data": records[place]} for place in batch]
            try:
                answer = firehose.put_record_batch(DeliveryStreamName=stream, Records=entries)
            except Exception as failed:
                error = str(failed)
                break
            if not answer["FailedPutCount"]:
                batch = []
                break
            responses = list(zip(batch, answer["RequestResponses"], strict=True))
            error = next(one["ErrorCode"] for _, one in responses if "ErrorCode" in one)
            batch = [place for place, one in responses if "ErrorCode" in one]
        left.update(batch)
    return left, error


def _batches(records: Sequence[bytes]) -> Iterator[list[int]]:
    """The places of the records, as many at a time as one call takes."""
    batch: list[int] = []
    size = 0
    for place, data in enumerate(records):
        if batch and (len(batch) == _MOST_RECORDS or size + len(data) > _MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(place)
        size += len(data)
    if batch:
        yield batch
