"""Permissions on a KMS key that a request names by an alias, and on the aliases themselves.

The emulator asks for the permission on the alias, and for managing aliases on no resource at all.

Faithful to: the permission is asked for on the key, so a statement with the ARN of an alias allows nothing
else than to manage that alias; managing an alias takes permission on it and on each key concerned;
`kms:RequestAlias` and `kms:ResourceAliases`.
Not to: an alias of another account; the five minutes until a new alias has its effect.

https://docs.aws.amazon.com/kms/latest/developerguide/cmks-in-iam-policies.html
https://docs.aws.amazon.com/kms/latest/developerguide/alias-access.html
https://docs.aws.amazon.com/kms/latest/developerguide/alias-authorization.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ministack.core import iam_actions
from ministack.services import kms

from localaws.patching import around
from localaws.services.iam.resources import Request, resource_of

_MANAGING = ("CreateAlias", "UpdateAlias", "DeleteAlias")


@resource_of("kms")
def _key(request: Request) -> str | None:
    if request.operation in _MANAGING:
        alias = kms._alias_arn(request.member("AliasName"))
        keys = [kms._resolve_key(alias), kms._resolve_key(request.member("TargetKeyId"))]
        arns = [alias, *(key["Arn"] for key in keys if key)]
        return str(request.refused(arns) or arns[-1])
    key = kms._resolve_key(request.found) if ":alias/" in request.found else None
    return str(key["Arn"]) if key else None


@around(iam_actions, "request_tag_context", after=["kms.encryption_context"])
def _request_tag_context(
    stock: Callable[..., dict[str, Any]], service: str, iam_action: str, body: bytes, params: dict[str, Any]
) -> dict[str, Any]:
    """The condition keys that a request brings itself, and those of the aliases of its key."""
    keys = stock(service, iam_action, body, params)
    if service != "kms":
        return keys
    named = str(iam_actions._safe_json_field(body, "KeyId"))
    blob = iam_actions._safe_json_field(body, "CiphertextBlob")
    key = kms._resolve_key(named or iam_actions._kms_key_id_from_ciphertext(blob))
    if key is None:
        return keys
    if "alias/" in named:
        keys["kms:requestalias"] = "alias/" + named.partition("alias/")[2]
    aliases = [_name(arn) for arn, target in kms._aliases.items() if target == key["KeyId"]]
    return keys | ({"kms:resourcealiases": aliases} if aliases else {})


def _name(arn: str) -> str:
    return "alias/" + arn.partition(":alias/")[2]
