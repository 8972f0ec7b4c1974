"""What Kinesis refuses of streams and hash keys.

Faithful to: a stream has a number of shards exactly if its mode is PROVISIONED; a hash key is below 2^128.
Not to: the words about modes.

https://docs.aws.amazon.com/kinesis/latest/APIReference/API_CreateStream.html
https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecord.html
"""

from __future__ import annotations

from localaws.refusals import Parameters, Refusal, refuses

_HASH_KEYS = 2**128


@refuses("kinesis", "CreateStream")
def _shards(stream: Parameters) -> Refusal | None:
    mode = (stream.get("StreamModeDetails") or {}).get("StreamMode", "PROVISIONED")
    shards = stream.get("ShardCount")
    if mode == "PROVISIONED" and shards is None:
        return Refusal(
            "InvalidArgumentException", "ShardCount must be specified for a stream in PROVISIONED mode."
        )
    if mode == "ON_DEMAND" and shards is not None:
        text = "ShardCount must not be specified for a stream in ON_DEMAND mode."
        return Refusal("InvalidArgumentException", text)
    return None


@refuses("kinesis", "PutRecord", "PutRecords")
def _hash_key(request: Parameters) -> Refusal | None:
    for record in request.get("Records") or [request]:
        key = record.get("ExplicitHashKey")
        if key is not None and int(key) >= _HASH_KEYS:
            text = "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]."
            return Refusal("InvalidArgumentException", f"{text} Specified value was {key}")
    return None
