"""Ids and credentials of IAM and STS with the alphabet and length of AWS's.

Faithful to: ids and access keys have capital letters and the digits 2 to 7. A secret key is 40 characters of
base64, with "/" and "+", which have to be encoded in a URL. A session token is long base64. GetRole returns
RoleLastUsed, which is empty.
Not to: what a token or an access key of AWS contains.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids
https://docs.aws.amazon.com/STS/latest/APIReference/API_Credentials.html
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable
from typing import Any

from ministack.services import cognito, iam, sts

from localaws.identifiers import BASE32, cut_text, identifier
from localaws.patching import action, replaces


@replaces([sts, cognito], "new_uuid")
def _new_uuid() -> str:
    """Of which both make the id of a role that does not exist."""
    return cut_text({17: (BASE32, 17)})


@replaces(iam, "_gen_id")
def _gen_id(prefix: str = "AIDA") -> str:
    return prefix + identifier(BASE32, 17)


@replaces(iam, "_gen_access_key_id")
def _gen_access_key_id() -> str:
    return "AKIA" + identifier(BASE32, 16)


@replaces([iam, sts], "_gen_session_access_key")
def _gen_session_access_key() -> str:
    return "ASIA" + identifier(BASE32, 16)


@replaces([iam, sts], "_gen_secret")
def _gen_secret() -> str:
    return base64.b64encode(secrets.token_bytes(30)).decode()


@replaces([iam, sts], "_gen_session_token")
def _gen_session_token() -> str:
    return "IQoJb3JpZ2luX2VjE" + base64.b64encode(secrets.token_bytes(480)).decode()


def new_credentials() -> tuple[str, str, str]:
    """New temporary credentials: access key, secret key and session token."""
    return _gen_session_access_key(), _gen_secret(), _gen_session_token()


@action(iam, "GetRole")
def _get_role(stock: Callable[[Any], Any], p: Any) -> Any:
    """Return when the role was last used, which is unknown here: AWS returns an empty member then."""
    status, headers, body = stock(p)
    if b"<RoleLastUsed" not in body:
        body = body.replace(b"</Role></GetRoleResult>", b"<RoleLastUsed/></Role></GetRoleResult>")
    return status, headers, body
