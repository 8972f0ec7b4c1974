"""Records per second in the handler of firehose-transform, and in the obvious loops.

A batch is 1 MiB of records, as Firehose sends it by default. The obvious loop parses and writes each line and
counts nothing: it fails with an answer of more than 6 MB. The other loop does the same with the classes of
Powertools. Neither can read lines of an access log or gzip. They take turns, and the median of the processor
time counts.
"""

from __future__ import annotations

import base64
import gzip
import json
import logging
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

LAMBDA_SRC = Path(__file__).parents[1] / "lambda_src"
_BATCH, _ROUNDS = 1024 * 1024, 15
_STREAM = "arn:aws:firehose:eu-west-1:123456789012:deliverystream/lines"
_ACCESS = (
    '{}:443 10.0.0.1 - - [27/Nov/2026:10:30:00 +0100] "GET /cart/{} HTTP/2.0" 200 512 '
    '"https://b.example/" "Mozilla/5.0"'
)

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]


def obvious(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """What most would write."""
    answers = []
    for record in event["records"]:
        document = json.loads(base64.b64decode(record["data"]))
        data = base64.b64encode((json.dumps(document) + "\n").encode()).decode()
        keys = {"partitionKeys": {"site": document["site"]}}
        answers.append({"recordId": record["recordId"], "result": "Ok", "data": data, "metadata": keys})
    return {"records": answers}


def with_powertools(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """The same, with the data classes of Powertools."""
    from aws_lambda_powertools.utilities.data_classes import KinesisFirehoseEvent
    from aws_lambda_powertools.utilities.data_classes.kinesis_firehose_event import (
        KinesisFirehoseDataTransformationRecordMetadata,
        KinesisFirehoseDataTransformationResponse,
    )

    response = KinesisFirehoseDataTransformationResponse()
    for record in KinesisFirehoseEvent(event).records:
        document = record.data_as_json
        answer = record.build_data_transformation_response(
            result="Ok",
            data=base64.b64encode((json.dumps(document) + "\n").encode()).decode(),
            metadata=KinesisFirehoseDataTransformationRecordMetadata({"site": document["site"]}),
        )
        response.add_record(answer)
    return response.asdict()


def batch(kind: str) -> tuple[dict[str, Any], int]:
    """A batch of records of this kind, and the number of lines in it."""
    records: list[bytes] = []
    lines = size = 0
    while size < _BATCH:
        site = f"site{lines % 40}.example"
        if kind == "JSON":
            data = json.dumps(
                {"site": site, "path": f"/cart/{lines}", "status": 200, "agent": "Mozilla/5.0"}
            ).encode()
        elif kind == "access log":
            data = _ACCESS.format(site, lines).encode()
        else:
            data = gzip.compress(
                "\n".join(_ACCESS.format(site, lines + one) for one in range(100)).encode(), 1
            )
        # A hundred lines that are compressed grow: so few of them fit into an answer.
        if kind == "gzip" and len(records) == 250:
            break
        records.append(data)
        lines += 100 if kind == "gzip" else 1
        size += len(data)
    event = [
        {"recordId": f"{number:062}", "data": base64.b64encode(one).decode()}
        for number, one in enumerate(records)
    ]
    return {"deliveryStreamArn": _STREAM, "records": event}, lines


def main() -> None:
    """Measure and print a table."""
    logging.disable(logging.INFO)
    os.environ["AWS_DEFAULT_REGION"] = "eu-west-1"
    sys.path.insert(0, str(LAMBDA_SRC))
    from streams.firehose_transform.handler import handler

    ways: dict[str, list[tuple[str, Handler]]] = {
        "JSON": [("handler", handler), ("obvious loop", obvious), ("loop with Powertools", with_powertools)],
        "access log": [("handler", handler)],
        "gzip": [("handler", handler)],
    }
    context: Any = SimpleNamespace(function_name="lines", get_remaining_time_in_millis=lambda: 60_000)
    for kind, measured in ways.items():
        event, lines = batch(kind)
        times: dict[str, list[float]] = {name: [] for name, _ in measured}
        for _ in range(_ROUNDS):
            for name, way in measured:
                start = time.process_time()
                way(event, context)
                times[name].append(time.process_time() - start)
        for name, _ in measured:
            seconds = statistics.median(times[name])
            print(
                f"{kind:10}  {name:20}  {len(event['records']):6,} records  {seconds * 1000:6.1f} ms  "
                f"{len(event['records']) / seconds:9,.0f} records/s  {lines / seconds:9,.0f} lines/s"
            )


if __name__ == "__main__":
    main()
