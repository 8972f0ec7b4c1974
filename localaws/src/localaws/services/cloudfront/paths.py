"""Paths are normalised before a distribution chooses a cache behavior.

The emulator compares patterns with the path as it was sent, so that `/images/../account/` was none of
`/account/*`.

Faithful to: multiple slashes and dot segments are gone for the choice of the behavior only; functions and the
origin get the path that the viewer sent.
Not to: percent-encoded characters, which are compared as they were sent.

https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/DownloadDistValuesCacheBehavior.html#DownloadDistValuesPathPattern
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ministack.services import cloudfront

from localaws.patching import around


@around(cloudfront, "_match_behavior", after=["cloudfront.cache"])
def _match_behavior(stock: Callable[..., Any], parsed: dict[str, Any], path: str) -> Any:
    return stock(parsed, normalised(path))


def normalised(path: str) -> str:
    """A path without multiple slashes and dot segments (RFC 3986, 5.2.4)."""
    kept: list[str] = []
    parts = path.split("/")
    for part in parts:
        if part == "..":
            del kept[-1:]
        elif part not in ("", "."):
            kept.append(part)
    is_folder = kept and parts[-1] in ("", ".", "..")
    return "/" + "/".join(kept) + ("/" if is_folder else "")
