"""KMS keys that an app gives: which of them can encrypt, and be named in permissions."""

from typing import cast

from aws_cdk import Stack
from aws_cdk import aws_kms as kms

from cdk_lambda_patterns.core.regions import is_known


def check_key(name: str, key: kms.IKey | None) -> kms.IKey | None:
    """Return the key that is meant: of an alias, the key that it is for.

    A statement on the ARN of an alias allows nothing, and Lambda takes no alias for a function's variables.

    https://docs.aws.amazon.com/kms/latest/developerguide/cmks-in-iam-policies.html
    https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html

    Args:
        name: The argument.
        key: The key, if one was given.

    Raises:
        ValueError: It is an alias of a key that is not known here, or a key that is not symmetric.
    """
    if key is None:
        return None
    if hasattr(key, "alias_name"):
        key = _key_of(name, cast(kms.IAlias, key))
    resource = key.node.default_child
    if isinstance(resource, kms.CfnKey):
        spec = Stack.of(resource).resolve(resource.key_spec)
        if isinstance(spec, str) and is_known(spec) and spec != "SYMMETRIC_DEFAULT":
            raise ValueError(
                f"{name}={key.node.path}: AWS services encrypt with symmetric keys, and this one is {spec}; "
                "give a key with KeySpec.SYMMETRIC_DEFAULT."
            )
    return key


def _key_of(name: str, alias: kms.IAlias) -> kms.IKey:
    try:
        return alias.alias_target_key
    except RuntimeError:
        raise ValueError(
            f"{name}={alias.node.path}: it is an alias, and permissions need the key; import that with "
            "kms.Key.from_key_arn(...), or look it up with kms.Key.from_lookup(...)."
        ) from None
