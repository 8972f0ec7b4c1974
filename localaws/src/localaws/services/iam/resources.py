"""The resource that a request is authorised for, where the emulator finds another one, or none.

The emulator reads the resource of a request from its path, headers and body. For some services it finds less
than the policies of AWS name. The bridges of those say which it is, with `resource_of`.

Faithful to: a request that names several resources is authorised for each of them, so it is refused if one
of them is.
Not to: requests that no bridge knows: their resource is what the emulator finds.

https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ministack.core import iam_actions, iam_evaluator
from ministack.core.router import extract_access_key_id

from localaws.patching import around


@dataclass(frozen=True)
class Request:
    """A request that is about to be authorised.

    Attributes:
        service: The service, by the name that the emulator has for it.
        path: The path of the request, as it was sent.
        headers: The headers, with names in lower case.
        body: The body.
        query_params: The query string.
        region: The Region of the request.
        account: The account of the caller.
        found: The resource that was found until now: an ARN, or `*`.
    """

    service: str
    path: str
    headers: dict[str, str]
    body: bytes
    query_params: dict[str, Any]
    region: str
    account: str
    found: str

    @property
    def operation(self) -> str:
        """The operation, of a service whose requests name it in a header."""
        return self.headers.get("x-amz-target", "").rpartition(".")[2]

    def member(self, name: str) -> Any:
        """A member of the body; an empty text if it has no such member, or is not JSON."""
        return iam_actions._safe_json_field(self.body, name)

    def refused(self, arns: Sequence[str]) -> str | None:
        """The first of several resources for which the caller has no permission, if there is one."""
        key = extract_access_key_id(self.headers, self.query_params)
        action = f"{self.service}:{self.operation}"
        wanting = (arn for arn in arns if iam_evaluator.enforce(key, action, self.service, self.region, arn))
        return next(wanting, None)


Namer = Callable[[Request], str | None]

_namers: defaultdict[str, list[Namer]] = defaultdict(list)


def resource_of(*services: str) -> Callable[[Namer], Namer]:
    """Declare what names the resource of the requests of a service; `None` leaves it as it was found."""

    def declare(namer: Namer) -> Namer:
        for service in services:
            _namers[service].append(namer)
        return namer

    return declare


@around(iam_actions, "extract_resource_arn")
def _extract_resource_arn(
    stock: Callable[..., str],
    service: str,
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    query_params: dict[str, Any],
    region: str,
    account_id: str,
) -> str:
    found = stock(service, method, path, headers, body, query_params, region, account_id)
    for namer in _namers.get(service, ()):
        request = Request(service, path, headers, body, query_params, region, account_id, found)
        found = namer(request) or found
    return found
