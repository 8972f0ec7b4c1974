"""Pushes an image to the registry of the embedded AWS, by the protocol that Docker speaks.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

from __future__ import annotations

import json
from typing import Any

import urllib3

from localaws.images.build import MANIFEST_TYPE
from localaws.images.store import Store


class PushError(Exception):
    """The registry refused an image; the message has its words."""


def push(store: Store, reference: str, manifest: str, *, endpoint_url: str, ca_file: str | None) -> None:
    """Push an image.

    Args:
        store: Where the image is.
        reference: `REGISTRY/REPOSITORY:TAG`.
        manifest: The digest of its manifest.
        endpoint_url: Where the embedded AWS is.
        ca_file: The certificate to trust.

    Raises:
        PushError: There is no login, or the registry refused it.
    """
    registry, _, path = reference.partition("/")
    repository, _, tag = path.partition(":")
    login = store.login(registry)
    if login is None:
        raise PushError(
            f"{registry}: not logged in; `docker login --username AWS --password-stdin {registry}`"
        )
    headers = {"Host": registry, **urllib3.make_headers(basic_auth=":".join(login))}
    pool = urllib3.PoolManager(ca_certs=ca_file, headers=headers)
    base = f"{endpoint_url}/v2/{repository}"

    def call(method: str, url: str, **more: Any) -> urllib3.BaseHTTPResponse:
        given = headers | more.pop("headers", {})
        answer = pool.request(method, url, headers=given, redirect=False, **more)
        if answer.status >= 400 and method != "HEAD":
            raise PushError(_said(answer))
        return answer

    content = store.blob(manifest)
    parsed = json.loads(content)
    for digest in [parsed["config"]["digest"], *(layer["digest"] for layer in parsed["layers"])]:
        if call("HEAD", f"{base}/blobs/{digest}").status == 200:
            continue
        place = call("POST", f"{base}/blobs/uploads/").headers["Location"]
        url = f"{endpoint_url}{place}?digest={digest}"
        call("PUT", url, body=store.blob(digest), headers={"Content-Type": "application/octet-stream"})
    call("PUT", f"{base}/manifests/{tag}", body=content, headers={"Content-Type": MANIFEST_TYPE})


def _said(answer: urllib3.BaseHTTPResponse) -> str:
    try:
        error = json.loads(answer.data)["errors"][0]
    except (ValueError, LookupError):
        return f"HTTP {answer.status}: {answer.data.decode(errors='replace')}"
    return f"{error['code'].lower().replace('_', ' ')}: {error['message']}"
