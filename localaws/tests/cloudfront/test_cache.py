"""The cache of distributions: its key, the time to live, errors and invalidations."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from botocore.exceptions import ClientError
from ministack.services import cloudfront

from helpers.http import Endpoint, HttpResponse
from localaws import LocalAws
from localaws.services.cloudfront import cache
from localaws.services.cloudfront.cache import Exchange, _s3_object_key
from localaws.services.cloudfront.lifetimes import seconds_of, time_to_live

OPTIMIZED = "658327ea-f89d-4fab-a63d-7e88639e58f6"
DISABLED = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"


@pytest.mark.parametrize(
    ("headers", "limits", "expected"),
    [
        ({}, (0, 60, 100), 60),
        ({}, (80, 60, 100), 80),
        ({"cache-control": "max-age=30"}, (0, 60, 100), 30),
        ({"cache-control": "public, MAX-AGE=300"}, (0, 60, 100), 100),
        ({"cache-control": "max-age=3"}, (10, 60, 100), 10),
        ({"cache-control": "max-age=30, s-maxage=40"}, (0, 60, 100), 40),
        ({"cache-control": "no-cache"}, (0, 60, 100), 0),
        ({"cache-control": "no-store"}, (5, 60, 100), 5),
        ({"cache-control": "private, max-age=50"}, (0, 60, 100), 0),
        ({"cache-control": "max-age=30", "expires": "Thu, 01 Jan 1970 00:00:00 GMT"}, (0, 60, 100), 30),
        ({"expires": "Thu, 01 Jan 1970 00:00:00 GMT"}, (0, 60, 100), 0),
        ({"expires": "0"}, (0, 60, 100), 0),
        ({"expires": "Thu, 01 Jan 2150 00:00:00 GMT"}, (0, 60, 100), 100),
        ({"cache-control": "max-age=soon"}, (0, 60, 100), 60),
        ({"cache-control": "max-age=²"}, (0, 60, 100), 60),
    ],
)
def test_how_long_an_object_is_fresh(
    headers: dict[str, str], limits: tuple[int, int, int], expected: int
) -> None:
    """The origin's wish between minimum and maximum; the default without one."""
    assert time_to_live(headers, *limits) == expected


@dataclass
class Origin:
    """An origin on this machine that counts requests."""

    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    port: int = 0
    fails: bool = False

    def handler(self) -> type[BaseHTTPRequestHandler]:
        origin = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                sent = {name.lower(): value for name, value in self.headers.items()}
                origin.asked.append((self.command, self.path, sent))
                etag, modified = '"one"', "Fri, 27 Nov 2026 12:00:00 GMT"
                same = sent.get("if-none-match") == etag or sent.get("if-modified-since") == modified
                status = int(self.path[2:5]) if self.path[2:5].isdigit() else 304 if same else 200
                status = 500 if origin.fails else status
                body = b"" if status == 304 or self.command == "HEAD" else f"{len(origin.asked)}".encode()
                self.send_response(status)
                if "bare" not in self.path:
                    self.send_header(
                        *(("Last-Modified", modified) if "dated" in self.path else ("ETag", etag))
                    )
                self.send_header("Set-Cookie", "session=first")
                if "stale" in self.path:
                    unless = ", stale-if-error=0" if "never" in self.path else ""
                    self.send_header("Cache-Control", f"max-age=0{unless}")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_HEAD = do_POST = do_GET  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    origin = Origin()
    server = ThreadingHTTPServer(("127.0.0.1", 0), origin.handler())
    origin.port = server.server_address[1]
    Thread(target=server.serve_forever, daemon=True).start()
    with closing(server.socket):
        yield origin
        server.shutdown()


@dataclass
class Distribution:
    """A distribution, and requests to it."""

    aws: LocalAws
    id: str
    name: str

    def get(self, path: str, method: str = "GET", **headers: str) -> HttpResponse:
        address = self.aws.address_of_distribution(self.name)
        lines = [(name.replace("_", "-"), value) for name, value in headers.items()]
        return Endpoint.of(address, address.host).request(method, path, headers=lines)

    def results(self, *paths: str, **headers: str) -> list[str]:
        return [self.get(path, **headers).header("x-cache").partition(" ")[0] for path in paths]

    def invalidate(self, *paths: str) -> None:
        self.aws.client("cloudfront").create_invalidation(
            DistributionId=self.id,
            InvalidationBatch={
                "Paths": {"Quantity": len(paths), "Items": list(paths)},
                "CallerReference": uuid.uuid4().hex,
            },
        )


def distribution(
    aws: LocalAws, origin: Origin, policy: str | None = OPTIMIZED, **settings: Any
) -> Distribution:
    """A distribution with this cache policy before the origin."""
    custom = {"HTTPPort": origin.port, "HTTPSPort": 443, "OriginProtocolPolicy": "http-only"}
    shield = settings.pop("shield", None)
    if isinstance(shield, str):
        shield = {"Enabled": True, "OriginShieldRegion": shield}
    more = {"OriginShield": shield} if shield else {}
    behavior = {"TargetOriginId": "o", "ViewerProtocolPolicy": "allow-all"} | (
        {"CachePolicyId": policy} if policy else {}
    )
    config: dict[str, Any] = {
        "CallerReference": uuid.uuid4().hex,
        "Comment": "",
        "Enabled": True,
        "Origins": {
            "Quantity": 1,
            "Items": [{"Id": "o", "DomainName": "localhost", "CustomOriginConfig": custom, **more}],
        },
        "DefaultCacheBehavior": behavior | settings.pop("behavior", {}),
        **settings,
    }
    made = aws.client("cloudfront").create_distribution(DistributionConfig=config)["Distribution"]
    return Distribution(aws, made["Id"], made["DomainName"])


def cache_policy(aws: LocalAws, seconds: int = 3600, **parameters: Any) -> str:
    """A cache policy with these parameters in the key."""
    none = {
        "EnableAcceptEncodingGzip": False,
        "HeadersConfig": {"HeaderBehavior": "none"},
        "CookiesConfig": {"CookieBehavior": "none"},
        "QueryStringsConfig": {"QueryStringBehavior": "none"},
    }
    config = {
        "Name": uuid.uuid4().hex,
        "MinTTL": 0,
        "DefaultTTL": seconds,
        "ParametersInCacheKeyAndForwardedToOrigin": none | parameters,
    }
    made = aws.client("cloudfront").create_cache_policy(CachePolicyConfig=config)
    return str(made["CachePolicy"]["Id"])


@pytest.fixture(scope="module")
def plain(local_aws: LocalAws, origin: Origin) -> Distribution:
    """With the managed policy CachingOptimized."""
    return distribution(local_aws, origin)


@pytest.mark.local
def test_the_second_request_is_a_hit(plain: Distribution, origin: Origin) -> None:
    """The origin is asked once; query strings and headers outside of the policy are no part of the key."""
    before = len(origin.asked)
    first, second = plain.get("/a?x=1"), plain.get("/a?x=2", User_Agent="another", Cookie="c=1")
    assert [first.header("x-cache"), second.header("x-cache")] == [
        "Miss from cloudfront",
        "Hit from cloudfront",
    ]
    assert (first.header("age"), second.header("age").isdigit()) == ("", True)
    assert first.body == second.body
    assert len(origin.asked) == before + 1
    assert plain.results("/A") == ["Miss"]


@pytest.mark.local
def test_only_get_and_head_are_cached(plain: Distribution, origin: Origin) -> None:
    """A HEAD request is answered from what GET has stored, without a body."""
    plain.get("/head")
    before = len(origin.asked)
    answer = plain.get("/head", method="HEAD")
    assert (answer.header("x-cache"), answer.body, len(origin.asked)) == ("Hit from cloudfront", b"", before)


@pytest.mark.local
def test_a_viewer_that_has_the_object_gets_304(plain: Distribution, origin: Origin) -> None:
    """Conditions of the viewer are about the cached object."""
    assert plain.get("/c", If_None_Match='"one"').status == 304
    assert plain.get("/c").status == 200
    assert plain.get("/c", If_None_Match='"two", "one"').status == 304
    assert [path for _, path, _ in origin.asked].count("/c") == 1


@pytest.mark.local
def test_an_expired_object_is_revalidated(local_aws: LocalAws, origin: Origin) -> None:
    """With its ETag; after a 304 the body of before is served."""
    policy = cache_policy(local_aws)
    through = distribution(local_aws, origin, policy)
    first, second = through.get("/stale"), through.get("/stale")
    assert second.header("x-cache") == "RefreshHit from cloudfront"
    assert (second.status, second.body) == (200, first.body)


@pytest.mark.local
def test_an_expired_object_is_revalidated_by_its_date(local_aws: LocalAws, origin: Origin) -> None:
    """An origin that has no ETags still answers 304."""
    through = distribution(local_aws, origin, cache_policy(local_aws))
    first, second = through.get("/stale-dated"), through.get("/stale-dated")
    assert second.header("x-cache") == "RefreshHit from cloudfront"
    assert (second.status, second.body) == (200, first.body)


@pytest.mark.local
def test_an_expired_object_is_served_if_the_origin_fails(
    local_aws: LocalAws, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not if it says stale-if-error=0, and an object that is not in the cache is an error."""
    through = distribution(local_aws, origin, cache_policy(local_aws))
    paths = ("/stale-if", "/stale-never")
    first = [through.get(path).body for path in paths]
    monkeypatch.setattr(origin, "fails", True)
    kept, never, unknown = (through.get(path) for path in (*paths, "/stale-unknown"))
    assert (kept.status, kept.body, kept.header("x-cache")) == (200, first[0], "Hit from cloudfront")
    assert (never.status, unknown.status) == (500, 500)
    assert (through.get("/stale-if").body, [path for _, path, _ in origin.asked].count("/stale-if")) == (
        first[0],
        2,
    )


@pytest.mark.local
def test_the_origin_is_asked_again_after_the_error_caching_minimum_ttl(
    local_aws: LocalAws, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here of nothing. An object without ETag and Last-Modified is stored for a failure, too."""
    items = [{"ErrorCode": 500, "ErrorCachingMinTTL": 0}]
    errors = {"Quantity": 1, "Items": items}
    through = distribution(local_aws, origin, cache_policy(local_aws), CustomErrorResponses=errors)
    paths = ("/stale-now", "/stale-bare")
    first = [through.get(path).body for path in paths]
    monkeypatch.setattr(origin, "fails", True)
    assert [through.get(path).body for path in paths] == first
    monkeypatch.setattr(origin, "fails", False)
    assert through.results(*paths) == ["RefreshHit", "Miss"]


@pytest.mark.parametrize(("error", "status"), [("OriginTimeout", 504), ("OriginUnreachable", 502)])
@pytest.mark.parametrize(("seconds", "asked"), [(10, 1), (0, 2)])
def test_that_an_origin_is_not_reached_is_cached(error: str, status: int, seconds: int, asked: int) -> None:
    now = Exchange({"Id": f"{error}-{seconds}"}, {}, "127.0.0.1", behavior={"ttls": {}})
    now.errors[status] = seconds
    kind: type[Exception] = getattr(cloudfront, error)
    requests: list[int] = []

    async def origin(_known: object) -> Any:
        requests.append(1)
        raise kind("x")

    for _ in range(2):
        with pytest.raises(kind):
            asyncio.run(cache._lookup(now, (), "GET", "/", origin))
    assert len(requests) == asked


@pytest.mark.parametrize(("path", "kept"), [("/a", False), ("/*", False), ("/b", True)])
def test_what_is_invalidated_while_it_is_fetched_is_not_stored(path: str, kept: bool) -> None:
    now = Exchange({"Id": f"meanwhile-{path}"}, {}, "127.0.0.1", behavior={"ttls": {}})

    async def origin(_known: object) -> Any:
        cache._forget_paths(now.distribution["Id"], [path])
        return cache._Stored((200, "OK", {}, b"old"), 0, 9e9, "/a")

    assert asyncio.run(cache._lookup(now, (), "GET", "/a", origin))[0].response[3] == b"old"
    assert bool(cache._cache[now.distribution["Id"]]) == kept


@pytest.mark.local
def test_a_cookie_of_the_origin_needs_a_behavior_that_forwards_cookies(
    local_aws: LocalAws, origin: Origin, plain: Distribution
) -> None:
    """Also where nothing is cached."""
    cookies: Any = {"CookieBehavior": "all"}
    forwarding = distribution(local_aws, origin, cache_policy(local_aws, CookiesConfig=cookies))
    viewer = {"OriginRequestPolicyId": "216adef6-5c7f-47e4-b989-5492eafa07d3"}  # Managed-AllViewer
    off, on = (
        distribution(local_aws, origin, DISABLED),
        distribution(local_aws, origin, DISABLED, behavior=viewer),
    )
    sent = [one.get("/cookie").header("set-cookie") for one in (plain, plain, off, forwarding, on)]
    assert sent == ["", "", "", "session=first", "session=first"]


@pytest.mark.local
@pytest.mark.parametrize("region", [{"OriginShieldRegion": "eu-north-1"}, {}])
def test_origin_shield_needs_a_region_that_has_it(
    local_aws: LocalAws, origin: Origin, region: dict[str, str]
) -> None:
    with pytest.raises(ClientError, match="Origin Shield is in us-east-1"):
        distribution(local_aws, origin, shield={"Enabled": True, **region})


# --- Edge locations, Origin Shield and simultaneous requests

EDGES = ("FRA56-P1", "NRT57-P4", "GRU3-P3")


@pytest.mark.local
@pytest.mark.parametrize(("shield", "requests"), [(None, 3), ("us-east-1", 1)])
def test_each_edge_asks_the_origin_once_and_with_origin_shield_only_one_does(
    local_aws: LocalAws, origin: Origin, shield: str | None, requests: int
) -> None:
    through = distribution(local_aws, origin, shield=shield)
    path = f"/release-{shield}"
    answers = [through.get(path, X_Localaws_Edge=edge) for edge in EDGES for _ in range(2)]
    assert [one.header("x-amz-cf-pop") for one in answers] == [edge for edge in EDGES for _ in range(2)]
    assert [one.header("x-cache").partition(" ")[0] for one in answers] == ["Miss", "Hit"] * 3
    asked = [headers for _, asked, headers in origin.asked if asked == path]
    assert len(asked) == requests
    assert not any("x-localaws-edge" in headers for headers in asked)
    through.invalidate(path)
    assert through.get(path, X_Localaws_Edge=EDGES[0]).header("x-cache") == "Miss from cloudfront"
    assert [asked for _, asked, _ in origin.asked].count(path) == requests + 1


@pytest.mark.local
def test_what_origin_shield_has_revalidates_what_an_edge_has(local_aws: LocalAws, origin: Origin) -> None:
    through = distribution(local_aws, origin, cache_policy(local_aws), shield="us-east-1")
    answers = [through.get("/stale-shield", X_Localaws_Edge=edge) for edge in (*EDGES, EDGES[0])]
    assert [one.header("x-cache").partition(" ")[0] for one in answers] == [*["Miss"] * 3, "RefreshHit"]
    assert len({one.body for one in answers}) == 1


@pytest.mark.parametrize(
    ("header", "minimum", "expected"),
    [
        ("max-age=60", 0, 1),
        ("", 0, 1),
        ("no-store", 0, 4),
        ("max-age=0", 0, 4),
        ("no-store", 1, 1),
    ],
)
def test_simultaneous_requests_are_collapsed(header: str, minimum: int, expected: int) -> None:
    """They get the response of the first one, unless it must not be shared."""
    behavior = {"ttls": {"MinTTL": minimum, "DefaultTTL": minimum}}
    now = Exchange({"Id": "collapsed"}, {}, "127.0.0.1", behavior=behavior)
    asked = 0

    async def requests() -> list[Any]:
        arrived = asyncio.Event()

        async def origin(_known: object) -> Any:
            nonlocal asked
            asked += 1
            await arrived.wait()
            headers = {"cache-control": header} if header else {}
            return cache._Stored((200, "OK", headers, b"x"), 0, 0, "/")

        viewers = [asyncio.create_task(cache._lookup(now, (header,), "GET", "/", origin)) for _ in range(4)]
        for _ in range(3):  # each viewer starts, then waits
            await asyncio.sleep(0)
        assert asked == 1
        viewers[0].cancel()  # a viewer that goes away takes nothing from the others
        arrived.set()
        return await asyncio.gather(*viewers[1:])

    assert [stored.response[3] for stored, _ in asyncio.run(requests())] == [b"x"] * 3
    assert asked == expected
    assert not cache._underway


@pytest.mark.local
def test_errors_are_cached_too(local_aws: LocalAws, origin: Origin) -> None:
    """404 and 5xx; 403 only on demand. X-Cache says Error, whether it comes from the cache or not."""
    items = [{"ErrorCode": code, "ErrorCachingMinTTL": 3600} for code in (404, 500)]
    through = distribution(local_aws, origin, CustomErrorResponses={"Quantity": 2, "Items": items})
    paths = [f"/s{code}?cached" for code in (404, 404, 500, 500, 403, 403)]
    before = len(origin.asked)
    assert through.results(*paths) == ["Error"] * 6
    asked = [path for _, path, _ in origin.asked[before:]]
    assert [asked.count(f"/s{code}") for code in (404, 500, 403)] == [1, 1, 2]


@pytest.mark.parametrize(
    ("status", "headers", "errors", "expected"),
    [
        (404, {}, {}, 10),
        (503, {}, {}, 10),
        (404, {}, {404: 0}, 0),
        (404, {"cache-control": "max-age=60"}, {}, 60),
        (404, {"cache-control": "no-store"}, {}, 0),
        (503, {"cache-control": "no-store"}, {}, 10),
        (404, {"cache-control": "max-age=5"}, {}, 10),
        (404, {"cache-control": "max-age=900"}, {}, 100),
        (403, {}, {}, 0),
        (403, {"cache-control": "max-age=60"}, {}, 60),
        (403, {}, {403: 30}, 30),
        (416, {"cache-control": "max-age=60"}, {416: 30}, 0),
    ],
)
def test_how_long_an_error_is_cached(
    status: int, headers: dict[str, str], errors: dict[int, int], expected: int
) -> None:
    """For 10 seconds, or what the distribution or the origin says, within the maximum TTL."""
    assert seconds_of((status, "", headers, b""), (0, 60, 100), errors) == expected


@pytest.mark.local
def test_an_error_caching_minimum_ttl_of_nothing(local_aws: LocalAws, origin: Origin) -> None:
    """And one that lets 403 be cached."""
    items = [{"ErrorCode": 404, "ErrorCachingMinTTL": 0}, {"ErrorCode": 403, "ErrorCachingMinTTL": 3600}]
    errors = {"Quantity": 2, "Items": items}
    through = distribution(local_aws, origin, CustomErrorResponses=errors)
    before = len(origin.asked)
    through.results("/s404", "/s404", "/s403", "/s403")
    assert [path for _, path, _ in origin.asked[before:]] == ["/s404", "/s404", "/s403"]


@pytest.mark.local
def test_the_page_for_an_error_is_cached_and_still_an_error(local_aws: LocalAws, origin: Origin) -> None:
    """Error and page are two objects; the viewer gets the page with the status of the distribution."""
    page = {"ErrorCode": 404, "ErrorCachingMinTTL": 3600, "ResponsePagePath": "/page", "ResponseCode": "410"}
    errors = {"Quantity": 1, "Items": [page]}
    through = distribution(local_aws, origin, CustomErrorResponses=errors)
    answers = [through.get("/s404?page") for _ in range(2)]
    assert [(one.status, one.header("x-cache")) for one in answers] == [(410, "Error from cloudfront")] * 2
    assert [path for _, path, _ in origin.asked].count("/page") == 1


@pytest.mark.local
def test_requests_with_other_methods_always_reach_the_origin(local_aws: LocalAws, origin: Origin) -> None:
    """Their errors are not cached."""
    methods = ["GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE"]
    allowed = {"AllowedMethods": {"Quantity": len(methods), "Items": methods}}
    through = distribution(local_aws, origin, behavior=allowed)
    answers = [through.get("/s500?post", method="POST") for _ in range(2)]
    assert [one.header("x-cache") for one in answers] == ["Error from cloudfront"] * 2
    assert [method for method, path, _ in origin.asked if path.startswith("/s500")].count("POST") == 2


@pytest.mark.local
def test_only_get_and_head_are_allowed_unless_the_behavior_says_so(
    local_aws: LocalAws, origin: Origin
) -> None:
    through = distribution(local_aws, origin)
    methods = ("GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE")
    answers = [through.get("/methods", method=method).status for method in methods]
    assert answers == [200, 200, 403, 403, 403, 403, 403]


@pytest.mark.parametrize(
    ("folder", "uri", "key"),
    [
        ("", "/a/b.html", "a/b.html"),
        ("", "//a.html", "/a.html"),
        ("", "/%2Fa%20b.html", "/a b.html"),
        ("/site", "//a.html", "site//a.html"),
    ],
)
def test_a_bucket_is_asked_for_the_path_without_its_first_slash(folder: str, uri: str, key: str) -> None:
    assert _s3_object_key({"origin_path": folder}, uri) == key


@pytest.mark.local
def test_the_policy_names_what_is_in_the_key(local_aws: LocalAws, origin: Origin) -> None:
    """Header names have no case, those of cookies and query strings do; the order of query strings counts."""
    policy = cache_policy(
        local_aws,
        HeadersConfig={"HeaderBehavior": "whitelist", "Headers": {"Quantity": 1, "Items": ["X-Lang"]}},
        CookiesConfig={"CookieBehavior": "whitelist", "Cookies": {"Quantity": 1, "Items": ["group"]}},
        QueryStringsConfig={
            "QueryStringBehavior": "allExcept",
            "QueryStrings": {"Quantity": 1, "Items": ["utm"]},
        },
    )
    through = distribution(local_aws, origin, policy)
    assert through.results("/k?a=1&b=2", "/k?a=1&b=2&utm=3", "/k?b=2&a=1", "/k?A=1&b=2") == [
        "Miss",
        "Hit",
        "Miss",
        "Miss",
    ]
    assert through.results("/k?a=1&b=2", "/k?a=1&b=2", x_lang="de") == ["Miss", "Hit"]
    assert through.results("/k?a=1&b=2", Cookie="group=a; other=1") == ["Miss"]
    assert through.results("/k?a=1&b=2", Cookie="other=2; group=a") == ["Hit"]


@pytest.mark.local
def test_what_only_the_origin_request_policy_names_is_no_part_of_the_key(
    local_aws: LocalAws, origin: Origin
) -> None:
    """The origin gets it from the first viewer."""
    viewer = {"OriginRequestPolicyId": "216adef6-5c7f-47e4-b989-5492eafa07d3"}  # Managed-AllViewer
    through = distribution(local_aws, origin, behavior=viewer)
    assert through.results("/orp?a=1") == ["Miss"]
    assert through.results("/orp?a=2", x_lang="de") == ["Hit"]
    assert origin.asked[-1][1] == "/orp?a=1"


@pytest.mark.local
def test_accept_encoding_is_normalised(plain: Distribution, origin: Origin) -> None:
    """Two browsers that both take gzip share an object; one that takes nothing does not."""
    assert plain.results("/z", Accept_Encoding="gzip, deflate") == ["Miss"]
    assert plain.results("/z", Accept_Encoding="deflate;q=0.5, gzip;q=1.0, br;q=0") == ["Hit"]
    assert plain.results("/z", Accept_Encoding="identity") == ["Miss"]
    assert plain.results("/z", Accept_Encoding="gzip, br") == ["Miss"]
    assert origin.asked[-1][2]["accept-encoding"] == "br,gzip"


@pytest.mark.local
def test_without_time_to_live_nothing_is_cached(local_aws: LocalAws, origin: Origin) -> None:
    """CachingDisabled, and all headers in the legacy settings."""
    off = distribution(local_aws, origin, DISABLED)
    assert off.results("/off", "/off") == ["Miss", "Miss"]
    forwarded = {"QueryString": True, "Cookies": {"Forward": "none"}}
    legacy = {"ForwardedValues": forwarded, "MinTTL": 0, "DefaultTTL": 3600, "MaxTTL": 3600}
    old = distribution(local_aws, origin, None, behavior=legacy)
    assert old.results("/old", "/old?a=1", "/old") == ["Miss", "Miss", "Hit"]
    headers = {"Headers": {"Quantity": 1, "Items": ["*"]}}
    every = distribution(local_aws, origin, None, behavior={**legacy, "ForwardedValues": forwarded | headers})
    assert every.results("/every", "/every") == ["Miss", "Miss"]


@pytest.mark.local
def test_an_invalidation_removes_what_it_names(local_aws: LocalAws, origin: Origin) -> None:
    """With a `*` at the end, whatever follows; the query string belongs to the path."""
    policy = cache_policy(local_aws, QueryStringsConfig={"QueryStringBehavior": "all"})
    through = distribution(local_aws, origin, policy)
    paths = ("/i/a", "/i/a?v=1", "/i/b", "/j")
    through.results(*paths)
    through.invalidate("/i/a")
    assert through.results(*paths) == ["Miss", "Hit", "Hit", "Hit"]
    through.invalidate("/i/*")
    assert through.results(*paths) == ["Miss", "Miss", "Miss", "Hit"]
    for wrong in ("j", "/*/x", "/" + "x" * 4_000):
        with pytest.raises(ClientError, match="invalid invalidation paths"):
            through.invalidate("/i/a", wrong)
    with pytest.raises(ClientError, match="no invalidation paths"):
        through.invalidate()
    client, batch = local_aws.client("cloudfront"), {"CallerReference": uuid.uuid4().hex}
    with pytest.raises(ClientError, match="InconsistentQuantities"):
        client.create_invalidation(
            DistributionId=through.id,
            InvalidationBatch={**batch, "Paths": {"Quantity": 2, "Items": ["/i/a"]}},
        )
    for path in ("/i/a", "/i/b"):
        given = {**batch, "Paths": {"Quantity": 1, "Items": [path]}}
        if path == "/i/b":
            with pytest.raises(ClientError, match="InvalidationBatchAlreadyExists"):
                client.create_invalidation(DistributionId=through.id, InvalidationBatch=given)
        else:
            client.create_invalidation(DistributionId=through.id, InvalidationBatch=given)
    assert through.results("/i/a", "/i/a") == ["Miss", "Hit"]
    again = {**batch, "Paths": {"Quantity": 1, "Items": ["/i/a"]}}
    client.create_invalidation(DistributionId=through.id, InvalidationBatch=again)
    assert through.results("/i/a") == ["Hit"]


@pytest.mark.local
def test_objects_of_a_bucket(local_aws: LocalAws) -> None:
    """Through OAC: a changed object is served once its time is over or it was invalidated."""
    s3, cloudfront = local_aws.client("s3"), local_aws.client("cloudfront")
    name = f"b-{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="x", Body=b"1", CacheControl="max-age=600")
    oac = cloudfront.create_origin_access_control(
        OriginAccessControlConfig={
            "Name": name,
            "SigningProtocol": "sigv4",
            "SigningBehavior": "always",
            "OriginAccessControlOriginType": "s3",
        }
    )["OriginAccessControl"]["Id"]
    item = {
        "Id": "o",
        "DomainName": f"{name}.s3.us-east-1.amazonaws.com",
        "S3OriginConfig": {"OriginAccessIdentity": ""},
        "OriginAccessControlId": oac,
    }
    made = distribution(local_aws, Origin(), Origins={"Quantity": 1, "Items": [item]})
    assert made.get("/x").status == 403  # without a bucket policy; not cached
    arn = f"arn:aws:cloudfront::{local_aws.account}:distribution/{made.id}"
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "cloudfront.amazonaws.com"},
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{name}/*",
        "Condition": {"StringEquals": {"AWS:SourceArn": arn}},
    }
    s3.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    assert made.results("/x", "/x") == ["Miss", "Hit"]
    s3.put_object(Bucket=name, Key="x", Body=b"2")
    assert made.get("/x").body == b"1"
    made.invalidate("/x")
    assert made.get("/x").body == b"2"


@pytest.mark.local
def test_still_needed_the_emulator_asks_the_origin_every_time(stock_aws: LocalAws, origin: Origin) -> None:
    """Until it has a cache of its own."""
    through = distribution(stock_aws, origin)
    assert through.results("/stock", "/stock") == ["Miss", "Miss"]
