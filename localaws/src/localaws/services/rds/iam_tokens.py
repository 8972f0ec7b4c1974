"""IAM tokens for databases, signed by a function: its credentials are temporary, and say until when.

The emulator gives a function's role a session without an end, and lets nobody into a database whose session
has none.

Faithful to: a session of a function's role ends, hours after its environment began.
Not to: new credentials for an environment that lives longer.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html
"""

from __future__ import annotations

import time
from typing import Any

from ministack.core import lambda_runtime
from ministack.services import sts

_SECONDS = 12 * 3600


def install() -> None:
    """Let the sessions of functions have an end."""
    stock = lambda_runtime.execution_credentials

    def with_end(config: dict[str, Any]) -> dict[str, str]:
        credentials: dict[str, str] = stock(config)
        session = sts._sessions.get(credentials["AWS_ACCESS_KEY_ID"])
        if session is not None:
            session["Expiration"] = time.time() + _SECONDS
        return credentials

    lambda_runtime.execution_credentials = with_end
