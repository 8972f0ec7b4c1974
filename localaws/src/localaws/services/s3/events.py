"""Fields of S3 events, filters of notifications, delete markers of missing keys, events about tags.

The emulator sends EventBridge events without a version and with sequencer "0", sends no event when a delete
marker covers no object, and has no events about tags.

Faithful to: an event at EventBridge has the object's `version-id` in a versioned bucket, and a `sequencer`
only if the object was created or deleted. A deleted object has no size, and a delete marker has the eTag of
an empty object. Restores have `source-storage-class` and `restore-expiry-time`. Deleting a key that does not
exist creates a delete marker in a versioned bucket, and sends its event. Changed and deleted tags send
`ObjectTagging:Put` and `ObjectTagging:Delete`.
Filters compare a notification's prefix and suffix with the encoded key: `my photos/` never matches, and
`my+photos/` does. `*` is no wildcard. A record names who sent the request, and from where. Sequencers of a
key have different lengths: the shorter one is compared after it was padded with zeros on the right.
Not to: events of lifecycle rules and storage classes, because nothing is moved or expired.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/DeleteMarker.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-filtering.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html#object-key-guidelines-safe-characters
https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-event-types-and-destinations.html
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any
from urllib.parse import quote

from ministack.services import eventbridge, s3

from localaws.patching import around, changes, replaces

_ETAG_OF_NOTHING = "d41d8cd98f00b204e9800998ecf8427e"

#: The arguments of the event that is being delivered.
_raised: ContextVar[dict[str, Any]] = ContextVar("localaws_s3_event")


@around(s3, "_next_event_sequencer")
def _next_event_sequencer(stock: Callable[[str], str | None], event_name: str) -> str | None:
    """A sequencer of 16 to 18 digits: padded on the right, it compares as without the last digits."""
    number = stock(event_name)
    return number and f"00{int(number, 16):014X}{secrets.token_hex(secrets.randbelow(2)).upper()}"


@changes(s3, "_S3_EVENTBRIDGE_EVENT_DETAIL_TYPE")
def _detail_types(stock: dict[str, str]) -> dict[str, str]:
    return stock | {
        "ObjectTagging:Put": "Object Tags Added",
        "ObjectTagging:Delete": "Object Tags Deleted",
    }


@replaces(s3, "_key_matches_filter")
def _key_matches_filter(key: str, prefix: str | None, suffix: str | None) -> bool:
    encoded = quote(key, safe="/!-_.*'() ").replace(" ", "+").replace("~", "%7E")
    return encoded.startswith(prefix or "") and encoded.endswith(suffix or "")


@around(s3, "_fire_s3_event")
def _fire(
    stock: Callable[..., None], bucket_name: str, key: str, event_name: str, *args: Any, **more: Any
) -> None:
    current = s3._buckets[bucket_name]["objects"].get(key) if bucket_name in s3._buckets else None
    if event_name.startswith("s3:ObjectRestore:") and current and not more.get("version_id"):
        more["version_id"] = current.get("version_id")
    token = _raised.set({**more, "event": event_name, "storage_class": (current or {}).get("storage_class")})
    try:
        stock(bucket_name, key, event_name, *args, **more)
    finally:
        _raised.reset(token)


@around(s3, "_record_delete_marker", after=["s3.shapes"])
def _record_delete_marker(
    stock: Callable[..., str], bucket_name: str, key: str, prior_obj: dict[str, Any] | None
) -> str:
    marker = stock(bucket_name, key, prior_obj)
    if prior_obj is None:  # otherwise the emulator sends the event
        event, kind = "s3:ObjectRemoved:DeleteMarkerCreated", "Delete Marker Created"
        s3._fire_s3_event_async(bucket_name, key, event, deletion_type=kind, version_id=marker)
    return marker


@around(s3, "_put_object_tagging")
def _put_object_tagging(
    stock: Callable[..., Any], bucket_name: str, key: str, body: bytes, query_params: Any = None
) -> Any:
    answer = stock(bucket_name, key, body, query_params)
    return _after_tagging(answer, bucket_name, key, "s3:ObjectTagging:Put")


@around(s3, "_delete_object_tagging")
def _delete_object_tagging(
    stock: Callable[..., Any], bucket_name: str, key: str, query_params: Any = None
) -> Any:
    answer = stock(bucket_name, key, query_params)
    return _after_tagging(answer, bucket_name, key, "s3:ObjectTagging:Delete")


def _after_tagging(answer: Any, bucket: str, key: str, event: str) -> Any:
    """Send the event of a change of tags that succeeded, and return the answer."""
    if answer[0] < 300:
        tagged = s3._buckets[bucket]["objects"][key]
        version = answer[1].get("x-amz-version-id") or tagged.get("version_id")
        s3._fire_s3_event_async(
            bucket, key, event, tagged.get("size", 0), tagged.get("etag", ""), version_id=version
        )
    return answer


@around(eventbridge, "_dispatch_event")
def _dispatch(stock: Callable[..., Any], event: dict[str, Any], *args: Any, **more: Any) -> Any:
    raised = _raised.get(None)
    if raised and event["Source"] == "aws.s3":
        event = event | {"Detail": json.dumps(_documented(json.loads(event["Detail"]), raised))}
    return stock(event, *args, **more)


def _documented(detail: dict[str, Any], raised: dict[str, Any]) -> dict[str, Any]:
    described = {name: value for name, value in detail["object"].items() if name != "sequencer"}
    if raised["event"].startswith("s3:ObjectRemoved:"):
        del described["size"], described["etag"]
        if detail["deletion-type"] == "Delete Marker Created":
            described["etag"] = _ETAG_OF_NOTHING
    if raised.get("version_id"):
        described["version-id"] = raised["version_id"]
    if raised.get("sequencer"):
        described["sequencer"] = raised["sequencer"]
    detail = detail | {"object": described}
    if raised["event"].startswith("s3:ObjectRestore:"):
        detail["source-storage-class"] = raised["storage_class"]
        if restored := raised.get("restore_event_data"):
            detail["restore-expiry-time"] = restored["lifecycleRestorationExpiryTime"]
            detail["requester"] = "s3.amazonaws.com"
    return detail
