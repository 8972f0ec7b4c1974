"""Reserved concurrency applies to the function as a whole, whichever version or alias is invoked.

The emulator looks for the limit in the record that runs, and that of a published version has none.

Faithful to: beyond the limit, `Invoke` returns 429 `TooManyRequestsException` with the documented reason.
Not to: the limit of the account (the emulator derives one from the memory of this machine), scaling rates,
provisioned concurrency.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ministack.services import lambda_svc

from localaws.patching import around
from localaws.services.lambda_.aliases import function_of


@around(lambda_svc, "_reserved_concurrency")
def _reserved_concurrency(
    stock: Callable[..., int | None], func: dict[str, Any] | None, config: dict[str, Any]
) -> int | None:
    owner, _ = function_of(config)
    return stock(owner or func, config)
