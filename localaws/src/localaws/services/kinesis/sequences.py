"""Sequence numbers as long as those of Kinesis: 56 digits, which no DynamoDB Number can store.

Faithful to: length, alphabet and order.
Not to: how AWS makes them.

https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html
"""

from __future__ import annotations

import itertools
import threading
import time

from ministack.services import kinesis

from localaws.patching import replaces

_counter = itertools.count(1)
_lock = threading.Lock()
_last_milliseconds = 0


@replaces(kinesis, "_next_sequence_number")
def _next_sequence_number() -> str:
    global _last_milliseconds
    with _lock:
        # A clock that goes back must not change the order.
        _last_milliseconds = max(_last_milliseconds, int(time.time() * 1000))
        return f"49{_last_milliseconds:022d}{next(_counter):032d}"
