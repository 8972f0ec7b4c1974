"""Asset → signed during the deployment by AWS Signer → Lambda, which accepts signed code only.

Use it where a function may only run code that your own deployment signed: a changed archive, or code that is
uploaded with ``UpdateFunctionCode``, is refused. It does not protect from principals that may sign with the
profile, or write what is signed: a deployment signs the newest version of an asset in its bucket. And
container images have no signature that Lambda checks.
"""

import json
import os
from collections.abc import Mapping

from aws_cdk import Annotations, CustomResource, Duration, RemovalPolicy, Stack, Token
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_signer as signer
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.bucket import make_bucket
from cdk_lambda_patterns.core.function import DEFAULT_HANDLER, NEWEST_PYTHON, HardenedFunction
from cdk_lambda_patterns.core.handler_code import handler_code, pattern_source
from cdk_lambda_patterns.core.limits import Limit, number_in
from cdk_lambda_patterns.core.options import FunctionOptions, NetworkOptions
from cdk_lambda_patterns.core.permissions import (
    acknowledge_wildcard,
    grant_on_bucket,
    grant_on_objects,
    grant_use_of_key,
)
from cdk_lambda_patterns.core.regions import check_region

# 135 months at most, whatever months these are: https://docs.aws.amazon.com/signer/latest/developerguide/cli-profile.html
_VALIDITY = Limit("AWS Signer", 1, 4_107, "days")
_PREFIX = "signed/"
_NO_VERSION = "@aws-cdk/aws-lambda:codeFromBucketObjectVersionNotSpecified"


@check_types
class CodeSigning(Construct):
    """A signing profile, a code signing configuration, and a custom resource that signs code with them.

    It builds the profile and the configuration unless you give yours, a bucket for signed code, and the
    function of the custom resource. ``sign`` returns code that CloudFormation has signed before it deploys
    what uses it, so ``cdk deploy`` is all that is needed. The same code is signed once. Use one
    ``CodeSigning`` for all functions and layers of a stack.

    Args:
        signing_profile: A profile for the platform ``AWS_LAMBDA_SHA384_ECDSA``. Default: a new one.
        code_signing_config: A configuration that lists ``signing_profile``, which has to be given as well.
            Default: a new one.
        untrusted_artifact_on_deployment: ``ENFORCE`` (default) refuses other code; ``WARN`` deploys it and
            counts it in the metric ``SignatureValidationErrors``. For a new configuration.
        signature_validity: How long signatures of a new profile can be deployed, whole days. Default: 135
            months.
        bucket: Where signed code is stored, of this account and Region. Default: a new bucket.
        removal_policy: What happens to the new bucket and the logs when the stack is deleted. Default: they
            are retained.

    Raises:
        ValueError: Arguments exclude each other, the profile is for another platform or not in the
            configuration, or a resource is in another account or Region.

    Attributes:
        signing_profile (ISigningProfile): The profile.
        code_signing_config (ICodeSigningConfig): The configuration, for ``FunctionOptions``.
        bucket (IBucket): The bucket with signed code.
        provider (HardenedFunction): The function that signs. It needs to read what it signs: ``sign`` grants
            that, except for a customer managed key of the bucket.

    Example::

        signing = CodeSigning(self, "Signing")
        SignedFunction(self, "Orders", code="worker", signing=signing)
        SignedFunction(self, "Invoices", code="worker", signing=signing)

    https://docs.aws.amazon.com/lambda/latest/dg/configuration-codesigning.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        signing_profile: signer.ISigningProfile | None = None,
        code_signing_config: lambda_.ICodeSigningConfig | None = None,
        untrusted_artifact_on_deployment: lambda_.UntrustedArtifactOnDeployment | None = None,
        signature_validity: Duration | None = None,
        bucket: s3.IBucket | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        _check(signing_profile, code_signing_config, untrusted_artifact_on_deployment, signature_validity)
        _check_platform(signing_profile, code_signing_config)
        why = "AWS Signer signs with profiles and into buckets of its own Region only"
        given = {"signing_profile": signing_profile, "code_signing_config": code_signing_config}
        check_region(scope, why, {**given, "bucket": bucket}, in_account=True)
        super().__init__(scope, id)
        self.signing_profile: signer.ISigningProfile = signing_profile or signer.SigningProfile(
            self,
            "Profile",
            platform=signer.Platform.AWS_LAMBDA_SHA384_ECDSA,
            signature_validity=signature_validity,
        )
        self.code_signing_config: lambda_.ICodeSigningConfig = code_signing_config or self._make_config(
            untrusted_artifact_on_deployment or lambda_.UntrustedArtifactOnDeployment.ENFORCE
        )
        self.bucket: s3.IBucket = bucket or make_bucket(
            self, "Signed", versioned=False, removal_policy=removal_policy
        )
        # The CDK warns about every key without a version, and signed code never has the same key.
        self._signed = s3.Bucket.from_bucket_name(self, "SignedCode", self.bucket.bucket_name)
        Annotations.of(self._signed).acknowledge_warning(_NO_VERSION, "The key is the id of the signing job.")
        self.provider = self._make_provider(removal_policy)

    def sign(self, scope: Construct, id: str, code: lambda_.Code) -> lambda_.Code:
        """Return the signed form of code, for a function or a layer.

        The CDK publishes a version of a function when its template changes, and new code does not change it
        here: the key of signed code is known only when it is deployed. ``SignedFunction`` publishes one.

        Args:
            scope: The parent of what is made.
            id: The id under the parent.
            code: An archive: an asset, or an object in a versioned bucket.

        Raises:
            ValueError: It is inline code or an image, or for another Region or account.
        """
        return self._signed_code(scope, id, code)[0]

    def _signed_code(self, scope: Construct, id: str, code: lambda_.Code) -> tuple[lambda_.Code, str]:
        """Return the signed form of code, and what identifies it at synthesis; empty if nothing does."""
        part = Construct(scope, id)
        why = "Lambda takes code from a bucket of its own Region, and the provider is in one account"
        check_region(part, why, {"signing": self.bucket}, in_account=True)
        location = code.bind(part).s3_location
        if location is None:
            raise ValueError(
                f"code of {part.node.path}: AWS Signer signs archives in S3, and this is inline code or an "
                "image; give lambda_.Code.from_asset(...) or from_bucket(...)."
            )
        source = s3.Bucket.from_bucket_name(part, "Source", location.bucket_name)
        self._grant_read(source, is_asset=isinstance(code, lambda_.AssetCode))
        signed = CustomResource(
            part,
            "Signed",
            resource_type="Custom::SignedCode",
            service_token=self.provider.function_arn,
            service_timeout=Duration.minutes(6),
            properties={
                "Bucket": location.bucket_name,
                "Key": location.object_key,
                "Version": location.object_version,
                "ProfileVersion": self.signing_profile.signing_profile_version,
                # The provider knows it; another bucket has to be an update of this resource.
                "Destination": self.bucket.bucket_name,
            },
        )
        profile = self.signing_profile.node.default_child
        made = (profile.signature_validity_period,) if isinstance(profile, signer.CfnSigningProfile) else ()
        of = [location, self.bucket.bucket_name, self.signing_profile.signing_profile_version, *made]
        is_late = any(map(Token.is_unresolved, (location.object_key, location.object_version or "")))
        identity = "" if is_late else json.dumps(Stack.of(part).resolve(of), sort_keys=True)
        return lambda_.Code.from_bucket(self._signed, signed.get_att_string("Key")), identity

    def _make_config(self, policy: lambda_.UntrustedArtifactOnDeployment) -> lambda_.CodeSigningConfig:
        profile = self.signing_profile
        config = lambda_.CodeSigningConfig(
            self, "Config", signing_profiles=[profile], untrusted_artifact_on_deployment=policy
        )
        resource = config.node.default_child
        assert isinstance(resource, lambda_.CfnCodeSigningConfig)
        if not _is_made_here(profile):
            arn = f"{_arn_of(profile)}/{profile.signing_profile_version}"
            resource.allowed_publishers = lambda_.CfnCodeSigningConfig.AllowedPublishersProperty(
                signing_profile_version_arns=[arn]
            )
        return config

    def _make_provider(self, removal_policy: RemovalPolicy) -> HardenedFunction:
        provider = HardenedFunction(
            self,
            "Provider",
            code=pattern_source("delivery", "code_signing"),
            handler="code_signing.handler.handler",
            description="Custom resource: signs code while the stack is deployed",
            environment={
                "PROFILE_NAME": self.signing_profile.signing_profile_name,
                "SIGNED_BUCKET": self.bucket.bucket_name,
            },
            options=FunctionOptions(timeout=Duration.minutes(5)),
            removal_policy=removal_policy,
        )
        role = provider.execution_role
        jobs = Stack.of(self).format_arn(service="signer", resource="/signing-jobs", resource_name="*")
        for action, resource in (
            ("signer:StartSigningJob", _arn_of(self.signing_profile)),
            ("signer:DescribeSigningJob", jobs),
        ):
            role.add_to_policy(iam.PolicyStatement(actions=[action], resources=[resource]))
        acknowledge_wildcard(role, jobs, "AWS Signer names the jobs.")
        grant_on_bucket(role, self.bucket, "s3:ListBucket")
        grant_on_objects(
            role,
            self.bucket,
            "s3:PutObject",
            "s3:DeleteObject",
            prefix=_PREFIX,
            reason="AWS Signer names signed objects after the job.",
        )
        grant_use_of_key(role, self.bucket.encryption_key, "kms:GenerateDataKey", "kms:Decrypt")
        return provider

    def _grant_read(self, bucket: s3.IBucket, *, is_asset: bool) -> None:
        grant_on_bucket(self.provider.execution_role, bucket, "s3:ListBucket")
        grant = grant_on_objects(
            self.provider.execution_role,
            bucket,
            "s3:GetObject",
            "s3:GetObjectVersion",
            reason="Each build has another key, and a new permission takes a while to have an effect.",
        )
        if is_asset:  # its bucket has a name that another account could take first
            for statement in grant.principal_statements:
                account = {"aws:ResourceAccount": Stack.of(self).account}
                statement.add_condition("StringEqualsIfExists", account)


@check_types
class SignedFunction(Construct):
    """A function whose code is signed during the deployment, and which accepts no other code.

    Args:
        code: The folder of the handler, or any ``lambda_.Code`` that is an archive.
        signing: Who signs, and what happens to other code. Default: a new ``CodeSigning``.
        handler: ``module.function`` in that folder.
        environment: Environment variables.
        function_options: Settings of the function. Its layers must be signed as well: ``signing.sign``.
        network: The VPC that the function runs in. Default: none of yours.
        removal_policy: What happens to the logs, and the bucket of a new ``CodeSigning``, when the stack is
            deleted. Default: they are retained.

    Raises:
        ValueError: The code is inline or an image, its key is known only when it is deployed, or the options
            have a code signing configuration.

    Attributes:
        function (HardenedFunction): The function.
        signing (CodeSigning): Who signs.

    Example::

        SignedFunction(self, "Orders", code="worker")

    https://docs.aws.amazon.com/lambda/latest/dg/configuration-codesigning.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        code: str | os.PathLike[str] | lambda_.Code,
        signing: CodeSigning | None = None,
        handler: str = DEFAULT_HANDLER,
        environment: Mapping[str, str] | None = None,
        function_options: FunctionOptions | None = None,
        network: NetworkOptions | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        options = function_options or FunctionOptions()
        if options.code_signing_config is not None:
            raise ValueError(
                "function_options.code_signing_config: give it to CodeSigning, with its signing profile, and "
                "that as signing."
            )
        if not isinstance(code, lambda_.Code):
            code = handler_code(
                code,
                handler=handler,
                runtime=options.runtime or NEWEST_PYTHON,
                architecture=options.architecture or lambda_.Architecture.ARM_64,
                has_layers=bool(options.layers),
            )
        super().__init__(scope, id)
        self.signing = signing or CodeSigning(self, "Signing", removal_policy=removal_policy)
        signed, identity = self.signing._signed_code(self, "Code", code)
        if not identity:
            raise ValueError(
                f"code of {self.node.path}: its key or version is known only when the stack is deployed, so "
                "new code would publish no version; give values that are known, or use CodeSigning.sign(...)."
            )
        self.function = HardenedFunction(
            self,
            "Function",
            code=signed,
            handler=handler,
            environment=environment,
            options=options.with_defaults(code_signing_config=self.signing.code_signing_config),
            network=network,
            removal_policy=removal_policy,
        )
        # The key of signed code is not known yet: without this, new code would publish no version.
        self.function.invalidate_version_based_on(identity)


def _is_made_here(profile: signer.ISigningProfile) -> bool:
    return isinstance(profile.node.default_child, signer.CfnSigningProfile)


def _arn_of(profile: signer.ISigningProfile) -> str:
    """Return the ARN of a profile: the CDK's of an imported one has a slash too many."""
    if _is_made_here(profile):
        return profile.signing_profile_arn
    return Stack.of(profile).format_arn(
        service="signer", resource="/signing-profiles", resource_name=profile.signing_profile_name
    )


def _check(
    profile: signer.ISigningProfile | None,
    config: lambda_.ICodeSigningConfig | None,
    policy: lambda_.UntrustedArtifactOnDeployment | None,
    validity: Duration | None,
) -> None:
    if config is not None and profile is None:
        raise ValueError(
            "code_signing_config without signing_profile: it does not list a new profile, so Lambda would "
            "refuse what that signs; give the profile that it lists as well."
        )
    if config is not None and policy is not None:
        raise ValueError(
            "untrusted_artifact_on_deployment: the code_signing_config that is given has its own; set it "
            "there."
        )
    if validity is not None and profile is not None:
        raise ValueError("signature_validity: the signing_profile that is given has its own; set it there.")
    if validity is not None:
        _VALIDITY.check("signature_validity", number_in("days", "signature_validity", validity))


def _check_platform(
    profile: signer.ISigningProfile | None, config: lambda_.ICodeSigningConfig | None
) -> None:
    """Check a profile of the app, and that a configuration of the app lists it."""
    resource = profile and profile.node.default_child
    if profile is None or not isinstance(resource, signer.CfnSigningProfile):
        return
    if (platform := resource.platform_id) != signer.Platform.AWS_LAMBDA_SHA384_ECDSA.platform_id:
        raise ValueError(
            f"signing_profile={profile.node.path}: its platform is {platform}, and Lambda checks signatures "
            "of AWSLambda-SHA384-ECDSA only; give a profile for Platform.AWS_LAMBDA_SHA384_ECDSA."
        )
    listing = config and config.node.default_child
    if config is None or not isinstance(listing, lambda_.CfnCodeSigningConfig):
        return
    arn, listed = Stack.of(config).resolve([profile.signing_profile_version_arn, listing.allowed_publishers])
    if str(arn) not in str(listed):
        raise ValueError(
            f"code_signing_config={config.node.path}: it does not list the signing_profile "
            f"{profile.node.path}, so Lambda would refuse what that signs; list it in signing_profiles."
        )
