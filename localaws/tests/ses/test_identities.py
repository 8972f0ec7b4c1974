"""SES authorises a mail on the identity that it is sent from."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.stacks import deploy, ref
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
