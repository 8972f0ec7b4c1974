"""Ids and secrets of app clients: lower-case letters and digits.

Faithful to: an id has 26 characters and a secret 51, none of them outside the pattern of the API.
Not to: how AWS makes them.

https://docs.aws.amazon.com/cognito-user-identity-pools/latest/APIReference/API_UserPoolClientType.html
"""

from __future__ import annotations

from ministack.services import cognito

from localaws.identifiers import LOWER_CASE, identifier
from localaws.patching import replaces


@replaces(cognito, "_client_id")
def _client_id() -> str:
    return identifier(LOWER_CASE, 26)


@replaces(cognito, "_client_secret")
def _client_secret() -> str:
    return identifier(LOWER_CASE, 51)
