"""An identity exists once, and SES authorises a mail on the one that it is sent from."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.stacks import DeploymentFailedError, Resources, deploy, ref
from localaws import LocalAws

pytestmark = pytest.mark.local


@pytest.fixture(scope="module")
def identities(local_aws: LocalAws) -> LocalAws:
    """An address and a domain."""
    deploy(
        local_aws,
        {
            name: {"Type": "AWS::SES::EmailIdentity", "Properties": {"EmailIdentity": identity}}
            for name, identity in {"Address": "blog@example.org", "Domain": "example.com"}.items()
        },
        {"Address": ref("Address")},
    )
    return local_aws


def client_of_role(aws: LocalAws, service: str, identity: str) -> Any:
    """A client with the credentials of a role that may send from one identity."""
    iam, name = aws.client("iam"), f"sends-{service}-{identity.replace('@', '-')}"
    trust = {"Effect": "Allow", "Principal": {"AWS": aws.account}, "Action": "sts:AssumeRole"}
    arn = f"arn:aws:ses:{aws.region}:{aws.account}:identity/{identity}"
    allow = {"Effect": "Allow", "Action": ["ses:SendEmail", "ses:SendRawEmail"], "Resource": arn}
    documents = [json.dumps({"Version": "2012-10-17", "Statement": [one]}) for one in (trust, allow)]
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=documents[0])["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="Send", PolicyDocument=documents[1])
    given = aws.client("sts").assume_role(RoleArn=role, RoleSessionName="blog")["Credentials"]
    return aws.session.client(
        service,
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    )


def send(client: Any, sender: str, recipient: str = "ann@example.net") -> str:
    """Send a mail; return the code of the error, if there is one."""
    to, text = {"ToAddresses": [recipient]}, {"Data": "x"}
    try:
        if client.meta.service_model.service_name == "ses":
            client.send_email(
                Source=sender, Destination=to, Message={"Subject": text, "Body": {"Text": text}}
            )
        else:
            simple = {"Simple": {"Subject": text, "Body": {"Text": text}}}
            client.send_email(FromEmailAddress=sender, Destination=to, Content=simple)
    except ClientError as error:
        return str(error.response["Error"]["Code"]).removesuffix("Exception")
    return ""


@pytest.mark.parametrize("service", ["ses", "sesv2"])
@pytest.mark.parametrize(
    ("identity", "allowed", "denied"),
    [
        ("blog@example.org", "Blog <blog@example.org>", "Blog <news@mail.EXAMPLE.com>"),
        ("example.com", "Blog <news@mail.EXAMPLE.com>", "blog@example.org"),
    ],
)
def test_a_role_sends_from_one_identity_only(
    identities: LocalAws, service: str, identity: str, allowed: str, denied: str
) -> None:
    client = client_of_role(identities, service, identity)
    assert [send(client, sender) for sender in (allowed, denied)] == ["", "AccessDenied"]


@pytest.mark.parametrize(("recipient", "refused"), [("Ann <ann@example.net>", ""), ("ann", "BadRequest")])
def test_a_recipient_has_a_domain(identities: LocalAws, recipient: str, refused: str) -> None:
    assert send(identities.client("sesv2"), "blog@example.org", recipient) == refused


def create(client: Any, identity: str) -> str:
    """Create an identity; return the error, if there is one."""
    try:
        client.create_email_identity(EmailIdentity=identity)
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        return "{} {Code}: {Message}".format(status, **error.response["Error"])
    return ""


@pytest.mark.parametrize("identity", ["blog@example.org", "example.com"])
def test_an_identity_of_a_stack_is_not_created_again(identities: LocalAws, identity: str) -> None:
    refused = f"400 AlreadyExistsException: Email identity {identity} already exist."
    assert create(identities.client("sesv2"), identity) == refused


@pytest.mark.parametrize("deleted_by", ["ses", "sesv2"])
def test_an_identity_is_created_again_when_it_was_deleted(local_aws: LocalAws, deleted_by: str) -> None:
    client, identity = local_aws.client("sesv2"), f"{deleted_by}@example.net"
    local_aws.client("ses").verify_email_identity(EmailAddress=identity)
    assert create(client, identity).startswith("400 AlreadyExistsException")
    if deleted_by == "ses":
        local_aws.client("ses").delete_identity(Identity=identity)
    else:
        client.delete_email_identity(EmailIdentity=identity)
    assert [create(client, identity), create(client, identity)[:17]] == ["", "400 AlreadyExists"]


def test_an_identity_of_another_region_does_not_count(local_aws: LocalAws) -> None:
    regions = ("eu-west-1", "eu-west-2")
    clients = [local_aws.session.client("sesv2", region_name=region) for region in regions]
    assert [create(client, "twice@example.net") for client in clients] == ["", ""]


def mail(identity: str) -> Resources:
    """The resources of a stack with an identity."""
    return {"Mail": {"Type": "AWS::SES::EmailIdentity", "Properties": {"EmailIdentity": identity}}}


def test_a_stack_fails_with_an_identity_that_exists(local_aws: LocalAws) -> None:
    client = local_aws.client("sesv2")
    client.create_email_identity(EmailIdentity="taken@example.net")
    text = "Resource of type 'AWS::SES::EmailIdentity' with identifier 'taken@example.net' already exists."
    with pytest.raises(DeploymentFailedError, match=text):
        deploy(local_aws, mail("taken@example.net"))
    stack = deploy(local_aws, mail("free@example.net"))
    with pytest.raises(DeploymentFailedError, match=text):
        stack.update(mail("taken@example.net"))
    for identity in ("taken@example.net", "free@example.net"):
        assert client.get_email_identity(EmailIdentity=identity)["IdentityType"] == "EMAIL_ADDRESS"
    stack.update(mail("newer@example.net"))
    stack.delete()
    assert create(client, "newer@example.net") == ""
