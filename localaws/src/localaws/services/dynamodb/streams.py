"""Sequence numbers as long as those of DynamoDB Streams: 28 digits without leading zeros.

Faithful to: length, alphabet and order.
Not to: how AWS makes them.

https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_StreamRecord.html
"""

from __future__ import annotations

import itertools
import time

from ministack.services import dynamodb

from localaws.patching import replaces

_counter = itertools.count(1)
_STARTED = int(time.time() * 1000)


@replaces(dynamodb, "_next_stream_seq")
def _next_stream_seq() -> str:
    return f"{_STARTED}{next(_counter):015d}"
