"""Kinesis streams as sources of delivery streams.

Used by `firehose.delivery`. The emulator hands over what is put into a stream, without asking the role, and
without the metadata of the records.

Faithful to: records that came after the delivery stream was created, in order per shard, each read once, with
the role of the source, which must allow the documented actions of Kinesis, and to decrypt with the key of the
stream. What the role may not read waits in the stream. The metadata that a function sees, and the metrics of
what was read.
Not to: how often Firehose reads (once a second in AWS), records that the stream no longer retains.

https://docs.aws.amazon.com/firehose/latest/dev/writing-with-kinesis-streams.html
https://docs.aws.amazon.com/firehose/latest/dev/controlling-access.html#using-iam-kinesis
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from ministack.services import kinesis

from localaws.services.firehose.records import Record
from localaws.services.firehose.transformation import SERVICE
from localaws.services.iam.roles import role_allows, role_trusts

_ACTIONS = ("DescribeStream", "GetShardIterator", "GetRecords", "ListShards")


class Reader:
    """The position of a delivery stream in each shard of its source.

    Args:
        stream: The emulator's record of the delivery stream.
    """

    def __init__(self, stream: dict[str, Any]) -> None:
        self._arn = stream["arn"]
        source = stream["kinesis_source"]
        self._source, self._role = str(source["KinesisStreamARN"]), str(source["RoleARN"])
        self._start = float(source["DeliveryStartTimestamp"])
        self._positions: dict[str, int] = {}

    def may_read(self) -> bool:
        """Whether the role allows it."""
        key = (kinesis._resolve_stream_by_arn(self._source) or {}).get("KeyId")
        needed = [(f"kinesis:{action}", self._source) for action in _ACTIONS]
        needed += [("kms:Decrypt", key)] if key and key.startswith("arn:") else []
        return role_trusts(self._role, SERVICE, self._arn) and all(
            role_allows(self._role, action, resource) for action, resource in needed
        )

    def read(self) -> list[Record]:
        """What is new."""
        stream = kinesis._resolve_stream_by_arn(self._source) or {"shards": {}}
        return [
            record
            for name, shard in list(stream["shards"].items())
            for record in self._read_shard(name, shard)
        ]

    def _read_shard(self, name: str, shard: dict[str, Any]) -> Iterator[Record]:
        for one in list(shard["records"]):
            number = int(one["SequenceNumber"])
            arrived = float(one["ApproximateArrivalTimestamp"])
            if number <= self._positions.get(name, -1) or arrived < self._start:
                continue
            self._positions[name] = number
            data = one["Data"]
            metadata = {
                "sequenceNumber": one["SequenceNumber"],
                "subsequenceNumber": 0,
                "partitionKey": one["PartitionKey"],
                "shardId": name,
                "approximateArrivalTimestamp": int(arrived * 1000),
            }
            yield Record(
                data if isinstance(data, bytes) else base64.b64decode(data),
                arrived,
                metadata,
                f"{one['SequenceNumber']}000000",
            )
