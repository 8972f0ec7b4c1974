"""Task of S3 Batch Operations → look at the object → its row in DynamoDB → result code for the report.

The work is that of `metadata-sync`, whose modules this handler imports: a row is written as its reconciler
writes it, by compare and swap, because a task has no sequencer. So a live event that arrives meanwhile wins,
and a task that runs twice changes nothing the second time.
"""

import os
from typing import TYPE_CHECKING, Any

from shared.startup import no_garbage_collection

with no_garbage_collection():
    from aws_lambda_powertools.logging import Logger
    from botocore.exceptions import BotoCoreError, ClientError

    from shared.clients import make_quick_client
    from shared.failures import PermanentFailure
    from storage.metadata_sync.bucket import SourceBucket
    from storage.metadata_sync.objects import Cause, StoredObject
    from storage.metadata_sync.settings import Settings
    from storage.metadata_sync.sync import RowKeepsChanging, Synchroniser
    from storage.metadata_sync.targets import make_table

    from .tasks import Code, Result, Task, answer, read, tasks_of

    settings = Settings.from_environment(os.environ)
    logger = Logger()
    s3 = make_quick_client("s3")  # S3 tries a task again, so the SDK need not do it for long
    table = make_table(settings)


class Source(SourceBucket):
    """The bucket, which remembers the last look: the report is about the object that the row describes."""

    seen: StoredObject | None = None

    def look(self, key: str) -> StoredObject | None:
        """Return the current object of a key; ``None`` if there is none, or a delete marker."""
        self.seen = super().look(key)
        return self.seen


source = Source(s3, settings.bucket, user_metadata=settings.user_metadata, tags=settings.tags)
synchroniser = Synchroniser(source, table)

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

# Another task begins only if so much time is left: what would be cut off is better tried again.
_FOR_A_TASK_MS = 10_000
_LONGEST_TEXT = 500


class NotBackfilled(PermanentFailure):
    """The object is in another bucket, has no row by the settings, or does not exist."""


@logger.inject_lambda_context
def handler(event: Any, context: "LambdaContext") -> dict[str, Any]:
    """Work on the tasks of an invocation, and return a result for each.

    Raises:
        InvalidEvent: S3 Batch Operations sends no such event.
    """
    results: list[Result] = []
    for task in tasks_of(event):
        if results and context.get_remaining_time_in_millis() < _FOR_A_TASK_MS:
            results.append(Result(Code.TEMPORARY, "no time is left in this invocation"))
        else:
            results.append(work_on(task))
        # S3 ignores the text of a permanent failure, so its reason is in this log only.
        log = logger.info if results[-1].code is Code.SUCCEEDED else logger.warning
        log("handled", task=task, code=results[-1].code, result=results[-1].text)
    return answer(event, results)


def work_on(task: object) -> Result:
    """Bring the row of a task's object up to date; whatever goes wrong costs this task only."""
    try:
        return Result(Code.SUCCEEDED, backfill(read(task)))
    except PermanentFailure as failure:
        return _failed(Code.PERMANENT, failure)
    except (BotoCoreError, RowKeepsChanging) as error:  # no connection, or many writers: later it will work
        return _failed(Code.TEMPORARY, error)
    except ClientError as error:
        return _failed(Code.TEMPORARY if _was_tried_again(error) else Code.PERMANENT, error)
    except Exception as error:  # a fault of this code: another attempt would not help
        logger.exception("failed")
        return _failed(Code.PERMANENT, error)


def _failed(code: Code, error: Exception) -> Result:
    return Result(code, f"{type(error).__name__}: {error}"[:_LONGEST_TEXT])


def backfill(task: Task) -> str:
    """Bring the row of an object up to date; return what was done.

    Raises:
        NotBackfilled: The object is not one that this function writes rows for.
    """
    if task.bucket != settings.bucket:
        raise NotBackfilled(f"the object is in {task.bucket!r}; this function works on {settings.bucket!r}")
    if not settings.matches(task.key):
        raise NotBackfilled("objects with such a key have no row")
    cause = Cause("Backfilled", "")
    outcome = synchroniser.refresh(task.key, table.read(task.key), cause=cause)
    if source.seen is None:
        raise NotBackfilled("there is no object")
    if task.version_id not in ("", source.seen.version_id):
        # It may be an older one, or one that never was: telling them apart takes another permission.
        return f"{outcome}; the manifest names another version than {source.seen.version_id}, the current one"
    return str(outcome)


def _was_tried_again(error: ClientError) -> bool:
    """Whether the SDK has tried the call again in vain: then it was throttled, or a fault of the service.

    https://docs.aws.amazon.com/boto3/latest/guide/retries.html
    """
    metadata = error.response["ResponseMetadata"]
    return bool({"MaxAttemptsReached", "RetryQuotaReached"} & metadata.keys())
