"""Tasks of S3 Batch Operations, read strictly, and the answer to them.

Both invocation schemas are understood: 1.0 has the ARN of the bucket, 2.0 its name. Powertools has data
classes for these events, but they decode a key that is not UTF-8 into another key, and allow one task only,
where AWS says "one or more".

https://docs.aws.amazon.com/AmazonS3/latest/userguide/batch-ops-invoke-lambda.html
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from shared.s3_events import InvalidEvent, InvalidRecord, checked_key, field

# What an answer repeats.
_COPIED = ("invocationSchemaVersion", "invocationId")


class Code(StrEnum):
    """What S3 is to do with a task: report it, try it again, or report that it failed."""

    SUCCEEDED = "Succeeded"
    TEMPORARY = "TemporaryFailure"
    PERMANENT = "PermanentFailure"


class Task(NamedTuple):
    """An object of the manifest.

    Args:
        bucket: The bucket.
        key: The key, decoded.
        version_id: The version in the manifest; empty if that has none.
    """

    bucket: str
    key: str
    version_id: str


class Result(NamedTuple):
    """What became of a task; the text goes into the completion report, if S3 does not ignore it."""

    code: Code
    text: str


def tasks_of(event: Any) -> list[Any]:
    """Return the tasks of an event, unread.

    Raises:
        InvalidEvent: S3 Batch Operations sends no such event.
    """
    given: dict[str, Any] = event if isinstance(event, dict) else {}
    tasks = given.get("tasks")
    is_answerable = all(name in given for name in _COPIED)
    if (
        is_answerable
        and isinstance(tasks, list)
        and all(isinstance(one, dict) and "taskId" in one for one in tasks)
    ):
        return tasks
    raise InvalidEvent(
        f"the event lacks {', '.join(_COPIED)}, or a list 'tasks' with a 'taskId' each: S3 Batch Operations "
        "invokes this function, and nothing else"
    )


def read(task: object) -> Task:
    """Read a task.

    Raises:
        InvalidRecord: It is not as documented, or S3 allows no such key; the message names the field.
    """
    arn = field(task, "s3BucketArn", optional=True)
    try:
        key = unquote_plus(field(task, "s3Key"), errors="strict")
    except UnicodeDecodeError:
        raise InvalidRecord("s3Key is not URL-encoded UTF-8") from None
    return Task(
        # AWS shows both `arn:aws:s3:::BUCKET` and `arn:aws:s3:REGION:ACCOUNT:BUCKET`.
        bucket=arn.rpartition(":")[2] or field(task, "s3Bucket"),
        key=checked_key(key, "s3Key"),
        version_id=field(task, "s3VersionId", optional=True),
    )


def answer(event: Any, results: Iterable[Result]) -> dict[str, Any]:
    """Return the answer to an event: a result for each of its tasks, in their order."""
    return {
        **{name: event[name] for name in _COPIED},
        "treatMissingKeysAs": Code.TEMPORARY,
        "results": [
            {"taskId": task["taskId"], "resultCode": result.code, "resultString": result.text}
            for task, result in zip(event["tasks"], results, strict=True)
        ],
    }
