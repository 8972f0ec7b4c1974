"""The stack of the blog: what is private, who may send mails, and where the replicas are."""

from __future__ import annotations

import pytest
from aws_cdk import App

from stacks.catalogue import find
from tasks.synthesis import app_context
from tests.templates import Assembly


def test_no_bucket_is_public(catalogue: Assembly) -> None:
    buckets = catalogue.stacks["blog-website"].all("AWS::S3::Bucket").values()
    blocks = [set(one["PublicAccessBlockConfiguration"].values()) for one in buckets]
    assert blocks == [{True}] * 3


def test_one_role_sends_mails_from_one_identity(catalogue: Assembly) -> None:
    stack = catalogue.stacks["blog-website"]
    sending = {
        name: statement
        for name, policy in stack.all("AWS::IAM::Policy").items()
        for statement in policy["PolicyDocument"]["Statement"]
        if "ses:" in str(statement["Action"])
    }
    ((name, statement),) = sending.items()
    assert (name.startswith("WelcomeFunction"), statement["Action"]) == (True, "ses:SendEmail")
    (identity,) = stack.all("AWS::SES::EmailIdentity")
    assert statement["Resource"]["Fn::Join"][1][-2:] == [":identity/", {"Ref": identity}]


def test_the_api_writes_subscribers_and_does_not_read_them(catalogue: Assembly) -> None:
    policies = catalogue.stacks["blog-website"].all("AWS::IAM::Policy")
    (policy,) = [one for name, one in policies.items() if name.startswith("ReadersFunction")]
    statements = policy["PolicyDocument"]["Statement"]
    (on_subscribers,) = [one for one in statements if "Subscribers" in str(one["Resource"])]
    assert on_subscribers["Action"] == "dynamodb:PutItem"


@pytest.mark.parametrize(
    ("context", "regions"),
    [
        ({}, {"us-east-1", "eu-west-1"}),
        ({"region": "eu-west-1"}, {"eu-west-1", "us-east-1"}),
        ({"replica-region": "eu-central-1"}, {"us-east-1", "eu-central-1"}),
    ],
)
def test_tables_have_a_replica_in_another_region(context: dict[str, str], regions: set[str]) -> None:
    app = App(context={**app_context(), **context})
    stack = find("blog-website").make_stack(app)
    tables = [one for one in stack.node.find_all() if one.node.id == "Resource" and hasattr(one, "replicas")]
    found = [{replica["region"] for replica in stack.resolve(one.replicas)} for one in tables]
    assert found == [regions] * 2


def test_a_sender_that_is_no_address_is_refused() -> None:
    app = App(context={**app_context(), "sender": "blog"})
    with pytest.raises(ValueError, match="-c sender=blog: give an address of yours"):
        find("blog-website").make_stack(app)
