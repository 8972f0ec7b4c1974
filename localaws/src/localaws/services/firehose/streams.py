"""Delivery streams: what describes and updates their destination, and properties without effect.

The emulator describes neither a backup nor defaults, and does not know `S3BackupUpdate`.

Faithful to: DescribeDeliveryStream with all settings of a destination in S3, also in the description with the
old name, and the defaults of a function as processor; UpdateDestination of a backup; `Encrypted` in the
answers to what is put; a stream is encrypted as its template says.
Not to: the state CREATING; encryption itself.

https://docs.aws.amazon.com/firehose/latest/APIReference/API_DescribeDeliveryStream.html
https://docs.aws.amazon.com/firehose/latest/APIReference/API_UpdateDestination.html
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ministack.services import firehose

from localaws.patching import Created, Handler, Properties, action, around, recorded_only, resource

_TYPE, _EXTENDED = "AWS::KinesisFirehose::DeliveryStream", "ExtendedS3DestinationConfiguration"
Answer = tuple[int, dict[str, str], bytes]
_DEFAULTS = {"NumberOfRetries": "3", "BufferSizeInMBs": "1", "BufferIntervalInSeconds": "60"}
_MORE = ("FileExtension", "CustomTimeZone", "CloudWatchLoggingOptions")
# What `firehose.delivery` reads when there are records.
_EMULATED = (
    *("RoleARN", "BucketARN", "Prefix", "ErrorOutputPrefix", "BufferingHints", "CompressionFormat"),
    *("EncryptionConfiguration", "ProcessingConfiguration", "S3BackupMode", "S3BackupConfiguration"),
    *("DynamicPartitioningConfiguration", *_MORE),
)


def _has_processor(*kinds: str) -> Callable[[Properties], bool]:
    def ask(properties: Properties) -> bool:
        processing = (properties.get(_EXTENDED) or {}).get("ProcessingConfiguration") or {}
        return any(one.get("Type") in kinds for one in processing.get("Processors") or [])

    return ask


recorded_only(
    _TYPE,
    f"{_EXTENDED}.ProcessingConfiguration.Processors",
    when=_has_processor("Decompression", "CloudWatchLogProcessing"),
)
recorded_only(_TYPE, f"{_EXTENDED}.DynamicPartitioningConfiguration.RetryOptions")


@around(firehose, "_dest_description")
def _dest_description(stock: Callable[[Properties], Properties], dest: Properties) -> Properties:
    described, settings = stock(dest), dest["config"]
    extended = described.get("ExtendedS3DestinationDescription")
    if extended is not None:
        extended |= {name: settings[name] for name in _MORE if name in settings}
        if processing := settings.get("ProcessingConfiguration"):
            extended["ProcessingConfiguration"] = _with_defaults(processing, settings)
        if backup := settings.get("S3BackupConfiguration"):
            extended["S3BackupDescription"] = _s3_description(backup)
        described["S3DestinationDescription"] = _s3_description(settings)
    return described


def _s3_description(settings: Mapping[str, Any]) -> Properties:
    named = ("RoleARN", "BucketARN", "Prefix", "ErrorOutputPrefix", "CloudWatchLoggingOptions")
    return {
        "BufferingHints": {"SizeInMBs": 5, "IntervalInSeconds": 300},
        "CompressionFormat": "UNCOMPRESSED",
        "EncryptionConfiguration": {"NoEncryptionConfig": "NoEncryption"},
        **{name: settings[name] for name in named if name in settings},
        **{
            name: settings[name]
            for name in ("BufferingHints", "CompressionFormat", "EncryptionConfiguration")
            if settings.get(name)
        },
    }


def _with_defaults(processing: Mapping[str, Any], settings: Mapping[str, Any]) -> Properties:
    processors = []
    for processor in processing.get("Processors") or []:
        given = {one["ParameterName"]: one["ParameterValue"] for one in processor.get("Parameters") or []}
        if processor.get("Type") == "Lambda":
            given = {**_DEFAULTS, "RoleArn": settings.get("RoleARN"), **given}
        parameters = [{"ParameterName": name, "ParameterValue": value} for name, value in given.items()]
        processors.append({**processor, "Parameters": parameters})
    return {**processing, "Processors": processors}


@action(firehose, "UpdateDestination")
def _update_destination(stock: Callable[[Properties], Answer], data: Properties) -> Answer:
    update = data.get("ExtendedS3DestinationUpdate") or {}
    if "S3BackupUpdate" in update:
        stream = firehose._streams.get(data.get("DeliveryStreamName", "")) or {"destinations": []}
        before = [one["config"].get("S3BackupConfiguration") or {} for one in stream["destinations"]]
        merged = {**(before[0] if before else {}), **update["S3BackupUpdate"]}
        rest = {name: value for name, value in update.items() if name != "S3BackupUpdate"}
        data = {**data, "ExtendedS3DestinationUpdate": {**rest, "S3BackupConfiguration": merged}}
    return stock(data)


@action(firehose, "PutRecord")
@action(firehose, "PutRecordBatch")
def _put(stock: Callable[[Properties], Answer], data: Properties) -> Answer:
    status, headers, body = stock(data)
    stream = firehose._streams.get(data.get("DeliveryStreamName", "")) or {}
    if status == 200 and (stream.get("encryption") or {}).get("Status") == "ENABLED":
        answer = json.loads(body)
        for one in [answer, *answer.get("RequestResponses", [])]:
            if "ErrorCode" not in one:
                one["Encrypted"] = True
        body = json.dumps(answer).encode()
        headers = {**headers, "Content-Length": str(len(body))} if "Content-Length" in headers else headers
    return status, headers, body


@resource(_TYPE).create
def _create(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    _read(properties)
    return stock(logical_id, properties, stack)


def _read(properties: Properties) -> None:
    """Read at the deployment already what is emulated: perhaps there are no records before the report."""
    for name in (_EXTENDED, "S3DestinationConfiguration"):
        settings = properties.get(name) or {}
        json.dumps({one: settings.get(one) for one in _EMULATED})


@resource(_TYPE).update
def _update(
    stock: Handler, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
) -> Created:
    """Change the encryption too, which the emulator leaves as it was created."""
    _read(new)
    name, attributes = stock(physical_id, old, new, stack, logical_id)
    given, stream = new.get("DeliveryStreamEncryptionConfigurationInput"), firehose._streams.get(name)
    if stream and given != old.get("DeliveryStreamEncryptionConfigurationInput"):
        stream["encryption"] = {"Status": "ENABLED", **given} if given else {"Status": "DISABLED"}
    return name, attributes
