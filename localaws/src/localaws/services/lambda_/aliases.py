"""Aliases: weighted ones route by their weights, and each is known by its own ARN.

The emulator stores the weights and always runs the alias's main version. A function that is reached through
an alias from another service sees the version's ARN, and is not subject to the alias's settings.

Faithful to: each invocation takes a version by the weights, from whatever service it comes;
`invoked_function_arn` is the alias's.
Not to: provisioned concurrency in the choice of the version. Which versions and weights an alias may have
is checked by `lambda_alias_rules`.

https://docs.aws.amazon.com/lambda/latest/dg/configuring-alias-routing.html
"""

from __future__ import annotations

from secrets import SystemRandom
from typing import Any

from ministack.services import lambda_svc

_random = SystemRandom()
_stock_effective = lambda_svc._effective_func_record_for_qualifier

Record = dict[str, Any]


def install() -> None:
    """Keep an alias's ARN when its version is looked up. `lambda_invocation` calls `routed` on each run."""
    lambda_svc._effective_func_record_for_qualifier = _effective


def function_of(config: Record) -> tuple[Record | None, str | None]:
    """The function that a configuration belongs to, and the qualifier in its ARN."""
    _, _, _, region, account, _, name, *qualifier = config["FunctionArn"].split(":")
    return lambda_svc._functions.get_scoped(account, region, name), qualifier[0] if qualifier else None


def _effective(func: Record | None, qualifier: str | None) -> tuple[Record | None, Record | None]:
    record, config = _stock_effective(func, qualifier)
    if not record or not config or not func or qualifier not in func["aliases"]:
        return record, config
    config = config | {"FunctionArn": func["aliases"][qualifier]["AliasArn"]}
    return record | {"config": config}, config


def routed(func: Record, config: Record) -> Record:
    """The record that an invocation runs: another version's, if the alias's weights choose it.

    Args:
        func: The emulator's record of what was invoked.
        config: Its configuration, with the ARN that was invoked.
    """
    owner, qualifier = function_of(config)
    alias = (owner or {}).get("aliases", {}).get(qualifier) or {}
    drawn = _random.random()
    for version, weight in _weights(alias).items():
        drawn -= float(weight)
        if drawn < 0 and owner and version in owner["versions"]:
            chosen: Record = owner["versions"][version]
            return chosen | {"config": chosen["config"] | {"FunctionArn": config["FunctionArn"]}}
    return func


def _weights(alias: Record) -> dict[str, float]:
    return (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
