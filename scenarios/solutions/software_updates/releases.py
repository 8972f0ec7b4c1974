"""The vendor, who publishes releases in the bucket, and the clients at three edge locations."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import ClientError

from scenarios.framework import DeployedStack, NotYet, require
from scenarios.solutions.software_updates.origin import Requests, origin
from scenarios.support.endpoints import Endpoint, HttpResponse

# In a real account a request arrives at the edge location that is nearest, and this header says nothing.
EDGES = ("FRA56-P1", "NRT57-P4", "GRU3-P3")
_EDGE = "X-Localaws-Edge"
_MANIFEST = "manifest.json"


# Says that a manifest is the scenario's own: one of a user is neither replaced nor deleted.
_MADE = {"made-by": "scenario"}


class Updates:
    """The releases of one run, which end with it.

    Args:
        stack: The deployed stack.
        requests: What the origin was asked for; None in a real account.

    Raises:
        ScenarioFailed: The bucket has a manifest of another author.
    """

    def __init__(self, stack: DeployedStack, requests: Requests | None) -> None:
        self.stack, self.requests, self.run = stack, requests, secrets.token_hex(4)
        self._s3, self._bucket = stack.client("s3"), stack.output("BucketName")
        self._endpoint = Endpoint.of(stack, f"https://{stack.output('DomainName')}")
        self._keys: list[str] = []
        require(
            self._manifest_is_ours(),
            f"s3://{self._bucket}/{_MANIFEST} names a release of yours, and this would send its clients to "
            "test versions: use a stack that has released nothing",
        )

    def _manifest_is_ours(self) -> bool:
        """Whether there is no manifest, or one that a run has left behind."""
        try:
            found = self._s3.head_object(Bucket=self._bucket, Key=_MANIFEST)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                raise
            return True
        return bool(found["Metadata"] == _MADE)

    def path(self, version: str) -> str:
        """Return the path of a version's file, which never changes."""
        return f"/releases/{version}-{self.run}/app.bin"

    def upload(self, version: str) -> None:
        """Upload the file of a version, which must be new."""
        key = self.path(version)[1:]
        self._keys.append(key)
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=f"app {version}".encode(), IfNoneMatch="*")

    def announce(self, version: str) -> None:
        """Write the manifest that names a version as the current one.

        HTTP dates have whole seconds: within the second of the manifest before, nothing would look changed.
        """
        time.sleep(1 - time.time() % 1)  # to the next second, however long it takes
        text = json.dumps({"version": version, "file": self.path(version)})
        self._s3.put_object(Bucket=self._bucket, Key=_MANIFEST, Body=text.encode(), Metadata=_MADE)

    def get(self, path: str, edge: str = EDGES[0]) -> HttpResponse:
        """The answer to a client at an edge location."""
        return self._endpoint.request("GET", path, headers=[(_EDGE, edge)])

    def current(self, edge: str = EDGES[0]) -> str:
        """The version that the manifest names to a client."""
        answer = self.get(f"/{_MANIFEST}", edge)
        return str(answer.json()["version"]) if answer.status == 200 else str(answer.status)

    def wait_for(self, version: str) -> None:
        """Wait until the fleet has copied the release: seconds in a real account."""

        def check() -> None:
            seen = self.current(), self.get(self.path(version)).status
            if seen != (version, 200):
                raise NotYet(f"manifest {seen[0]}, file {seen[1]}")

        self.stack.wait_until(check, f"release {version} is at the origin")

    def counted(self, version: str) -> int:
        """How many requests for the file of a version reached the origin."""
        require(self.requests is not None, "in a real account, the requests at the origin are not counted")
        assert self.requests is not None
        return self.requests.of(self.path(version))

    def delete(self) -> None:
        """Delete what the run has published."""
        for key in (*self._keys, *([_MANIFEST] if self._manifest_is_ours() else [])):
            self._s3.delete_object(Bucket=self._bucket, Key=key)


@contextmanager
def updates(stack: DeployedStack) -> Iterator[Updates]:
    """Releases that are deleted afterwards, with an origin."""
    with origin(stack) as requests:
        made = Updates(stack, requests)
        try:
            yield made
        finally:
            made.delete()
