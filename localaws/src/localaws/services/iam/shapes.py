"""Secret keys and session tokens with the alphabet of AWS's, and tokens as long.

Faithful to: a secret key is 40 characters of base64, with "/" and "+", which have to be encoded in a URL. A
session token is long base64. GetRole returns RoleLastUsed, which is empty.
Not to: what a token of AWS contains.

https://docs.aws.amazon.com/STS/latest/APIReference/API_Credentials.html
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable
from typing import Any

from ministack.services import iam, sts

from localaws.patching import action, replaces


@replaces([iam, sts], "_gen_secret")
def _gen_secret() -> str:
    return base64.b64encode(secrets.token_bytes(30)).decode()


@replaces([iam, sts], "_gen_session_token")
def _gen_session_token() -> str:
    return "IQoJb3JpZ2luX2VjE" + base64.b64encode(secrets.token_bytes(480)).decode()


@action(iam, "GetRole")
def _get_role(stock: Callable[[Any], Any], p: Any) -> Any:
    """Return when the role was last used, which is unknown here: AWS returns an empty member then."""
    status, headers, body = stock(p)
    if b"<RoleLastUsed" not in body:
        body = body.replace(b"</Role></GetRoleResult>", b"<RoleLastUsed/></Role></GetRoleResult>")
    return status, headers, body
