"""The constructs of `cross-account-code`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import App, CfnParameter, Environment, Stack
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk.assertions import Annotations, Match, Template

from cdk_lambda_patterns.delivery.cross_account_code import CodeBucket, CodeFromBucket

EU = Environment(account="123456789012", region="eu-central-1")
OTHER, ORGANIZATION = "222222222222", "o-a1b2c3d4e5"
READ = ["s3:GetObject", "s3:GetObjectVersion"]
SHA_256 = "0123456789abcdef" * 4


def stack_in_eu() -> Stack:
    """An empty stack."""
    return Stack(App(builtin_cloud_formation_validation=False), "Stack", env=EU)


def imported(stack: Stack, **attributes: str) -> s3.IBucket:
    """A bucket that is imported, of another account."""
    given: dict[str, Any] = {"account": OTHER, "region": "eu-central-1"} | attributes
    return s3.Bucket.from_bucket_attributes(stack, "Bucket", bucket_name="releases", **given)


def test_accounts_and_organization_read_objects_and_versions_and_nothing_else() -> None:
    stack = stack_in_eu()
    CodeBucket(stack, "Releases", accounts=[OTHER], organization_id=ORGANIZATION)
    template = Template.from_stack(stack)
    template.has_resource_properties("AWS::S3::Bucket", {"VersioningConfiguration": {"Status": "Enabled"}})
    ((_, policy),) = template.find_resources("AWS::S3::BucketPolicy").items()
    deny, account, organization = policy["Properties"]["PolicyDocument"]["Statement"]
    assert deny["Effect"] == "Deny"
    assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert account["Action"] == organization["Action"] == READ
    assert f":iam::{OTHER}:root" in str(account["Principal"])
    assert "Condition" not in account
    assert organization["Condition"] == {"StringEquals": {"aws:PrincipalOrgID": ORGANIZATION}}
    assert account["Resource"]["Fn::Join"][1][-1] == "/*"


def test_a_bucket_that_is_given_gets_the_policy_and_its_key_too() -> None:
    stack = stack_in_eu()
    key = kms.Key(stack, "Key")
    bucket = s3.Bucket(stack, "Own", versioned=True, encryption_key=key)
    assert CodeBucket(stack, "Releases", accounts=[OTHER], bucket=bucket).bucket is bucket
    template = Template.from_stack(stack)
    template.resource_count_is("AWS::S3::Bucket", 1)
    template.has_resource_properties(
        "AWS::S3::BucketPolicy",
        {"PolicyDocument": {"Statement": [Match.object_like({"Action": READ})]}},
    )
    decrypt = Match.object_like({"Action": "kms:Decrypt", "Principal": Match.any_value()})
    template.has_resource_properties(
        "AWS::KMS::Key", {"KeyPolicy": {"Statement": Match.array_with([decrypt])}}
    )


def test_the_owner_of_an_imported_bucket_writes_its_policy() -> None:
    stack = stack_in_eu()
    CodeBucket(stack, "Releases", accounts=["333333333333"], bucket=imported(stack))
    (warning,) = Annotations.from_stack(stack).find_warning("*", Match.any_value())
    assert "Its owner must allow" in str(warning.entry.data)


@pytest.mark.parametrize(
    "name",
    [
        {"key": "app.zip", "object_version": "L4kqtJlcpXroDTDmpUMLUo"},
        {"key": f"{SHA_256}.zip"},
        {"key": f"orders/{SHA_256}"},
    ],
)
def test_a_function_takes_one_version_from_a_bucket_of_another_account(name: dict[str, Any]) -> None:
    stack = stack_in_eu()
    CodeFromBucket(stack, "Orders", bucket=imported(stack), **name)
    code = {"S3Bucket": "releases", "S3Key": name["key"]}
    if "object_version" in name:
        code["S3ObjectVersion"] = name["object_version"]
    template = Template.from_stack(stack)
    template.has_resource_properties("AWS::Lambda::Function", {"Code": code})
    Annotations.from_stack(stack).has_no_warning("*", Match.any_value())
    # The function's role does not read its code.
    assert "s3:" not in str(template.find_resources("AWS::IAM::Policy"))


def test_names_that_are_known_at_deployment_pass() -> None:
    stack = stack_in_eu()
    version = CfnParameter(stack, "Version").value_as_string
    key = CfnParameter(stack, "Key").value_as_string
    bucket = imported(stack)
    CodeFromBucket(stack, "One", bucket=bucket, key="app.zip", object_version=version)
    CodeFromBucket(stack, "Two", bucket=bucket, key=key)
    Template.from_stack(stack).resource_count_is("AWS::Lambda::Function", 2)


def suspended(stack: Stack) -> s3.Bucket:
    bucket = s3.Bucket(stack, "Own")
    resource = bucket.node.default_child
    assert isinstance(resource, s3.CfnBucket)
    resource.versioning_configuration = s3.CfnBucket.VersioningConfigurationProperty(status="Suspended")
    return bucket


WRONG: dict[str, tuple[Callable[[Stack], object], str]] = {
    "key that new code can have": (
        lambda stack: CodeFromBucket(stack, "A", bucket=imported(stack), key="app.zip"),
        r"^key='app.zip' without object_version: CloudFormation reads the code again only when",
    ),
    "no version at all": (
        lambda stack: CodeFromBucket(
            stack, "A", bucket=imported(stack), key="app.zip", object_version="null"
        ),
        r"^object_version='null': that is whatever was written while the bucket was not versioned",
    ),
    "empty version": (
        lambda stack: CodeFromBucket(stack, "A", bucket=imported(stack), key="app.zip", object_version=""),
        r"^length of object_version=0: Lambda allows 1 to 1,024",
    ),
    "long key": (
        lambda stack: CodeFromBucket(stack, "A", bucket=imported(stack), key="k" * 1_025, object_version="v"),
        r"^length of key=1,025: Lambda allows 1 to 1,024",
    ),
    "long key in UTF-8": (
        lambda stack: CodeFromBucket(stack, "A", bucket=imported(stack), key="ü" * 513, object_version="v"),
        r"^length of key=1,026: Lambda allows 1 to 1,024 bytes",
    ),
    "bucket of another Region": (
        lambda stack: CodeFromBucket(
            stack, "A", bucket=imported(stack, region="us-east-1"), key="app.zip", object_version="v"
        ),
        r"it is in us-east-1, and this stack in eu-central-1. Lambda reads code from buckets of",
    ),
    "malformed account": (lambda stack: CodeBucket(stack, "A", accounts=["12"]), r"^accounts='12': give 12"),
    "one account as text": (
        lambda stack: CodeBucket(stack, "A", accounts=OTHER),
        r"^accounts='222222222222': give a (list|sequence)",
    ),
    "malformed organization": (
        lambda stack: CodeBucket(stack, "A", organization_id="r-1"),
        r"^organization_id='r-1': give an id",
    ),
    "bucket without versions": (
        lambda stack: CodeBucket(stack, "A", accounts=[OTHER], bucket=s3.Bucket(stack, "Own")),
        r"^bucket=Stack/Own: it is not versioned",
    ),
    "bucket whose versioning is suspended": (
        lambda stack: CodeBucket(stack, "A", accounts=[OTHER], bucket=suspended(stack)),
        r"^bucket=Stack/Own: it is not versioned",
    ),
}


@pytest.mark.parametrize(("build", "error"), WRONG.values(), ids=WRONG)
def test_what_would_deploy_other_code_is_refused(build: Callable[[Stack], object], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        build(stack_in_eu())
