"""What Firehose refuses of delivery streams and of records.

Faithful to: exactly one destination; prefixes, with the documented rules of their expressions; what dynamic
partitioning, format conversion and backup need; the buffers of a function; a role that Firehose may assume;
a batch of more than 4 MiB; records that are put into a delivery stream with another source. What an update
cannot change: dynamic partitioning, and a backup that is enabled.
Not to: the words, except those about dynamic partitioning, roles and destinations; quotas of the account; the
throughput of a delivery stream.

https://docs.aws.amazon.com/firehose/latest/APIReference/API_CreateDeliveryStream.html
https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html
https://docs.aws.amazon.com/firehose/latest/dev/s3-prefixes.html
https://docs.aws.amazon.com/firehose/latest/dev/dynamic-partitioning-enable.html
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any

from ministack.services import firehose

from localaws.patching import Created, Handler, Properties, resource
from localaws.refusals import Parameters, Refusal, refuses
from localaws.services.firehose.objects import EXPRESSION
from localaws.services.firehose.transformation import SERVICE
from localaws.services.iam.roles import role_trusts

_TYPE = "AWS::KinesisFirehose::DeliveryStream"
_BATCH = 4 * 1024 * 1024
_ERROR_TYPE = "!{firehose:error-output-type}"
_SPACES = ("firehose", "timestamp", "partitionKeyFromQuery", "partitionKeyFromLambda")
_VALUES = ("error-output-type", "random-string")


@refuses("firehose", "CreateDeliveryStream")
def _stream(request: Parameters) -> Refusal | None:
    given = [name for name in request if name.endswith("DestinationConfiguration") and request[name]]
    if len(given) != 1:
        return _invalid("Exactly one destination configuration is supported for a Firehose")
    source = request.get("KinesisStreamSourceConfiguration") or {}
    problems = [*_of_role(source), *_of_destination(request[given[0]], is_s3="S3" in given[0])]
    return _invalid(problems[0]) if problems else None


@refuses("firehose", "UpdateDestination")
def _update(request: Parameters) -> Refusal | None:
    update = request.get("ExtendedS3DestinationUpdate") or request.get("S3DestinationUpdate")
    stream = firehose._streams.get(request.get("DeliveryStreamName"))
    if not update or not stream or not stream["destinations"]:
        return None
    before = stream["destinations"][0]["config"]
    problems = [*_of_change(before, {**before, **update}), *_of_destination({**before, **update}, is_s3=True)]
    return _invalid(problems[0]) if problems else None


@resource(_TYPE, after=["firehose.streams"]).update
def _update_stream(
    stock: Handler, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
) -> Created:
    name = "ExtendedS3DestinationConfiguration"
    for problem in _of_change(old.get(name) or {}, new.get(name) or {}):
        raise ValueError(f"{_TYPE}: {problem}")
    return stock(physical_id, old, new, stack, logical_id)


def _of_change(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    if _is_dynamic(after) and not _is_dynamic(before):
        yield "Dynamic Partitioning can only be enabled when the Firehose stream is created."
    if before.get("S3BackupMode") == "Enabled" and after.get("S3BackupMode") == "Disabled":
        yield "S3 backup cannot be disabled once it is enabled."


@refuses("firehose", "PutRecord", "PutRecordBatch")
def _put(request: Parameters) -> Refusal | None:
    stream = firehose._streams.get(request.get("DeliveryStreamName"))
    if stream and stream["type"] != "DirectPut":
        return _invalid(f"This operation is not permitted on {stream['type']} delivery stream type.")
    records = request.get("Records") or []
    if sum(len(_bytes(record.get("Data"))) for record in records) > _BATCH:
        return _invalid("Records size exceeds 4 MB limit")
    return None


def _of_destination(settings: Mapping[str, Any], *, is_s3: bool) -> Iterator[str]:
    yield from _of_role(settings)
    if not is_s3:
        return
    yield from _of_prefixes(settings)
    processors = _processors(settings)
    for parameters in processors.get("Lambda", [])[:1]:
        yield from _of_function(parameters)
    hints = settings.get("BufferingHints") or {}
    size, seconds = float(hints.get("SizeInMBs") or 128), float(hints.get("IntervalInSeconds", 300))
    if _is_dynamic(settings):
        yield from _of_partitioning(settings, processors, size, seconds)
    elif "MetadataExtraction" in processors:
        kind = "class com.amazonaws.services.firehose.internal.model.MetadataExtractionProcessor"
        yield f"{kind} can only be present when Dynamic Partitioning is enabled."
    conversion = settings.get("DataFormatConversionConfiguration") or {}
    if conversion and str(conversion.get("Enabled", True)).lower() == "true":
        if size < 64:
            yield "BufferingHints.SizeInMBs must be at least 64 when data format conversion is enabled."
        if settings.get("CompressionFormat", "UNCOMPRESSED") != "UNCOMPRESSED":
            yield "CompressionFormat must be UNCOMPRESSED when data format conversion is enabled."
    backup = settings.get("S3BackupConfiguration") or settings.get("S3BackupUpdate") or {}
    if settings.get("S3BackupMode") == "Enabled" and not backup:
        yield "S3BackupConfiguration must be specified when S3BackupMode is Enabled."
    if backup:
        yield from _of_role(backup)


def _of_role(settings: Mapping[str, Any]) -> Iterator[str]:
    role = settings.get("RoleARN")
    if role and not role_trusts(str(role), SERVICE):
        yield f"Firehose is unable to assume role {role}. Please check the role provided."


def _of_prefixes(settings: Mapping[str, Any]) -> Iterator[str]:
    prefix, error = str(settings.get("Prefix") or ""), str(settings.get("ErrorOutputPrefix") or "")
    for name, text in (("Prefix", prefix), ("ErrorOutputPrefix", error)):
        found = EXPRESSION.findall(text)
        wrong = [
            one for one in found if one[0] not in _SPACES or (one[0] == "firehose" and one[1] not in _VALUES)
        ]
        if wrong or len(found) != text.count("!{"):
            yield f"{name} must contain only expressions of the form !{{namespace:value}}"
    if EXPRESSION.search(prefix) and not error:
        yield "ErrorOutputPrefix cannot be null or empty when Prefix contains expressions."
    if EXPRESSION.search(error) and _ERROR_TYPE not in error:
        yield f"ErrorOutputPrefix expression must include at least one instance of {_ERROR_TYPE}"
    if _ERROR_TYPE in prefix:
        yield f"Prefix cannot contain {_ERROR_TYPE}"
    if "!{partitionKeyFrom" in error or ("!{partitionKeyFrom" in prefix and not _is_dynamic(settings)):
        yield (
            "Dynamic Partitioning Namespaces can only be part of a prefix expression when Dynamic "
            "Partitioning is enabled."
        )


def _of_partitioning(
    settings: Mapping[str, Any], processors: Mapping[str, Any], size: float, seconds: float
) -> Iterator[str]:
    prefix = str(settings.get("Prefix") or "")
    if "!{partitionKeyFrom" not in prefix:
        enabled = "when Dynamic Partitioning is enabled"
        yield f"S3 Prefix should contain Dynamic Partitioning namespaces {enabled}"
    if not settings.get("ErrorOutputPrefix"):
        yield "ErrorOutputPrefix must be specified when Dynamic Partitioning is enabled."
    if size < 64:
        yield "BufferingHints.SizeInMBs must be at least 64 when Dynamic Partitioning is enabled."
    if seconds < 60:
        yield "BufferingHints.IntervalInSeconds must be at least 60 when Dynamic Partitioning is enabled."
    for space, kind in (("Lambda", "Lambda"), ("Query", "MetadataExtraction")):
        if f"!{{partitionKeyFrom{space}:" in prefix and kind not in processors:
            yield f"A processor of type {kind} is needed for the namespace partitionKeyFrom{space}."


def _of_function(parameters: Mapping[str, str]) -> Iterator[str]:
    if not parameters.get("LambdaArn"):
        yield "The parameter LambdaArn of the processor Lambda must be specified."
    for name, low, high in (("BufferSizeInMBs", 0.2, 3), ("BufferIntervalInSeconds", 0, 900)):
        if not low <= float(parameters.get(name, low)) <= high:
            yield f"The parameter {name} of the processor Lambda must be between {low:g} and {high}."


def _processors(settings: Mapping[str, Any]) -> dict[str, list[dict[str, str]]]:
    processing = settings.get("ProcessingConfiguration") or {}
    found: dict[str, list[dict[str, str]]] = {}
    if str(processing.get("Enabled")).lower() == "true":
        for processor in processing.get("Processors") or []:
            parameters = {
                str(one.get("ParameterName")): str(one.get("ParameterValue"))
                for one in processor.get("Parameters") or []
            }
            found.setdefault(str(processor.get("Type")), []).append(parameters)
    return found


def _is_dynamic(settings: Mapping[str, Any]) -> bool:
    dynamic = settings.get("DynamicPartitioningConfiguration") or {}
    return str(dynamic.get("Enabled")).lower() == "true"


def _bytes(data: Any) -> bytes:
    return data if isinstance(data, bytes) else base64.b64decode(data or "")


def _invalid(text: str) -> Refusal:
    return Refusal("InvalidArgumentException", text)
