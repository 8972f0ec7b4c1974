"""Web identity tokens are verified before a role is assumed with one.

The call is unsigned, so the token is all that proves who calls, and the emulator believes every token.

Faithful to: a token of a Cognito user pool, or of GetOpenIdToken, is accepted until it expires if its
signature is valid. Every other one is refused with InvalidIdentityToken.
Not to: the keys of other providers are on the Internet, which this account does not reach. A caller that
signs the request with its own AWS credentials is not asked for a token that can be verified.

https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-tokens-verifying-a-jwt.html
"""

from __future__ import annotations

import base64
import json
import time
from typing import Any
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from ministack.services import cognito, sts

_IDENTITY_POOLS = "https://cognito-identity.amazonaws.com"


def refusal(parameters: dict[str, list[str]]) -> tuple[int, dict[str, str], bytes] | None:
    """The error for a request with a token that proves nothing; None for one that does.

    Args:
        parameters: Those of the request.
    """
    tokens = parameters.get("WebIdentityToken", [])
    if len(tokens) == 1 and _is_proven(tokens[0]):
        return None
    answer: tuple[int, dict[str, str], bytes] = sts._error(
        400,
        "InvalidIdentityToken",
        "Couldn't retrieve verification key from your identity provider, please reference "
        "AssumeRoleWithWebIdentity documentation for requirements",
        ns="sts",
    )
    return answer


def _is_proven(token: str) -> bool:
    try:
        head, body, signature = token.split(".")
        claims = json.loads(_bytes(body))
        algorithm = json.loads(_bytes(head))["alg"]
        keys = _keys(str(claims["iss"]))
        fresh = float(claims["exp"]) > time.time()
    except (ValueError, KeyError, TypeError):
        return False
    return fresh and algorithm == "RS256" and any(_signs(key, f"{head}.{body}", signature) for key in keys)


def _keys(issuer: str) -> list[Any]:
    """The keys with which the issuer signs; none for an issuer that is not of this account."""
    parts = urlsplit(issuer)
    if issuer == _IDENTITY_POOLS:
        return [cognito._RSA_PRIVATE_KEY]
    pool = parts.path.strip("/")
    if not (parts.hostname or "").startswith("cognito-idp.") or cognito._get_pool_unscoped(pool) is None:
        return []
    return [cognito._pool_signing_key(pool, use)[0] for use in cognito._POOL_KEY_USES]


def _signs(key: Any, text: str, signature: str) -> bool:
    if key is None:
        return False
    try:
        key.public_key().verify(_bytes(signature), text.encode(), PKCS1v15(), SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
