"""AWS Lambda. One module a behaviour, each with what it is faithful to, what it is not, and the AWS page.

Behind them `lambda_process`, `lambda_environment` and `lambda_bootstrap` run Python functions, and
`lambda_destinations` sends what became of asynchronous invocations.
"""

from __future__ import annotations

from localaws.services.lambda_ import alias_rules as lambda_alias_rules
from localaws.services.lambda_ import aliases as lambda_aliases
from localaws.services.lambda_ import async_invocation as lambda_async
from localaws.services.lambda_ import asynchronous_sources as lambda_sources
from localaws.services.lambda_ import concurrency as lambda_concurrency
from localaws.services.lambda_ import execution as lambda_execution
from localaws.services.lambda_ import invocation as lambda_invocation
from localaws.services.lambda_ import metrics as lambda_metrics
from localaws.services.lambda_ import properties as lambda_properties
from localaws.services.lambda_ import provisioned as lambda_provisioned
from localaws.services.lambda_ import trace as lambda_trace


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
