"""Policies of buckets, topics, queues, keys, secrets and event buses that AWS refuses."""

from __future__ import annotations

from typing import Any

import pytest

from helpers.refusals import check, client, document
from localaws import LocalAws

pytestmark = pytest.mark.local

ACCOUNT = "123456789012"
BUCKET, TOPIC, QUEUE = "policies", f"arn:aws:sns:us-east-1:{ACCOUNT}:policies", "policies"
# Of each service: an action, a resource, and the code of its error.
SERVICES: dict[str, tuple[str, str, str]] = {
    "s3": ("s3:GetObject", f"arn:aws:s3:::{BUCKET}/*", "MalformedPolicy"),
    "sns": ("sns:Publish", TOPIC, "InvalidParameter"),
    "sqs": ("sqs:SendMessage", f"arn:aws:sqs:us-east-1:{ACCOUNT}:{QUEUE}", "InvalidAttributeValue"),
    "kms": ("kms:*", "*", "MalformedPolicyDocumentException"),
    "secretsmanager": ("secretsmanager:GetSecretValue", "*", "MalformedPolicyDocumentException"),
    "events": ("events:PutEvents", "*", "ValidationException"),
}
WRONG: dict[str, dict[str, Any]] = {
    "effect": {"Effect": "Permit"},
    "operator": {"Condition": {"Foo": {"a": "b"}}},
    "element": {"Foo": "x"},
    "no principal": {"Principal": None},
    "no action": {"Action": None},
    "missing role": {"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:role/none"}},
    "service": {"Principal": {"Service": "lambda"}},
}
OF_BUCKETS = [
    ("{", "Policies must be valid JSON and the first byte must be '{'"),
    ({"Resource": "arn:aws:s3:::other/*"}, "Policy has invalid resource"),
    ({"Action": "sqs:SendMessage"}, "Policy has invalid action"),
    ({"Resource": f"arn:aws:s3:::{BUCKET}"}, "Action does not apply to any resource(s) in statement"),
    ({"Action": ["s3:GetObject", "s3:ListBucket"]}, "Action does not apply to any resource(s) in statement"),
    ({"Resource": None}, "Statement is missing required element"),
    ({"Principal": None}, "Missing required field Principal"),
    ({"Sid": "x" * 20_480}, "Policy exceeds the maximum allowed document size."),
]


def policy(service: str, **changes: Any) -> str:
    action, resource, _code = SERVICES[service]
    base = {"Action": action, "Resource": resource, "Principal": {"AWS": ACCOUNT}}
    return document(**{**base, **changes})


@pytest.fixture(scope="module")
def puts(local_aws: LocalAws) -> dict[str, tuple[str, dict[str, Any], str]]:
    """Of each service: the operation that sets a policy, its parameters, and the name of the policy."""
    local_aws.client("s3").create_bucket(Bucket=BUCKET)
    local_aws.client("sns").create_topic(Name="policies")
    url = local_aws.client("sqs").create_queue(QueueName=QUEUE)["QueueUrl"]
    key = local_aws.client("kms").create_key()["KeyMetadata"]["KeyId"]
    local_aws.client("secretsmanager").create_secret(Name="policies", SecretString="x")
    return {
        "s3": ("put_bucket_policy", {"Bucket": BUCKET}, "Policy"),
        "sns": ("set_topic_attributes", {"TopicArn": TOPIC, "AttributeName": "Policy"}, "AttributeValue"),
        "sqs": ("set_queue_attributes", {"QueueUrl": url}, "Attributes"),
        "kms": ("put_key_policy", {"KeyId": key, "PolicyName": "default"}, "Policy"),
        "secretsmanager": ("put_resource_policy", {"SecretId": "policies"}, "ResourcePolicy"),
        "events": ("put_permission", {"EventBusName": "default"}, "Policy"),
    }


def request(puts: Any, service: str, given: str) -> tuple[str, dict[str, Any]]:
    operation, parameters, name = puts[service]
    return operation, {**parameters, name: {"Policy": given} if service == "sqs" else given}


@pytest.mark.parametrize("service", SERVICES)
def test_a_policy_is_refused(local_aws: LocalAws, puts: Any, service: str) -> None:
    for changes in WRONG.values():
        operation, parameters = request(puts, service, policy(service, **changes))
        check(local_aws, service, (operation, parameters, SERVICES[service][2], ""))
    operation, parameters = request(puts, service, policy(service))
    getattr(client(local_aws, service), operation)(**parameters)


@pytest.mark.parametrize(("changes", "text"), OF_BUCKETS)
def test_a_bucket_policy_is_refused(local_aws: LocalAws, puts: Any, changes: Any, text: str) -> None:
    given = changes if isinstance(changes, str) else policy("s3", **changes)
    operation, parameters = request(puts, "s3", given)
    check(local_aws, "s3", (operation, parameters, "MalformedPolicy", text))


@pytest.mark.parametrize("service", ["sns", "sqs"])
def test_an_action_of_another_service_is_refused(local_aws: LocalAws, puts: Any, service: str) -> None:
    text = "out of service scope" if service == "sns" else "Invalid value for the parameter Policy."
    operation, parameters = request(puts, service, policy(service, Action="s3:GetObject"))
    check(local_aws, service, (operation, parameters, SERVICES[service][2], text))


def test_a_key_policy_must_let_its_author_change_it(local_aws: LocalAws, puts: Any) -> None:
    text = "The new key policy will not allow you to update the key policy in the future."
    for changes in ({"Action": "kms:Encrypt"}, {"Principal": {"AWS": "111111111111"}}):
        row = ("create_key", {"Policy": policy("kms", **changes)}, SERVICES["kms"][2], text)
        check(local_aws, "kms", row)
    given = policy("kms", Action="kms:Encrypt")
    client(local_aws, "kms").create_key(Policy=given, BypassPolicyLockoutSafetyCheck=True)
    row = ("create_key", {"Policy": policy("kms", Sid="x" * 32_768)}, "LimitExceededException", "32 KB")
    check(local_aws, "kms", row)


def test_a_public_policy_of_a_secret_is_refused_on_request(local_aws: LocalAws, puts: Any) -> None:
    operation, parameters = request(puts, "secretsmanager", policy("secretsmanager", Principal="*"))
    client(local_aws, "secretsmanager").put_resource_policy(**parameters)
    blocked = {**parameters, "BlockPublicPolicy": True}
    check(local_aws, "secretsmanager", (operation, blocked, "PublicPolicyException", "broad access"))
