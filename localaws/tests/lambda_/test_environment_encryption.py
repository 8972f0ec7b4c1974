"""Variables under a customer managed key: who reads them, and which environments start."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from helpers.lambda_functions import Functions, zipped

pytestmark = pytest.mark.local

SOURCE = "import os\ndef handler(event, context): return os.environ['GREETING']"


class Encrypted:
    """A function under a new key."""

    def __init__(self, functions: Functions) -> None:
        self.functions, self.kms = functions, functions.aws.client("kms")
        self.lambda_ = functions.aws.client("lambda")
        self.key: str = self.kms.create_key()["KeyMetadata"]["Arn"]
        self.role = functions.role()
        variables = {"Variables": {"GREETING": "hello"}}
        self.name = functions.make(SOURCE, role=self.role, KMSKeyArn=self.key, Environment=variables)

    def grants(self) -> list[dict[str, Any]]:
        """The grants on the key."""
        return list(self.kms.list_grants(KeyId=self.key)["Grants"])

    def revoke(self) -> None:
        """Revoke them."""
        for grant in self.grants():
            self.kms.revoke_grant(KeyId=self.key, GrantId=grant["GrantId"])

    def answer(self) -> str:
        """What an invocation returns, or the code and the status of the refusal."""
        try:
            return str(self.functions.invoke(self.name).payload)
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            return f"{error.response['Error']['Code']} {status}"

    def client_of(self, *statements: dict[str, Any]) -> Any:
        """A client of a user with an identity policy."""
        iam, name = self.functions.aws.client("iam"), f"user-{uuid4().hex[:8]}"
        iam.create_user(UserName=name)
        document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
        iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=document)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return self.functions.aws.session.client(
            "lambda",
            aws_access_key_id=key["AccessKeyId"],
            aws_secret_access_key=key["SecretAccessKey"],
        )

    def seen_by(self, *statements: dict[str, Any]) -> dict[str, Any]:
        """The `Environment` that a user with an identity policy reads."""
        client = self.client_of(*statements)
        single = client.get_function_configuration(FunctionName=self.name)["Environment"]
        (listed,) = (
            one["Environment"]
            for one in client.list_functions()["Functions"]
            if one["FunctionName"] == self.name
        )
        assert listed == single == client.get_function(FunctionName=self.name)["Configuration"]["Environment"]
        return dict(single)


@pytest.fixture
def encrypted(functions: Functions) -> Encrypted:
    """A function under a new key."""
    return Encrypted(functions)


def test_lambda_gives_the_role_a_grant_that_follows_the_function(encrypted: Encrypted) -> None:
    arn = encrypted.functions.arn("lambda", f"function:{encrypted.name}")
    (grant,) = encrypted.grants()
    assert grant["GranteePrincipal"] == encrypted.role
    assert "Decrypt" in grant["Operations"]
    assert grant["Constraints"] == {"EncryptionContextEquals": {"aws:lambda:FunctionArn": arn}}
    other = encrypted.functions.role()
    encrypted.lambda_.update_function_configuration(FunctionName=encrypted.name, Role=other)
    assert [one["GranteePrincipal"] for one in encrypted.grants()] == [other]
    encrypted.lambda_.delete_function(FunctionName=encrypted.name)
    assert encrypted.grants() == []


def test_a_new_environment_needs_the_key_and_a_running_one_does_not(encrypted: Encrypted) -> None:
    encrypted.kms.disable_key(KeyId=encrypted.key)
    assert encrypted.answer() == "KMSDisabledException 502"
    encrypted.kms.enable_key(KeyId=encrypted.key)
    assert encrypted.answer() == "hello"
    encrypted.kms.disable_key(KeyId=encrypted.key)
    assert encrypted.answer() == "hello"
    encrypted.kms.schedule_key_deletion(KeyId=encrypted.key)
    assert encrypted.answer() == "hello"


def test_a_key_that_will_be_deleted_starts_nothing(encrypted: Encrypted) -> None:
    encrypted.kms.schedule_key_deletion(KeyId=encrypted.key)
    assert encrypted.answer() == "KMSInvalidStateException 502"


def test_a_role_decrypts_by_the_grant_or_by_its_policy(encrypted: Encrypted) -> None:
    encrypted.revoke()
    assert encrypted.answer() == "KMSAccessDeniedException 502"
    arn = encrypted.functions.arn("lambda", f"function:{encrypted.name}")
    context = {"StringEquals": {"kms:EncryptionContext:aws:lambda:FunctionArn": arn}}
    allowed = {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": encrypted.key, "Condition": context}
    encrypted.functions.aws.client("iam").put_role_policy(
        RoleName=encrypted.role.rpartition("/")[2],
        PolicyName="decrypt",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allowed]}),
    )
    assert encrypted.answer() == "hello"


def test_setting_the_key_again_renews_the_grant(encrypted: Encrypted) -> None:
    encrypted.revoke()
    encrypted.lambda_.update_function_configuration(FunctionName=encrypted.name, KMSKeyArn=encrypted.key)
    assert encrypted.answer() == "hello"


def test_who_may_not_decrypt_reads_an_error_in_place_of_the_variables(encrypted: Encrypted) -> None:
    read = {"Effect": "Allow", "Action": ["lambda:Get*", "lambda:List*"], "Resource": "*"}
    decrypt = {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": encrypted.key}
    assert encrypted.seen_by(read, decrypt) == {"Variables": {"GREETING": "hello"}}
    seen = encrypted.seen_by(read)
    assert "Variables" not in seen
    assert seen["Error"]["ErrorCode"] == "AccessDeniedException"
    assert "KMS access was denied" in seen["Error"]["Message"]


def test_the_answer_to_a_change_shows_no_variables_either(encrypted: Encrypted) -> None:
    name, code = encrypted.name, zipped({"index.py": SOURCE})
    change = {"Effect": "Allow", "Action": ["lambda:Update*", "lambda:PublishVersion"], "Resource": "*"}
    decrypt = {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": encrypted.key}
    for statements, shown in (((change,), False), ((change, decrypt), True)):
        client = encrypted.client_of(*statements)
        for answer in (
            client.update_function_configuration(FunctionName=name, Description=str(shown)),
            client.update_function_code(FunctionName=name, ZipFile=code),
            client.publish_version(FunctionName=name),
        ):
            assert ("Variables" in answer["Environment"], "Error" in answer["Environment"]) == (
                shown,
                not shown,
            )


def test_a_key_that_cannot_encrypt_is_refused(encrypted: Encrypted) -> None:
    gone = encrypted.functions.arn("kms", f"key/{uuid4()}")
    asymmetric = encrypted.kms.create_key(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")
    for key in (gone, asymmetric["KeyMetadata"]["Arn"]):
        with pytest.raises(encrypted.lambda_.exceptions.InvalidParameterValueException, match="KMS key"):
            encrypted.lambda_.update_function_configuration(FunctionName=encrypted.name, KMSKeyArn=key)
    assert encrypted.answer() == "hello"
