"""The completion report of a job of S3 Batch Operations.

Faithful to: `manifest.json` under `PREFIX/job-ID/`, which names a file of results for the tasks that
succeeded and one for those that failed, each with its MD5; files without a header, with a line for each task
that has run: bucket, key, version id, `succeeded` or `failed`, HTTP status, error code, message. The message
is the result string of the function, unless that answers `PermanentFailure`, or what was wrong with its
answer. `FailedTasksOnly` leaves out the first file. Files are encrypted with SSE-S3, and written with the
job's role: `s3:PutObject`. There is a report also of failed and cancelled jobs, if at least one task has run.
Not to: several files for many tasks, the names of the files. AWS's page names the columns in the order
"ErrorCode, HTTPStatusCode", and shows lines in which the status comes first: so are the lines here. AWS says
that the report of a permanent failure has an error message and that its result string is ignored, and not
what the message is.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/batch-ops-examples-reports.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/batch-ops-invoke-lambda.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_control_JobReport.html
"""

from __future__ import annotations

import csv
import io
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ministack.core.responses import md5_hash

from localaws.services.s3control.manifests import Task, write

_SCHEMA = "Bucket, Key, VersionId, TaskStatus, ErrorCode, HTTPStatusCode, ResultMessage"


@dataclass(frozen=True)
class Result:
    """What became of a task.

    Args:
        code: `Succeeded`, `TemporaryFailure` or `PermanentFailure`.
        message: The result string, or what was wrong.
        status: The HTTP status of the invocation.
    """

    code: str
    message: str = ""
    status: int = 200

    @property
    def succeeded(self) -> bool:
        """Whether the task did."""
        return self.code == "Succeeded"


def write_report(
    report: Mapping[str, Any], role: str, job: str, results: Iterable[tuple[Task, Result]]
) -> None:
    """Write the report that a job asks for.

    Args:
        report: The `Report` of the request.
        role: The role of the job.
        job: The id of the job.
        results: The tasks that have run.

    Raises:
        JobFailed: The role may not write it, or there is no such bucket.
    """
    results = list(results)
    if not report["Enabled"] or not results:
        return
    bucket = report["Bucket"].rpartition(":")[2]
    folder = f"{report['Prefix']}/job-{job}" if report.get("Prefix") else f"job-{job}"
    files = []
    for outcome in ("failed",) if report["ReportScope"] == "FailedTasksOnly" else ("succeeded", "failed"):
        content = _lines(results, outcome)
        if content:
            key = f"{folder}/results/{secrets.token_hex(20)}.csv"
            write(role, bucket, key, content)
            md5 = md5_hash(content)
            files.append({"TaskExecutionStatus": outcome, "Bucket": bucket, "MD5Checksum": md5, "Key": key})
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    manifest = {
        "Format": "Report_CSV_20180820",
        "ReportCreationDate": now,
        "Results": files,
        "ReportSchema": _SCHEMA,
    }
    write(role, bucket, f"{folder}/manifest.json", json.dumps(manifest).encode())


def _lines(results: list[tuple[Task, Result]], outcome: str) -> bytes:
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    for task, result in results:
        if result.succeeded == (outcome == "succeeded"):
            code = "" if result.succeeded else result.code
            version = task.version or ""
            writer.writerow([task.bucket, task.key, version, outcome, result.status, code, result.message])
    return lines.getvalue().encode()
