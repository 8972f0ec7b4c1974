"""Objects that are written, overwritten and deleted, many at a time, under the worst of keys."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

_AT_ONCE = 10  # as many connections as botocore keeps
_KEY_BYTES = 1024


def hostile_keys(prefix: str) -> list[str]:
    """Keys that are easily mistaken on their way through an event."""
    long = prefix + "é" * ((_KEY_BYTES - len(prefix.encode())) // 2)
    return [
        long + "x" * (_KEY_BYTES - len(long.encode())),
        f"{prefix}spaces  and a plus + and 100 %.txt",
        f"{prefix}%2B is no plus, %20 no space, %C3%A9 no é",
        f"{prefix}ключ/鍵/🗝️ {'🗝️' * 20}.json",
        f"{prefix}quotes \"' & <tags> \\ back/slash?query=1#part",
        f"{prefix}folder/",
        f"{prefix}e\u0301 is not é, \u3000 no space",
    ]


@dataclass(frozen=True)
class Traffic:
    """How many calls of each kind there were."""

    written: int
    overwritten: int
    deleted: int
    tagged: int


def send_traffic(s3: Any, bucket: str, prefix: str, count: int) -> Traffic:
    """Write many objects; then, all at the same time, overwrite, delete and tag some of them.

    What happens to one key comes in an order that is S3's own business, so only a look into the bucket says
    what is left.

    Args:
        s3: A client of S3.
        bucket: The bucket.
        prefix: What all keys start with.
        count: How many objects, those with hostile keys among them.
    """
    chance = random.Random(count)
    keys = hostile_keys(prefix)
    keys += [f"{prefix}{number % 8}/object {number:04}.txt" for number in range(count - len(keys))]
    in_parallel([partial(put, s3, bucket, key, chance.random()) for key in keys])
    chance.shuffle(keys)
    overwritten, deleted = keys[: count // 3] * 2, keys[count // 4 : count // 2]
    calls = [partial(put, s3, bucket, key, chance.random()) for key in overwritten]
    calls += [partial(s3.delete_object, Bucket=bucket, Key=key) for key in deleted]
    tagged = keys[: count // 6] + keys[count // 2 : count // 2 + count // 6]
    calls += [partial(tag, s3, bucket, key, chance.random()) for key in tagged]
    chance.shuffle(calls)
    in_parallel(calls)
    return Traffic(len(keys), len(overwritten), len(deleted), len(tagged))


def put(s3: Any, bucket: str, key: str, content: object, **more: Any) -> None:
    """Write an object that has metadata and a tag which say what is in it."""
    text = f"{content}"
    s3.put_object(
        Bucket=bucket,
        Key=key,
        Body=text.encode() * (1 + len(text) % 7),
        ContentType="text/plain; charset=utf-8",
        Metadata={"content": text},
        Tagging=f"content={text}",
        **more,
    )


def tag(s3: Any, bucket: str, key: str, value: object) -> None:
    """Give an object other tags."""
    s3.put_object_tagging(
        Bucket=bucket, Key=key, Tagging={"TagSet": [{"Key": "tagged later", "Value": f"{value}"}]}
    )


def in_parallel(calls: Sequence[Callable[[], object]]) -> None:
    """Make these calls, some at a time, and raise what any of them raised."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for future in [pool.submit(call) for call in calls]:
            future.result()
