"""The viewers of the distribution, and the operator of its keys."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager

from scenarios.framework import DeployedStack, NotYet, require
from scenarios.support.endpoints import Endpoint, HttpResponse
from scenarios.support.other_account import assume

_LANGUAGES = ("de-DE,de;q=0.9", "de", "DE-AT,en;q=0.5", "fr-FR", "en-GB,en;q=0.7", "en-US")
_QUERIES = ("currency=eur&page={}", "page={}&currency=EUR&utm_source=mail", "currency=eur&fbclid=x1&page={}")


class Site:
    """The distribution, with pages of this run in its bucket."""

    def __init__(self, stack: DeployedStack) -> None:
        self.stack, self.run = stack, secrets.token_hex(4)
        self._endpoint = Endpoint.of(stack, f"https://{stack.output('DomainName')}")
        self.docs, self.private = f"/docs/{self.run}/", f"/private/{self.run}.html"

    def get(self, path: str, **headers: str) -> HttpResponse:
        """The answer to a viewer."""
        lines = [(name.replace("_", "-"), value) for name, value in headers.items()]
        return self._endpoint.request("GET", path, headers=lines)

    def status(self, path: str, expected: int) -> int:
        """The status, once it is the expected one: a change of the store needs seconds to reach all edges."""

        def check() -> int:
            seen = self.get(path).status
            if seen != expected:
                raise NotYet(f"{path.partition('?')[0]}: {seen}")
            return seen

        return self.stack.wait_until(check, f"status {expected}")

    def hit_rate(self, prefix: str) -> str:
        """How many of the same requests are hits: `33 of 36`."""
        asked = [
            (f"{prefix}/prices?{query.format(self.run)}", language)
            for _ in range(2)
            for query in _QUERIES
            for language in _LANGUAGES
        ]
        seen = [self.get(path, accept_language=language) for path, language in asked]
        require(all(answer.status == 200 for answer in seen), f"statuses {[one.status for one in seen]}")
        hits = sum(answer.header("x-cache").startswith("Hit") for answer in seen)
        return f"{hits} of {len(asked)}"


class Keys:
    """The keys that sign tokens, changed by the role of an operator."""

    def __init__(self, stack: DeployedStack) -> None:
        self.arn = stack.output("KeyValueStoreArn")
        own = assume(stack, stack.output("OperatorRoleArn"))
        self.client = stack.session.client("cloudfront-keyvaluestore", **own)
        self.secrets: dict[str, str] = {}

    def etag(self) -> str:
        """The version of the store, which each change has to name."""
        return str(self.client.describe_key_value_store(KvsARN=self.arn)["ETag"])

    def add(self, name: str) -> None:
        """Put a new key."""
        secret = secrets.token_urlsafe(32)
        self.client.put_key(KvsARN=self.arn, IfMatch=self.etag(), Key=f"key:{name}", Value=secret)
        self.secrets[name] = secret

    def remove(self, name: str) -> None:
        """Delete a key."""
        self.client.delete_key(KvsARN=self.arn, IfMatch=self.etag(), Key=f"key:{name}")
        del self.secrets[name]

    def sign(self, path: str, name: str, seconds: int = 300, secret: str = "") -> str:
        """The path with a token."""
        expires = int(time.time()) + seconds
        key = (secret or self.secrets[name]).encode()
        digest = hmac.digest(key, f"{path}\n{expires}".encode(), hashlib.sha256)
        return f"{path}?token={name}.{expires}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


@contextmanager
def pages(stack: DeployedStack) -> Iterator[Site]:
    """A page of documents and a private one, which are deleted afterwards."""
    site, s3, bucket = Site(stack), stack.client("s3"), stack.output("BucketName")
    keys = [f"{site.docs[1:]}index.html", site.private[1:]]
    for key in keys:
        body = f"<h1>{site.run}</h1>".encode()
        s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType="text/html", CacheControl="max-age=300")
    try:
        yield site
    finally:
        for key in keys:
            s3.delete_object(Bucket=bucket, Key=key)


@contextmanager
def keys_of(stack: DeployedStack) -> Iterator[Keys]:
    """The keys; those that are left are removed afterwards, without the role of the operator."""
    keys = Keys(stack)
    try:
        yield keys
    finally:
        keys.client = stack.client("cloudfront-keyvaluestore")
        for name in list(keys.secrets):
            keys.remove(name)
