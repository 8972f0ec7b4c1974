"""The keys that an app gives."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk.assertions import Template

from cdk_lambda_patterns import FunctionOptions, HardenedFunction, LogOptions
from cdk_lambda_patterns.core.keys import check_key

ARN = "arn:aws:kms:eu-west-1:123456789012:key/mine"


@pytest.fixture
def stack() -> Stack:
    return Stack(App(), "Stack")


def test_the_key_of_an_alias_is_used(stack: Stack) -> None:
    own, imported = kms.Key(stack, "Own"), kms.Key.from_key_arn(stack, "Imported", ARN)
    named = kms.Alias.from_alias_attributes(stack, "Named", alias_name="alias/n", alias_target_key=imported)
    for given, used in ((own, own), (own.add_alias("alias/a"), own), (imported, imported), (named, imported)):
        key = check_key("key", given)
        assert key is not None
        assert stack.resolve(key.key_arn) == stack.resolve(used.key_arn)
    assert check_key("key", None) is None


def test_a_function_and_its_logs_name_the_key_of_an_alias(stack: Stack) -> None:
    key = kms.Key(stack, "Key")
    alias = key.add_alias("alias/a")
    options = FunctionOptions(environment_encryption=alias, logs=LogOptions(encryption_key=alias))
    code = lambda_.Code.from_inline("def handler(event, context): ...")
    HardenedFunction(stack, "Function", code=code, handler="index.handler", options=options)
    template = Template.from_stack(stack)
    arn = stack.resolve(key.key_arn)
    template.has_resource_properties("AWS::Lambda::Function", {"KmsKeyArn": arn})
    template.has_resource_properties("AWS::Logs::LogGroup", {"KmsKeyId": arn})


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (
            lambda s: kms.Key(s, "Key", key_spec=kms.KeySpec.RSA_2048),
            "key=Stack/Key: .* symmetric keys, and this one is RSA_2048; give a key with KeySpec.SYMM",
        ),
        (
            lambda s: kms.Key(s, "Key", key_spec=kms.KeySpec.RSA_2048).add_alias("alias/a"),
            "key=Stack/Key: .* symmetric",
        ),
        (
            lambda s: kms.Key(
                s, "Key", key_spec=kms.KeySpec.HMAC_256, key_usage=kms.KeyUsage.GENERATE_VERIFY_MAC
            ),
            "this one is HMAC_256",
        ),
        (
            lambda s: kms.Alias.from_alias_name(s, "Alias", "alias/a"),
            r"key=Stack/Alias: it is an alias, .* import that with kms.Key.from_key_arn",
        ),
    ],
)
def test_a_key_that_cannot_encrypt_or_be_granted_is_refused(
    stack: Stack, key: Callable[[Stack], kms.IKey], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        check_key("key", key(stack))
