"""`LocalAws.used_permissions()`: what roles have used of their policies."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localaws import LocalAws, Used

pytestmark = pytest.mark.local

BUCKET = "arn:aws:s3:::used"


def document(**statement: object) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]})


@pytest.fixture(scope="module")
def reader(local_aws: LocalAws) -> Any:
    """A client of S3 with the role `UsesReader`, which may list the bucket."""
    s3, iam, sts = (local_aws.client(name) for name in ("s3", "iam", "sts"))
    s3.create_bucket(Bucket="used")
    trust = document(Principal={"AWS": "*"}, Action="sts:AssumeRole")
    arn = iam.create_role(RoleName="UsesReader", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    policy = document(Action="s3:ListBucket", Resource=BUCKET)
    iam.put_role_policy(RoleName="UsesReader", PolicyName="read", PolicyDocument=policy)
    given = sts.assume_role(RoleArn=arn, RoleSessionName="session")["Credentials"]
    return local_aws.session.client(
        "s3",
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    )


def uses(aws: LocalAws) -> list[Used]:
    return [one for one in aws.used_permissions() if one.principal.endswith("role/UsesReader")]


def test_a_use_is_listed_once_with_its_count_and_a_denied_request_is_not(
    local_aws: LocalAws, reader: Any
) -> None:
    for _ in range(2):
        reader.list_objects_v2(Bucket="used")
    with contextlib.suppress(ClientError):
        reader.put_object(Bucket="used", Key="a", Body=b"")
    (use,) = uses(local_aws)
    assert (use.principal, use.action, use.resource, use.times) == (
        "arn:aws:sts::123456789012:assumed-role/UsesReader",
        "s3:ListBucket",
        BUCKET,
        2,
    )


def test_what_the_policy_of_a_resource_allows_is_no_use_of_the_own_policies(
    local_aws: LocalAws, reader: Any
) -> None:
    arn = local_aws.client("iam").get_role(RoleName="UsesReader")["Role"]["Arn"]
    policy = document(Principal={"AWS": arn}, Action="s3:GetObject", Resource=f"{BUCKET}/*")
    owner = local_aws.client("s3")
    owner.put_bucket_policy(Bucket="used", Policy=policy)
    owner.put_object(Bucket="used", Key="a", Body=b"a")
    reader.get_object(Bucket="used", Key="a")
    assert {one.action for one in uses(local_aws)} <= {"s3:ListBucket"}


def test_a_reset_forgets_them(local_aws: LocalAws, reader: Any) -> None:
    local_aws.reset()
    assert uses(local_aws) == []
