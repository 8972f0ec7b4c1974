"""Weighted aliases, and the ARN of the alias in invocations.

The emulator stores the weights and always runs the main version of an alias. A function that another service
invokes through an alias sees the ARN of the version, and the settings of the alias do not apply.

Faithful to: each invocation, of whatever source, selects a version by the weights. `invoked_function_arn` is
that of the alias.
Not to: provisioned concurrency in the selection of the version. `lambda_.alias_rules` checks which versions
and weights an alias may have.

https://docs.aws.amazon.com/lambda/latest/dg/configuring-alias-routing.html
"""

from __future__ import annotations

from collections.abc import Callable
from secrets import SystemRandom
from typing import Any

from ministack.services import lambda_svc

from localaws.patching import around

_random = SystemRandom()

Record = dict[str, Any]


def function_of(config: Record) -> tuple[Record | None, str | None]:
    """The function of a configuration, and the qualifier in its ARN."""
    _, _, _, region, account, _, name, *qualifier = config["FunctionArn"].split(":")
    return lambda_svc._functions.get_scoped(account, region, name), qualifier[0] if qualifier else None


@around(lambda_svc, "_effective_func_record_for_qualifier")
def _effective(
    stock: Callable[..., tuple[Record | None, Record | None]], func: Record | None, qualifier: str | None
) -> tuple[Record | None, Record | None]:
    """The record and configuration behind a qualifier, with the ARN of the alias if it is one."""
    record, config = stock(func, qualifier)
    if not record or not config or not func or qualifier not in func["aliases"]:
        return record, config
    config = config | {"FunctionArn": func["aliases"][qualifier]["AliasArn"]}
    return record | {"config": config}, config


def routed(func: Record, config: Record) -> Record:
    """The record that an invocation runs: that of another version, if the alias's weights select it.

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
