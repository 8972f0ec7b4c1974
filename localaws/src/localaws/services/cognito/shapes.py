"""Ids and secrets of app clients, and the attributes of a user pool in templates.

Faithful to: an id has 26 characters and a secret 51, lower-case letters and digits, none of them outside the
pattern of the API. `Fn::GetAtt` knows the ProviderURL of a pool, which is the issuer of its tokens.
Not to: how AWS makes them.

https://docs.aws.amazon.com/cognito-user-identity-pools/latest/APIReference/API_UserPoolClientType.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-cognito-userpool.html
"""

from __future__ import annotations

from collections.abc import Callable

from ministack.services import cognito
from ministack.services.cloudformation import provisioners

from localaws.identifiers import LOWER_CASE, identifier
from localaws.patching import Properties, around, replaces


@replaces(cognito, "_client_id")
def _client_id() -> str:
    return identifier(LOWER_CASE, 26)


@replaces(cognito, "_client_secret")
def _client_secret() -> str:
    return identifier(LOWER_CASE, 51)


@around(provisioners, "_cognito_user_pool_attributes")
def _attributes(stock: Callable[[str], Properties], pid: str) -> Properties:
    attributes = stock(pid)
    return {**attributes, "ProviderURL": f"https://{attributes['ProviderName']}"}
