"""Images by the protocol of registries: derives one from another and pushes it, as another build would."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from typing import Any

from scenarios.framework import DeployedStack, ScenarioFailed, require
from scenarios.support.endpoints import Endpoint, HttpResponse

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class Registry:
    """The registry of the stack's account.

    Args:
        stack: The deployed stack.
    """

    def __init__(self, stack: DeployedStack) -> None:
        self.repository = stack.output("RepositoryName")
        self.uri = stack.output("RepositoryUri")
        token = stack.client("ecr").get_authorization_token()["authorizationData"][0]
        self._headers = {"Authorization": f"Basic {token['authorizationToken']}"}
        self._endpoint = Endpoint.of(stack, f"https://{self.uri.partition('/')[0]}")

    def release(self, source: str, release: str, files: Mapping[str, bytes]) -> bytes:
        """Make a new release of an image: its layers, and one more; all of them are pushed.

        Args:
            source: The URI of the image, with its digest.
            release: The value of the variable `RELEASE`.
            files: What the new layer has.

        Returns:
            The manifest, for `push`.
        """
        name, digest = source.partition("/")[2].split("@")
        manifest = self._get(f"{name}/manifests/{digest}").json()
        config = self._get(f"{name}/blobs/{manifest['config']['digest']}").json()
        for layer in manifest["layers"]:
            mount = f"{self.repository}/blobs/uploads/?mount={layer['digest']}&from={name}"
            require(self._call("POST", mount).status == 201, f"{layer['digest']} is not in {name}")
        archive = _archive(files)
        variables = [one for one in config["config"]["Env"] if not one.startswith("RELEASE=")]
        config["config"]["Env"] = [*variables, f"RELEASE={release}"]
        config["rootfs"]["diff_ids"].append(_digest(archive))
        layer = {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip"}
        manifest["layers"].append(layer | self._upload(gzip.compress(archive, mtime=0)))
        manifest["config"] |= self._upload(json.dumps(config).encode())
        return json.dumps(manifest).encode()

    def push(self, manifest: bytes, tag: str) -> HttpResponse:
        """Push an image under a tag, and return the answer of the registry."""
        return self._call("PUT", f"{self.repository}/manifests/{tag}", manifest, {"Content-Type": _MANIFEST})

    def uri_of(self, manifest: bytes) -> str:
        """The URI of an image with its digest."""
        return f"{self.uri}@{_digest(manifest)}"

    def _upload(self, data: bytes) -> dict[str, Any]:
        digest = _digest(data)
        started = self._call("POST", f"{self.repository}/blobs/uploads/")
        place = started.header("location").partition("/v2/")[2]
        answer = self._call("PUT", f"{place}?digest={digest}", data)
        require(answer.status == 201, f"a layer: {answer.status} {answer.body!r}")
        return {"digest": digest, "size": len(data)}

    def _get(self, path: str) -> HttpResponse:
        answer = self._call("GET", path)
        if answer.status != 200:
            raise ScenarioFailed(f"GET {path}: {answer.status} {answer.body!r}")
        return answer

    def _call(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> HttpResponse:
        lines = {**self._headers, **(headers or {})}
        return self._endpoint.request(method, f"/v2/{path}", headers=lines.items(), body=body)


def _archive(files: Mapping[str, bytes]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.mode, info.size = 0o644, len(data)
            archive.addfile(info, io.BytesIO(data))
    return raw.getvalue()


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
