"""A client of the deployed notes service."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from scenarios.framework import DeployedStack, NotYet, require
from scenarios.support.endpoints import Endpoint, Headers, HttpResponse

TEXT = (("Content-Type", "text/plain; charset=utf-8"),)
BINARY = (("Content-Type", "application/octet-stream"),)


class NotesClient:
    """Sends requests to the service; the notes that it wrote are deleted when the `with` block ends.

    Args:
        stack: The deployed stack.
    """

    def __init__(self, stack: DeployedStack) -> None:
        self._stack = stack
        self._endpoint = Endpoint.of(stack, stack.output("Url"))
        self._written: set[str] = set()
        self.run_id = uuid.uuid4().hex[:8]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda path: self.send("DELETE", path), self._written))

    def wait_until_reachable(self) -> None:
        """Wait until the load balancer answers; its DNS name may be too new."""

        def check() -> None:
            try:
                status = self.send("GET", "/health").status
            except OSError as error:
                raise NotYet(str(error)) from None
            if status != 200:
                raise NotYet(f"status {status}")

        self._stack.wait_until(check, "GET /health")

    def path(self, name: str) -> str:
        """The path of a note of this run."""
        return f"/notes/{quote(f'{self.run_id} {name}', safe='')}"

    def send(self, method: str, target: str, headers: Headers = (), body: bytes = b"") -> HttpResponse:
        """Send a request."""
        if method == "PUT" and target.startswith("/notes/"):
            self._written.add(target)
        return self._endpoint.request(method, target, headers=headers, body=body)

    def send_patiently(
        self, method: str, target: str, headers: Headers = (), body: bytes = b""
    ) -> HttpResponse:
        """Send a request, and repeat it as long as the service asks for that: it is idempotent."""
        answer = self.send(method, target, headers, body)
        for _ in range(20):
            if answer.status != 503:
                break
            time.sleep(float(answer.header("retry-after") or 1))  # as the service asks for
            answer = self.send(method, target, headers, body)
        return answer

    def expect(
        self, status: int, method: str, target: str, headers: Headers = (), body: bytes = b""
    ) -> HttpResponse:
        """Send a request whose response must have this status."""
        answer = self.send(method, target, headers, body)
        require(
            answer.status == status,
            f"{method} {target}: {answer.status} instead of {status}: {answer.body[:300]!r}",
        )
        return answer

    def expect_problem(
        self, status: int, method: str, target: str, headers: Headers = (), body: bytes = b""
    ) -> dict[str, Any]:
        """Send a request that the service, not the load balancer, must refuse, and return the problem."""
        answer = self.expect(status, method, target, headers, body)
        kind = answer.header("content-type")
        require(
            kind == "application/problem+json" and answer.json()["status"] == status,
            f"{method} {target}: the {status} is not from the service: {kind} {answer.body[:300]!r}",
        )
        problem: dict[str, Any] = answer.json()
        return problem

    def wait_for_list(self, query: str, count: int) -> list[dict[str, Any]]:
        """Wait until a list has this many notes: the index lags slightly behind."""

        def check() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = self.expect(200, "GET", f"/notes?{query}").json()["notes"]
            if len(found) != count:
                raise NotYet(f"{len(found)} of {count}")
            return found

        return self._stack.wait_until(check, f"{count} notes in /notes?{query}")
