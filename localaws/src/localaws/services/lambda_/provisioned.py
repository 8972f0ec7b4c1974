"""Provisioned concurrency: what may have it, and how a function sees that it has.

The emulator records it for anything, also for `$LATEST`, and tells functions nothing.

Faithful to: a configuration belongs to a published version or to an alias of one, is at least 1, not more
than the function's reserved concurrency with all its other configurations, and not both on an alias and on
its version; it is READY at once. The environments of a version that has it, by itself or through an alias,
have `AWS_LAMBDA_INITIALIZATION_TYPE` `provisioned-concurrency`.
Not to: environments made ahead of the first call, `on-demand` ones for the calls beyond the number, the time
that provisioning takes, metrics, Application Auto Scaling.

https://docs.aws.amazon.com/lambda/latest/dg/provisioned-concurrency.html
https://docs.aws.amazon.com/lambda/latest/api/API_PutProvisionedConcurrencyConfig.html
"""

from __future__ import annotations

from typing import Any

from ministack.core.responses import error_response_json
from ministack.services import lambda_svc

from localaws.services.lambda_.aliases import function_of

_stock_put = lambda_svc._put_provisioned_concurrency


def install() -> None:
    """Check what is put. `lambda_environment` asks for the type of initialization."""
    lambda_svc._put_provisioned_concurrency = _put


def _put(function: str, qualifier: str, data: dict[str, Any]) -> Any:
    owner = lambda_svc._functions.get(function)
    problem = _problem(owner, qualifier, data) if owner else None
    if problem:
        return error_response_json("InvalidParameterValueException", problem, 400)
    return _stock_put(function, qualifier, data)


def _problem(owner: dict[str, Any], qualifier: str, data: dict[str, Any]) -> str | None:
    if qualifier in ("", "$LATEST", None) or "$LATEST" in _versions_behind(owner, qualifier):
        return "Provisioned Concurrency Configs cannot be applied to unpublished function versions"
    wanted = int(data.get("ProvisionedConcurrentExecutions") or 0)
    if wanted < 1:
        return f"ProvisionedConcurrentExecutions is {wanted}: it must be at least 1"
    given = owner["provisioned_concurrency"]
    others = {name: config for name, config in given.items() if name != qualifier}
    versions = _versions_behind(owner, qualifier)
    if versions & {version for name in others for version in _versions_behind(owner, name)}:
        return (
            "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version"
        )
    reserved = lambda_svc._reserved_concurrency(owner, owner["config"])
    total = wanted + sum(each["RequestedProvisionedConcurrentExecutions"] for each in others.values())
    if reserved is not None and total > reserved:
        return (
            "Requested Provisioned Concurrency should not be greater than the "
            "reservedConcurrentExecution for function"
        )
    return None


def _versions_behind(owner: dict[str, Any], qualifier: str) -> set[str]:
    """The versions that a qualifier names: its own, or those that its alias routes to."""
    alias = owner["aliases"].get(qualifier)
    if not alias:
        return {qualifier}
    weights = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
    return {alias["FunctionVersion"], *weights}


def initialization_type(config: dict[str, Any]) -> str:
    """How the environments of a function's version are made: `AWS_LAMBDA_INITIALIZATION_TYPE`."""
    owner, _ = function_of(config)
    configured = (owner or {}).get("provisioned_concurrency", {})
    if owner and any(config["Version"] in _versions_behind(owner, name) for name in configured):
        return "provisioned-concurrency"
    return "on-demand"
