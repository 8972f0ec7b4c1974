"""Where viewers are, and which cache behavior their paths choose."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Any

import pytest

from cloudfront.test_cache import OPTIMIZED, cache_policy
from helpers.http import Endpoint
from localaws import LocalAws
from localaws.services.cloudfront import viewers
from localaws.services.cloudfront.paths import normalised

LOCATION = ["CloudFront-Viewer-Country", "CloudFront-Viewer-Country-Region"]
CODE = b"""
function handler(event) {
  const seen = {};
  for (const name in event.request.headers)
    if (name.startsWith("cloudfront-viewer-")) seen[name.slice(18)] = event.request.headers[name].value;
  return {statusCode: 200, headers: {"x-seen": {value: JSON.stringify(seen)}}};
}
"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", "/"),
        ("/a/b", "/a/b"),
        ("/a/b/", "/a/b/"),
        ("//a///b", "/a/b"),
        ("/a/./b", "/a/b"),
        ("/a/../b/c", "/b/c"),
        ("/a/b/..", "/a/"),
        ("/../../a", "/a"),
        ("/a/.", "/a/"),
        ("/a/..", "/"),
        ("/a..b/.c/...", "/a..b/.c/..."),
        ("", "/"),
    ],
)
def test_slashes_and_dot_segments_are_gone(path: str, expected: str) -> None:
    assert normalised(path) == expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1", {"cloudfront-viewer-country": "US", "cloudfront-viewer-country-region": "MI"}),
        ("127.0.0.2", {"cloudfront-viewer-country": "DE"}),
        ("10.0.0.1", {}),
        ("2001:db8::1", {"cloudfront-viewer-country": "FR"}),
    ],
)
def test_the_smallest_network_says_where_a_viewer_is(
    address: str, expected: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    places = {"127.0.0.1/32": "US-MI", "127.0.0.0/8": "DE", "2001:db8::/32": "FR"}
    monkeypatch.setattr(viewers, "_places", places)
    assert viewers.headers_of(address) == expected


@dataclass
class Site:
    """A distribution whose function answers with the headers that CloudFront has added."""

    aws: LocalAws
    name: str

    def seen(self, path: str, **headers: str) -> Any:
        address = self.aws.address_of_distribution(self.name)
        lines = [(name.replace("_", "-"), value) for name, value in headers.items()]
        answer = Endpoint.of(address, address.host).request("GET", path, headers=lines)
        assert answer.status == 200
        return json.loads(answer.header("x-seen"))


@pytest.fixture(scope="module")
def site(local_aws: LocalAws) -> Site:
    """The country is in the cache key, but not below `/nowhere/`."""
    client = local_aws.client("cloudfront")
    name = f"f{uuid.uuid4().hex[:8]}"
    config = {"Comment": "", "Runtime": "cloudfront-js-2.0"}
    made = client.create_function(Name=name, FunctionConfig=config, FunctionCode=CODE)
    client.publish_function(Name=name, IfMatch=made["ETag"])
    arn = made["FunctionSummary"]["FunctionMetadata"]["FunctionARN"]
    headers = {"HeaderBehavior": "whitelist", "Headers": {"Quantity": 2, "Items": LOCATION}}

    def behavior(policy: str) -> dict[str, Any]:
        item = {"EventType": "viewer-request", "FunctionARN": arn}
        return {
            "TargetOriginId": "o",
            "ViewerProtocolPolicy": "allow-all",
            "CachePolicyId": policy,
            "FunctionAssociations": {"Quantity": 1, "Items": [item]},
        }

    custom = {"HTTPPort": 80, "HTTPSPort": 443, "OriginProtocolPolicy": "http-only"}
    made = client.create_distribution(
        DistributionConfig={
            "CallerReference": uuid.uuid4().hex,
            "Comment": "",
            "Enabled": True,
            "Origins": {
                "Quantity": 1,
                "Items": [{"Id": "o", "DomainName": "localhost", "CustomOriginConfig": custom}],
            },
            "DefaultCacheBehavior": behavior(cache_policy(local_aws, HeadersConfig=headers)),
            "CacheBehaviors": {
                "Quantity": 1,
                "Items": [{"PathPattern": "/nowhere/*", **behavior(OPTIMIZED)}],
            },
        }
    )
    return Site(local_aws, made["Distribution"]["DomainName"])


@pytest.mark.local
def test_the_address_of_the_connection_says_where_a_viewer_is(site: Site) -> None:
    forged = {
        "CloudFront_Viewer_Country": "FR",
        "CloudFront_Viewer_City": "Paris",
        "X_Forwarded_For": "192.0.2.1",
    }
    with site.aws.with_viewers({"127.0.0.0/8": "US-MI", "192.0.2.0/24": "FR"}):
        assert site.seen("/a", **forged) == {"country": "US", "country-region": "MI"}
        with site.aws.with_viewers({"127.0.0.1": "DE"}):
            assert site.seen("/a", **forged) == {"country": "DE"}
        assert site.seen("/a") == {"country": "US", "country-region": "MI"}
        assert site.seen("/nowhere/a", **forged) == {}
    assert site.seen("/a", **forged) == {}


@pytest.mark.local
@pytest.mark.parametrize(
    "path", ["/nowhere/a", "/x/../nowhere/a", "//nowhere//a", "/nowhere/./a", "/%2e/nowhere/a"]
)
def test_a_path_chooses_its_behavior_however_it_is_written(site: Site, path: str) -> None:
    with site.aws.with_viewers({"127.0.0.0/8": "DE"}):
        assert site.seen(path) == {}
        assert site.seen(path.replace("nowhere", "nowhere/..")) == {"country": "DE"}


@pytest.mark.parametrize(
    "places",
    [
        *({"127.0.0.1": place} for place in ("Germany", "de", "UK", "XX", "XX-A", "US-", None, 1)),
        *({"localhost": "DE"}, {"127.0.0.1/8": "DE"}, {1: "DE"}, {None: "DE"}),
        *(None, ["127.0.0.1"], "127.0.0.1"),
    ],
)
def test_what_is_no_place_and_no_network_is_refused(places: Any) -> None:
    with (
        pytest.raises(ValueError, match=r"places|does not appear to be|has host bits set"),
        LocalAws().with_viewers(places),
    ):
        pass
