"""The stack of the blog: what is private, who may send mails, and where the replicas are."""

from __future__ import annotations

import re

import pytest
from aws_cdk import App
from aws_cdk.assertions import Template

from stacks.catalogue import find
from tasks.synthesis import app_context
from tests.templates import Assembly

NO_ADDRESSES = (
    "blog",
    "example.com",
    "a@b",
    "a b@c.de",
    "Ann <ann@c.de>",
    "a..b@c.de",
    f"{'a' * 65}@c.de",
    "a@c..de",
)


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


@pytest.mark.parametrize(
    ("context", "said"),
    [
        *(({"sender": sender}, f"-c sender={sender}: give an address of yours") for sender in NO_ADDRESSES),
        ({"replica-region": "us-east-1"}, "-c replica-region=us-east-1: this is the stack's own Region"),
        ({"region": "eu-west-3", "replica-region": "eu-west-3"}, "-c replica-region=eu-west-3: this is"),
        ({"sender-identity": "no domain"}, "-c sender-identity=no domain: give the sender or its domain"),
        ({"sender-identity": "xample.com"}, "give the sender, blog@example.com, or its domain"),
        ({"sender-identity": "other@example.com"}, "give the sender, blog@example.com, or its domain"),
    ],
    ids=str,
)
def test_a_wrong_context_is_refused(context: dict[str, str], said: str) -> None:
    app = App(context={**app_context(), **context})
    with pytest.raises(ValueError, match=re.escape(said)):
        find("blog-website").make_stack(app)


@pytest.mark.parametrize(
    ("existing", "condition"),
    [
        ("ann@mail.example.com", None),
        ("mail.example.com", {"StringEquals": {"ses:FromAddress": "ann@mail.example.com"}}),
        ("example.com", {"StringEquals": {"ses:FromAddress": "ann@mail.example.com"}}),
    ],
)
def test_an_identity_of_the_account_is_taken(existing: str, condition: object) -> None:
    given = {"sender": "ann@mail.example.com", "sender-identity": existing}
    app = App(context={**app_context(), **given})
    template = Template.from_stack(find("blog-website").make_stack(app))
    template.resource_count_is("AWS::SES::EmailIdentity", 0)
    (statement,) = [
        one
        for policy in template.find_resources("AWS::IAM::Policy").values()
        for one in policy["Properties"]["PolicyDocument"]["Statement"]
        if one["Action"] == "ses:SendEmail"
    ]
    assert statement.get("Condition") == condition
    assert statement["Resource"]["Fn::Join"][1][-1] == f":identity/{existing}"
