"""What KMS refuses of keys, aliases and data keys because of their state or of each other.

The emulator enables a key that is pending deletion, and lets anyone make the aliases of AWS.

Faithful to: a data key has a spec or a number of bytes; a key is deleted after 7 to 30
days; an alias begins with `alias/` and not with
`alias/aws/`; a key that is pending deletion cannot be enabled, disabled, rotated, given an alias or scheduled
for deletion again; at most 50 tags, none of AWS; a key policy is called `default`.
Not to: custom key stores.

https://docs.aws.amazon.com/kms/latest/APIReference/API_GenerateDataKey.html
https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateAlias.html
https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html
https://docs.aws.amazon.com/kms/latest/APIReference/API_TagResource.html
"""

from __future__ import annotations

from ministack.services import kms

from localaws.refusals import Parameters, Refusal, refuses

_MOST_TAGS = 50


@refuses("kms", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext")
def _data_key(request: Parameters) -> Refusal | None:
    given = [name for name in ("KeySpec", "NumberOfBytes") if request.get(name) is not None]
    if len(given) == 1:
        return None
    return Refusal("ValidationException", "Please specify either number of bytes or key spec.")


@refuses("kms", "CreateAlias", "UpdateAlias", "DeleteAlias")
def _alias(request: Parameters) -> Refusal | None:
    name = str(request.get("AliasName"))
    if name.startswith("alias/aws/"):
        return Refusal("NotAuthorizedException", "The prefix alias/aws/ is reserved for AWS managed keys.")
    if not name.startswith("alias/") or name == "alias/":
        return Refusal("ValidationException", "Invalid identifier")
    return None


@refuses("kms", "EnableKey", "DisableKey", "ScheduleKeyDeletion", "EnableKeyRotation", "DisableKeyRotation")
@refuses("kms", "CreateAlias", "UpdateAlias", "CreateGrant", "UpdateKeyDescription", "TagResource")
@refuses("kms", "UntagResource")
def _state(request: Parameters) -> Refusal | None:
    key = kms._resolve_key(request.get("TargetKeyId") or request.get("KeyId") or "")
    if key is None or key.get("KeyState") != "PendingDeletion":
        return None
    return Refusal("KMSInvalidStateException", f"{key['Arn']} is pending deletion.")


@refuses("kms", "CreateKey", "TagResource")
def _tags(request: Parameters) -> Refusal | None:
    names = [str(tag.get("TagKey", tag.get("Key"))) for tag in request.get("Tags") or []]
    if any(name.lower().startswith("aws:") for name in names):
        return Refusal("TagException", "Tag keys that begin with aws: are reserved for AWS.")
    if len(set(names)) < len(names):
        return Refusal("TagException", "Duplicate tag keys")
    return Refusal("TagException", "Too many tags") if len(names) > _MOST_TAGS else None


@refuses("kms", "ScheduleKeyDeletion")
def _window(request: Parameters) -> Refusal | None:
    days = request.get("PendingWindowInDays")
    if days is None or 7 <= int(days) <= 30:
        return None
    return Refusal("ValidationException", "PendingWindowInDays must be between 7 and 30")


@refuses("kms", "PutKeyPolicy")
def _name_of_policy(request: Parameters) -> Refusal | None:
    if request.get("PolicyName", "default") == "default":
        return None
    return Refusal("ValidationException", "The policy name must be default.")
