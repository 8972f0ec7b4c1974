"""Code in a bucket: who may read it, in which account and Region, and which version."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from helpers.lambda_functions import Functions, eventually, zipped
from helpers.stacks import DeploymentFailedError, Stack, deploy, function, ref, role, session_of
from localaws import LocalAws

pytestmark = pytest.mark.local

OTHER = "222222222222"
KEY = "app.zip"
DENIED = "Your access has been denied by S3, please make sure your request credentials have permission to "


class Published:
    """A bucket with two versions of the code under one key.

    Args:
        aws: A running embedded AWS.
        owner: The account of the bucket.
    """

    def __init__(self, aws: LocalAws, owner: str) -> None:
        self.aws, self.s3 = aws, aws.session_of(owner).client("s3")
        self.name = f"code-{uuid4().hex[:12]}"
        self.s3.create_bucket(Bucket=self.name)
        self.s3.put_bucket_versioning(Bucket=self.name, VersioningConfiguration={"Status": "Enabled"})
        self.first, self.second = self.put("v1"), self.put("v2")

    def put(self, answer: str) -> str:
        """Publish code; returns its version."""
        source = f"def handler(event, context): return {answer!r}"
        made = self.s3.put_object(Bucket=self.name, Key=KEY, Body=zipped({"index.py": source}))
        return str(made["VersionId"])

    def allow(self, *actions: str, account: str) -> None:
        """Let an account do these in the bucket, and nothing else."""
        arn = f"arn:aws:s3:::{self.name}"
        statement = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}}
        statement |= {"Action": list(actions), "Resource": [arn, f"{arn}/*"]}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.s3.put_bucket_policy(Bucket=self.name, Policy=document)

    def code(self, version: str | None = None, key: str = KEY) -> dict[str, str]:
        """The `Code` of a function."""
        named = {"S3Bucket": self.name, "S3Key": key}
        return {**named, "S3ObjectVersion": version} if version else named

    def refusal(self, session: Any, code: Mapping[str, str]) -> str:
        """Why a function is not made of the code; empty if it is."""
        arguments = {"Runtime": "python3.13", "Handler": "index.handler", "Role": self.role}
        try:
            session.client("lambda").create_function(
                FunctionName=f"function-{uuid4().hex[:8]}", Code=code, **arguments
            )
        except ClientError as error:
            return str(error)
        return ""

    @property
    def role(self) -> str:
        """A role without permissions: the function's own role reads no code."""
        return Functions(self.aws).role()


@pytest.fixture(scope="module")
def foreign(local_aws: LocalAws) -> Published:
    """Code in another account."""
    return Published(local_aws, OTHER)


def user(aws: LocalAws, *actions: str) -> Any:
    """A user who may make functions, and do these on S3."""
    return session_of(aws, ("lambda:*", "*"), ("iam:PassRole", "*"), *((action, "*") for action in actions))


@pytest.mark.parametrize(
    ("policy", "identity", "versioned", "allowed"),
    [
        ("s3:GetObject", "s3:GetObject", False, True),
        ("s3:GetObjectVersion", "s3:GetObjectVersion", True, True),
        ("s3:GetObject", "s3:GetObject", True, False),
        ("s3:GetObjectVersion", "s3:GetObjectVersion", False, False),
        ("s3:GetObject", "s3:ListBucket", False, False),
        ("s3:ListBucket", "s3:GetObject", False, False),
    ],
)
def test_policy_of_the_bucket_and_caller_both_allow_the_very_action(
    foreign: Published, policy: str, identity: str, versioned: bool, allowed: bool
) -> None:
    foreign.allow(policy, account=foreign.aws.account)
    caller = user(foreign.aws, identity)
    refused = foreign.refusal(caller, foreign.code(foreign.first if versioned else None))
    action = "GetObjectVersion" if versioned else "GetObject"
    assert refused == "" if allowed else f"{DENIED}{action} for {foreign.name}/{KEY}. S3 Error" in refused


def test_the_root_of_an_account_needs_the_policy_of_a_bucket_of_another_account(foreign: Published) -> None:
    foreign.allow("s3:GetObject", account="333333333333")
    root = foreign.aws.session_of("444444444444")
    assert DENIED in foreign.refusal(root, foreign.code())
    foreign.allow("s3:GetObject", account="444444444444")
    assert DENIED not in foreign.refusal(root, foreign.code())


def test_a_caller_of_the_same_account_needs_the_permission_as_well(local_aws: LocalAws) -> None:
    own = Published(local_aws, local_aws.account)
    assert DENIED in own.refusal(user(local_aws), own.code())
    assert own.refusal(user(local_aws, "s3:GetObject"), own.code()) == ""
    layer = {"LayerName": "code", "Content": own.code()}
    with pytest.raises(ClientError, match="AccessDeniedException"):
        user(local_aws).client("lambda").publish_layer_version(**layer)
    client = local_aws.client("lambda")
    name = Functions(local_aws).make("def handler(event, context): return 'v0'")
    with pytest.raises(ClientError, match="AccessDeniedException"):
        user(local_aws).client("lambda").update_function_code(FunctionName=name, **own.code())
    client.update_function_code(FunctionName=name, **own.code(own.first))
    assert Functions(local_aws).invoke(name).payload == "v1"


def test_what_is_not_there_is_refused_in_the_words_of_s3(local_aws: LocalAws, foreign: Published) -> None:
    foreign.allow("s3:GetObject", "s3:GetObjectVersion", account=local_aws.account)
    session = local_aws.session
    # Who may not list the bucket does not learn that the key does not exist.
    assert DENIED in foreign.refusal(session, foreign.code(key="other.zip"))
    foreign.allow("s3:*", account=local_aws.account)
    assert "GetObject. S3 Error Code: NoSuchKey." in foreign.refusal(session, foreign.code(key="other.zip"))
    missing = foreign.code("A" * 32)
    assert "GetObjectVersion. S3 Error Code: NoSuchVersion." in foreign.refusal(session, missing)
    gone = {"S3Bucket": f"gone-{uuid4().hex}", "S3Key": KEY}
    assert "S3 Error Code: NoSuchBucket." in foreign.refusal(session, gone)
    marker = foreign.s3.delete_object(Bucket=foreign.name, Key=KEY)["VersionId"]
    assert "S3 Error Code: NoSuchKey." in foreign.refusal(session, foreign.code())
    assert "S3 Error Code: MethodNotAllowed." in foreign.refusal(session, foreign.code(marker))
    assert foreign.refusal(session, foreign.code(foreign.first)) == ""
    foreign.s3.delete_object(Bucket=foreign.name, Key=KEY, VersionId=marker)


def test_a_bucket_of_another_region_is_refused(local_aws: LocalAws) -> None:
    name = f"code-{uuid4().hex[:12]}"
    region = "ap-southeast-2"
    session = local_aws.session_of(OTHER)
    session.client("s3", region_name=region).create_bucket(
        Bucket=name, CreateBucketConfiguration={"LocationConstraint": region}
    )
    foreign = Published(local_aws, OTHER)
    refused = foreign.refusal(local_aws.session, {"S3Bucket": name, "S3Key": KEY})
    assert "S3 Error Code: PermanentRedirect. S3 Error Message: The bucket you are attempting" in refused


def coded(code: Mapping[str, str], description: str = "") -> dict[str, Any]:
    """Resources: a function of the code, and its role."""
    made = function("Role")
    made["Properties"] |= {"Code": dict(code), "Description": description}
    return {"Role": role(), "Function": made}


def answer(stack: Stack) -> Any:
    """What the function of a stack returns."""
    return Functions(stack.aws).invoke(stack.outputs["Name"]).payload


def test_a_stack_changes_code_with_key_or_version_only(local_aws: LocalAws, foreign: Published) -> None:
    foreign.allow("s3:GetObject", "s3:GetObjectVersion", account=local_aws.account)
    name = {"Name": ref("Function")}
    newest = foreign.put("v2")
    stack = deploy(local_aws, coded(foreign.code()), name)
    foreign.put("v3")
    stack.update(coded(foreign.code(), "changed"), name)
    assert answer(stack) == "v2"
    stack.update(coded(foreign.code(foreign.first)), name)
    assert answer(stack) == "v1"
    foreign.allow("s3:GetObject", account=local_aws.account)
    stack.update(coded(foreign.code(foreign.first), "code is not read again"), name)
    with pytest.raises(DeploymentFailedError, match=f"{DENIED}GetObjectVersion for"):
        stack.update(coded(foreign.code(newest)), name)
    assert answer(stack) == "v1"


def test_the_principal_that_deploys_needs_the_permission(local_aws: LocalAws) -> None:
    own = Published(local_aws, local_aws.account)
    service = Functions(local_aws).role(("iam:PassRole", "*"), service="cloudformation.amazonaws.com")
    client, name = local_aws.client("cloudformation"), f"stack-{uuid4().hex[:8]}"
    body = json.dumps({"Resources": coded(own.code())})
    capabilities = ["CAPABILITY_NAMED_IAM"]
    client.create_stack(StackName=name, TemplateBody=body, RoleARN=service, Capabilities=capabilities)

    def ended() -> bool:
        return bool(client.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"] == "ROLLBACK_COMPLETE")

    eventually(ended)
    events = client.describe_stack_events(StackName=name)["StackEvents"]
    assert any(f"{DENIED}GetObject for" in event.get("ResourceStatusReason", "") for event in events)


def test_still_needed_the_emulator_finds_no_code_in_another_account(stock_aws: LocalAws) -> None:
    foreign = Published(stock_aws, OTHER)
    foreign.allow("s3:*", account=stock_aws.account)
    stack = deploy(stock_aws, coded(foreign.code()), {"Name": ref("Function")})
    found = stock_aws.client("lambda").get_function(FunctionName=stack.outputs["Name"])
    assert found["Configuration"]["CodeSize"] == 0
