"""How long a response stays in the cache of a distribution, and who else gets it.

https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/Expiration.html
https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/HTTPStatusCodes.html
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from ministack.services import cloudfront

Headers = dict[str, Any]
Response = tuple[int, str, Headers, bytes]  # status, reason, headers, body

#: The error caching minimum TTL of a status for which a distribution names none.
ERROR_SECONDS = 10
_DAY, _YEAR = 86_400, 31_536_000
_ERRORS = {404, 410, 414, 500, 501, 502, 503, 504}
_ERRORS_IF_ASKED = {400, 403, 405, 412, 415}  # with `max-age`, or a time in the distribution
_REFUSALS = {"no-store", "no-cache", "private"}
_NOT_IF_REFUSED = {404, 410, 414, 501}  # not with one of the refusals


def limits_of(behavior: dict[str, Any]) -> tuple[int, int, int]:
    """The minimum, default and maximum TTL."""
    policy_id = behavior.get("cache_policy_id")
    policy = cloudfront._cache_policies.get(policy_id) or cloudfront._MANAGED_CACHE_POLICIES.get(policy_id)
    ttls = policy["Config"] if policy else behavior["ttls"]
    if "*" in ((behavior.get("forwarded_values") or {}).get("headers") or ()):
        return 0, 0, 0  # all headers are forwarded: nothing is cached
    minimum = int(ttls.get("MinTTL", 0))
    return minimum, int(ttls.get("DefaultTTL", max(_DAY, minimum))), int(ttls.get("MaxTTL", _YEAR))


def seconds_of(response: Response, limits: tuple[int, int, int], errors: Mapping[int, int]) -> float:
    """How many seconds a response is fresh; errors by the times of the distribution."""
    status, _, headers, _ = response
    if status < 400:
        return time_to_live(headers, *limits)
    asked = _asked_seconds(headers)
    if status in _NOT_IF_REFUSED and _REFUSALS & cache_control(headers).keys():
        return 0
    if status not in _ERRORS and not (status in _ERRORS_IF_ASKED and (asked is not None or status in errors)):
        return 0
    return max(errors.get(status, ERROR_SECONDS), min(asked or 0, limits[2]))


def time_to_live(headers: Mapping[str, Any], minimum: int, default: int, maximum: int) -> float:
    """How many seconds a response is fresh."""
    if _REFUSALS & cache_control(headers).keys():
        return minimum
    asked = _asked_seconds(headers)
    return max(minimum, default if asked is None else min(asked, maximum))


def cache_control(headers: Mapping[str, Any]) -> dict[str, str]:
    """The directives of `Cache-Control`, in lower case, with their values."""
    parts = (part.strip().partition("=") for part in str(headers.get("cache-control", "")).lower().split(","))
    return {name: value.strip('"') for name, _, value in parts if name}


def _asked_seconds(headers: Mapping[str, Any]) -> float | None:
    directives = cache_control(headers)
    for name in ("s-maxage", "max-age"):
        if directives.get(name, "").isdecimal():
            return int(directives[name])
    if "expires" not in headers:
        return None
    try:
        return max(0, parsedate_to_datetime(str(headers["expires"])).timestamp() - time.time())
    except ValueError:  # not a date: expired
        return 0


def may_be_stored(response: Response) -> bool:
    """Whether an expired object is stored: to revalidate it, and for when the origin fails."""
    status, _, headers, _ = response
    return status == 200 and not {"no-store", "private"} & cache_control(headers).keys()


def may_be_shared(response: Response, minimum: float) -> bool:
    """Whether requests that waited for a response get it."""
    directives = cache_control(response[2])
    refused = _REFUSALS & directives.keys()
    return minimum > 0 or not (refused or "0" in (directives.get("max-age"), directives.get("s-maxage")))
