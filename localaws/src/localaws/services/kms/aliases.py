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

from ministack.core import iam_actions, iam_evaluator
from ministack.core.router import extract_access_key_id
from ministack.services import kms

from localaws.patching import around

_MANAGING = ("CreateAlias", "UpdateAlias", "DeleteAlias")


@around(iam_actions, "extract_resource_arn", after=["lambda_.layers"])
def _extract_resource_arn(
    stock: Callable[..., str],
    service: str,
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    query_params: dict[str, Any],
    region: str,
    account_id: str,
) -> str:
    found = stock(service, method, path, headers, body, query_params, region, account_id)
    if service != "kms":
        return found
    operation = headers.get("x-amz-target", "").rpartition(".")[2]
    if operation in _MANAGING:
        alias = kms._alias_arn(iam_actions._safe_json_field(body, "AliasName"))
        keys = [kms._resolve_key(alias), kms._resolve_key(iam_actions._safe_json_field(body, "TargetKeyId"))]
        arns = [alias, *(key["Arn"] for key in keys if key)]
        key_id = extract_access_key_id(headers, query_params)
        # The request is authorised for one resource: the first that is refused, if any is.
        refused = (
            arn for arn in arns if iam_evaluator.enforce(key_id, f"kms:{operation}", "kms", region, arn)
        )
        return str(next(refused, arns[-1]))
    key = kms._resolve_key(found) if ":alias/" in found else None
    return str(key["Arn"]) if key else found


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
