"""Job → the file in /tmp, piece by piece → a report in S3; a killed or unfinished job resumes.

What only saves time is in `/tmp`, which may be gone at any moment: the file, and the progress after each
piece. What must last is in S3: the checkpoint after every eighth piece, and the report. A job that needs more
than one invocation stops before the timeout, and invokes the function again for the rest.
"""

import json
import os
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.startup import no_garbage_collection

with no_garbage_collection():
    from aws_lambda_powertools.logging import Logger

    from shared.clients import make_clients

    from .cache import Cache, LargeFile
    from .checkpoints import Checkpoint, Checkpoints, OtherJob, Superseded
    from .report import Job, Totals, check_job_id
    from .vault import Vault

    logger = Logger()
    s3, kms, lambda_ = make_clients("s3", "kms", "lambda")

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

_CHECKPOINT_EVERY = 8  # pieces
_LONGEST_END_MS = 10_000  # a checkpoint and an invocation take less
_BUCKET = os.environ["CHECKPOINT_BUCKET"]
_SCRATCH = Path(tempfile.gettempdir()) / "scratch-space"  # in Lambda, below /tmp

vault = Vault(kms, os.environ["KEY_ARN"], json.loads(os.environ["ENCRYPTION_CONTEXT"]))
cache = Cache(s3, os.environ["SOURCE_BUCKET"], vault, _SCRATCH / "files", int(os.environ["CACHE_MAX_BYTES"]))
checkpoints = Checkpoints(s3, _BUCKET, vault, _SCRATCH / "checkpoints")


@logger.inject_lambda_context
def handler(event: Any, context: "LambdaContext") -> dict[str, Any]:
    """Work on a job until it is done or the time is nearly over. With a `job_id` only: say how far it is."""
    if isinstance(event, dict) and event.keys() == {"job_id"}:
        return _state_of(check_job_id(event["job_id"]))
    job = Job.parse(event)
    before = cache.downloads
    try:
        status = _work(job, event, context)
    except Superseded as reason:
        # The event of that run is still with Lambda, which retries it and reports its failure.
        logger.info("left to another run", job_id=job.job_id, reason=str(reason))
        status = "left to another run"
    answer: dict[str, Any] = {
        "job_id": job.job_id,
        "status": status,
        "downloads": cache.downloads - before,
        "environment": context.log_stream_name,
    }
    logger.info("ended", extra=answer)
    return answer


def _work(job: Job, event: Any, context: "LambdaContext") -> str:
    time_left = context.get_remaining_time_in_millis()
    checkpoint, source = checkpoints.claim(
        job.job_id, asdict(job), owner=context.aws_request_id, seconds=time_left / 1000
    )
    if report := _report_of(job.job_id):
        checkpoints.delete(job.job_id)
        if report["job"] != asdict(job):
            raise OtherJob(job.job_id, report["job"])
        return "was done"
    checkpoint.runs.append(
        {
            "request_id": context.aws_request_id,
            "environment": context.log_stream_name,
            "from_piece": checkpoint.next_piece,
            "resumed_from": source,
        }
    )
    try:
        return _work_on(job, checkpoint, min(_LONGEST_END_MS, time_left // 5), event, context)
    except Superseded:
        raise
    except Exception:
        # No run works on it now, so a retry or a redrive need not wait for the end of this invocation.
        try:
            checkpoints.give_up(job.job_id, checkpoint)
        except Exception as error:
            logger.warning("not given up", job_id=job.job_id, reason=str(error))
        raise


def _work_on(job: Job, checkpoint: Checkpoint, end_ms: int, event: Any, context: "LambdaContext") -> str:
    # A job sees one version of its file, also if that is replaced while it works.
    known = checkpoint.work.get("file")
    file = LargeFile(**known) if known else cache.newest(job.file)
    totals = Totals(**checkpoint.work.get("totals", {}))
    for number in range(checkpoint.next_piece, file.pieces):
        if context.get_remaining_time_in_millis() < end_ms:
            _go_on_later(job, checkpoint, event, context)
            return "continued"
        totals.add(cache.piece(file, number), job.year, last=number == file.pieces - 1)
        time.sleep(job.pause)
        checkpoint.next_piece = number + 1
        checkpoint.work = {"file": asdict(file), "totals": totals.as_dict()}
        if checkpoint.next_piece % _CHECKPOINT_EVERY == 0:
            checkpoints.save(job.job_id, checkpoint)
        else:
            checkpoints.save_local(job.job_id, checkpoint)
    _report(job, file, totals, checkpoint)
    checkpoints.delete(job.job_id)
    return "done"


def _go_on_later(job: Job, checkpoint: Checkpoint, event: Any, context: "LambdaContext") -> None:
    """Give the job up, and ask for the rest. Lambda ends a chain of more than 16 such invocations."""
    checkpoints.give_up(job.job_id, checkpoint)
    lambda_.invoke(
        FunctionName=context.invoked_function_arn, InvocationType="Event", Payload=json.dumps(event)
    )


def _state_of(job_id: str) -> dict[str, Any]:
    report, piece = _report_of(job_id), checkpoints.next_piece(job_id)
    status = "done" if report else "unknown" if piece is None else "in progress"
    return {"job_id": job_id, "status": status, "next_piece": piece}


def _report_of(job_id: str) -> dict[str, Any] | None:
    """Return the report of a job that is done."""
    try:
        body = s3.get_object(Bucket=_BUCKET, Key=f"reports/{job_id}.json")["Body"]
    except s3.exceptions.NoSuchKey:
        return None
    report: dict[str, Any] = json.loads(body.read())
    return report


def _report(job: Job, file: LargeFile, totals: Totals, checkpoint: Checkpoint) -> None:
    """Store the report, unless there is one."""
    report = {
        "job": asdict(job),
        "file": asdict(file),
        "totals": totals.as_dict(),
        "runs": checkpoint.runs,
    }
    try:
        s3.put_object(
            Bucket=_BUCKET, Key=f"reports/{job.job_id}.json", Body=json.dumps(report), IfNoneMatch="*"
        )
    except s3.exceptions.ClientError as error:
        if error.response["Error"]["Code"] != "PreconditionFailed":
            raise
