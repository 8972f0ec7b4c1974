"""Events of S3: what EventBridge is told, delete markers of missing keys, tagging.

The emulator tells EventBridge no version and "0" for a sequencer, is silent when a delete marker covers
nothing, and has no event for tags.

Faithful to: the object of an event at EventBridge has `version-id` in a versioned bucket, and a `sequencer`
only when it was created or deleted; a deleted one has no size, a delete marker has the eTag of nothing;
restores have `source-storage-class` and `restore-expiry-time`. Deleting a key that is not there makes a
delete marker in a versioned bucket, and the event of one. Tags that are put or deleted raise
`ObjectTagging:Put` and `ObjectTagging:Delete`.
Not to: events of lifecycle rules and storage classes, because nothing is moved or expired.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/DeleteMarker.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-event-types-and-destinations.html
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from ministack.services import eventbridge, s3

_ETAG_OF_NOTHING = "d41d8cd98f00b204e9800998ecf8427e"

#: What the event that is being delivered was raised with.
_raised: ContextVar[dict[str, Any]] = ContextVar("localaws_s3_event")

_stock_fire = s3._fire_s3_event
_stock_marker = s3._record_delete_marker
_stock_dispatch = eventbridge._dispatch_event


def install() -> None:
    """Complete what is told, and tell what is missing."""
    s3._fire_s3_event = _fire
    s3._record_delete_marker = _record_delete_marker
    s3._put_object_tagging = _telling(s3._put_object_tagging, "s3:ObjectTagging:Put")
    s3._delete_object_tagging = _telling(s3._delete_object_tagging, "s3:ObjectTagging:Delete")
    s3._S3_EVENTBRIDGE_EVENT_DETAIL_TYPE |= {
        "ObjectTagging:Put": "Object Tags Added",
        "ObjectTagging:Delete": "Object Tags Deleted",
    }
    eventbridge._dispatch_event = _dispatch


def _fire(bucket: str, key: str, event: str, *arguments: Any, **more: Any) -> None:
    current = s3._buckets[bucket]["objects"].get(key) if bucket in s3._buckets else None
    if event.startswith("s3:ObjectRestore:") and current and not more.get("version_id"):
        more["version_id"] = current.get("version_id")
    token = _raised.set({**more, "event": event, "storage_class": (current or {}).get("storage_class")})
    try:
        _stock_fire(bucket, key, event, *arguments, **more)
    finally:
        _raised.reset(token)


def _record_delete_marker(bucket: str, key: str, prior: dict[str, Any] | None) -> str:
    marker: str = _stock_marker(bucket, key, prior)
    if prior is None:  # Otherwise the emulator raises the event itself.
        event, kind = "s3:ObjectRemoved:DeleteMarkerCreated", "Delete Marker Created"
        s3._fire_s3_event_async(bucket, key, event, deletion_type=kind, version_id=marker)
    return marker


def _telling(change: Callable[..., Any], event: str) -> Callable[..., Any]:
    def change_and_tell(bucket: str, key: str, *arguments: Any) -> Any:
        answer = change(bucket, key, *arguments)
        if answer[0] < 300:
            tagged = s3._buckets[bucket]["objects"][key]
            version = answer[1].get("x-amz-version-id") or tagged.get("version_id")
            s3._fire_s3_event_async(
                bucket, key, event, tagged.get("size", 0), tagged.get("etag", ""), version_id=version
            )
        return answer

    return change_and_tell


def _dispatch(event: dict[str, Any], *arguments: Any) -> Any:
    raised = _raised.get(None)
    if raised and event["Source"] == "aws.s3":
        event = event | {"Detail": json.dumps(_documented(json.loads(event["Detail"]), raised))}
    return _stock_dispatch(event, *arguments)


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
