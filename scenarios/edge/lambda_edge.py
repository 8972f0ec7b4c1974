"""Asks a distribution for pages of groups and countries and for images, and throttles a function."""

from __future__ import annotations

import secrets
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from scenarios.framework import BilledEvent, Covered, DeployedStack, NotYet, Outcome, Story, require
from scenarios.support.endpoints import Endpoint, HttpResponse
from scenarios.support.faults import Faults

# Properties that the embedded AWS ignores, with the reason why the scenario is a proof all the same.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}

_WIDE = 400


class _Site:
    """The distribution, with pages and an image of this run in its bucket."""

    def __init__(self, stack: DeployedStack) -> None:
        self.stack, self.run = stack, secrets.token_hex(4)
        self._endpoint = Endpoint.of(stack, f"https://{stack.output('DomainName')}")
        self.page, self.account = f"/{self.run}.html", f"/account/{self.run}.html"
        self.image = f"/images/{self.run}.png"

    def get(self, path: str, **headers: str) -> HttpResponse:
        lines = [(name.replace("_", "-"), value) for name, value in headers.items()]
        return self._endpoint.request("GET", path, headers=lines)

    def objects(self) -> dict[str, bytes]:
        """The objects, by key: a page for each group and part of the world, and an image."""
        pages = {
            f"{part}{group}{path}": f"{part} {name}".encode()
            for part in ("eu", "world")
            for group, name in (("", "a"), ("/b", "b"))
            for path in (self.page, self.account)
        }
        return {**pages, self.image[1:]: _png()}


def run(stack: DeployedStack) -> Outcome:
    """A group that stays, a redirect to the login, images of three widths, an error page.

    Raises:
        ScenarioFailed: The distribution answered something else.
    """
    story = Story("A distribution with functions at four trigger points", stack.tell)
    with _pages(stack) as site:
        _groups(site, story)
        denied = site.get(site.account)
        admitted, other = (site.get(site.account, cookie=f"session={n}; group=a") for n in "12")
        refused = [
            site.get(path, cookie="group=a").status
            for path in (site.account.replace("/a", "/%61", 1), f"/b{site.account}")
        ]
        story.fact("account, no session", f"{denied.status} {denied.header('location').partition('?')[0]}")
        story.fact("account, session", admitted.status)
        story.fact("account, another session", other.header("x-cache").split()[0])
        story.fact("account, other spellings", ", ".join(map(str, refused)))
        story.say(
            f"The account without a session: {denied.status} to {denied.header('location')}; with one: "
            f"{admitted.status}, and not from the cache. By other spellings of the path: {refused}."
        )
        require((denied.status, admitted.status) == (302, 200), f"{denied.status}, {admitted.status}")
        require(other.header("x-cache").startswith("Miss"), "an account page was in the cache")
        require(refused == [400, 404], f"other spellings of the account: {refused}")
        _images(site, story)
        missing = site.get(f"/{site.run}/none", cookie="group=a")
        story.fact("missing page", f"{missing.status} {missing.body.decode()}")
        story.say(f"What is missing: {missing.status} with the page of the origin response.")
        require(missing.status == 404 and b"Not here" in missing.body, f"missing: {missing.status}")
    return story.outcome()


def _groups(site: _Site, story: Story) -> None:
    first = site.get(site.page)
    cookie = first.header("set-cookie").partition(";")[0]
    again = [site.get(site.page, cookie=cookie) for _ in range(3)]
    pages = {group: site.get(site.page, cookie=f"group={group}").body.decode()[-1:] for group in "ab"}
    story.fact("pages of the groups", "".join(pages.values()))
    story.fact("pages of a viewer", len({one.body for one in (first, *again)}))
    story.fact("cookies set again", sum(bool(one.header("set-cookie")) for one in again))
    hits = sum(one.header("x-cache").startswith("Hit") for one in again)
    story.fact("hits of three requests again", hits)
    story.say(
        f"The first request is put into a group ({cookie}) and stays there: one page, {hits} of 3 are "
        f"hits. Each group has its own page."
    )
    same = {one.body for one in (first, *again)} == {again[0].body}
    require(same and hits > 0 and pages == {"a": "a", "b": "b"}, f"{cookie}: {pages}, {hits} hits")


def _images(site: _Site, story: Story) -> None:
    asked = (100, 160, 130, 300, 9_999)
    answers = [site.get(f"{site.image}?width={width}") for width in asked]
    require(all(one.status == 200 for one in answers), f"images: {[one.status for one in answers]}")
    widths = [_width(one.body) for one in answers]
    made = sum(one.header("x-cache").startswith("Miss") for one in answers)
    story.fact("widths of images", ", ".join(map(str, widths)))
    story.fact("variants made", made)
    story.say(
        f"An image of {_WIDE} pixels, asked for in widths {asked}: it comes in {widths}, made {made} times."
    )
    require(widths == [160, 160, 160, 320, _WIDE] and made == 3, f"{widths}, {made} misses")


def _png() -> bytes:
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", _WIDE, 2, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress((b"\0" + b"\x10\x20\x30" * _WIDE) * 2)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def _width(picture: bytes) -> int:
    (width,) = struct.unpack(">I", picture[16:20])
    return int(width)


def smoke(stack: DeployedStack) -> None:
    """Use the permissions of the images' function and, by CloudFront, those of the edge functions.

    Raises:
        ScenarioFailed: A request failed.
    """
    with _pages(stack) as site:
        answer = site.get(f"{site.image}?width=160")
        require(answer.status == 200, f"{site.image}: {answer.status}")


def one_image(stack: DeployedStack) -> None:
    """Store an image, and get a variant of it that was never asked for."""
    site = _Site(stack)
    stack.client("s3").put_object(Bucket=stack.output("BucketName"), Key=site.image[1:], Body=_png())
    site.get(f"{site.image}?width=160")


EVENT = BilledEvent("an image is stored, and a viewer gets the first variant of it", one_image)

ROLES = (Covered("FunctionName", smoke),)


def leftovers(stack: DeployedStack) -> list[str]:
    """Return the objects in the bucket: only the scenario puts them there."""
    listed = stack.client("s3").list_objects_v2(Bucket=stack.output("BucketName"))
    return [f"object: {one['Key']}" for one in listed.get("Contents", [])]


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """Viewers of two countries; the images' function refuses; a function at the edge is throttled.

    Raises:
        ScenarioFailed: A viewer saw something else than expected.
    """
    story = Story("Countries, an origin that refuses, and a function that is throttled", stack.tell)
    seen: dict[str, Any] = {}
    with _pages(stack) as site:
        assert stack.with_viewers is not None
        for country, other in (("DE", "US"), ("US", "DE")):
            with stack.with_viewers({"127.0.0.0/8": country}):
                # Only CloudFront knows where a viewer is.
                page = site.get(site.page, cookie="group=a", cloudfront_viewer_country=other)
            seen[f"page for {country}"] = page.body.decode()
        story.say(f"The origin request chooses by country: {_listed(seen)}.")
        site.get(f"{site.image}?width=160")
        with faults.not_admitting(stack.output("FunctionName"), "cloudfront.amazonaws.com"):
            seen["image refused, cached"] = site.get(f"{site.image}?width=160").status
            seen["image refused, not cached"] = site.get(f"{site.image}?width=640").status
        seen["image admitted again"] = site.get(f"{site.image}?width=640").status
        with _throttled(stack):
            throttled = site.get(site.page, cookie="group=a")
            seen["viewer request throttled, page cached"] = throttled.status
            seen["x-cache"] = throttled.header("x-cache").split()[0]

        def served() -> int:
            status = site.get(site.page, cookie="group=a").status
            if status != 200:
                raise NotYet(str(status))
            return status

        seen["no longer throttled"] = stack.wait_until(served, "status 200")
        story.say(f"{_listed(dict(list(seen.items())[2:]))}. Without its viewer function, a site is down.")
    for name, value in seen.items():
        story.fact(name, value)
    expected = ["eu a", "world a", 200, 403, 200, 503, "LambdaLimitExceeded", 200]
    require(list(seen.values()) == expected, f"saw {seen}")
    return story.outcome()


def _listed(seen: Mapping[str, Any]) -> str:
    return "; ".join(f"{name}: {value}" for name, value in seen.items())


@contextmanager
def _throttled(stack: DeployedStack) -> Iterator[None]:
    function, _, _version = stack.output("ViewerRequestArn").rpartition(":")
    client, name = stack.client("lambda"), function.rpartition(":")[2]
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    try:
        yield
    finally:
        client.delete_function_concurrency(FunctionName=name)


@contextmanager
def _pages(stack: DeployedStack) -> Iterator[_Site]:
    """Pages and an image, which are deleted afterwards."""
    site, s3, bucket = _Site(stack), stack.client("s3"), stack.output("BucketName")
    for key, body in site.objects().items():
        kind = "image/png" if key.endswith(".png") else "text/html"
        s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType=kind)
    try:
        yield site
    finally:
        for key in site.objects():
            s3.delete_object(Bucket=bucket, Key=key)
