"""Permissions that depend on the encryption context of a request."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.stacks import session_of
from localaws import LocalAws

pytestmark = pytest.mark.local

NAMED = "kms:EncryptionContext:Purpose"


def outcome(kms: Any, key: str, context: dict[str, str]) -> str:
    """Generate a data key and decrypt it again; return the code of the error, if there is one."""
    try:
        made = kms.generate_data_key(KeyId=key, KeySpec="AES_256", EncryptionContext=context)
        blob = made["CiphertextBlob"]
        assert kms.decrypt(CiphertextBlob=blob, EncryptionContext=context)["Plaintext"] == made["Plaintext"]
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "allowed"


@pytest.mark.parametrize(
    ("condition", "context", "expected"),
    [
        ({"StringEquals": {NAMED: "cache"}}, {"purpose": "cache"}, "allowed"),
        ({"StringEquals": {NAMED: "cache"}}, {"purpose": "cache", "more": "x"}, "allowed"),
        ({"StringEquals": {NAMED: "cache"}}, {"purpose": "Cache"}, "AccessDeniedException"),
        ({"StringEquals": {NAMED: "cache"}}, {"other": "cache"}, "AccessDeniedException"),
        ({"StringEquals": {NAMED: "cache"}}, {}, "AccessDeniedException"),
        ({"StringLike": {NAMED: "c*"}}, {"purpose": "cache"}, "allowed"),
        ({"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["a", "b"]}}, {"a": "1"}, "allowed"),
        (
            {"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["a", "b"]}},
            {"a": "1", "c": "2"},
            "AccessDeniedException",
        ),
        ({"Null": {"kms:EncryptionContextKeys": "false"}}, {}, "AccessDeniedException"),
    ],
)
def test_a_statement_applies_to_its_encryption_context(
    local_aws: LocalAws, condition: dict[str, Any], context: dict[str, str], expected: str
) -> None:
    key = local_aws.client("kms").create_key()["KeyMetadata"]
    allowed = session_of(
        local_aws, ("kms:GenerateDataKey", key["Arn"]), ("kms:Decrypt", key["Arn"]), condition=condition
    )
    assert outcome(allowed.client("kms"), key["KeyId"], context) == expected


def test_still_needed_the_emulator_does_not_know_the_condition_key(stock_aws: LocalAws) -> None:
    key = stock_aws.client("kms").create_key()["KeyMetadata"]
    condition = {"StringEquals": {NAMED: "cache"}}
    allowed = session_of(stock_aws, ("kms:GenerateDataKey", key["Arn"]), condition=condition)
    assert outcome(allowed.client("kms"), key["KeyId"], {"Purpose": "cache"}) == "AccessDeniedException"
