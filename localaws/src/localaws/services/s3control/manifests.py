"""Which objects a job of S3 Batch Operations is about: a CSV file, an inventory report, or a generated list.

Faithful to: a CSV manifest has the columns that `Fields` names, Bucket and Key among them, URL-encoded keys,
and version ids for all objects or for none. Files in another encoding, with a byte order mark, empty lines,
other numbers of columns, or keys that are longer than 1,024 characters or wrongly encoded fail the job with
`InvalidManifestContent`. Of an inventory report, `manifest.json` and its data files are read; tasks of
objects with an empty version id fail. The ETag must be that of the object, and SSE-KMS is not supported for
CSV files. A generated manifest has the objects that pass all filters, and is written as an inventory report
if that is asked for. All of it with the permissions of the job's role: `s3:GetObject` on the files of the
manifest, `s3:GetObjectVersion` if a version is named; to generate one `s3:PutInventoryConfiguration` on the
source bucket, and `s3:PutObject` and `s3:GetObject` where it is written.
Not to: the time that it takes; manifests and objects in another account; reports in ORC and Parquet;
`EligibleForReplication`, `ObjectReplicationStatuses` and `MatchAnyObjectEncryption`, which are refused. AWS
does not say which versions a generated manifest lists: here it is the current ones. Nor are the failure
codes other than `InvalidManifestContent` documented.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/batch-ops-create-job.html#specify-batchjob-manifest
https://docs.aws.amazon.com/AmazonS3/latest/userguide/batch-ops-iam-role-policies.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/troubleshooting-batch-operations.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory-location.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_control_JobManifestGeneratorFilter.html
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, unquote_plus

from ministack.core.responses import md5_hash
from ministack.services import s3

from localaws.services.iam.roles import role_allows

INVENTORY = "S3InventoryReport_CSV_20161130"
GENERATED = "S3InventoryReport_CSV_20211130"
_LONGEST_KEY = 1024

Values = Mapping[str, Any]


class JobFailed(Exception):
    """Ends the job.

    Args:
        code: The code among its failure reasons.
        reason: The text with it.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


@dataclass
class Task:
    """One object of a manifest.

    Args:
        bucket: Its bucket.
        key: Its key, URL-encoded as in the manifest.
        version: Its version id; None if the manifest has none.
    """

    bucket: str
    key: str
    version: str | None


def tasks_of(manifest: Values, role: str) -> list[Task]:
    """Read a manifest with the permissions of a role.

    Raises:
        JobFailed: It cannot be read, or is not as documented.
    """
    location, spec = manifest["Location"], manifest["Spec"]
    bucket, _, key = location["ObjectArn"].partition(":::")[2].partition("/")
    version = location.get("ObjectVersionId")
    stored = read(role, bucket, key, version)
    described = _described(bucket, key, version)
    if described["etag"].strip('"') != location["ETag"].strip('"'):
        raise JobFailed("ManifestETagMismatch", f"The ETag of the manifest is not {location['ETag']}")
    if spec["Format"] == INVENTORY:
        return list(_of_inventory(stored, role, bucket))
    if described.get("preserved_headers", {}).get("x-amz-server-side-encryption") == "aws:kms":
        raise JobFailed("InvalidManifest", "CSV manifests that are encrypted with SSE-KMS are not supported")
    return list(_of_csv(stored, spec["Fields"]))


def _described(bucket: str, key: str, version: str | None) -> Values:
    """The emulator's record of an object, or of a version of it."""
    versions = s3._object_versions.get((bucket, key), [])
    found = s3._buckets[bucket]["objects"].get(key)
    return next((one for one in versions if one["version_id"] == version), None) or found or {"etag": ""}


def read(role: str, bucket: str, key: str, version: str | None = None) -> bytes:
    """Read an object with the permissions of a role.

    Raises:
        JobFailed: It does not exist, or the role may not read it.
    """
    action = "s3:GetObjectVersion" if version else "s3:GetObject"
    permit(role, action, f"arn:aws:s3:::{bucket}/{key}")
    stored = s3._get_object_data(bucket, key, version)
    if stored is None:
        raise JobFailed("ManifestNotFound", f"There is no object {key} in the bucket {bucket}")
    return bytes(stored)


def write(role: str, bucket: str, key: str, content: bytes) -> str:
    """Write an object with the permissions of a role, and return its ETag.

    Raises:
        JobFailed: There is no such bucket, or the role may not write it.
    """
    permit(role, "s3:PutObject", f"arn:aws:s3:::{bucket}/{key}")
    status, headers, body = s3._put_object(bucket, key, content, {"content-type": "binary/octet-stream"})
    if status >= 300:
        raise JobFailed("AccessDenied", f"{key} cannot be written to {bucket}: {body.decode()[:200]}")
    return str(headers["ETag"])


def permit(role: str, action: str, resource: str) -> None:
    """Check a permission of the job's role.

    Raises:
        JobFailed: It is missing.
    """
    if not role_allows(role, action, resource):
        raise JobFailed("AccessDenied", f"{role} is not authorized to perform {action} on {resource}")


def _of_csv(stored: bytes, fields: list[str]) -> Iterator[Task]:
    try:
        text = stored.decode("utf-8")
    except UnicodeDecodeError:
        raise _invalid("Manifest file is not properly formatted: it is not UTF-8") from None
    if text.startswith("\ufeff"):
        raise _invalid("Manifest file is not properly formatted: it starts with a byte order mark")
    for number, row in _rows(text):
        if len(row) != len(fields):
            raise _invalid(f"Line {number} has {len(row)} columns; the schema has {len(fields)}")
        named = dict(zip(fields, row, strict=True))
        if "VersionId" in fields and not named["VersionId"]:
            raise _invalid(f"Invalid version ID format in line {number}: it is empty")
        yield _task(named, f"line {number}")


def _of_inventory(stored: bytes, role: str, bucket: str) -> Iterator[Task]:
    try:
        described = json.loads(stored)
        fields = [name.strip() for name in described["fileSchema"].split(",")]
        files, is_csv = described["files"], described["fileFormat"] == "CSV"
        files = {file["key"]: file["MD5checksum"] for file in files}
    except (ValueError, TypeError, KeyError, AttributeError):
        raise _invalid("Invalid Manifest Content: it is no manifest.json of an inventory report") from None
    if not is_csv:
        raise _invalid(f"Invalid Manifest Content: fileFormat is {described['fileFormat']}, not CSV")
    for key, md5 in files.items():
        packed = read(role, bucket, key)
        if md5_hash(packed) != md5:
            raise _invalid(f"Invalid Manifest Content: the MD5 of {key} differs from the manifest's")
        try:
            text = gzip.decompress(packed).decode("utf-8")
        except (OSError, EOFError, zlib.error, UnicodeDecodeError):
            raise _invalid(f"Invalid Manifest Content: {key} is no CSV file in GZIP") from None
        for number, row in _rows(text):
            yield _task(dict(zip(fields, row, strict=False)), f"line {number} of {key}")


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """The lines of a CSV file, with their numbers."""
    try:
        yield from enumerate(csv.reader(io.StringIO(text, newline="")), 1)
    except csv.Error as error:
        raise _invalid(f"Manifest file is not properly formatted: {error}") from None


def _task(named: Values, where: str) -> Task:
    missing = [name for name in ("Bucket", "Key") if not named.get(name)]
    if missing:
        raise _invalid(f"Required fields are missing in the schema: {', '.join(missing)}, {where}")
    try:
        key = unquote_plus(named["Key"], errors="strict")
    except UnicodeDecodeError:
        raise _invalid(f"Invalid object key format in {where}: it is not URL-encoded UTF-8") from None
    if len(key) > _LONGEST_KEY:
        raise _invalid(f"Invalid object key format in {where}: {len(key):,} characters")
    return Task(named["Bucket"], named["Key"], named.get("VersionId"))


def _invalid(reason: str) -> JobFailed:
    return JobFailed("InvalidManifestContent", reason)


# --- Generated manifests


def generate(generator: Values, role: str, job: str) -> tuple[list[Task], Values | None]:
    """List the objects of a bucket that pass the filters, with the permissions of a role.

    Args:
        generator: The `S3JobManifestGenerator` of a request.
        role: The role of the job.
        job: The id of the job.

    Returns:
        The tasks, and the description of the manifest, if it was written.

    Raises:
        JobFailed: The role may not, or a bucket does not exist.
    """
    bucket = generator["SourceBucket"].rpartition(":")[2]
    permit(role, "s3:PutInventoryConfiguration", generator["SourceBucket"])
    if bucket not in s3._buckets:
        raise JobFailed("SourceBucketNotFound", f"There is no bucket {bucket}")
    found = s3._buckets[bucket]["objects"]
    tasks = [
        Task(bucket, quote(key), found[key].get("version_id"))
        for key in sorted(found)
        if _passes(key, found[key], generator.get("Filter") or {})
    ]
    if not generator["EnableManifestOutput"]:
        return tasks, None
    return tasks, _written(tasks, bucket, generator["ManifestOutputLocation"], role, job)


def _passes(key: str, stored: Values, limits: Values) -> bool:
    names = limits.get("KeyNameConstraint") or {}
    modified = datetime.fromisoformat(stored["last_modified"].replace("Z", "+00:00"))
    checks: Iterable[bool] = (
        _any(names.get("MatchAnyPrefix"), key.startswith),
        _any(names.get("MatchAnySuffix"), key.endswith),
        _any(names.get("MatchAnySubstring"), key.__contains__),
        "CreatedAfter" not in limits or modified > limits["CreatedAfter"],
        "CreatedBefore" not in limits or modified < limits["CreatedBefore"],
        stored["size"] > limits.get("ObjectSizeGreaterThanBytes", -1),
        "ObjectSizeLessThanBytes" not in limits or stored["size"] < limits["ObjectSizeLessThanBytes"],
        stored["storage_class"] in limits.get("MatchAnyStorageClass", [stored["storage_class"]]),
    )
    return all(checks)


def _any(parts: list[str] | None, matches: Any) -> bool:
    return parts is None or any(matches(part) for part in parts)


def _written(tasks: list[Task], bucket: str, location: Values, role: str, job: str) -> Values:
    """Write the manifest as an inventory report, and return its description."""
    target = location["Bucket"].rpartition(":")[2]
    folder = f"{location['ManifestPrefix']}/job-{job}" if location.get("ManifestPrefix") else f"job-{job}"
    rows = io.StringIO()
    writer = csv.writer(rows, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([task.bucket, task.key, task.version or ""] for task in tasks)
    data = gzip.compress(rows.getvalue().encode(), mtime=0)
    md5 = md5_hash(data)
    file = {"key": f"{folder}/data/{md5}.csv.gz", "size": len(data), "MD5checksum": md5}
    write(role, target, file["key"], data)
    described = {
        "sourceBucket": bucket,
        "destinationBucket": location["Bucket"],
        "version": "2021-11-30",
        "fileFormat": "CSV",
        "fileSchema": "Bucket, Key, VersionId",
        "files": [file],
    }
    key = f"{folder}/manifest.json"
    etag = write(role, target, key, json.dumps(described).encode())
    read(role, target, key)
    place = {"ObjectArn": f"{location['Bucket']}/{key}", "ETag": etag.strip('"')}
    return {"Format": GENERATED, "Location": place}
