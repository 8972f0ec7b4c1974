"""Asks a distribution for pages and prices, measures hit rates, rotates a key, and breaks parts of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError

from scenarios.edge.cloudfront_functions.clients import Keys, Site, keys_of, pages
from scenarios.framework import BilledEvent, Covered, DeployedStack, Outcome, ScenarioFailed, Story, require
from scenarios.support import charts
from scenarios.support.faults import Faults

# Properties that the embedded AWS ignores, with the reason why the scenario is a proof all the same.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}

_SECURITY = ("strict-transport-security", "x-content-type-options", "content-security-policy")
_BROKEN = b"function handler(event) { return event.request.missing.property; }"


def run(stack: DeployedStack) -> Outcome:
    """Redirect, rewrite, headers; hit rates with and without the function; tokens, and a new key.

    Raises:
        ScenarioFailed: The distribution answered something else.
    """
    story = Story("A distribution with functions before and after its cache", stack.tell)
    with pages(stack) as site, keys_of(stack) as keys:
        _answers(site, story)
        with story.timed("72 requests"):
            before, after = site.hit_rate("/plain"), site.hit_rate("/api")
        story.fact("hits without the function", before)
        story.fact("hits with the function", after)
        story.say(
            f"The same requests in six spellings of three languages, with and without parameters of adverts: "
            f"{before} are hits without the function, {after} with it."
        )
        require(int(after.split()[0]) > int(before.split()[0]), f"hits: {before}, and {after} normalised")
        _tokens(site, keys, story)
    named = {"without the function": before, "with the function": after}
    rows = [charts.Bar(name, *map(int, seen.split(" of "))) for name, seen in named.items()]
    picture = charts.bars("The same requests in many spellings: how many are hits of the cache", rows)
    return story.outcome([charts.save(stack.out / "cloudfront-functions.svg", picture)])


def _answers(site: Site, story: Story) -> None:
    moved = site.get("/manual")
    story.fact("redirect", f"{moved.status} {moved.header('location')}")
    story.say(f"/manual, which is an item of the store: {moved.status}, location {moved.header('location')}.")
    page = site.get(site.docs)
    require(page.status == 200 and site.run.encode() in page.body, f"{site.docs}: {page.status}")
    present = [name for name in _SECURITY if page.header(name)]
    story.fact("security headers of a page", len(present))
    story.say(f"{site.docs} is served from index.html, with {', '.join(present)}.")
    again = site.get(site.docs)
    kept = again.header("x-cache").startswith("Hit") and again.header(_SECURITY[0])
    story.fact("security headers of a hit", "yes" if kept else "no")
    require(moved.status == 301 and len(present) == len(_SECURITY), f"{moved.status}, {present}")


def _tokens(site: Site, keys: Keys, story: Story) -> None:
    first, second = f"{site.run}a", f"{site.run}b"
    keys.add(first)
    path = site.private
    site.status(keys.sign(path, first), 200)
    guess = "a guess"
    forged = keys.sign(path, first, secret=guess)
    seen = {
        "no token": site.get(path).status,
        "no token, encoded path": site.get(path.replace("/private/", "/%70rivate/")).status,
        "valid token": site.get(keys.sign(path, first)).status,
        "expired token": site.get(keys.sign(path, first, seconds=-1)).status,
        "forged token": site.get(forged).status,
        "token of another path": site.get(path + keys.sign("/private/x", first)[len("/private/x") :]).status,
    }
    old = keys.sign(path, first)
    keys.add(second)
    seen["token of the new key"] = site.status(keys.sign(path, second), 200)
    seen["token of the old key, both there"] = site.get(old).status
    keys.remove(first)
    seen["token of the removed key"] = site.status(old, 403)
    for name, status in seen.items():
        story.fact(name, status)
    story.say(f"{_listed(seen)}. Nothing was deployed.")
    allowed = [name for name, status in seen.items() if status == 200]
    require(
        allowed == ["valid token", "token of the new key", "token of the old key, both there"], f"saw {seen}"
    )


def smoke(stack: DeployedStack) -> None:
    """Use each permission once: the prices' function, and all calls of the operator.

    Raises:
        ScenarioFailed: A request failed.
    """
    site = Site(stack)
    answer = site.get(f"/plain/prices?page={site.run}")
    require(answer.status == 200, f"/plain/prices: {answer.status}")
    item = {"Key": f"key:{site.run}", "Value": "changed"}
    with keys_of(stack) as keys:
        try:
            keys.add(site.run)
            keys.client.get_key(KvsARN=keys.arn, Key=item["Key"])
            keys.client.list_keys(KvsARN=keys.arn)
            keys.client.update_keys(KvsARN=keys.arn, IfMatch=keys.etag(), Puts=[item])
            keys.remove(site.run)
        except ClientError as error:
            raise ScenarioFailed(str(error)) from error


def one_page(stack: DeployedStack) -> None:
    """Get a page that is not in the cache, of the function's."""
    site = Site(stack)
    site.get(f"/api/prices?page={site.run}")


EVENT = BilledEvent("a page of the function, which the cache does not have", one_page)

ROLES = (Covered("FunctionName", smoke), Covered("OperatorRoleArn", smoke, function="FunctionName"))


def leftovers(stack: DeployedStack) -> list[str]:
    """Return the pages in the bucket and the keys in the store: only the scenario puts them there."""
    objects = stack.client("s3").list_objects_v2(Bucket=stack.output("BucketName")).get("Contents", [])
    listed = stack.client("cloudfront-keyvaluestore").list_keys(
        KvsARN=stack.output("KeyValueStoreArn"), MaxResults=50
    )
    keys = [item["Key"] for item in listed["Items"] if item["Key"].startswith("key:")]
    return [*(f"page: {one['Key']}" for one in objects), *keys]


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """The origin refuses, the store has no key, and a broken function is tested before it is published.

    Raises:
        ScenarioFailed: A viewer saw something else than expected.
    """
    story = Story("The origin refuses, a key is lost, and a broken function comes", stack.tell)
    with pages(stack) as site, keys_of(stack) as keys:
        known, unknown = f"/api/prices?page={site.run}", f"/api/prices?page={site.run}x"
        site.get(known)
        with faults.not_admitting(stack.output("FunctionName"), "cloudfront.amazonaws.com"):
            answers = [site.get(known), site.get(unknown)]
        seen: dict[str, Any] = {
            "origin refuses, cached": answers[0].status,
            "origin refuses, not cached": answers[1].status,
            "origin admits again": site.get(unknown).status,
        }
        story.say(
            f"The policy of the prices' function admits CloudFront no more, then again: {_listed(seen)}."
        )
        keys.add(site.run)
        token = keys.sign(site.private, site.run)
        seen["key there"] = site.status(token, 200)
        keys.remove(site.run)
        seen["key lost"] = site.status(token, 403)
        story.say(
            "The key is lost, and the page is in the cache: 403, because the function runs for hits too."
        )
        with _broken(stack) as error:
            seen["broken function, tested"] = error
            seen["broken function, before it is published"] = site.get(site.docs).status
        story.say(f"TestFunction says of a broken function: {error}. Viewers still get the published one.")
    for name, value in seen.items():
        story.fact(name, value)
    expected = [200, 403, 200, 200, 403, "TypeError", 200]
    require(list(seen.values()) == expected, f"saw {seen}")
    return story.outcome()


def _listed(seen: Mapping[str, Any]) -> str:
    return "; ".join(f"{name}: {value}" for name, value in seen.items())


@contextmanager
def _broken(stack: DeployedStack) -> Iterator[str]:
    """Change the development stage of the function, test it, and put the code back."""
    client, name = stack.client("cloudfront"), stack.output("ViewerRequestName")
    code = client.get_function(Name=name, Stage="DEVELOPMENT")["FunctionCode"].read()
    described = client.describe_function(Name=name, Stage="DEVELOPMENT")
    config = described["FunctionSummary"]["FunctionConfig"]
    etag = client.update_function(
        Name=name, IfMatch=described["ETag"], FunctionConfig=config, FunctionCode=_BROKEN
    )["ETag"]
    try:
        request = {"method": "GET", "uri": "/", "querystring": {}, "headers": {}, "cookies": {}}
        event = {"version": "1.0", "context": {"eventType": "viewer-request"}, "request": request}
        event["viewer"] = {"ip": "198.51.100.11"}
        tested = client.test_function(
            Name=name, IfMatch=etag, Stage="DEVELOPMENT", EventObject=json.dumps(event).encode()
        )
        yield str(tested["TestResult"]["FunctionErrorMessage"]).partition(":")[0]
    finally:
        etag = client.update_function(Name=name, IfMatch=etag, FunctionConfig=config, FunctionCode=code)[
            "ETag"
        ]
        client.publish_function(Name=name, IfMatch=etag)
