"""Secret keys and session tokens with the alphabet of AWS's, and tokens as long.

Faithful to: a secret key is 40 characters of base64, with "/" and "+", which have to be encoded in a URL. A
session token is long base64.
Not to: what a token of AWS contains.

https://docs.aws.amazon.com/STS/latest/APIReference/API_Credentials.html
"""

from __future__ import annotations

import base64
import secrets

from ministack.services import iam, sts

from localaws.patching import replaces


@replaces([iam, sts], "_gen_secret")
def _gen_secret() -> str:
    return base64.b64encode(secrets.token_bytes(30)).decode()


@replaces([iam, sts], "_gen_session_token")
def _gen_session_token() -> str:
    return "IQoJb3JpZ2luX2VjE" + base64.b64encode(secrets.token_bytes(480)).decode()
