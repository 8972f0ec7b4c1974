"""Keys, aliases and data keys that KMS refuses."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from helpers.refusals import Row, check, client, ids
from localaws import LocalAws

pytestmark = pytest.mark.local

INVALID = "ValidationException"
KEY, PENDING, DISABLED = "alias/usable", "alias/pending", "alias/disabled"  # replaced by the ids of the keys
REFUSED: list[Row] = [
    ("encrypt", {"KeyId": KEY, "Plaintext": b"x" * 4097}, INVALID, "Value at 'plaintext' failed"),
    ("encrypt", {"KeyId": KEY, "Plaintext": b""}, INVALID, "length greater than or equal to 1"),
    ("encrypt", {"KeyId": DISABLED, "Plaintext": b"x"}, "DisabledException", "is disabled."),
    ("encrypt", {"KeyId": PENDING, "Plaintext": b"x"}, "KMSInvalidStateException", "is pending deletion."),
    ("generate_data_key", {"KeyId": KEY}, INVALID, "Please specify either number of bytes or key spec."),
    (
        "generate_data_key",
        {"KeyId": KEY, "KeySpec": "AES_256", "NumberOfBytes": 16},
        INVALID,
        "Please specify either number of bytes or key spec.",
    ),
    ("generate_data_key", {"KeyId": KEY, "NumberOfBytes": 1025}, INVALID, "less than or equal to 1024"),
    (
        "generate_data_key",
        {"KeyId": KEY, "KeySpec": "AES_512"},
        INVALID,
        "enum value set: [AES_256, AES_128]",
    ),
    ("schedule_key_deletion", {"KeyId": KEY, "PendingWindowInDays": 6}, INVALID, ""),
    ("schedule_key_deletion", {"KeyId": KEY, "PendingWindowInDays": 31}, INVALID, ""),
    ("schedule_key_deletion", {"KeyId": PENDING}, "KMSInvalidStateException", "is pending deletion."),
    ("enable_key", {"KeyId": PENDING}, "KMSInvalidStateException", "is pending deletion."),
    (
        "create_alias",
        {"AliasName": "alias/a", "TargetKeyId": PENDING},
        "KMSInvalidStateException",
        "is pending",
    ),
    ("create_alias", {"AliasName": "alias/aws/a", "TargetKeyId": KEY}, "NotAuthorizedException", "reserved"),
    ("create_alias", {"AliasName": "alias/", "TargetKeyId": KEY}, INVALID, ""),
    ("create_alias", {"AliasName": "name", "TargetKeyId": KEY}, INVALID, ""),
    ("create_alias", {"AliasName": "alias/a b", "TargetKeyId": KEY}, INVALID, "regular expression pattern"),
    ("create_alias", {"AliasName": f"alias/{'a' * 251}", "TargetKeyId": KEY}, INVALID, "equal to 256"),
    ("create_alias", {"AliasName": "alias/a", "TargetKeyId": str(uuid.uuid4())}, "NotFoundException", ""),
    ("create_key", {"KeyUsage": "SIGN"}, INVALID, "Value 'SIGN' at 'keyUsage' failed"),
    ("create_key", {"Description": "x" * 8193}, INVALID, "less than or equal to 8192"),
    (
        "create_key",
        {"Tags": [{"TagKey": f"k{n}", "TagValue": ""} for n in range(51)]},
        "TagException",
        "many tags",
    ),
    ("create_key", {"Tags": [{"TagKey": "aws:a", "TagValue": ""}]}, "TagException", "reserved"),
    ("enable_key_rotation", {"KeyId": KEY, "RotationPeriodInDays": 89}, INVALID, "equal to 90"),
]


@pytest.fixture(scope="module")
def keys(local_aws: LocalAws) -> dict[str, str]:
    """A key that can be used, one that is pending deletion, and a disabled one."""
    kms = local_aws.client("kms")
    made = {name: kms.create_key()["KeyMetadata"]["KeyId"] for name in (KEY, PENDING, DISABLED)}
    kms.schedule_key_deletion(KeyId=made[PENDING], PendingWindowInDays=7)
    kms.disable_key(KeyId=made[DISABLED])
    return made


@pytest.mark.parametrize("row", REFUSED, ids=ids(REFUSED))
def test_a_request_is_refused(local_aws: LocalAws, keys: dict[str, str], row: Row) -> None:
    operation, parameters, code, text = row
    given: dict[str, Any] = {name: keys.get(str(value), value) for name, value in parameters.items()}
    check(local_aws, "kms", (operation, given, code, text))


def test_another_encryption_context_does_not_decrypt(local_aws: LocalAws, keys: dict[str, str]) -> None:
    kms = client(local_aws, "kms")
    encrypted = kms.encrypt(KeyId=keys[KEY], Plaintext=b"x" * 4096, EncryptionContext={"a": "b"})
    for context in ({}, {"a": "c"}):
        given = {"CiphertextBlob": encrypted["CiphertextBlob"], "EncryptionContext": context}
        check(local_aws, "kms", ("decrypt", given, "InvalidCiphertextException", ""))
