"""The constructs of `code-signing`."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from aws_cdk import App, Duration, Environment, Stack
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_signer as signer
from aws_cdk.assertions import Match, Template

from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.options import FunctionOptions
from cdk_lambda_patterns.delivery.code_signing import CodeSigning, SignedFunction

CONFIG = "arn:aws:lambda:eu-west-1:123456789012:code-signing-config:csc-0123456789abcdef0"


def a_stack() -> Stack:
    """An empty stack."""
    return Stack(
        App(context={"aws:cdk:bundling-stacks": []}, builtin_cloud_formation_validation=False), "Stack"
    )


def archive(stack: Stack, key: str = "a.zip", version: str | None = None) -> lambda_.Code:
    """Code in a bucket."""
    bucket = stack.node.try_find_child("Builds") or s3.Bucket(stack, "Builds", versioned=True)
    assert isinstance(bucket, s3.Bucket)
    return lambda_.Code.from_bucket(bucket, key, version)


def imported_profile(stack: Stack) -> signer.ISigningProfile:
    """A profile from another stack."""
    return signer.SigningProfile.from_signing_profile_attributes(
        stack, "Profile", signing_profile_name="theirs", signing_profile_version="0123456789"
    )


def imported_config(stack: Stack) -> lambda_.ICodeSigningConfig:
    """A configuration from another stack."""
    return lambda_.CodeSigningConfig.from_code_signing_config_arn(stack, "Config", CONFIG)


def own_profile(
    stack: Stack, platform: signer.Platform = signer.Platform.AWS_LAMBDA_SHA384_ECDSA, id: str = "Own"
) -> signer.SigningProfile:
    """A profile of the app."""
    return signer.SigningProfile(stack, id, platform=platform)


def in_region(stack: Stack, region: str) -> Stack:
    """Another stack of the app."""
    return Stack(App.of(stack), region, env=Environment(region=region))


def test_a_profile_and_a_configuration_of_the_app_are_used() -> None:
    stack = a_stack()
    profile = own_profile(stack)
    config = lambda_.CodeSigningConfig(stack, "Config", signing_profiles=[profile])
    CodeSigning(stack, "Signing", signing_profile=profile, code_signing_config=config)


def test_assets_are_read_in_this_account_only() -> None:
    stack = a_stack()
    SignedFunction(
        stack,
        "Prices",
        code=pattern_source("delivery", "cross_account_code"),
        handler="cross_account_code.handler.handler",
    )
    found = Template.from_stack(stack).find_resources("AWS::IAM::Policy")
    statements = [one for each in found.values() for one in each["Properties"]["PolicyDocument"]["Statement"]]
    (reading,) = [one for one in statements if "s3:GetObjectVersion" in one["Action"]]
    assert reading["Condition"] == {
        "StringEqualsIfExists": {"aws:ResourceAccount": {"Ref": "AWS::AccountId"}}
    }


def test_the_function_takes_code_that_the_custom_resource_signed() -> None:
    stack = a_stack()
    SignedFunction(stack, "Prices", code=archive(stack, version="v1"), handler="index.handler")
    template = Template.from_stack(stack)
    ((signed, resource),) = template.find_resources("Custom::SignedCode").items()
    properties = resource["Properties"]
    assert (properties["Key"], properties["Version"]) == ("a.zip", "v1")
    assert properties["ProfileVersion"]["Fn::GetAtt"][1] == "ProfileVersion"
    template.has_resource_properties(
        "AWS::Lambda::Function",
        {
            "Code": {"S3Bucket": Match.any_value(), "S3Key": {"Fn::GetAtt": [signed, "Key"]}},
            "CodeSigningConfigArn": Match.any_value(),
        },
    )
    template.has_resource_properties(
        "AWS::Lambda::CodeSigningConfig",
        {"CodeSigningPolicies": {"UntrustedArtifactOnDeployment": "Enforce"}},
    )


def test_new_code_publishes_a_version() -> None:
    def version(key: str, builds: str = "builds", days: int = 1, signed: str = "signed") -> str:
        stack = a_stack()
        code = lambda_.Code.from_bucket(s3.Bucket.from_bucket_name(stack, "Builds", builds), key, "v1")
        bucket = s3.Bucket.from_bucket_name(stack, "Bucket", signed)
        validity = Duration.days(days)
        signing = CodeSigning(stack, "Signing", bucket=bucket, signature_validity=validity)
        prices = SignedFunction(stack, "Prices", code=code, handler="index.handler", signing=signing)
        return str(stack.resolve(prices.function.current_version.version)["Fn::GetAtt"][0])

    assert version("a.zip") == version("a.zip")
    versions = {
        version("a.zip"),
        version("b.zip"),
        version("a.zip", builds="others"),
        version("a.zip", days=2),
        version("a.zip", signed="elsewhere"),
    }
    assert len(versions) == 5


def test_another_bucket_for_signed_code_is_an_update_of_the_custom_resource() -> None:
    stack = a_stack()
    bucket = s3.Bucket.from_bucket_name(stack, "Bucket", "signed-code")
    CodeSigning(stack, "Signing", bucket=bucket).sign(stack, "Code", archive(stack))
    template = Template.from_stack(stack)
    template.has_resource_properties("Custom::SignedCode", {"Destination": "signed-code"})


def test_a_folder_and_a_layer_are_signed_by_one_provider() -> None:
    stack = a_stack()
    signing = CodeSigning(stack, "Signing", signature_validity=Duration.days(30))
    words = signing.sign(stack, "Words", archive(stack, "words.zip"))
    layer = lambda_.LayerVersion(stack, "Layer", code=words)
    code = pattern_source("delivery", "cross_account_code")
    options = FunctionOptions(layers=[layer])
    SignedFunction(stack, "Prices", code=code, signing=signing, function_options=options)
    template = Template.from_stack(stack)
    template.resource_count_is("Custom::SignedCode", 2)
    template.resource_count_is("AWS::Signer::SigningProfile", 1)
    template.has_resource_properties(
        "AWS::Signer::SigningProfile", {"SignatureValidityPeriod": {"Type": "DAYS", "Value": 30}}
    )
    (made,) = template.find_resources("AWS::Lambda::LayerVersion").values()
    assert made["Properties"]["Content"]["S3Key"]["Fn::GetAtt"][1] == "Key"


def test_imported_profile_and_configuration_are_used_and_the_key_of_the_bucket_too() -> None:
    stack = a_stack()
    bucket = s3.Bucket(stack, "Own", encryption_key=kms.Key(stack, "Key"))
    signing = CodeSigning(
        stack,
        "Signing",
        signing_profile=imported_profile(stack),
        code_signing_config=imported_config(stack),
        bucket=bucket,
    )
    assert signing.bucket is bucket
    SignedFunction(stack, "Prices", code=archive(stack), handler="index.handler", signing=signing)
    template = Template.from_stack(stack)
    template.resource_count_is("AWS::Signer::SigningProfile", 0)
    template.resource_count_is("AWS::Lambda::CodeSigningConfig", 0)
    template.has_resource_properties("AWS::Lambda::Function", {"CodeSigningConfigArn": CONFIG})
    template.has_resource_properties("Custom::SignedCode", {"ProfileVersion": "0123456789"})
    allowed = str(template.find_resources("AWS::IAM::Policy"))
    assert "kms:GenerateDataKey" in allowed
    assert "':/signing-profiles/theirs'" in allowed


def test_a_new_configuration_lists_the_version_of_an_imported_profile_by_its_documented_arn() -> None:
    stack = a_stack()
    CodeSigning(stack, "Signing", signing_profile=imported_profile(stack))
    (config,) = Template.from_stack(stack).find_resources("AWS::Lambda::CodeSigningConfig").values()
    (arn,) = config["Properties"]["AllowedPublishers"]["SigningProfileVersionArns"]
    assert arn["Fn::Join"][1][-1] == ":/signing-profiles/theirs/0123456789"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (
            lambda stack: CodeSigning(stack, "S", code_signing_config=imported_config(stack)),
            "code_signing_config without signing_profile",
        ),
        (
            lambda stack: CodeSigning(
                stack,
                "S",
                signing_profile=imported_profile(stack),
                code_signing_config=imported_config(stack),
                untrusted_artifact_on_deployment=lambda_.UntrustedArtifactOnDeployment.WARN,
            ),
            "untrusted_artifact_on_deployment",
        ),
        (
            lambda stack: CodeSigning(
                stack, "S", signing_profile=imported_profile(stack), signature_validity=Duration.days(1)
            ),
            "signature_validity: the signing_profile that is given has its own",
        ),
        (
            lambda stack: CodeSigning(
                stack,
                "S",
                signing_profile=own_profile(stack, signer.Platform.NOTATION_OCI_SHA384_ECDSA),
            ),
            "its platform is Notation-OCI-SHA384-ECDSA",
        ),
        (
            lambda stack: CodeSigning(
                stack,
                "S",
                signing_profile=own_profile(stack),
                code_signing_config=lambda_.CodeSigningConfig(
                    stack, "Config", signing_profiles=[own_profile(stack, id="Other")]
                ),
            ),
            "it does not list the signing_profile Stack/Own",
        ),
        (
            lambda stack: SignedFunction(stack, "F", code=lambda_.Code.from_cfn_parameters()),
            "known only when the stack is deployed",
        ),
        (
            lambda stack: CodeSigning(in_region(stack, "eu-west-1"), "S").sign(
                in_region(stack, "us-east-1"), "Code", archive(stack)
            ),
            "it is in eu-west-1, and this stack in us-east-1. Lambda takes code",
        ),
        (lambda stack: CodeSigning(stack, "S", signature_validity=Duration.hours(12)), "1 to 4,107 days"),
        (lambda stack: CodeSigning(stack, "S", signature_validity=Duration.days(4_108)), "1 to 4,107 days"),
        (
            lambda stack: SignedFunction(stack, "F", code=lambda_.Code.from_inline("x = 1")),
            "this is inline code or an image",
        ),
        (
            lambda stack: SignedFunction(
                stack,
                "F",
                code=archive(stack),
                function_options=FunctionOptions(code_signing_config=imported_config(stack)),
            ),
            "give it to CodeSigning",
        ),
    ],
)
def test_what_excludes_each_other_is_refused(make: Callable[[Stack], object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        make(a_stack())
