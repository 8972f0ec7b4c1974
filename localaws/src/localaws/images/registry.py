"""Pushes an image to the registry of the embedded AWS, by the protocol that Docker speaks.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import ssl
from urllib.parse import urlsplit

from localaws.images.build import MANIFEST_TYPE
from localaws.images.store import Store

_SECONDS = 60


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
    address = urlsplit(endpoint_url)
    assert address.hostname
    context = ssl.create_default_context(cafile=ca_file)
    connection = http.client.HTTPSConnection(
        address.hostname, address.port, timeout=_SECONDS, context=context
    )
    token = base64.b64encode(":".join(login).encode()).decode()

    def call(method: str, path: str, body: bytes = b"", kind: str = "application/octet-stream") -> str:
        """Send a request; returns where the answer leads to, or its status."""
        headers = {"Host": registry, "Authorization": f"Basic {token}", "Content-Type": kind}
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        said = answer.read()
        if answer.status >= 400 and method != "HEAD":
            raise PushError(_said(answer.status, said))
        return answer.headers.get("Location") or str(answer.status)

    content = store.blob(manifest)
    parsed, base = json.loads(content), f"/v2/{repository}"
    with contextlib.closing(connection):
        for digest in [parsed["config"]["digest"], *(layer["digest"] for layer in parsed["layers"])]:
            if call("HEAD", f"{base}/blobs/{digest}") != "200":
                place = call("POST", f"{base}/blobs/uploads/")
                call("PUT", f"{place}?digest={digest}", store.blob(digest))
        call("PUT", f"{base}/manifests/{tag}", content, MANIFEST_TYPE)


def _said(status: int, body: bytes) -> str:
    try:
        error = json.loads(body)["errors"][0]
    except (ValueError, LookupError):
        return f"HTTP {status}: {body.decode(errors='replace')}"
    return f"{error['code'].lower().replace('_', ' ')}: {error['message']}"
