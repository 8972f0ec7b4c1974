"""SesInbound: the order of the actions, and what SES may do for the rules of one set."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_ses as ses
from aws_cdk.assertions import Annotations, Match

from cdk_lambda_patterns.observability.service_hooks import SesInbound
from tests.templates import Resources, stack_with

CODE = lambda_.Code.from_inline("def handler(event, context): return event")


def make(stack: Stack, id: str = "Tickets", **more: Any) -> SesInbound:
    given = {"code": CODE, "handler": "index.handler", "screen_handler": "index.screen"}
    return SesInbound(stack, id, **{**given, "recipients": ["help@example.com"], **more})


@stack_with
def tickets(stack: Stack) -> None:
    make(stack)


@stack_with
def with_own_parts(stack: Stack) -> None:
    key = kms.Key(stack, "Key")
    make(
        stack,
        bucket=s3.Bucket(stack, "Bucket", encryption_key=key),
        rule_set=ses.ReceiptRuleSet.from_receipt_rule_set_name(stack, "Active", "active"),
        key_prefix="",
    )


def by_ses(policy: dict[str, Any]) -> dict[str, Any]:
    (found,) = (one for one in policy["Statement"] if one["Principal"] == {"Service": "ses.amazonaws.com"})
    return dict(found)


def test_mail_is_screened_before_it_is_stored_and_processed_afterwards(tickets: Resources) -> None:
    rule = tickets.only("AWS::SES::ReceiptRule")["Rule"]
    screen, store, process = rule["Actions"]
    assert "Screen" in screen["LambdaAction"]["FunctionArn"]["Fn::GetAtt"][0]
    assert screen["LambdaAction"]["InvocationType"] == "RequestResponse"
    assert store["S3Action"]["ObjectKeyPrefix"] == "mail/"
    assert process["LambdaAction"]["InvocationType"] == "Event"
    assert rule["ScanEnabled"] is True


def test_ses_acts_only_for_this_rule_set_of_this_account(tickets: Resources) -> None:
    (rule_set,) = tickets.all("AWS::SES::ReceiptRuleSet")
    statement = by_ses(tickets.only("AWS::S3::BucketPolicy")["PolicyDocument"])
    assert statement["Action"] == "s3:PutObject"
    assert json.dumps(statement["Resource"]).endswith('"/mail/*"]]}')
    source = statement["Condition"]["ArnLike"]["aws:SourceArn"]
    assert source["Fn::Join"][1][-2:] == [{"Ref": rule_set}, ":receipt-rule/*"]
    assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    permissions = list(tickets.all("AWS::Lambda::Permission").values())
    assert [one["SourceArn"] for one in permissions] == [source, source]
    assert {one["SourceAccount"]["Ref"] for one in permissions} == {"AWS::AccountId"}


def test_the_rule_waits_for_the_permissions_that_ses_tries(tickets: Resources) -> None:
    (rule,) = (
        one for one in tickets.template["Resources"].values() if one["Type"] == "AWS::SES::ReceiptRule"
    )
    needed = {*tickets.all("AWS::Lambda::Permission"), *tickets.all("AWS::S3::BucketPolicy")}
    assert set(rule["DependsOn"]) == needed


def test_the_key_of_a_bucket_lets_ses_write_and_the_function_read(with_own_parts: Resources) -> None:
    statement = by_ses(with_own_parts.only("AWS::KMS::Key")["KeyPolicy"])
    assert set(statement["Action"]) == {"kms:GenerateDataKey", "kms:Decrypt"}
    assert "aws:SourceArn" in statement["Condition"]["ArnLike"]
    (role,) = (name for name in with_own_parts.all("AWS::IAM::Role") if "TicketsFunction" in name)
    assert {"kms:Decrypt", "s3:GetObject"} <= with_own_parts.actions(role)
    assert with_own_parts.only("AWS::SES::ReceiptRule")["RuleSetName"] == "active"


def test_the_policies_of_an_imported_bucket_and_its_key_are_their_owners_business() -> None:
    stack = Stack(App(), "S")
    key = kms.Key.from_key_arn(stack, "Key", "arn:aws:kms:eu-west-1:123456789012:key/theirs")
    bucket = s3.Bucket.from_bucket_attributes(stack, "Bucket", bucket_name="theirs", encryption_key=key)
    make(stack, bucket=bucket)
    warnings = Annotations.from_stack(stack)
    for text in (
        r"S/Bucket is imported.*must allow ses.amazonaws.com s3:PutObject",
        r"S/Key is imported.*kms:GenerateDataKey",
    ):
        warnings.has_warning("*", Match.string_like_regexp(text))


@pytest.mark.parametrize("recipient", ["help@example.com", "example.com", ".example.com", "a+b@x-y.example"])
def test_an_address_a_domain_and_subdomains_are_recipients(recipient: str) -> None:
    make(Stack(App(), "S"), recipients=[recipient])


@pytest.mark.parametrize(
    ("recipients", "message"),
    [
        ([], "recipients=\\[\\]: give addresses or domains"),
        ("help@example.com", "give a sequence"),
        (["help"], "give an address"),
        (["@example.com"], "give an address"),
        (["a b@example.com"], "give an address"),
        (["*@example.com"], "give an address"),
        (["*.example.com"], "give an address"),
        (["help@.example.com"], "give an address"),
        (["<a@example.com"], "give an address"),
        (["-.example.com"], "give an address"),
        (["help@example.com", "Help@example.com"], "help@example.com is given twice"),
        ([f"a{number}@example.com" for number in range(501)], "SES allows 1 to 500"),
    ],
)
def test_a_recipient_that_ses_refuses_is_an_error(recipients: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        make(Stack(App(), "S"), recipients=recipients)


@pytest.mark.parametrize("prefix", ["ma*il", "ma?il", "${aws:username}/", "x" * 961])
def test_a_prefix_that_would_open_other_keys_is_an_error(prefix: str) -> None:
    with pytest.raises(ValueError, match="key_prefix"):
        make(Stack(App(), "S"), key_prefix=prefix)
