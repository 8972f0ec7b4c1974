"""Reserved concurrency of the function as a whole, and provisioned concurrency of versions and aliases.

The emulator looks for reserved concurrency in the record that runs, and that of a published version has none.
It accepts provisioned concurrency for everything, also for `$LATEST`, and functions do not see it.

Faithful to:
- Beyond the reserved concurrency, `Invoke` returns 429 `TooManyRequestsException` with the documented reason.
- A provisioned concurrency configuration is for a published version, or for an alias of published versions.
  It is at least 1, not more than the function's reserved concurrency minus its other configurations, and not
  on both an alias and its version. It is READY immediately. Functions of a version with provisioned
  concurrency, its own or that of an alias, see `AWS_LAMBDA_INITIALIZATION_TYPE` `provisioned-concurrency`.
Not to: the limit of the account (the emulator derives one from the memory of this machine), scaling rates;
environments that are initialised in advance, `on-demand` environments for invocations beyond the number, the
time that provisioning takes, metrics, Application Auto Scaling.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
https://docs.aws.amazon.com/lambda/latest/dg/provisioned-concurrency.html
https://docs.aws.amazon.com/lambda/latest/api/API_PutProvisionedConcurrencyConfig.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ministack.core.responses import error_response_json
from ministack.services import lambda_svc

from localaws.patching import around
from localaws.services.lambda_.aliases import function_of


@around(lambda_svc, "_reserved_concurrency")
def _reserved_concurrency(
    stock: Callable[..., int | None], func: dict[str, Any] | None, config: dict[str, Any]
) -> int | None:
    owner, _ = function_of(config)
    return stock(owner or func, config)


# --- Provisioned concurrency


@around(lambda_svc, "_put_provisioned_concurrency")
def _put(stock: Callable[..., Any], func_name: str, qualifier: str, data: dict[str, Any]) -> Any:
    owner = lambda_svc._functions.get(func_name)
    problem = _problem(owner, qualifier, data) if owner else None
    if problem:
        return error_response_json("InvalidParameterValueException", problem, 400)
    return stock(func_name, qualifier, data)


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
    """The version that a qualifier names, or all versions that an alias routes to."""
    alias = owner["aliases"].get(qualifier)
    if not alias:
        return {qualifier}
    weights = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
    return {alias["FunctionVersion"], *weights}


def initialization_type(config: dict[str, Any]) -> str:
    """The `AWS_LAMBDA_INITIALIZATION_TYPE` of a function's version."""
    owner, _ = function_of(config)
    configured = (owner or {}).get("provisioned_concurrency", {})
    if owner and any(config["Version"] in _versions_behind(owner, name) for name in configured):
        return "provisioned-concurrency"
    return "on-demand"
