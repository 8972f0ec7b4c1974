"""The construct of `encrypted-environment`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import App, Environment, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk.assertions import Annotations, Match, Template

from cdk_lambda_patterns import FunctionOptions
from cdk_lambda_patterns.delivery.encrypted_environment import EncryptedEnvironment

EU = Environment(account="123456789012", region="eu-central-1")
SECRET = "arn:aws:secretsmanager:{}:{}:secret:key-AbCdEf"


def stack_in_eu() -> Stack:
    """An empty stack."""
    return Stack(App(builtin_cloud_formation_validation=False), "Stack", env=EU)


def add(stack: Stack, **settings: Any) -> EncryptedEnvironment:
    """The construct with inline code."""
    code = lambda_.Code.from_inline("def handler(event, context): ...")
    return EncryptedEnvironment(stack, "Links", code=code, handler="index.handler", **settings)


def imported(stack: Stack, region: str = "eu-central-1", account: str = "123456789012") -> Any:
    """A secret that is imported by its complete ARN."""
    return secretsmanager.Secret.from_secret_complete_arn(stack, "Secret", SECRET.format(region, account))


def test_a_new_key_encrypts_the_variables_and_a_secret_is_its_arn() -> None:
    stack = stack_in_eu()
    add(stack, environment={"BASE_URL": "https://x"}, secrets={"KEY": imported(stack)})
    template = Template.from_stack(stack)
    (key,) = template.find_resources("AWS::KMS::Key", {"Properties": {"EnableKeyRotation": True}})
    arn = SECRET.format("eu-central-1", "123456789012")
    template.has_resource_properties(
        "AWS::Lambda::Function",
        {
            "KmsKeyArn": {"Fn::GetAtt": [key, "Arn"]},
            "Environment": {"Variables": {"BASE_URL": "https://x", "KEY": arn}},
        },
    )
    template.has_resource_properties(
        "AWS::IAM::Policy",
        {
            "PolicyDocument": {
                "Statement": Match.array_with(
                    [{"Action": "secretsmanager:GetSecretValue", "Effect": "Allow", "Resource": arn}]
                )
            }
        },
    )


def test_a_key_that_is_given_is_used() -> None:
    stack = stack_in_eu()
    key = kms.Key.from_key_arn(stack, "Key", f"arn:aws:kms:{EU.region}:{EU.account}:key/1")
    links = add(stack, key=key, environment={"A1": "b"})
    assert links.key is key
    template = Template.from_stack(stack)
    template.resource_count_is("AWS::KMS::Key", 0)
    template.has_resource_properties("AWS::Lambda::Function", {"KmsKeyArn": key.key_arn})


def test_the_key_of_a_secret_may_be_used() -> None:
    stack = stack_in_eu()
    key = kms.Key(stack, "SecretKey")
    add(stack, secrets={"KEY": secretsmanager.Secret(stack, "Secret", encryption_key=key)})
    Template.from_stack(stack).has_resource_properties(
        "AWS::IAM::Policy",
        {
            "PolicyDocument": {
                "Statement": Match.array_with(
                    [Match.object_like({"Action": "kms:Decrypt", "Resource": stack.resolve(key.key_arn)})]
                )
            }
        },
    )


def test_who_may_read_decrypts_for_this_function_only() -> None:
    stack = stack_in_eu()
    links = add(stack)
    reader = iam.Role(stack, "Reader", assumed_by=iam.AccountRootPrincipal())
    assert links.grant_read_environment(reader).success
    arn = stack.resolve(links.function.function_arn)
    Template.from_stack(stack).has_resource_properties(
        "AWS::IAM::Policy",
        {
            "PolicyDocument": {
                "Statement": [
                    {"Action": "lambda:GetFunctionConfiguration", "Effect": "Allow", "Resource": arn},
                    {
                        "Action": "kms:Decrypt",
                        "Effect": "Allow",
                        "Resource": stack.resolve(links.key.key_arn),
                        "Condition": {"StringEquals": {"kms:EncryptionContext:aws:lambda:FunctionArn": arn}},
                    },
                ]
            }
        },
    )


def test_a_grantee_without_an_identity_policy_is_refused() -> None:
    said = r"^grantee=AccountPrincipal\(222222222222\): it has no identity policy here; give a role"
    with pytest.raises(ValueError, match=said):
        add(stack_in_eu()).grant_read_environment(iam.AccountPrincipal("222222222222"))


def test_a_grantee_whose_policy_cannot_be_changed_here_is_a_warning() -> None:
    stack = stack_in_eu()
    reader = iam.Role.from_role_arn(stack, "Theirs", "arn:aws:iam::222222222222:role/r")
    add(stack).grant_read_environment(reader)
    for given in ("lambda:GetFunctionConfiguration", "kms:Decrypt"):
        text = f"Stack/Theirs is of another account or immutable.*{given} on Stack/"
        Annotations.from_stack(stack).has_warning("*", Match.string_like_regexp(text))


WRONG: dict[str, tuple[Callable[[Stack], dict[str, Any]], str]] = {
    "asymmetric key": (
        lambda stack: {"key": kms.Key(stack, "Key", key_spec=kms.KeySpec.RSA_2048)},
        r"^key=Stack/Key: AWS services encrypt with symmetric keys, and this one is RSA_2048; give",
    ),
    "imported alias": (
        lambda stack: {"key": kms.Alias.from_alias_name(stack, "Alias", "alias/mine")},
        r"^key=Stack/Alias: it is an alias, and permissions need the key; import that with",
    ),
    "key of another Region": (
        lambda stack: {
            "key": kms.Key.from_key_arn(stack, "Key", f"arn:aws:kms:us-east-1:{EU.account}:key/1")
        },
        "it is in us-east-1",
    ),
    "key given twice": (
        lambda stack: {
            "function_options": FunctionOptions(environment_encryption=kms.Key(stack, "Key")),
            "key": kms.Key(stack, "Other"),
        },
        r"^function_options.environment_encryption: key is given as well; give one\.",
    ),
    "secret of another Region": (
        lambda stack: {"secrets": {"KEY": imported(stack, region="us-east-1")}},
        r"^secrets\['KEY'\]=Stack/Secret: it is in us-east-1",
    ),
    "secret of another account": (
        lambda stack: {"secrets": {"KEY": imported(stack, account="222222222222")}},
        r"^secrets\['KEY'\]=Stack/Secret: it is in 222222222222",
    ),
    "secret without its ARN": (
        lambda stack: {"secrets": {"KEY": secretsmanager.Secret.from_secret_name_v2(stack, "Secret", "key")}},
        r"^secrets\['KEY'\]=Stack/Secret: it is imported without the complete ARN",
    ),
    "name used twice": (
        lambda stack: {"environment": {"KEY": "x"}, "secrets": {"KEY": imported(stack)}},
        r"^secrets\['KEY'\]: environment has that name as well",
    ),
    "more than 4 KB": (
        lambda stack: {"environment": {"BIG": "x" * 4050}, "secrets": {"KEY": imported(stack)}},
        r"^environment of 4,\d{3} bytes: Lambda allows 4,096 bytes",
    ),
    "reserved name": (
        lambda stack: {"secrets": {"AWS_REGION": imported(stack)}},
        "Lambda reserves this name",
    ),
}


@pytest.mark.parametrize(("settings", "error"), WRONG.values(), ids=WRONG)
def test_what_lambda_would_refuse_is_refused(settings: Callable[[Stack], dict[str, Any]], error: str) -> None:
    stack = stack_in_eu()
    with pytest.raises(ValueError, match=error):
        add(stack, **settings(stack))
