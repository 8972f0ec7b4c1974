"""DynamoDB streams as event sources: reads a table's stream and invokes a function with batches in order.

The emulator has no bisecting, retry limit, partial batch responses, batching window or on-failure
destination: it retries a poison batch for ever and blocks all other mappings meanwhile.

Faithful to: what `lambda_.stream_event_source` says of Kinesis, in order per partition key of the table;
on-failure records have `DDBStreamBatchInfo`; a stream that was disabled is read to its end.
Not to: several shards. A stream has one here.

https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-eventsourcemapping.html
https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
"""

from __future__ import annotations

import json
from typing import Any

from ministack.core.responses import request_scope
from ministack.services import dynamodb, dynamodb_streams, lambda_svc

from localaws.patching import on_reset, replaces
from localaws.services.lambda_.stream_lanes import Lane, lane_of, run_lane

_lanes: dict[str, dict[int, Lane]] = {}
on_reset(_lanes.clear)


@replaces(lambda_svc, "_poll_dynamodb_streams")
def _poll_all() -> bool:
    """Poll the stream of each mapping once; returns whether a batch was started."""
    found = False
    for account, region, mapping in lambda_svc._iter_all_esms():
        source = mapping.get("EventSourceArn", "")
        if ":dynamodb:" in source and mapping.get("Enabled", True):
            with request_scope(account, region):
                found = _poll(mapping, source) or found
    there = {key[-1] for key in lambda_svc._esms._data}
    for gone in _lanes.keys() - there:
        del _lanes[gone]
    return found


def _poll(mapping: dict[str, Any], source: str) -> bool:
    name = source.split("/")[1]
    table, closed = dynamodb._tables.get(name), dynamodb.closed_stream(source)
    if closed is not None:
        begin, records, schema = closed["trimmed"], closed["records"], closed["KeySchema"]
    elif table is not None and table.get("LatestStreamArn") == source:
        begin, records = dynamodb.stream_start_position(name), dynamodb._live_stream_records(name)
        schema = table["KeySchema"]
    else:
        return False
    lanes = _lanes.setdefault(mapping["UUID"], {})
    key = next(one["AttributeName"] for one in schema if one["KeyType"] == "HASH")
    for record in _new_records(mapping, begin, records):
        number = lane_of(mapping, json.dumps(record["dynamodb"]["Keys"][key], sort_keys=True))
        lane = lanes.setdefault(number, Lane(mapping, dynamodb_streams._DEFAULT_SHARD_ID))
        lane.add(record)
    started = [run_lane(lane) for lane in lanes.values()]
    return any(started)


def _new_records(mapping: dict[str, Any], begin: int, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records after the position of a mapping, of which the first is at `begin`."""
    positions, place = lambda_svc._dynamodb_stream_positions, mapping["UUID"]
    end = begin + len(records)
    if place not in positions:
        positions[place] = begin if mapping.get("StartingPosition") == "TRIM_HORIZON" else end
    new = records[max(positions[place] - begin, 0) : end - begin]
    positions[place] = end
    found: list[dict[str, Any]] = lambda_svc._apply_filter_criteria(new, mapping)
    return found
