"""Notification configurations that S3 refuses, with its error codes and words.

The emulator checks destinations only, and accepts filters of which S3 could not say which one applies.

Faithful to: PutBucketNotificationConfiguration is refused (`InvalidArgument`) if two configurations have a
common event type and overlapping filters: one prefix begins with the other, and one suffix ends with the
other, where no prefix or suffix matches every key. Likewise equal ids, event types that S3 does not have,
more than one prefix or suffix in a filter, values of more than 1,024 bytes, a destination in another Region,
and more than 100 configurations.
Not to: the words for more than 100, which AWS does not document; further elements of the errors, such as
`ArgumentName`.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketNotificationConfiguration.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_FilterRule.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-filtering.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-event-types-and-destinations.html
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any
from xml.etree import ElementTree

import botocore.session
from ministack.services import s3

from localaws.patching import around

_MAX_CONFIGURATIONS, _MAX_VALUE = 100, 1024
_OVERLAP = (
    "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the prefixes are "
    "overlapping for the same event type."
)
_REGION = "The notification destination service region is not valid for the bucket location constraint"


@around(s3, "_put_bucket_notification")
def _put_bucket_notification(
    stock: Callable[..., Any], name: str, body: bytes, headers: dict[str, str] | None = None
) -> Any:
    text = body.decode("utf-8", errors="replace")
    problem = _problem_of_rules(text) or _problem_of(s3._parse_notification_config_raw(text))
    return s3._invalid_notification_config(problem) if problem else stock(name, body, headers)


@around(s3, "_parse_notification_target_arn")
def _parse_notification_target_arn(
    stock: Callable[..., Any], target_type: str, arn: str, bucket_region: str
) -> Any:
    target, problem = stock(target_type, arn, bucket_region)
    return target, _REGION if problem == "destination region must match bucket region" else problem


@around(s3, "_invalid_notification_config")
def _invalid_notification_config(stock: Callable[..., Any], message: str) -> Any:
    return stock(_REGION if message.endswith(_REGION) else message)


def _problem_of_rules(text: str) -> str | None:
    """What S3 says of the rules of a filter."""
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - the emulator reads it as well
    except ElementTree.ParseError:
        return None  # as the emulator says
    for filters in root.iter(f"{{{s3.S3_NS}}}S3Key"):
        names = []
        for rule in filters.iter(f"{{{s3.S3_NS}}}FilterRule"):
            names.append(rule.findtext(f"{{{s3.S3_NS}}}Name", "").strip().lower())
            value = rule.findtext(f"{{{s3.S3_NS}}}Value", "")
            if names[-1] not in ("prefix", "suffix"):
                return "filter rule name must be either prefix or suffix"
            if names.count(names[-1]) > 1:
                return f"Cannot specify more than one {names[-1]} rule in a filter."
            if len(value.encode()) > _MAX_VALUE:
                return f"Size of filter rule value cannot exceed {_MAX_VALUE} bytes in UTF-8 representation"
    return None


def _problem_of(configurations: list[dict[str, Any]]) -> str | None:
    """What S3 says of the configurations of a bucket together."""
    if len(configurations) > _MAX_CONFIGURATIONS:
        return f"A bucket can have at most {_MAX_CONFIGURATIONS} notification configurations"
    if not {event for one in configurations for event in one["events"]} <= _event_types():
        return "The event is not supported for notifications"
    ids = [one["id"] for one in configurations]
    if len(set(ids)) < len(ids):
        return "Same ID used for multiple configurations. IDs must be unique"
    return _OVERLAP if any(itertools.starmap(_overlap, itertools.combinations(configurations, 2))) else None


@functools.cache
def _event_types() -> set[str]:
    shape: Any = botocore.session.get_session().get_service_model("s3").shape_for("Event")
    return set(shape.enum)


def _overlap(one: dict[str, Any], other: dict[str, Any]) -> bool:
    prefixes = one["filter_prefix"] or "", other["filter_prefix"] or ""
    suffixes = one["filter_suffix"] or "", other["filter_suffix"] or ""
    return (
        any(
            fnmatchcase(a, b) or fnmatchcase(b, a)
            for a, b in itertools.product(one["events"], other["events"])
        )
        and (prefixes[0].startswith(prefixes[1]) or prefixes[1].startswith(prefixes[0]))
        and (suffixes[0].endswith(suffixes[1]) or suffixes[1].endswith(suffixes[0]))
    )
