"""Kinesis streams as event sources: reads shards and invokes a function with batches in order.

The emulator has no parallelization factor, bisecting, retry limit, maximum record age, partial batch
responses, windows or on-failure destinations: it retries a poison batch for ever and blocks all other
mappings meanwhile.

Faithful to: order per partition key, also with a parallelization factor; batch size, batching window and 6 MB
of payload; retry limit; maximum record age; bisecting, which does not count as an attempt; partial batch
responses (everything from the first failed record is retried; with bisecting the batch is split there);
filters; tumbling windows and their state; starting positions; on-failure records to SQS, SNS and S3; the
metric IteratorAge.
Not to: the time until a batch is retried, see `lambda_.event_source_mappings`; the attempt that a split batch
counts from; state of more than 1 MB (AWS ends the window early); finishing a parent shard before its
children. A mapping with a tumbling window has one lane.

https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html
https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html
https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-windows.html
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ministack.core.responses import request_scope
from ministack.services import kinesis, lambda_svc

from localaws.patching import Created, Handler, Properties, on_reset, replaces, resource
from localaws.services.lambda_.stream_lanes import Lane, lane_of, run_lane


@dataclass
class _Reader:
    """The position of a mapping in a shard, and its lanes."""

    position: int
    lanes: dict[int, Lane] = field(default_factory=dict)


_readers: dict[tuple[str, str], _Reader] = {}
_started: set[str] = set()
on_reset(_readers.clear)
on_reset(_started.clear)


@resource("AWS::Kinesis::Stream").create
def _create_stream(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    """Create the stream with the encryption that the emulator drops."""
    name, attributes = stock(logical_id, properties, stack)
    encryption = properties.get("StreamEncryption") or {}
    record = kinesis._streams[name]
    record["EncryptionType"] = encryption.get("EncryptionType", "NONE")
    record["KeyId"] = encryption.get("KeyId")
    return name, attributes


@replaces(lambda_svc, "_poll_kinesis")
def _poll_all() -> bool:
    """Poll the stream of each mapping once; returns whether a batch was started."""
    found = False
    alive = set()
    for account, region, mapping in lambda_svc._iter_all_esms():
        alive.add(mapping["UUID"])
        source = mapping.get("EventSourceArn", "")
        if ":kinesis:" in source and mapping.get("Enabled", True):
            with request_scope(account, region):
                found = _poll(mapping, source.partition("/consumer/")[0]) or found
    for key in [key for key in _readers if key[0] not in alive and key[0] not in _all_mappings()]:
        del _readers[key]
    return found


def _all_mappings() -> set[str]:
    # `_iter_all_esms` omits a mapping while its role lacks a permission; it continues where it stopped.
    return {key[-1] for key in lambda_svc._esms._data}


def _poll(mapping: dict[str, Any], stream_arn: str) -> bool:
    stream = kinesis._resolve_stream_by_arn(stream_arn)
    if not stream or stream["StreamStatus"] != "ACTIVE":
        return False
    found = False
    for shard_id, shard in list(stream["shards"].items()):
        reader = _reader(mapping, shard_id, shard)
        for record in _new_records(mapping, reader, stream_arn, shard_id, shard):
            _lane(mapping, reader, shard_id, record).add(record)
        for lane in reader.lanes.values():
            found = run_lane(lane) or found
    _started.add(mapping["UUID"])
    return found


def _reader(mapping: dict[str, Any], shard_id: str, shard: dict[str, Any]) -> _Reader:
    key = (mapping["UUID"], shard_id)
    if key not in _readers:
        _readers[key] = _Reader(_start(mapping, shard))
    return _readers[key]


def _start(mapping: dict[str, Any], shard: dict[str, Any]) -> int:
    """The sequence number after which to start."""
    position = mapping.get("StartingPosition", "LATEST")
    # A shard that resharding created later is read from its start.
    if position == "TRIM_HORIZON" or mapping["UUID"] in _started:
        return -1
    before = shard["records"]
    if position == "AT_TIMESTAMP":
        moment = float(mapping["StartingPositionTimestamp"])
        before = [one for one in before if one["ApproximateArrivalTimestamp"] < moment]
    return max((int(one["SequenceNumber"]) for one in before), default=-1)


def _new_records(
    mapping: dict[str, Any], reader: _Reader, stream_arn: str, shard_id: str, shard: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    new = [one for one in shard["records"] if int(one["SequenceNumber"]) > reader.position]
    if not new:
        return
    reader.position = int(new[-1]["SequenceNumber"])
    _, config, _ = lambda_svc._get_func_record_for_ref(mapping["FunctionArn"])
    role = (config or {}).get("Role", "")
    records = [_record(one, stream_arn, shard_id, role) for one in new]
    yield from lambda_svc._apply_filter_criteria(records, mapping)


def _lane(mapping: dict[str, Any], reader: _Reader, shard_id: str, record: dict[str, Any]) -> Lane:
    number = lane_of(mapping, record["kinesis"]["partitionKey"])
    if number not in reader.lanes:
        reader.lanes[number] = Lane(mapping, shard_id)
    return reader.lanes[number]


def _record(record: dict[str, Any], stream_arn: str, shard_id: str, role: str) -> dict[str, Any]:
    """A record in the form of the event."""
    data = record["Data"]
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": record["PartitionKey"],
            "sequenceNumber": record["SequenceNumber"],
            "data": base64.b64encode(data).decode() if isinstance(data, bytes) else data,
            "approximateArrivalTimestamp": record["ApproximateArrivalTimestamp"],
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"{shard_id}:{record['SequenceNumber']}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": role,
        "awsRegion": stream_arn.split(":")[3],
        "eventSourceARN": stream_arn,
    }
