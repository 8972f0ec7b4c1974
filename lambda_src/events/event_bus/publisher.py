"""Events → checked against the schema of their kind → PutEvents, in batches; what failed is sent again."""

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError
from jsonschema import Draft202012Validator, exceptions

# https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
_MOST_ENTRIES, _LARGEST_REQUEST = 10, 1024 * 1024
# An event is larger than its entry, and the record of a failed event is larger still. Lambda and SQS take
# 1 MiB at most, so without this room a failed event could be lost.
# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html
# https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
_LARGEST_ENTRY = _LARGEST_REQUEST - 64 * 1024
# https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsResultEntry.html
_RETRYABLE = {"InternalFailure", "ThrottlingException"}
_ATTEMPTS, _FIRST_PAUSE = 4, 0.1


class InvalidEvent(ValueError):
    """An event does not match the schema of its kind, or is too large; nothing was published."""


class NotPublished(Exception):
    """EventBridge refused some of the events, or a request failed.

    Args:
        errors: The last error of each, by its position among the events.
        published: The ids of the others, by position.
    """

    def __init__(self, errors: Mapping[int, str], published: Mapping[int, str]) -> None:
        super().__init__("; ".join(f"event {position}: {error}" for position, error in errors.items()))
        self.errors, self.published = errors, published


class Event(NamedTuple):
    """What happened.

    Args:
        kind: Becomes the detail type.
        detail: What the schema of the kind describes.
    """

    kind: str
    detail: Mapping[str, Any]


class Publisher:
    """Publishes events of known kinds.

    Args:
        client: An EventBridge client.
        bus: Name or ARN of the bus.
        source: Who publishes.
        schemas: A JSON Schema for each kind.
        sleep: Waits some seconds, between two attempts.
    """

    def __init__(
        self,
        client: Any,
        bus: str,
        source: str,
        schemas: Mapping[str, Any],
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._client = client
        self._common = {"EventBusName": bus, "Source": source}
        self._validators = {kind: Draft202012Validator(schema) for kind, schema in schemas.items()}
        self._sleep = sleep

    def publish(self, events: Sequence[Event]) -> list[str]:
        """Publish all events, and return their ids in EventBridge.

        Raises:
            InvalidEvent: At least one is malformed. None was published.
            NotPublished: Some were refused, also in the last attempt, or a request with them failed (boto3
                has repeated it). The others were published.
        """
        entries = [self._entry(position, event) for position, event in enumerate(events)]
        ids: dict[int, str] = {}
        errors: dict[int, str] = {}
        waiting = list(range(len(entries)))
        for attempt in range(_ATTEMPTS):
            again = []
            for batch in _batches(waiting, entries):
                try:
                    answer = self._client.put_events(Entries=[entries[position] for position in batch])
                except (BotoCoreError, ClientError) as error:
                    errors |= dict.fromkeys(batch, f"{type(error).__name__}: {error}")
                    continue
                for position, result in zip(batch, answer["Entries"], strict=True):
                    if "EventId" in result:
                        ids[position] = result["EventId"]
                        continue
                    errors[position] = f"{result['ErrorCode']}: {result.get('ErrorMessage', '')}"
                    if result["ErrorCode"] in _RETRYABLE:
                        again.append(position)
            if not (waiting := again):
                break
            if attempt < _ATTEMPTS - 1:
                self._sleep(_FIRST_PAUSE * 2**attempt * random.uniform(0.5, 1))  # noqa: S311 - no secret
        if refused := {position: error for position, error in errors.items() if position not in ids}:
            raise NotPublished(refused, ids)
        return [ids[position] for position in range(len(entries))]

    def _entry(self, position: int, event: Event) -> dict[str, str]:
        if event.kind not in self._validators:
            known = ", ".join(self._validators)
            raise InvalidEvent(f"event {position}: the kind {event.kind!r} has no schema; known: {known}")
        if error := exceptions.best_match(self._validators[event.kind].iter_errors(event.detail)):
            raise InvalidEvent(f"event {position}, {error.json_path}: {error.message[:200]}")
        try:
            detail = json.dumps(event.detail, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
            entry = {**self._common, "DetailType": event.kind, "Detail": detail}
            size = _size(entry)
        except (ValueError, RecursionError) as error:  # NaN, text that UTF-8 cannot encode, or too deep
            raise InvalidEvent(f"event {position}: {error}") from None
        if size > _LARGEST_ENTRY:
            raise InvalidEvent(f"event {position} has {size:,} bytes; {_LARGEST_ENTRY:,} are allowed")
        return entry


def _batches(positions: Sequence[int], entries: Sequence[Mapping[str, str]]) -> Iterator[list[int]]:
    """Group entries so that EventBridge takes each group in one request."""
    batch: list[int] = []
    size = 0
    for position in positions:
        own = _size(entries[position])
        if batch and (len(batch) == _MOST_ENTRIES or size + own >= _LARGEST_REQUEST):
            yield batch
            batch, size = [], 0
        batch.append(position)
        size += own
    if batch:
        yield batch


def _size(entry: Mapping[str, str]) -> int:
    """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html."""
    return sum(len(entry[name].encode()) for name in ("Source", "DetailType", "Detail"))
