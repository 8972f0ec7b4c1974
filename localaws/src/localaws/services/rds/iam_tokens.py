"""IAM authentication tokens signed by a function: the session of its role has an expiration.

The emulator gives the role of a function a session that does not expire, and accepts no token that is signed
with such a session.

Faithful to: the session of a function's role expires, hours after its environment started.
Not to: new credentials for an environment that lives longer.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ministack.core import lambda_runtime
from ministack.services import sts

from localaws.patching import around

_SECONDS = 12 * 3600


@around(lambda_runtime, "execution_credentials", after=["iam.credentials"])
def _execution_credentials(
    stock: Callable[[dict[str, Any]], dict[str, str]], config: dict[str, Any]
) -> dict[str, str]:
    credentials = stock(config)
    session = sts._sessions.get(credentials["AWS_ACCESS_KEY_ID"])
    if session is not None:
        session["Expiration"] = time.time() + _SECONDS
    return credentials
