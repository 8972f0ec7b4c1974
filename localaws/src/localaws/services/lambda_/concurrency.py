"""Reserved concurrency holds for the function as a whole, whichever version or alias is invoked.

The emulator looks for the limit on the record that runs, which a published version does not have.

Faithful to: over the limit, `Invoke` answers 429 `TooManyRequestsException` with the documented reason.
Not to: the account's limit (the emulator derives one from this machine's memory), scaling rates, provisioned
concurrency.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
"""

from __future__ import annotations

from typing import Any

from ministack.services import lambda_svc

from localaws.services.lambda_.aliases import function_of

_stock_reserved = lambda_svc._reserved_concurrency


def install() -> None:
    """Read the limit from the function, not from its version."""
    lambda_svc._reserved_concurrency = reserved


def reserved(func: dict[str, Any] | None, config: dict[str, Any]) -> int | None:
    """The function's reserved concurrency; None if it has none."""
    owner, _ = function_of(config)
    limit: int | None = _stock_reserved(owner or func, config)
    return limit
