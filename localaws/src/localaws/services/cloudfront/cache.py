"""Distributions have a cache: a key from the policies, a time to live, hits, misses and invalidations.

The emulator asks the origin for every request.

Faithful to:
- The key: the URI that is requested from the origin, and the headers, cookies and query strings that the
  cache policy (or the legacy ForwardedValues) names. What only the origin request policy names is forwarded,
  but not in the key. Accept-Encoding is normalised if the policy enables gzip or Brotli. The order of query
  strings counts.
- The time to live: `s-maxage`, `max-age` or `Expires` of the origin between minimum and maximum, else the
  default; `no-store`, `no-cache` and `private` last for the minimum. A maximum of 0 switches the cache off.
- A behavior without AllowedMethods allows GET and HEAD; other methods get 403.
- The key of an object in a bucket is the decoded path without its first slash: `//a` is the object `/a`.
- GET, HEAD and, where the behavior says so, OPTIONS are cached. Errors are, too: for 10 seconds, or for the
  error caching minimum TTL of their status; `max-age` makes it longer. 400, 403, 405, 412 and 415 need one
  of these two.
- `X-Cache` says Hit, Miss, RefreshHit (an expired object was still the same) or Error, and a hit has an
  `Age`. Functions of viewer events run for hits as well. An expired object is revalidated with its ETag and
  Last-Modified.
- Each edge location has a cache of its own. The header `X-Localaws-Edge: FRA56-P1` of a viewer says at which
  one it arrives, and is not seen by functions and origins. `X-Amz-Cf-Pop` of the response names it.
- With Origin Shield, all edges ask one more cache, and only that asks the origin.
- Requests for one object that arrive while it is fetched wait for that response (request collapsing), unless
  the minimum is 0 and the response says `no-store`, `no-cache`, `private`, `max-age=0` or `s-maxage=0`.
- If the origin is not reached or returns 5xx, an expired object is served instead, for as long as its
  `stale-if-error` says, and without that for any time. The origin is asked again after the error caching
  minimum TTL of the status; so is one without such an object, whose 502 or 504 is cached as long.
- `Set-Cookie` of an origin is removed, unless cookies are forwarded to it.
- An invalidation removes what its paths match, also what is being fetched; one with an earlier
  `CallerReference` removes nothing. Paths include the query string, and may end with `*`. The API refuses
  wrong paths: without `/` at the start, with `*` elsewhere than at the end, with more than 4,000 characters;
  none of them, and a wrong number.
- Origin Shield needs a Region that has it.

Between cache and origin is `_fetch_from_origin` of the emulator, which this module encloses: it is called
on a miss only, and what it returns is stored. The triggers origin-request and origin-response belong there;
`exchange()` has the distribution and the cache behavior.

Not to: regional edge caches; ranges, which are not cached; compression at the edge; `stale-while-revalidate`;
eviction; QueryStringCacheKeys. Times are real, whatever the pace. A request that names no edge arrives at one
and the same.

https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/understanding-the-cache-key.html
https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/Expiration.html
https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/HTTPStatusCodes.html
https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/Invalidation.html
https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/origin-shield.html
https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/RequestAndResponseBehaviorCustomOrigin.html#request-custom-traffic-spikes
https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/DownloadDistValuesCacheBehavior.html
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, unquote
from xml.etree.ElementTree import SubElement

from ministack.services import cloudfront
from ministack.services.cloudformation import provisioners

from localaws.patching import around, on_reset, replaces
from localaws.services.cloudfront.lifetimes import (
    ERROR_SECONDS,
    Headers,
    Response,
    cache_control,
    limits_of,
    may_be_shared,
    may_be_stored,
    seconds_of,
)
from localaws.usage import amounts

Fetch = Callable[..., Awaitable[Response]]
Key = tuple[Any, ...]

_LONGEST_PATH = 4_000
_SHIELDS = (
    *("us-east-1", "us-east-2", "us-west-2", "sa-east-1", "eu-central-1", "eu-west-1", "eu-west-2"),
    *("ap-northeast-1", "ap-northeast-2", "ap-south-1", "ap-southeast-1", "ap-southeast-2", "me-central-1"),
)
_CONDITIONS = ("if-none-match", "if-modified-since", "if-match", "if-unmodified-since")
_EDGE_HEADER = "x-localaws-edge"
_ONLY_EDGE = "LOC50-C1"


@dataclass
class Exchange:
    """A request of a viewer that is being answered.

    Attributes:
        distribution: The emulator's record of the distribution.
        headers: The headers of the viewer.
        client_ip: The address of the viewer.
        behavior: The cache behavior.
        errors: The error caching minimum TTLs, by status.
        result: What `X-Cache` says.
        edge: The edge location that it arrived at.
    """

    distribution: dict[str, Any]
    headers: Mapping[str, str]
    client_ip: str
    behavior: dict[str, Any] = field(default_factory=dict)
    errors: dict[int, int] = field(default_factory=dict)
    result: str = "Miss from cloudfront"
    edge: str = _ONLY_EDGE


@dataclass
class _Stored:
    response: Response
    stored: float
    expires: float
    path: str  # with the query string, as invalidations name it
    refreshed: bool = False  # it is what had expired
    retry: float = 0  # served until then because the origin fails, although it has expired
    failure: Exception | None = None  # in place of a response: the origin is not reached

    @property
    def is_fresh(self) -> bool:
        return max(self.expires, self.retry) > time.time()

    @property
    def validators(self) -> Headers:
        """The headers that ask the origin whether it is still the same."""
        found = {"if-none-match": "etag", "if-modified-since": "last-modified"}
        headers = self.response[2]
        return {asks: headers[name] for asks, name in found.items() if name in headers}


_exchange: ContextVar[Exchange | None] = ContextVar("localaws_cloudfront_exchange", default=None)
# By the id of the distribution; the first part of a key is the edge location, or the Region of Origin Shield.
_cache: dict[str, dict[Key, _Stored]] = {}
_underway: dict[tuple[str, Key], asyncio.Task[_Stored]] = {}


def exchange() -> Exchange | None:
    """The request of a viewer that this task answers."""
    return _exchange.get()


@on_reset
def _forget() -> None:
    _cache.clear()
    _underway.clear()


# --- What the emulator does not read


@around(cloudfront, "_dataplane_origin")
def _dataplane_origin(stock: Callable[..., dict[str, Any]], origin_el: Any) -> dict[str, Any]:
    shield = cloudfront._find(origin_el, "OriginShield")
    enabled = shield is not None and cloudfront._text(shield, "Enabled").lower() == "true"
    region = cloudfront._text(shield, "OriginShieldRegion") if enabled else ""
    return {**stock(origin_el), "shield": region}


@around(cloudfront, "_distribution_vpc_origin_error", after=["cloudfront.lambda_edge"])
def _refusal(stock: Callable[[Any], Any], config_el: Any) -> Any:
    """Refuse Origin Shield where it is not, in a distribution that is created or updated."""
    for shield in (one for one in config_el.iter() if one.tag.rpartition("}")[2] == "OriginShield"):
        region = cloudfront._text(shield, "OriginShieldRegion")
        if cloudfront._text(shield, "Enabled").lower() == "true" and region not in _SHIELDS:
            text = f"OriginShieldRegion {region or 'is missing'}: Origin Shield is in {', '.join(_SHIELDS)}."
            return cloudfront._error("InvalidArgument", text, 400)
    return stock(config_el)


@around(provisioners, "_cf_distribution_config", after=["cloudfront.lambda_edge"])
def _cf_distribution_config(stock: Callable[..., Any], props: Any, caller_reference: str) -> Any:
    config = stock(props, caller_reference)
    if cloudfront._find(config, "Comment") is None:  # a template may lack it, and the API returns it always
        SubElement(config, "Comment").text = ""
    return config


@around(cloudfront, "_dataplane_behavior")
def _dataplane_behavior(
    stock: Callable[..., dict[str, Any]], behavior_el: Any, path_pattern: str | None = None
) -> dict[str, Any]:
    behavior = stock(behavior_el, path_pattern)
    if behavior["allowed_methods"] is None:
        behavior["allowed_methods"] = ["GET", "HEAD"]
    allowed = cloudfront._find(behavior_el, "AllowedMethods")
    cached = cloudfront._find(allowed, "CachedMethods") if allowed is not None else None
    texts = {element.text for element in cached.iter()} if cached is not None else set()
    legacy = {
        name: cloudfront._text(behavior_el, name)
        for name in ("MinTTL", "DefaultTTL", "MaxTTL")
        if cloudfront._text(behavior_el, name)
    }
    return {**behavior, "cached_methods": {"GET", "HEAD"} | ({"OPTIONS"} & texts), "ttls": legacy}


@replaces(cloudfront, "_s3_object_key")
def _s3_object_key(origin: dict[str, Any], uri: str) -> str:
    return unquote(f"{origin.get('origin_path') or ''}{uri}").removeprefix("/")


@around(cloudfront, "parse_distribution_dataplane_config")
def _parse(stock: Callable[..., dict[str, Any]], dist: dict[str, Any]) -> dict[str, Any]:
    parsed, now = stock(dist), exchange()
    responses = cloudfront._find(cloudfront._dist_config_el(dist), "CustomErrorResponses")
    if now is not None and responses is not None:
        for one in responses.iter():
            code, seconds = cloudfront._text(one, "ErrorCode"), cloudfront._text(one, "ErrorCachingMinTTL")
            if code and seconds:
                now.errors[int(code)] = int(seconds)
    return parsed


# --- On the way


@around(cloudfront, "handle_viewer_request", after=["cloudfront.lambda_edge"])
async def _handle_viewer_request(
    stock: Callable[..., Awaitable[Any]],
    dist: dict[str, Any],
    method: str,
    path: str,
    raw_uri: str,
    raw_query_string: str,
    headers: dict[str, str],
    body: bytes,
    query_params: dict[str, list[str]],
    client_ip: str = "127.0.0.1",
) -> Any:
    amounts.add("", "CloudFront requests")
    headers = dict(headers)
    edge = headers.pop(_EDGE_HEADER, "") or _ONLY_EDGE
    token = _exchange.set(Exchange(dist, headers, client_ip, edge=edge))
    try:
        return await stock(
            dist, method, path, raw_uri, raw_query_string, headers, body, query_params, client_ip
        )
    finally:
        _exchange.reset(token)


@around(cloudfront, "_match_behavior")
def _match_behavior(stock: Callable[..., Any], parsed: dict[str, Any], path: str) -> Any:
    behavior, now = stock(parsed, path), exchange()
    if now is not None and behavior is not None:
        now.behavior = behavior
    return behavior


@around(cloudfront, "_add_cloudfront_headers")
def _add_cloudfront_headers(
    stock: Callable[..., Headers],
    headers: Headers,
    x_cache: str,
    request_id: str | None = None,
    edge_server: bool = True,
) -> Headers:
    now = exchange()
    if now is not None and x_cache == "Miss from cloudfront":
        x_cache = now.result
    sent = stock(headers, x_cache, request_id, edge_server)
    return {**sent, "x-amz-cf-pop": now.edge} if now is not None else sent


@around(cloudfront, "_fetch_from_origin", after=["cloudfront.lambda_edge"])
async def _fetch_from_origin(
    stock: Fetch,
    origin: dict[str, Any],
    method: str,
    uri: str,
    query_string: str,
    headers: dict[str, str],
    body: bytes,
    viewer_is_https: bool,
    client_ip: str,
    viewer_xff: str,
    dist_arn: str,
) -> Response:
    async def fetch(sent: dict[str, str]) -> Response:
        return await stock(
            origin, method, uri, query_string, sent, body, viewer_is_https, client_ip, viewer_xff, dist_arn
        )

    now = exchange()
    if now is None:
        return await fetch(headers)
    limits = limits_of(now.behavior)
    if limits[2] == 0 or method not in now.behavior["cached_methods"] or "range" in headers:
        return _resulting(now, _without_cookies(now.behavior, await fetch(headers)), now.result)

    headers = _with_normalised_encoding(now, headers)
    key = (method == "OPTIONS", uri, *cache_key(now.behavior, query_string, headers))
    asked = {name: headers.pop(name) for name in _CONDITIONS if name in headers}
    path = uri + (f"?{query_string}" if query_string else "")

    async def from_origin(known: _Stored | None) -> _Stored:
        response = await fetch({**headers, **(known.validators if known else {})})
        same = known is not None and response[0] == 304
        if known is not None and same:
            status, reason, had, content = known.response
            fresh = {name: value for name, value in response[2].items() if name != "content-length"}
            response = (status, reason, {**had, **fresh}, content)
        response = _without_cookies(now.behavior, response)
        seconds = seconds_of(response, limits, now.errors)
        return _Stored(response, time.time(), time.time() + seconds, path, refreshed=same)

    async def from_shield(known: _Stored | None) -> _Stored:
        found, _ = await _lookup(now, (origin["shield"], *key), method, path, from_origin)
        same = known is not None and bool(known.validators) and known.validators == found.validators
        return replace(found, refreshed=same)

    shield = origin.get("shield")
    stored, result = await _lookup(
        now, (f"edge {now.edge}", *key), method, path, from_shield if shield else from_origin
    )
    response = _conditional(stored, method, asked, aged=result == "Hit")
    return _resulting(now, response, f"{result} from cloudfront")


Upstream = Callable[["_Stored | None"], Awaitable["_Stored"]]


async def _lookup(now: Exchange, key: Key, method: str, path: str, upstream: Upstream) -> tuple[_Stored, str]:
    """An object in a cache, fetched if it is not there or has expired; and Hit, RefreshHit or Miss.

    Raises:
        OriginTimeout: The origin was not reached, now or a short time ago.
        OriginUnreachable: The same.
    """
    distribution = now.distribution["Id"]
    cache = _cache.setdefault(distribution, {})
    known = cache.get(key)
    if known is not None and known.is_fresh:
        if known.failure is not None:
            raise known.failure
        return known, "Hit"
    if known is not None and known.failure is not None:
        known = None
    if (underway := _underway.get((distribution, key))) is not None and method != "HEAD":
        found = await asyncio.shield(underway)
        if may_be_shared(found.response, limits_of(now.behavior)[0]):
            return found, "Hit"
    # A task of its own: those that wait get the response also when the first viewer has gone.
    task = asyncio.create_task(
        _fetched(cache, (distribution, key), path, known, upstream, now.errors), name=path
    )
    if method != "HEAD":
        _underway[distribution, key] = task
        task.add_done_callback(lambda done: _over((distribution, key), done))
    stored = await asyncio.shield(task)
    if known is not None and stored.response is known.response:
        return stored, "Hit"  # expired, in place of an error
    return stored, "RefreshHit" if stored.refreshed else "Miss"


def _over(key: tuple[str, Key], task: asyncio.Task[_Stored]) -> None:
    if _underway.get(key) is task:
        del _underway[key]
    if not task.cancelled():
        task.exception()  # those that waited have it; without this the loop logs that none has read it


async def _fetched(
    cache: dict[Key, _Stored],
    place: tuple[str, Key],
    path: str,
    known: _Stored | None,
    upstream: Upstream,
    errors: Mapping[int, int],
) -> _Stored:
    """Fetch an object, and keep it; also that the origin fails, so that it is not asked all the time."""

    def keep(stored: _Stored) -> _Stored:
        # Not the answer to HEAD, and not what was invalidated meanwhile.
        if _underway.get(place) is asyncio.current_task():
            cache[place[1]] = stored
        return stored

    def until(status: int) -> float:
        return time.time() + errors.get(status, ERROR_SECONDS)

    try:
        stored = await upstream(known)
    except (cloudfront.OriginTimeout, cloudfront.OriginUnreachable) as error:
        failed_until = until(504 if isinstance(error, cloudfront.OriginTimeout) else 502)
        if known is not None and _may_be_stale(known):
            return keep(replace(known, retry=failed_until))
        keep(_Stored((0, "", {}, b""), time.time(), failed_until, path, failure=error))
        raise
    if known is not None and stored.response[0] >= 500 and _may_be_stale(known):
        return keep(replace(known, retry=until(stored.response[0])))
    if stored.response[0] != 304 and (stored.is_fresh or may_be_stored(stored.response)):
        keep(stored)
    return stored


def _may_be_stale(known: _Stored) -> bool:
    """Whether an expired object is served because the origin fails."""
    allowed = cache_control(known.response[2]).get("stale-if-error", "")
    return known.response[0] < 400 and (not allowed.isdecimal() or time.time() < known.expires + int(allowed))


def _resulting(now: Exchange, response: Response, result: str) -> Response:
    # The page for an error is a second request to an origin.
    if response[0] >= 400 or now.result == "Error from cloudfront":
        result = "Error from cloudfront"
    now.result = result
    return response


def _conditional(stored: _Stored, method: str, asked: dict[str, str], aged: bool = True) -> Response:
    """What the viewer gets of an object: all of it, or 304 if it has that already."""
    status, reason, headers, body = stored.response
    if aged:
        headers = {**headers, "age": str(int(time.time() - stored.stored))}
    etags = [tag.strip() for tag in asked.get("if-none-match", "").split(",")]
    since = asked.get("if-modified-since")
    same = headers.get("etag") in etags or (
        "if-none-match" not in asked and since is not None and since == headers.get("last-modified")
    )
    if status == 200 and same:
        return 304, "Not Modified", {n: v for n, v in headers.items() if n != "content-length"}, b""
    return status, reason, headers, b"" if method == "HEAD" else body


# --- The key


def cache_key(behavior: dict[str, Any], query_string: str, headers: Mapping[str, str]) -> Key:
    """The part of the key that the cache policy decides, from what is forwarded to the origin."""
    of_policy = {**behavior, "origin_request_policy_id": None}
    header, cookie, query = cloudfront._forwarding_predicates(of_policy)
    given = cloudfront._event_cookies_from_header(headers.get("cookie", ""))
    pairs = parse_qsl(query_string, keep_blank_values=True)
    return (
        tuple((name, value) for name, value in pairs if query(name)),
        tuple(sorted((n, str(v)) for n, v in headers.items() if n != "cookie" and header(n))),
        tuple(sorted((name, value["value"]) for name, value in given.items() if cookie(name))),
        headers.get("accept-encoding", "") if _encodings(behavior) else "",
    )


def _without_cookies(behavior: dict[str, Any], response: Response) -> Response:
    """A response without `Set-Cookie`, unless the behavior forwards cookies to the origin."""
    status, reason, headers, body = response
    if _forwards_cookies(behavior):
        return response
    return status, reason, {name: value for name, value in headers.items() if name != "set-cookie"}, body


def _forwards_cookies(behavior: dict[str, Any]) -> bool:
    legacy = behavior.get("forwarded_values") or {}
    if not behavior.get("cache_policy_id"):
        return bool(legacy.get("cookies_forward", "none") != "none")
    cached = cloudfront.cache_policy_params(behavior["cache_policy_id"]) or {}
    origin = behavior.get("origin_request_policy_id")
    forwarded = cloudfront.origin_request_policy_config(origin) if origin else None
    kinds = {cached.get("CookieBehavior", "none"), (forwarded or {}).get("CookieBehavior", "none")}
    return kinds != {"none"}


def _encodings(behavior: dict[str, Any]) -> list[str]:
    policy = cloudfront.cache_policy_params(behavior.get("cache_policy_id")) or {}
    enabled = {"br": "EnableAcceptEncodingBrotli", "gzip": "EnableAcceptEncodingGzip"}
    return [encoding for encoding, name in enabled.items() if policy.get(name)]


def _with_normalised_encoding(now: Exchange, headers: dict[str, str]) -> dict[str, str]:
    enabled = _encodings(now.behavior)
    if not enabled:
        return dict(headers)
    accepted = re.findall(r"(\w+)\s*(?:;\s*q=([\d.]+))?", now.headers.get("accept-encoding", "").lower())
    wanted = {name for name, quality in accepted if not quality or float(quality or 1) > 0}
    rest = {name: value for name, value in headers.items() if name != "accept-encoding"}
    kept = [encoding for encoding in enabled if encoding in wanted]
    return {**rest, "accept-encoding": ",".join(kept)} if kept else rest


# --- Invalidations


@around(cloudfront, "_create_invalidation")
def _create_invalidation(stock: Callable[..., Any], dist_id: str, body: bytes) -> Any:
    batch = cloudfront._parse_body(body)
    paths_el = cloudfront._find(batch, "Paths") if batch is not None else None
    items = cloudfront._find(paths_el, "Items") if paths_el is not None else None
    paths = [item.text or "" for item in items] if items is not None else []
    if dist_id in cloudfront._distributions and batch is not None:
        if not all(map(_may_be_invalidated, paths)):
            message = "Your request contains one or more invalid invalidation paths."
            return cloudfront._error("InvalidArgument", message, 400)
        if not paths:
            return cloudfront._error("InvalidArgument", "Your request contains no invalidation paths.", 400)
        quantity = cloudfront._text(paths_el, "Quantity")
        if quantity != str(len(paths)):
            message = f"Quantity is {quantity or 'missing'}, and there are {len(paths)} paths."
            return cloudfront._error("InconsistentQuantities", message, 400)
    before = len(cloudfront._invalidations.get(dist_id, ()))
    answer = stock(dist_id, body)
    # A request with a CallerReference that was there is answered with the earlier invalidation.
    # https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_InvalidationBatch.html
    if len(cloudfront._invalidations.get(dist_id, ())) > before:
        _forget_paths(dist_id, paths)
    return answer


def _forget_paths(distribution: str, paths: list[str]) -> None:
    cache = _cache.get(distribution, {})
    for key in [key for key, entry in cache.items() if any(_matches(path, entry.path) for path in paths)]:
        del cache[key]
    for place, task in list(_underway.items()):  # what is being fetched is not stored any more
        if place[0] == distribution and any(_matches(path, task.get_name()) for path in paths):
            del _underway[place]


def _may_be_invalidated(path: str) -> bool:
    return path.startswith("/") and len(path) <= _LONGEST_PATH and "*" not in path[:-1]


def _matches(path: str, cached: str) -> bool:
    return cached.startswith(path[:-1]) if path.endswith("*") else cached == path
