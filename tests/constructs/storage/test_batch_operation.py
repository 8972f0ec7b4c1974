"""BatchOperation: the function, the role of its jobs, the bucket, and who may create a job."""

from __future__ import annotations

from typing import Any

import pytest
from aws_cdk import App, Environment, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk.assertions import Annotations, Match

from cdk_lambda_patterns.storage.batch_operation import BatchOperation
from tests.templates import Resources, stack_with

PRINCIPAL = "batchoperations.s3.amazonaws.com"


def backfill(stack: Stack, **more: Any) -> BatchOperation:
    code = lambda_.Code.from_inline("def handler(event, context): ...")
    source = more.pop("source", None) or s3.Bucket.from_bucket_name(stack, "Photos", "photos")
    return BatchOperation(stack, "Backfill", code=code, handler="index.handler", source=source, **more)


@stack_with
def owned(stack: Stack) -> None:
    made = backfill(stack)
    made.grant_create_job(iam.Role(stack, "Operators", assumed_by=iam.AccountRootPrincipal()))


@stack_with
def given(stack: Stack) -> None:
    bucket = s3.Bucket.from_bucket_name(stack, "Jobs", "jobs")
    made = backfill(stack, bucket=bucket, removal_policy=RemovalPolicy.DESTROY)
    made.grant_manifests(s3.Bucket.from_bucket_name(stack, "Reports", "inventories"), "photos/")
    encrypted = s3.Bucket(stack, "Encrypted", encryption_key=kms.Key(stack, "Key"))
    made.grant_manifests(encrypted, "")


def statements(resources: Resources, owner: str) -> list[dict[str, Any]]:
    """The statements in the policy of a role."""
    (policy,) = (one for name, one in resources.all("AWS::IAM::Policy").items() if name.startswith(owner))
    found: list[dict[str, Any]] = policy["PolicyDocument"]["Statement"]
    return found


def test_the_role_of_a_job_may_do_what_a_job_needs_and_nothing_else(owned: Resources) -> None:
    listed = [one["Action"] for one in statements(owned, "BackfillJobRole")]
    actions = [action for one in listed for action in ([one] if isinstance(one, str) else one)]
    assert sorted(actions) == [
        "lambda:InvokeFunction",
        "s3:GetObject",
        "s3:GetObjectVersion",
        "s3:PutInventoryConfiguration",
        "s3:PutObject",
        "s3:PutObject",
    ]


def test_only_batch_operations_may_assume_the_role_as_aws_documents_it(owned: Resources) -> None:
    (role,) = (
        role for name, role in owned.all("AWS::IAM::Role").items() if name.startswith("BackfillJobRole")
    )
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert statement == {
        "Action": "sts:AssumeRole",
        "Effect": "Allow",
        "Principal": {"Service": PRINCIPAL},
    }


def test_manifests_and_reports_have_a_private_bucket_with_versions(owned: Resources) -> None:
    (bucket,) = owned.all("AWS::S3::Bucket").values()
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert all(bucket["PublicAccessBlockConfiguration"].values())


def test_an_operator_may_create_jobs_that_invoke_functions_and_pass_this_role_to_s3(owned: Resources) -> None:
    create, passing = statements(owned, "Operators")
    assert create["Action"] == "s3:CreateJob"
    assert create["Condition"] == {"StringEquals": {"s3:RequestJobOperation": "LambdaInvoke"}}
    assert passing["Action"] == "iam:PassRole"
    assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": PRINCIPAL}}
    assert passing["Resource"]["Fn::GetAtt"][0].startswith("BackfillJobRole")


def test_a_given_bucket_is_used_with_its_prefixes_and_manifests_may_be_elsewhere(given: Resources) -> None:
    assert [name[:9] for name in given.all("AWS::S3::Bucket")] == ["Encrypted"]
    places = str(statements(given, "BackfillJobRole"))
    for place in (":s3:::jobs/manifests/*", ":s3:::jobs/reports/*", ":s3:::inventories/photos/*"):
        assert place in places
    assert "kms:Decrypt" in places  # inventory reports may be encrypted


@pytest.mark.parametrize(
    "encryption", [None, s3.BucketEncryption.KMS_MANAGED, s3.BucketEncryption.DSSE_MANAGED]
)
def test_a_bucket_that_s3_reads_no_manifest_from_is_refused(encryption: s3.BucketEncryption | None) -> None:
    stack = Stack(App(builtin_cloud_formation_validation=False), "Stack")
    given: dict[str, Any] = {"encryption": encryption} if encryption else {}
    bucket = s3.Bucket(stack, "Jobs", **(given or {"encryption_key": kms.Key(stack, "Key")}))
    with pytest.raises(ValueError, match="bucket=Stack/Jobs: it is encrypted with a KMS key"):
        backfill(stack, bucket=bucket)


def test_a_principal_without_a_policy_here_cannot_be_let_in() -> None:
    made = backfill(Stack(App(builtin_cloud_formation_validation=False), "Stack"))
    with pytest.raises(ValueError, match=r"^grantee=AccountPrincipal\(123456789012\): .*s3:CreateJob"):
        made.grant_create_job(iam.AccountPrincipal("123456789012"))


@pytest.mark.parametrize(
    ("account", "mutable"), [("123456789012", False), ("222222222222", True), ("123456789012", None)]
)
def test_a_role_whose_policy_cannot_be_changed_here_is_a_warning(account: str, mutable: bool | None) -> None:
    env = Environment(account="123456789012", region="eu-west-1")
    stack = Stack(App(builtin_cloud_formation_validation=False), "Stack", env=env)
    made = backfill(stack)
    role: iam.IRole
    if mutable is None:
        role = iam.Role(stack, "Theirs", assumed_by=iam.AccountRootPrincipal()).without_policy_updates()
    else:
        role = iam.Role.from_role_arn(stack, "Theirs", f"arn:aws:iam::{account}:role/r", mutable=mutable)
    made.grant_create_job(role)
    warnings = Annotations.from_stack(stack)
    for given in (r"s3:CreateJob on \*", "iam:PassRole on Stack/Backfill/JobRole"):
        text = f"Stack/.* is of another account or immutable.*{given}"
        warnings.has_warning("*", Match.string_like_regexp(text))
