"""Shard iterators as long as those of Kinesis, which are no UUIDs.

Faithful to: long base64, at most 512 characters.
Not to: how AWS makes them.

https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetShardIterator.html
"""

from __future__ import annotations

import base64
import secrets

from ministack.services import kinesis

from localaws.patching import replaces


@replaces(kinesis, "new_uuid")
def _new_uuid() -> str:
    return "AAAAAAAAAAE" + base64.b64encode(secrets.token_bytes(158))[11:].decode()
