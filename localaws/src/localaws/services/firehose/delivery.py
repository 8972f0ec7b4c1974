"""Delivery to S3: what is put is buffered, transformed, partitioned, and written with the delivery role.

The emulator invokes the function for each record and writes an object for each, without asking the role. It
writes the raw record where the function fails, and loses records with ProcessingFailed.

Faithful to:
- Buffers: one invocation for each buffer of the processor (BufferSizeInMBs, default 1, or
  BufferIntervalInSeconds, default 60), and one object for each of the destination (SizeInMBs, default 5
  or with dynamic partitioning 128, or IntervalInSeconds, default 300), whichever is reached first.
- Records that failed go to the error prefix, as lines of JSON. With S3BackupMode Enabled, everything that was
  put is also written as it came.
- Dynamic partitioning by keys of the function and of jq (as far as the emulator parses jq), with a buffer for
  each partition, 500 partitions at a time. A record without a value for each key of the prefix has failed.
- AppendDelimiterToRecord and RecordDeAggregation.
- The role: it must trust Firehose and allow what AWS documents for a bucket, for its key or that of the
  destination, and for the log group. While a bucket cannot be written, delivery is tried again for 24 hours.
- Errors in the log stream of CloudWatchLoggingOptions, and the metrics of delivery and transformation.
Not to: the length of the intervals, which are shortened like every minute (see `pace`), and of the waits for
a retry; whether error output is compressed: here it is not; sampling of logs; other destinations, and
conversion to Parquet, which stay as the emulator has them. What is buffered when a delivery stream is deleted
is lost.

https://docs.aws.amazon.com/firehose/latest/dev/create-configure-backup.html
https://docs.aws.amazon.com/firehose/latest/dev/data-transformation-failure-handling.html
https://docs.aws.amazon.com/firehose/latest/dev/dynamic-partitioning.html
https://docs.aws.amazon.com/firehose/latest/dev/controlling-access.html
https://docs.aws.amazon.com/firehose/latest/dev/retry.html
https://docs.aws.amazon.com/firehose/latest/dev/cloudwatch-metrics.html
"""

from __future__ import annotations

import base64
import contextvars
import json
import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from ministack.core.responses import request_scope
from ministack.services import cloudwatch, cloudwatch_logs, firehose, kms, s3

from localaws.pace import shortened
from localaws.patching import on_reset, replaces
from localaws.services.firehose.kinesis_source import Reader
from localaws.services.firehose.objects import EXPRESSION, compressed, data_key, error_key
from localaws.services.firehose.records import Record, deaggregated
from localaws.services.firehose.transformation import SERVICE, Failed, Problem, parameters_of, transformed
from localaws.services.iam.roles import role_allows, role_trusts
from localaws.services.lambda_.destinations import client_of

logger = logging.getLogger("localaws.firehose")

Settings = Mapping[str, Any]
_MB, _MOST_PARTITIONS, _RETENTION = 1024 * 1024, 500, 24 * 3600.0
# Lambda takes 6 MB: the data as base64, and what describes each record.
_REQUEST, _OF_RECORD = 6 * _MB - 10_000, 400
_LOOK_AGAIN, _RETRY = 0.1, 10.0
_ON_BUCKET = ("s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads")
_ON_OBJECTS = ("s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject")
_ON_KEY = ("kms:Decrypt", "kms:GenerateDataKey")
_KEY = "x-amz-server-side-encryption-aws-kms-key-id"

_TEXTS = {
    "S3.AccessDenied": "Access was denied. Ensure that the trust policy for the provided IAM role allows "
    "Amazon Data Firehose to assume the role, and the access policy allows access to the S3 bucket.",
    "S3.NoSuchBucket": "The specified bucket does not exist. Create the bucket or use a different bucket "
    "that does exist.",
}
_NO_KEYS = "partitionKeys values must not be null or empty"


@dataclass
class Buffer:
    """Records that wait.

    Attributes:
        records: The records.
        lines: What is written instead of their data: error records.
        size: The bytes of the data.
        since: When the first one came.
        not_before: When to try again after a delivery that failed.
    """

    records: list[Record] = field(default_factory=list)
    lines: list[bytes] = field(default_factory=list)
    size: int = 0
    since: float = 0.0
    not_before: float = 0.0

    def add(self, record: Record, line: bytes | None = None) -> None:
        """Append a record."""
        if not self.records:
            self.since = time.monotonic()
        self.records.append(record)
        self.lines.append(record.data if line is None else line)
        self.size += len(self.lines[-1])

    def is_due(self, megabytes: float, seconds: float) -> bool:
        """Whether it is full, or has waited long enough."""
        now = time.monotonic()
        if not self.records or now < self.not_before:
            return False
        return self.size >= megabytes * _MB or now >= self.since + shortened(seconds)

    def take(self, megabytes: float) -> list[Record]:
        """Remove and return as many records as fit."""
        size = request = count = 0
        for record in self.records:
            size += len(record.data)
            request += len(record.data) * 4 // 3 + _OF_RECORD
            if count and (size > megabytes * _MB or request > _REQUEST):
                break
            count += 1
        taken, self.records, self.lines = self.records[:count], self.records[count:], self.lines[count:]
        self.size -= sum(len(record.data) for record in taken)
        return taken


_pipelines: dict[str, Pipeline] = {}
_lock = threading.Lock()
on_reset(_pipelines.clear)


@replaces(firehose, "_deliver_records_to_s3")
def _deliver_records_to_s3(
    stream: dict[str, Any], dest: dict[str, Any], records: list[tuple[str, bytes]]
) -> None:
    dest["records"].clear()  # the emulator keeps all that was ever put
    _pipeline_of(stream).add([Record(data) for _, data in records])


@replaces(firehose, "ingest_from_kinesis_source")
def _ingest_from_kinesis_source(stream_arn: str, records: list[Any]) -> None:
    for stream in list(firehose._streams.values()):
        if (stream.get("kinesis_source") or {}).get("KinesisStreamARN") == stream_arn:
            _pipeline_of(stream).read_source()


def _pipeline_of(stream: dict[str, Any]) -> Pipeline:
    with _lock:
        pipeline = _pipelines.get(stream["arn"])
        if pipeline is None or pipeline.stream is not stream:
            pipeline = _pipelines[stream["arn"]] = Pipeline(stream)
        return pipeline


class Pipeline:
    """The buffers of a delivery stream, and the thread that works on them while there is something in them.

    Args:
        stream: The emulator's record of the delivery stream.
    """

    def __init__(self, stream: dict[str, Any]) -> None:
        self.stream = stream
        _, _, _, self.region, self.account, _ = stream["arn"].split(":", 5)
        self._incoming, self._backup, self._failed = Buffer(), Buffer(), Buffer()
        self._data: dict[tuple[tuple[str, str], ...], Buffer] = {}
        self._more, self._works = threading.Condition(threading.RLock()), False
        self._source = Reader(stream) if stream.get("kinesis_source") else None
        self._unread, self._not_before = False, 0.0

    @property
    def settings(self) -> Settings:
        """The destination as it is now."""
        settings: Settings = self.stream["destinations"][0]["config"]
        return settings

    def add(self, records: Sequence[Record]) -> None:
        """Buffer what was put."""
        size = sum(len(record.data) for record in records)
        self._count("IncomingRecords", len(records))
        self._count("IncomingBytes", size, "Bytes")
        splitting = parameters_of(self.settings, "RecordDeAggregation")
        with self._more:
            for record in records:
                for one in [record] if splitting is None else deaggregated(record, splitting):
                    self._incoming.add(one)
                if self.settings.get("S3BackupMode") == "Enabled":
                    self._backup.add(record)
            self._wake()

    def read_source(self) -> None:
        """There is something new in the Kinesis stream."""
        with self._more:
            self._unread = True
            self._wake()

    def _wake(self) -> None:
        if not self._works:
            self._works = True
            context = contextvars.Context()
            name = f"localaws-firehose-{self.stream['name']}"
            threading.Thread(target=context.run, args=(self._work,), daemon=True, name=name).start()
        self._more.notify()

    def _work(self) -> None:
        with request_scope(self.account, self.region):
            while True:
                with self._more:
                    if self._is_empty() or firehose._streams.get(self.stream["name"]) is not self.stream:
                        self._works = False
                        return
                try:
                    self._read()
                    worked = self._transform() | self._deliver()
                except Exception:
                    logger.exception("%s: delivery failed in the emulator", self.stream["arn"])
                    worked = False
                with self._more:
                    if not worked:
                        self._more.wait(_LOOK_AGAIN)

    def _is_empty(self) -> bool:
        buffers = (self._incoming, self._backup, self._failed, *self._data.values())
        return not self._unread and not any(buffer.records for buffer in buffers)

    def _read(self) -> None:
        """Read the Kinesis stream if something is new there."""
        if not self._unread or self._source is None or time.monotonic() < self._not_before:
            return
        if not self._source.may_read():
            self._not_before = time.monotonic() + shortened(_RETRY)
            return
        self._unread = False
        records = self._source.read()
        self._count("DataReadFromKinesisStream.Records", len(records))
        size = sum(len(record.data) for record in records)
        self._count("DataReadFromKinesisStream.Bytes", size, "Bytes")
        self.add(records)

    # -- transformation

    def _transform(self) -> bool:
        """Take a batch to the buffers of the destination, through the function if there is one."""
        parameters = parameters_of(self.settings, "Lambda")
        megabytes = float((parameters or {}).get("BufferSizeInMBs", 1))
        seconds = float((parameters or {}).get("BufferIntervalInSeconds", 60))
        # The emulator holds its lock during a call: the records of one batch come together.
        with firehose._lock, self._more:
            if not self._incoming.is_due(megabytes, seconds if parameters else 0):
                return False
            records = self._incoming.take(megabytes)
        if parameters is None:
            self._partition(records, {})
            return True
        before = {record.id: record for record in records}
        done = transformed(self.stream, str(self.settings["RoleARN"]), parameters, records)
        for seconds, succeeded in done.invocations:
            self._count("ExecuteProcessing.Duration", seconds * 1000, "Milliseconds")
            self._count("ExecuteProcessing.Success", int(succeeded))
        lost = {one.record.id for one in done.failed}
        processed = [record for record in records if record.id not in lost]
        self._count("SucceedProcessing.Records", len(processed))
        self._count("SucceedProcessing.Bytes", sum(len(record.data) for record in processed), "Bytes")
        if done.error:
            self._log(done.error, processor=parameters["LambdaArn"])
        self._fail(done.failed)
        self._partition(done.records, before)
        return True

    def _partition(self, records: Iterable[Record], before: Mapping[str, Record]) -> None:
        """Put records into the buffer of their partition; without dynamic partitioning there is one."""
        names = _keys_of(self.settings)
        delimiter = (parameters_of(self.settings, "AppendDelimiterToRecord") or {}).get("Delimiter", "")
        end = delimiter.replace("\\n", "\n").encode()
        for record in records:
            key: tuple[tuple[str, str], ...] = ()
            if names:
                problem, values = self._values(record, names)
                key = tuple(values.items())
                if problem is None and key not in self._data and len(self._data) >= _MOST_PARTITIONS:
                    text = f"The delivery stream has {_MOST_PARTITIONS} active partitions"
                    problem = Problem("DynamicPartitioning.ActivePartitionsLimitExceeded", text)
                if problem is not None:
                    self._fail([Failed(before.get(record.id, record), problem, 1)])
                    continue
            self._data.setdefault(key, Buffer()).add(record, record.data + end)

    def _values(self, record: Record, names: Sequence[str]) -> tuple[Problem | None, dict[str, str]]:
        found: dict[str, Any] = dict(record.keys)
        try:
            queried = firehose._metadata_extraction_keys(self.settings, record.data) or {}
        except firehose._DeliveryError as error:
            return Problem("DynamicPartitioning.MetadataExtractionFailed", error.message), {}
        found |= {f"partitionKeyFromQuery:{name}": value for name, value in queried.items()}
        values = {name: found.get(name) for name in names}
        if any(value is None or str(value) == "" for value in values.values()):
            return Problem("DynamicPartitioning.MetadataExtractionFailed", _NO_KEYS), {}
        return None, {name: str(value) for name, value in values.items()}

    def _fail(self, failed: Iterable[Failed]) -> None:
        now = int(time.time() * 1000)
        for one in failed:
            document = {
                "attemptsMade": one.attempts,
                "arrivalTimestamp": int(one.record.arrived * 1000),
                "errorCode": one.problem.code,
                "errorMessage": one.problem.text,
                "attemptEndingTimestamp": now,
                "rawData": base64.b64encode(one.record.data).decode(),
            }
            if one.function:
                document["lambdaArn"] = one.function
            self._failed.add(one.record, json.dumps(document, separators=(",", ":")).encode() + b"\n")

    # -- delivery

    def _deliver(self) -> bool:
        """Write the buffers that are due."""
        worked = False
        settings, hints = self.settings, self.settings.get("BufferingHints") or {}
        size = float(hints.get("SizeInMBs") or (128 if _keys_of(settings) else 5))
        seconds = float(hints.get("IntervalInSeconds", 300))
        for key, buffer in list(self._data.items()):
            if buffer.is_due(size, seconds):
                worked = True
                if (settings.get("DataFormatConversionConfiguration") or {}).get("Enabled"):
                    for data in buffer.lines:
                        firehose._deliver_to_s3(self.stream, {"config": settings}, data)
                    del self._data[key]
                    continue
                name = data_key(self.stream, settings, buffer.records[0].arrived, dict(key))
                if self._write(buffer, settings, name, "DeliveryToS3"):
                    del self._data[key]
        if self._failed.is_due(size, seconds):
            worked = True
            name = error_key(self.stream, settings, self._failed.records[0].arrived, "processing-failed")
            plain = {**settings, "CompressionFormat": "UNCOMPRESSED"}
            if self._write(self._failed, plain, name, ""):
                self._failed = Buffer()
        return self._deliver_backup() or worked

    def _deliver_backup(self) -> bool:
        settings = self.settings.get("S3BackupConfiguration") or {}
        hints = settings.get("BufferingHints") or {}
        with firehose._lock, self._more:
            size, seconds = float(hints.get("SizeInMBs") or 5), float(hints.get("IntervalInSeconds", 300))
            if not settings or not self._backup.is_due(size, seconds):
                return False
            buffer, self._backup = self._backup, Buffer()
        name = data_key(self.stream, settings, buffer.records[0].arrived, {})
        if not self._write(buffer, settings, name, "BackupToS3"):
            with self._more:
                for record in self._backup.records:
                    buffer.add(record)
                self._backup = buffer
        return True

    def _write(self, buffer: Buffer, settings: Settings, name: str, metric: str) -> bool:
        """Write an object, and return whether the buffer is done."""
        oldest = min(record.arrived for record in buffer.records)
        data = b"".join(buffer.lines)
        problem = self._put(settings, name, data)
        if metric:
            self._count(f"{metric}.Success", int(problem is None))
            self._count(f"{metric}.DataFreshness", time.time() - oldest, "Seconds")
        if problem is None:
            if metric:
                self._count(f"{metric}.Records", len(buffer.records))
                self._count(f"{metric}.Bytes", len(data), "Bytes")
            return True
        self._log(problem, settings)
        buffer.not_before = time.monotonic() + shortened(_RETRY)
        return time.time() > oldest + shortened(_RETENTION)

    def _put(self, settings: Settings, name: str, data: bytes) -> Problem | None:
        role, bucket = str(settings["RoleARN"]), str(settings["BucketARN"])
        encryption = (settings.get("EncryptionConfiguration") or {}).get("KMSEncryptionConfig") or {}
        given = encryption.get("AWSKMSKeyARN")
        key = _key_of(bucket.split(":")[-1], given)
        needed = [(action, bucket) for action in _ON_BUCKET]
        needed += [(action, f"{bucket}/{name}") for action in _ON_OBJECTS]
        needed += [(action, key) for action in _ON_KEY if key]
        if not role_trusts(role, SERVICE, self.stream["arn"]) or not all(
            role_allows(role, action, target) for action, target in needed
        ):
            return _problem("S3.AccessDenied")
        contents, described = compressed(settings, data)
        if given:
            described |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": str(given)}
        # As if it were a function with this role.
        arn = f"arn:aws:lambda:{self.region}:{self.account}:function:firehose-{self.stream['name']}"
        config = {"FunctionArn": arn, "FunctionName": self.stream["name"], "Role": role}
        try:
            client_of(config, "s3").put_object(
                Bucket=bucket.split(":")[-1],
                Key=name,
                Body=contents,
                ContentType="application/octet-stream",
                **described,
            )
        except ClientError as error:
            return _problem(f"S3.{error.response['Error']['Code']}", str(error))
        except BotoCoreError as error:
            return _problem("InternalError", str(error))
        return None

    # -- metrics and logs

    def _count(self, metric: str, value: float, unit: str = "Count") -> None:
        dimensions = {"DeliveryStreamName": self.stream["name"]}
        with request_scope(self.account, self.region):
            cloudwatch.record_metric("AWS/Firehose", metric, value, unit, dimensions)

    def _log(self, problem: Problem, settings: Settings | None = None, *, processor: str = "") -> None:
        settings = settings or self.settings
        logger.warning("%s: %s: %s", self.stream["arn"], problem.code, problem.text)
        options = settings.get("CloudWatchLoggingOptions") or {}
        group, name = str(options.get("LogGroupName")), str(options.get("LogStreamName"))
        record = cloudwatch_logs._log_groups.get(group)
        if str(options.get("Enabled")).lower() != "true" or not record or name not in record["streams"]:
            return
        arn = f"arn:aws:logs:{self.region}:{self.account}:log-group:{group}:log-stream:{name}"
        if not role_allows(str(settings["RoleARN"]), "logs:PutLogEvents", arn):
            return
        line: dict[str, Any] = {
            "deliveryStreamARN": self.stream["arn"],
            "destination": settings["BucketARN"],
            "deliveryStreamVersionId": self.stream["version"],
            "message": problem.text,
            "errorCode": problem.code,
        }
        if processor:
            line["processor"] = processor
        event = {"timestamp": int(time.time() * 1000), "message": json.dumps(line)}
        cloudwatch_logs._put_log_events({"logGroupName": group, "logStreamName": name, "logEvents": [event]})


def _keys_of(settings: Settings) -> list[str]:
    """The partition keys in the prefix, if dynamic partitioning is enabled."""
    dynamic = settings.get("DynamicPartitioningConfiguration") or {}
    if str(dynamic.get("Enabled")).lower() != "true":
        return []
    found = EXPRESSION.findall(str(settings.get("Prefix") or ""))
    return [f"{space}:{name}" for space, name in found if space.startswith("partitionKeyFrom")]


def _key_of(bucket: str, given: str | None) -> str:
    """The customer managed key that encrypts an object: that of the destination, or of the bucket."""
    stored, error = s3._resolve_sse_write_headers({}, bucket)
    name = given or ("" if error else stored.get(_KEY))
    key = kms._resolve_key(name) if name else None
    return str(key["Arn"]) if key else ""


def _problem(code: str, text: str = "") -> Problem:
    return Problem(code, _TEXTS.get(code, text))
