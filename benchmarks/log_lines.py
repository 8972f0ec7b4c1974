"""The log processor: lines per second from compressed batch to problems, compared with the obvious loop.

The obvious loop decompresses the batch and parses each line as JSON, to look at its level. It joins no stack
traces, and has no bound for what it decompresses. Both count the same problems; DynamoDB is left out.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parents[1] / "lambda_src"
_LINES = 1_000  # of a batch


def main(arguments: list[str] | None = None) -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="run.py bench log_lines", description=__doc__, allow_abbrev=False)
    parser.add_argument("--batches", type=int, default=50, help="batches in each run (default: 50)")
    parser.add_argument("--rounds", type=int, default=7, help="runs of each cell, taking turns (default: 7)")
    options = parser.parse_args(arguments)
    sys.path.insert(0, str(SOURCE))
    print("| lines | problems | bytes, compressed | handler, lines/s | obvious loop, lines/s | ratio |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, make, every in (("JSON", in_json, 100), ("JSON", in_json, 2), ("text", in_text, 100)):
        batch = packed([make(number, number % every == 0) for number in range(_LINES)])
        rates: dict[str, list[float]] = {"handler": [], "obvious": []}
        for _ in range(options.rounds):
            for way, count in (("handler", by_handler), ("obvious", obvious)):
                rates[way].append(measure(count, batch, options.batches, expected=_LINES // every))
        mine, other = (statistics.median(rates[way]) for way in ("handler", "obvious"))
        size = len(base64.b64decode(batch["awslogs"]["data"]))
        share = f"1 in {every}"
        print(f"| {name} | {share} | {size:,} | {mine:,.0f} | {other:,.0f} | {mine / other:.2f} |")
    return 0


def measure(count: Callable[[Any], int], batch: Any, batches: int, expected: int) -> float:
    """Lines per second of processor time."""
    began = time.process_time()
    for _ in range(batches):
        if (found := count(batch)) != expected:
            raise RuntimeError(f"{found} problems instead of {expected}")
    return batches * _LINES / (time.process_time() - began)


def by_handler(batch: Any) -> int:
    """Count the problems as the handler finds them."""
    from streams.log_processor.batches import check, problems, read

    found = read(batch)
    assert found is not None
    return sum(1 for _ in problems([event for event in found.events if check(event) is None]))


def obvious(batch: Any) -> int:
    """Count the problems line by line."""
    count = 0
    for event in json.loads(gzip.decompress(base64.b64decode(batch["awslogs"]["data"])))["logEvents"]:
        try:
            count += json.loads(event["message"]).get("level") == "ERROR"
        except ValueError:
            count += "ERROR" in event["message"]
    return count


def in_json(number: int, is_problem: bool) -> str:
    """A line of Powertools' logger."""
    return json.dumps(
        {
            "level": "ERROR" if is_problem else "INFO",
            "location": "handler:42",
            "message": f"order {number} was {'refused' if is_problem else 'paid'}",
            "timestamp": "2026-11-27 10:00:00,000+0000",
            "service": "shop",
            "function_request_id": f"6234bffe-149a-b642-81ff-{number:012}",
        }
    )


def in_text(number: int, is_problem: bool) -> str:
    """A line of text."""
    return f"2026-11-27T10:00:00Z {'ERROR' if is_problem else 'INFO'} order {number} at till {number % 7}"


def packed(messages: list[str]) -> dict[str, Any]:
    """The event with these lines."""
    events = [
        {"id": f"{number:056}", "timestamp": 1_795_773_600_000, "message": message}
        for number, message in enumerate(messages)
    ]
    envelope = {
        "messageType": "DATA_MESSAGE",
        "owner": "123456789012",
        "logGroup": "/app/shop",
        "logStream": "a",
        "subscriptionFilters": ["f"],
        "logEvents": events,
    }
    data = gzip.compress(json.dumps(envelope).encode(), 6)
    return {"awslogs": {"data": base64.b64encode(data).decode()}}


if __name__ == "__main__":
    sys.exit(main())
