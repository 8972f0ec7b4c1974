"""Where viewers are: the headers `CloudFront-Viewer-Country` and `CloudFront-Viewer-Country-Region`.

There is no database of addresses here: `LocalAws.with_viewers` says where they are. Without it the place of a
viewer is unknown.

Faithful to: the headers come from the address of the connection, whatever the viewer sends (the headers
themselves, or X-Forwarded-For); a behavior has one only if its cache policy or origin request policy names
it; they are added after the viewer request of Lambda@Edge, and before that of a CloudFront Function.
Not to: the other `CloudFront-Viewer-` headers, which are removed from requests and not added, and
`CloudFront-Is-*-Viewer`, which are what the viewer sends. On AWS an unknown place is rare.

https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/adding-cloudfront-headers.html
https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/lambda-examples.html
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from ipaddress import ip_address, ip_network
from typing import Any

from ministack.services import cloudfront

from localaws.patching import around, on_reset

_PREFIX = "cloudfront-viewer-"

_places: dict[str, str] = {}
on_reset(_places.clear)


def place(places: dict[str, str]) -> dict[str, str]:
    """Say where networks are: `DE` or `DE-BE`; returns what was said before."""
    before = dict(_places)
    _places.clear()
    _places.update(places)
    return before


def headers_of(address: str) -> dict[str, str]:
    """The headers of a viewer with this address: of the smallest network that has a place."""
    found = [one for one in map(ip_network, _places) if ip_address(address) in one]
    if not found:
        return {}
    smallest = max(found, key=lambda one: one.prefixlen)
    country, _, region = _places[str(smallest)].partition("-")
    headers = {"country": country, "country-region": region}
    return {f"{_PREFIX}{name}": value for name, value in headers.items() if value}


def without_location(headers: dict[str, str]) -> dict[str, str]:
    """The headers of a request without those that only CloudFront may set."""
    return {name: value for name, value in headers.items() if not name.startswith(_PREFIX)}


@around(cloudfront, "handle_viewer_request")
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
    behavior = cloudfront._match_behavior(cloudfront.parse_distribution_dataplane_config(dist), path) or {}
    named = _named(behavior)
    own = {name: value for name, value in headers_of(client_ip).items() if name in named}
    sent = without_location(headers) | own
    return await stock(dist, method, path, raw_uri, raw_query_string, sent, body, query_params, client_ip)


def _named(behavior: dict[str, Any]) -> set[str]:
    """The headers that the policies of a behavior name."""
    names = list((behavior.get("forwarded_values") or {}).get("headers") or ())
    for policy in (
        cloudfront.cache_policy_params(behavior.get("cache_policy_id")),
        cloudfront.origin_request_policy_config(behavior.get("origin_request_policy_id")),
    ):
        if policy and policy["HeaderBehavior"] in ("whitelist", "allViewerAndWhitelistCloudFront"):
            names += policy["Headers"]
    return {name.lower() for name in names}
