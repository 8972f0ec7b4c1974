"""Records of a delivery stream: their ids, and records that hold several others.

Faithful to: a RecordId of PutRecord has 224 characters; the function sees another one, of digits. Multi
record deaggregation by JSON and by a delimiter, of at most 500 records in one: others stay as they are.
Not to: the contents of the ids.

https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecord.html
https://docs.aws.amazon.com/firehose/latest/dev/dynamic-partitioning-multirecord-deaggergation.html
"""

from __future__ import annotations

import base64
import itertools
import json
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ministack.services import firehose

from localaws.patching import replaces

_MOST_DEAGGREGATED = 500
_numbers = itertools.count(int.from_bytes(secrets.token_bytes(5)))


@replaces(firehose, "_record_id")
def _record_id() -> str:
    return base64.b64encode(secrets.token_bytes(168)).decode()


def _sequence() -> str:
    """A sequence number like those of Kinesis, of 56 digits."""
    return f"496{next(_numbers):053}"


@dataclass(frozen=True)
class Record:
    """A record on its way.

    Attributes:
        data: What was put.
        arrived: When, in seconds.
        kinesis: The metadata of a record from a Kinesis stream.
        id: What the function sees.
        keys: The values of its partition keys, by their expression.
    """

    data: bytes
    arrived: float = field(default_factory=time.time)
    kinesis: Mapping[str, Any] | None = None
    id: str = field(default_factory=lambda: _sequence() + "000000")
    keys: Mapping[str, str] = field(default_factory=dict)


def deaggregated(record: Record, parameters: Mapping[str, str]) -> list[Record]:
    """The records in a record, as the processor `RecordDeAggregation` separates them."""
    delimiter = base64.b64decode(parameters.get("Delimiter") or "")
    if parameters.get("SubRecordType") == "DELIMITED" and delimiter:
        parts = [part for part in record.data.split(delimiter) if part]
    else:
        try:
            parts = list(_documents(record.data.decode()))
        except ValueError:
            return [record]
    if not 0 < len(parts) <= _MOST_DEAGGREGATED:
        return [record]
    start = record.id[:-6]
    return [replace(record, data=part, id=f"{start}{number:06}") for number, part in enumerate(parts)]


def _documents(text: str) -> Iterator[bytes]:
    """The JSON documents one after the other, or those in a list."""
    decoder, place = json.JSONDecoder(), 0
    while rest := text[place:].lstrip():
        place = len(text) - len(rest)
        document, end = decoder.raw_decode(text, place)
        if isinstance(document, list):
            yield from (json.dumps(one, separators=(",", ":")).encode() for one in document)
        else:
            yield text[place:end].encode()
        place = end
