"""Receipt rules of SES in templates: their order, and the actions that SES tries."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.lambda_functions import Functions
from helpers.stacks import DeploymentFailedError, Resources, Stack, deploy, ref
from localaws import LocalAws

pytestmark = pytest.mark.local

SET: dict[str, Any] = {"Type": "AWS::SES::ReceiptRuleSet"}
ECHO = "handler = lambda event, context: event"


def rule(*actions: dict[str, Any], after: object = None, **settings: Any) -> dict[str, Any]:
    properties = {
        "RuleSetName": ref("Set"),
        "Rule": {"Actions": list(actions), "Enabled": True, **settings},
        **({"After": after} if after else {}),
    }
    return {"Type": "AWS::SES::ReceiptRule", "Properties": properties}


def deployed(aws: LocalAws, **resources: Any) -> Stack:
    every: Resources = {"Set": SET, **resources}
    return deploy(aws, every, {name: ref(name) for name in every})


def rules_of(stack: Stack) -> list[dict[str, Any]]:
    ses = stack.aws.client("ses")
    found = ses.describe_receipt_rule_set(RuleSetName=stack.outputs["Set"])
    rules: list[dict[str, Any]] = found["Rules"]
    return rules


def test_a_rule_comes_first_or_after_another_one_and_goes_with_its_stack(local_aws: LocalAws) -> None:
    first = rule(Name="first", Recipients=["Help@Example.com"], ScanEnabled=True)
    second = rule(Name="second", after=ref("First"))
    stack = deployed(local_aws, First=first, Second=second)
    assert [one["Name"] for one in rules_of(stack)] == ["first", "second"]
    assert rules_of(stack)[0]["Recipients"] == ["help@example.com"]
    assert stack.outputs["First"] == "first"
    changed = rule(Name="second", TlsPolicy="Require")
    stack.update({"Set": SET, "First": first, "Second": changed}, {"Set": ref("Set")})
    assert [(one["Name"], one["TlsPolicy"]) for one in rules_of(stack)] == [
        ("second", "Require"),
        ("first", "Optional"),
    ]
    stack.update({"Set": SET, "Second": rule(Name="renamed")}, {"Set": ref("Set")})
    assert [one["Name"] for one in rules_of(stack)] == ["renamed"]
    stack.delete()
    names = [one["Name"] for one in local_aws.client("ses").list_receipt_rule_sets()["RuleSets"]]
    assert stack.outputs["Set"] not in names


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (rule(Recipients=["not an address"]), "Invalid recipient"),
        (rule(Recipients=[f"a{number}@example.com" for number in range(501)]), "at most 500 recipients"),
        (rule(*[{"AddHeaderAction": {"HeaderName": "a", "HeaderValue": "b"}}] * 11), "at most 10 actions"),
        (rule(TlsPolicy="Never"), "tlsPolicy"),
        (rule({"StopAction": {"Scope": "Rule"}}), "scope"),
        (rule(after="missing"), "Rule does not exist: missing"),
        (rule(Name="-"), "ruleName"),
    ],
)
def test_a_rule_that_the_api_refuses_fails_the_deployment(
    local_aws: LocalAws, made: dict[str, Any], reason: str
) -> None:
    with pytest.raises(DeploymentFailedError, match=reason):
        deployed(local_aws, Rule=made)


def test_ses_tries_whether_it_may_write_and_invoke(local_aws: LocalAws) -> None:
    functions = Functions(local_aws)
    name = functions.make(ECHO)
    bucket = f"mail-{uuid.uuid4().hex[:8]}"
    local_aws.client("s3").create_bucket(Bucket=bucket)
    call = rule({"LambdaAction": {"FunctionArn": functions.arn("lambda", f"function:{name}")}})
    store = rule({"S3Action": {"BucketName": bucket, "ObjectKeyPrefix": "in/"}})
    with pytest.raises(DeploymentFailedError, match="InvalidLambdaFunction: Could not invoke"):
        deployed(local_aws, Rule=call)
    with pytest.raises(
        DeploymentFailedError, match=f"InvalidS3Configuration: Could not write to bucket: {bucket}"
    ):
        deployed(local_aws, Rule=store)
    source = functions.arn("ses", "receipt-rule-set/*:receipt-rule/*")
    local_aws.client("lambda").add_permission(
        FunctionName=name,
        StatementId="ses",
        Action="lambda:InvokeFunction",
        Principal="ses.amazonaws.com",
        SourceArn=source,
        SourceAccount=local_aws.account,
    )
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "ses.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{bucket}/in/*",
        "Condition": {"ArnLike": {"aws:SourceArn": source}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    local_aws.client("s3").put_bucket_policy(Bucket=bucket, Policy=policy)
    deployed(local_aws, Rule=call)
    deployed(local_aws, Rule=store)
    keys = [one["Key"] for one in local_aws.client("s3").list_objects_v2(Bucket=bucket)["Contents"]]
    assert keys == ["in/AMAZON_SES_SETUP_NOTIFICATION"]


def test_the_active_rule_set_cannot_be_deleted(local_aws: LocalAws) -> None:
    stack, ses = deployed(local_aws), local_aws.client("ses")
    ses.set_active_receipt_rule_set(RuleSetName=stack.outputs["Set"])
    with pytest.raises(DeploymentFailedError, match="Cannot delete active rule set"):
        stack.delete()
    ses.set_active_receipt_rule_set()
    stack.delete()


def test_still_needed_the_emulator_knows_neither_type(stock_aws: LocalAws) -> None:
    with pytest.raises(ClientError, match="Unrecognized resource types"):
        deploy(stock_aws, {"Set": SET, "Rule": rule()})
