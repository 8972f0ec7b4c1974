"""The environments as their callers see them: by ARN, by URL, and what Lambda reports about each alias."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from scenarios.framework import DeployedStack, require
from scenarios.support.endpoints import Endpoint, HttpResponse

ENVIRONMENTS = ("dev", "test", "prod")

GRAMS = 1200  # charged as two kilograms
_CONCURRENT_CALLS = 8


@dataclass(frozen=True)
class Target:
    """The versions that an alias points at.

    Args:
        version: The number of its version.
        weights: The weight of each additional version.
    """

    version: str
    weights: Mapping[str, float]

    @property
    def versions(self) -> set[str]:
        """All versions that can answer."""
        return {self.version, *self.weights}

    def __str__(self) -> str:
        return ", ".join([f"version {self.version}", *(f"{v}: {w:g}" for v, w in self.weights.items())])


class Aliases:
    """The function's environments.

    Args:
        stack: The deployed stack.
    """

    def __init__(self, stack: DeployedStack) -> None:
        self._stack = stack
        self._lambda = stack.client("lambda")
        self.function = stack.output("FunctionName")
        self._arns = {name: stack.output(f"{name.capitalize()}Arn") for name in ENVIRONMENTS}

    def target(self, name: str) -> Target:
        """Return the versions that an alias points at, and check that its ARN has not changed."""
        alias = self._lambda.get_alias(FunctionName=self.function, Name=name)
        require(alias["AliasArn"] == self._arns[name], f"{name}: its ARN is now {alias['AliasArn']}")
        weights = alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})
        return Target(alias["FunctionVersion"], weights)

    def targets(self) -> dict[str, Target]:
        """Return the versions that every alias points at."""
        return {name: self.target(name) for name in ENVIRONMENTS}

    def versions(self) -> dict[str, str]:
        """Return the hash of the code of each published version, by its number."""
        pages = self._lambda.get_paginator("list_versions_by_function").paginate(FunctionName=self.function)
        found = {one["Version"]: one["CodeSha256"] for page in pages for one in page["Versions"]}
        return {number: code for number, code in found.items() if number != "$LATEST"}

    def unused_versions(self) -> set[str]:
        """Return the published versions that no alias points at."""
        used = {version for target in self.targets().values() for version in target.versions}
        return self.versions().keys() - used

    def quote(self, name: str) -> dict[str, Any]:
        """Invoke an environment by its ARN and return the quote."""
        response = self._lambda.invoke(
            FunctionName=self._arns[name], Payload=json.dumps({"grams": GRAMS}).encode()
        )
        quote: dict[str, Any] = json.loads(response["Payload"].read())
        require("FunctionError" not in response, f"{name} failed: {quote}")
        require(quote["environment"] == name, f"{name} ran as environment {quote['environment']}")
        executed = response["ExecutedVersion"]
        require(quote["version"] == executed, f"{name} ran version {executed} as version {quote['version']}")
        return quote

    def versions_seen(self, name: str, calls: int) -> Counter[str]:
        """Invoke an environment many times and count which version answered."""
        with ThreadPoolExecutor(_CONCURRENT_CALLS) as pool:
            return Counter(quote["version"] for quote in pool.map(self.quote, [name] * calls))

    def request(self, body: bytes) -> HttpResponse:
        """Send a signed request to prod's function URL."""
        url = self._stack.output("ProdUrl")
        endpoint = Endpoint.of(self._stack, url.rstrip("/"))
        headers = {"host": endpoint.host, "content-type": "application/json"}
        request = AWSRequest("POST", url, data=body, headers=headers)
        credentials = self._stack.session.get_credentials()
        assert credentials is not None
        SigV4Auth(credentials, "lambda", self._stack.session.region_name).add_auth(request)
        signed = [(key, value) for key, value in request.headers.items() if key.lower() != "host"]
        return endpoint.request("POST", "/", headers=signed, body=body)
