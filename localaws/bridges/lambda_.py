"""AWS Lambda. One module a behaviour, each with what it is faithful to, what it is not, and the AWS page.

Behind them `lambda_process`, `lambda_environment` and `lambda_bootstrap` run Python functions, and
`lambda_destinations` sends what became of asynchronous invocations.
"""

from __future__ import annotations

from localaws.bridges import (
    lambda_alias_rules,
    lambda_aliases,
    lambda_async,
    lambda_concurrency,
    lambda_execution,
    lambda_invocation,
    lambda_metrics,
    lambda_properties,
    lambda_provisioned,
    lambda_sources,
    lambda_trace,
)


def install() -> None:
    """Install all of them. They patch different parts of the emulator, so their order does not matter."""
    lambda_alias_rules.install()
    lambda_aliases.install()
    lambda_async.install()
    lambda_concurrency.install()
    lambda_execution.install()
    lambda_invocation.install()
    lambda_metrics.install()
    lambda_properties.install()
    lambda_provisioned.install()
    lambda_sources.install()
    lambda_trace.install()
