"""Objects without events, jobs of S3 Batch Operations about them, and their reports and rows."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import md5
from typing import Any, NamedTuple
from urllib.parse import quote, unquote_plus
from uuid import uuid4

from scenarios.framework import DeployedStack, NotYet, require, wait_until
from scenarios.support.tables import query

#: Seconds: in a real account S3 takes minutes until a job has read its manifest, or has made it.
_TO_PREPARE_A_JOB = 900
_CSV = "S3BatchOperations_CSV_20180820"


class Line(NamedTuple):
    """A line of a completion report; AWS writes the status before the error code."""

    bucket: str
    key: str
    version_id: str
    task_status: str
    http_status: str
    error_code: str
    message: str


class Backfill:
    """The deployed stack, and the objects and jobs of this run in it."""

    def __init__(self, stack: DeployedStack) -> None:
        self.run_id = uuid4().hex[:8]
        self.bucket = stack.output("BucketName")
        self.function = stack.output("BackfillFunctionName")
        self.role = stack.output("JobRoleArn")
        self.account = self.role.split(":")[4]
        self._partition = self.role.split(":")[1]
        self._job_bucket = stack.output("JobBucketName")
        self._stack = stack
        self._s3 = stack.client("s3")
        self._control = stack.client("s3control")
        self._rules = stack.client("events")
        self._used = {self.bucket: [f"{self.run_id}/"], self._job_bucket: [f"manifests/{self.run_id}/"]}

    @contextmanager
    def without_events(self) -> Iterator[None]:
        """Disable the rule that passes events of the bucket on, while the body runs."""
        rule = self._stack.output("RuleName")
        self._rules.disable_rule(Name=rule)
        try:
            yield
        finally:
            self._rules.enable_rule(Name=rule)

    def upload(self, names: Iterable[str]) -> dict[str, str]:
        """Upload objects without events about them; return their version ids by key."""
        with self.without_events():
            return {key: self.put(key) for key in (f"{self.run_id}/{name}" for name in names)}

    def put(self, key: str, content: str = "old") -> str:
        """Put an object with a tag, and return its version id."""
        done = self._s3.put_object(Bucket=self.bucket, Key=key, Body=content, Tagging=f"content={content}")
        version: str = done["VersionId"]
        return version

    def manifest(
        self, keys: Iterable[str], versions: Mapping[str, str] | None = None, *, pinned: bool = False
    ) -> dict[str, Any]:
        """Write a manifest in CSV; return what a request says of it.

        Args:
            keys: The keys.
            versions: The version id by key. Default: the manifest has none.
            pinned: Whether the job reads this version of the manifest.
        """
        lines = io.StringIO()
        writer = csv.writer(lines, lineterminator="\n")
        for key in keys:
            writer.writerow([self.bucket, quote(key), *([versions[key]] if versions else [])])
        key = f"manifests/{self.run_id}/{uuid4()}.csv"
        done = self._s3.put_object(Bucket=self._job_bucket, Key=key, Body=lines.getvalue())
        location = {"ObjectArn": f"{self._arn(self._job_bucket)}/{key}", "ETag": done["ETag"]}
        if pinned:
            location["ObjectVersionId"] = done["VersionId"]
        fields = ["Bucket", "Key", *(["VersionId"] if versions else [])]
        return {"Manifest": {"Spec": {"Format": _CSV, "Fields": fields}, "Location": location}}

    def generated(self, prefix: str) -> dict[str, Any]:
        """What a request says of a manifest that S3 generates of the objects below a prefix."""
        place = {
            "Bucket": self._arn(self._job_bucket),
            "ManifestPrefix": f"manifests/{self.run_id}",
            "ManifestFormat": "S3InventoryReport_CSV_20211130",
        }
        generator = {
            "SourceBucket": self._arn(self.bucket),
            "EnableManifestOutput": True,
            "ManifestOutputLocation": place,
            "Filter": {"KeyNameConstraint": {"MatchAnyPrefix": [f"{self.run_id}/{prefix}"]}},
        }
        return {"ManifestGenerator": {"S3JobManifestGenerator": generator}}

    def start(self, of_manifest: Mapping[str, Any], *, confirm: bool = False, schema: str = "1.0") -> str:
        """Create a job, and return its id."""
        invoke: dict[str, Any] = {
            "FunctionArn": self._stack.output("BackfillFunctionArn"),
            "InvocationSchemaVersion": schema,
        }
        report = {
            "Bucket": self._arn(self._job_bucket),
            "Format": "Report_CSV_20180820",
            "Enabled": True,
            "Prefix": "reports",
            "ReportScope": "AllTasks",
        }
        job: str = self._control.create_job(
            AccountId=self.account,
            ConfirmationRequired=confirm,
            ClientRequestToken=str(uuid4()),
            Operation={"LambdaInvoke": invoke},
            Report=report,
            Priority=1,
            RoleArn=self.role,
            Description=f"Scenario {self.run_id}",
            **of_manifest,
        )["JobId"]
        self._used[self._job_bucket] += [f"reports/job-{job}/", f"job-{job}/"]
        return job

    def wait(self, job: str, status: str = "Complete") -> dict[str, Any]:
        """Wait until a job has a status, and return its description.

        Raises:
            ScenarioFailed: It has not in time, or ended in another way.
        """

        def check() -> dict[str, Any]:
            found: dict[str, Any] = self._control.describe_job(AccountId=self.account, JobId=job)["Job"]
            if found["Status"] == status:
                return found
            ended = found["Status"] in ("Complete", "Failed", "Cancelled")
            require(not ended, f"the job is {found['Status']}: {found.get('FailureReasons')}")
            raise NotYet(f"the job is {found['Status']}")

        return wait_until(
            check, what=f"a job that is {status}", timeout=self._stack.patience + _TO_PREPARE_A_JOB
        )

    def confirm(self, job: str) -> None:
        """Let a suspended job run."""
        self._control.update_job_status(AccountId=self.account, JobId=job, RequestedJobStatus="Ready")

    def report(self, job: str) -> dict[str, Line]:
        """Read the report of a job: a line for each key, decoded."""
        described = json.loads(self._read(f"reports/job-{job}/manifest.json"))
        lines = {}
        for file in described["Results"]:
            content = self._read(file["Key"])
            require(
                md5(content, usedforsecurity=False).hexdigest() == file["MD5Checksum"],
                f"the MD5 of {file['Key']} is not that in the report",
            )
            for row in csv.reader(io.StringIO(content.decode())):
                line = Line(*row)
                lines[unquote_plus(line.key)] = line
        return lines

    def ran(self, of_manifest: Mapping[str, Any], **options: Any) -> dict[str, Line]:
        """Run a job to its end, and return its report."""
        job = self.start(of_manifest, **options)
        self.wait(job)
        return self.report(job)

    def rows(self) -> dict[str, dict[str, Any]]:
        """The rows of this run's objects by key."""
        items = query(
            self._stack.client("dynamodb"),
            TableName=self._stack.output("TableName"),
            KeyConditionExpression="#bucket = :bucket AND begins_with(#key, :prefix)",
            ExpressionAttributeNames={"#bucket": "bucket", "#key": "key"},
            ExpressionAttributeValues={":bucket": {"S": self.bucket}, ":prefix": {"S": f"{self.run_id}/"}},
        )
        return {item["key"]["S"]: item for item in items}

    def check_rows(self) -> int:
        """Compare the rows with a listing of the bucket, and return how many there are.

        Raises:
            ScenarioFailed: They differ.
        """
        versions = self._listed(self.bucket, f"{self.run_id}/")
        current = {one["Key"]: one["VersionId"] for one in versions if one["IsLatest"]}
        rows = {key: row["version_id"]["S"] for key, row in self.rows().items() if not row["deleted"]["BOOL"]}
        require(rows == current, f"rows and objects differ: {set(rows.items()) ^ set(current.items())}")
        return len(rows)

    def close(self) -> None:
        """Delete the objects, rows, manifests and reports of this run."""
        with self.without_events():
            for bucket, prefixes in self._used.items():
                for prefix in prefixes:
                    for one in self._listed(bucket, prefix):
                        self._s3.delete_object(Bucket=bucket, Key=one["Key"], VersionId=one["VersionId"])
        dynamodb, table = self._stack.client("dynamodb"), self._stack.output("TableName")
        for item in self.rows().values():
            dynamodb.delete_item(TableName=table, Key={name: item[name] for name in ("bucket", "key")})

    def _listed(self, bucket: str, prefix: str) -> list[dict[str, Any]]:
        pages = self._s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix)
        return [one for page in pages for one in page.get("Versions", [])]

    def _arn(self, bucket: str) -> str:
        return f"arn:{self._partition}:s3:::{bucket}"

    def _read(self, key: str) -> bytes:
        content: bytes = self._s3.get_object(Bucket=self._job_bucket, Key=key)["Body"].read()
        return content
