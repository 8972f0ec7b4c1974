"""Permissions and key policies with `kms:EncryptionContext:…` and `kms:EncryptionContextKeys`.

The emulator knows neither condition key: a statement with one never applies.

Faithful to: both keys for every call with an encryption context. Without a context in the request the keys
are missing, so that a statement that requires one does not apply.
Not to: encryption contexts in the constraints of grants.

https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ministack.core import iam_actions

from localaws.patching import around


@around(iam_actions, "request_tag_context")
def _request_tag_context(
    stock: Callable[..., dict[str, Any]], service: str, iam_action: str, body: bytes, params: dict[str, Any]
) -> dict[str, Any]:
    """The condition keys that a request brings itself."""
    keys = stock(service, iam_action, body, params)
    return keys | _of_kms(body) if service == "kms" else keys


def _of_kms(body: bytes) -> dict[str, Any]:
    try:
        request = json.loads(body)
    except ValueError:  # the service refuses it
        return {}
    context = request.get("EncryptionContext") if isinstance(request, dict) else None
    if not isinstance(context, dict) or not context:
        return {}
    named = {f"kms:encryptioncontext:{name}".lower(): value for name, value in context.items()}
    return named | {"kms:encryptioncontextkeys": list(context)}
