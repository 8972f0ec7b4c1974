"""Build → versioned bucket (its policy names the accounts that deploy) → function from one object version.

Use it where one account builds the code and others deploy it, and each deployment must say which build it
takes. Do not use it where the app that is deployed has the source: the CDK's assets do all of this, with the
hash of the content as key. Inline code (``lambda_.Code.from_inline``) is for a few lines without
dependencies, such as the answer to a custom resource: CloudFormation adds ``cfnresponse`` only there.
"""

from collections.abc import Mapping, Sequence

from aws_cdk import Annotations, RemovalPolicy, Token
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.bucket import make_bucket
from cdk_lambda_patterns.core.callers import check_account, check_organization
from cdk_lambda_patterns.core.function import DEFAULT_HANDLER, HardenedFunction
from cdk_lambda_patterns.core.limits import Limit, check_strings
from cdk_lambda_patterns.core.options import FunctionOptions, NetworkOptions
from cdk_lambda_patterns.core.permissions import warn_if_not_granted
from cdk_lambda_patterns.core.regions import check_region
from cdk_lambda_patterns.core.unseen_changes import CONTENT_HASH

# https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-lambda-function-code.html
_NAME = Limit("Lambda", 1, 1_024, "bytes in UTF-8")
_NO_VERSION = "@aws-cdk/aws-lambda:codeFromBucketObjectVersionNotSpecified"
_READ = ("s3:GetObject", "s3:GetObjectVersion")


@check_types
class CodeBucket(Construct):
    """A bucket for code that other accounts deploy.

    It builds a bucket (versioned, private, TLS only) whose policy allows these accounts to read objects and
    versions, which is what Lambda does with the credentials of the principal that deploys. That principal
    needs the same actions in its own account. The role of the function needs none of it.

    Args:
        accounts: The accounts that deploy.
        organization_id: Every account of this organization deploys.
        bucket: A versioned bucket to use. Default: a new one. If it is imported, its owner writes the policy.
        removal_policy: What happens to a new bucket when the stack is deleted. Default: it is retained.

    Raises:
        ValueError: An account or organization is malformed, or the bucket is not versioned.

    Attributes:
        bucket (IBucket): The bucket.

    Example::

        CodeBucket(self, "Releases", accounts=["111122223333"], organization_id="o-a1b2c3d4e5")

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/example-walkthroughs-managing-access-example2.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        accounts: Sequence[str] = (),
        organization_id: str | None = None,
        bucket: s3.IBucket | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        check_strings("accounts", accounts)
        for account in accounts:
            check_account("accounts", account)
        principals: list[iam.PrincipalBase] = [iam.AccountPrincipal(account) for account in accounts]
        if organization_id is not None:
            check_organization("organization_id", organization_id)
            principals.append(iam.OrganizationPrincipal(organization_id))
        _check_versioned(bucket)
        super().__init__(scope, id)

        self.bucket: s3.IBucket = bucket or make_bucket(
            self, "Bucket", versioned=True, removal_policy=removal_policy
        )
        for principal in principals:
            self._allow(principal)

    def _allow(self, principal: iam.PrincipalBase) -> None:
        objects = self.bucket.arn_for_objects("*")
        grant = iam.Grant.add_to_principal_or_resource(
            grantee=principal, actions=list(_READ), resource_arns=[objects], resource=self.bucket
        )
        warn_if_not_granted(self, grant, principal, self.bucket)
        if key := self.bucket.encryption_key:
            warn_if_not_granted(self, key.grant(principal, "kms:Decrypt"), principal, key)


@check_types
class CodeFromBucket(Construct):
    """A function whose code is one version of an object in a bucket, also of another account.

    CloudFormation does not look into the bucket: it reads the code again only when bucket, key or object
    version change in the template. So this construct requires a name that new code cannot have.

    Args:
        bucket: The bucket, in the Region of the function: owned, or imported, for instance with
            ``Bucket.from_bucket_attributes(..., account=...)``.
        key: The key of the archive.
        object_version: The version of the object. It can be left out if the key ends with the SHA-256 of the
            content (64 hexadecimal digits, and perhaps a suffix), as that of a CDK asset does.
        handler: ``module.function`` in the archive.
        environment: Environment variables.
        function_options: Settings of the function.
        network: The VPC that the function runs in. Default: none of yours.
        removal_policy: What happens to the logs when the stack is deleted. Default: they are retained.

    Raises:
        ValueError: New code could have the same name, a name is too long, or the bucket is in another Region.

    Attributes:
        function (HardenedFunction): The function.

    Example::

        releases = s3.Bucket.from_bucket_name(self, "Releases", "releases-of-the-build-account")
        CodeFromBucket(
            self, "Orders", bucket=releases, key="orders.zip", object_version="L4kqtJlcpXroDTDmpUMLUo"
        )

    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-lambda-function-code.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        bucket: s3.IBucket,
        key: str,
        object_version: str | None = None,
        handler: str = DEFAULT_HANDLER,
        environment: Mapping[str, str] | None = None,
        function_options: FunctionOptions | None = None,
        network: NetworkOptions | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        _check_name(key, object_version)
        check_region(
            scope, "Lambda reads code from buckets of the function's Region only", {"bucket": bucket}
        )
        super().__init__(scope, id)
        if object_version is None:
            # The CDK warns, at the bucket, about every key without a version.
            bucket = s3.Bucket.from_bucket_name(self, "Source", bucket.bucket_name)
            Annotations.of(bucket).acknowledge_warning(_NO_VERSION, "The key is the hash of the content.")
        self.function = HardenedFunction(
            self,
            "Function",
            code=lambda_.Code.from_bucket(bucket, key, object_version),
            handler=handler,
            environment=environment,
            options=function_options,
            network=network,
            removal_policy=removal_policy,
        )


def _check_versioned(bucket: s3.IBucket | None) -> None:
    resource = bucket.node.default_child if bucket else None
    if not bucket or not isinstance(resource, s3.CfnBucket):
        return
    versioning = resource.versioning_configuration
    if versioning is None or getattr(versioning, "status", "") == "Suspended":
        raise ValueError(
            f"bucket={bucket.node.path}: it is not versioned, so a new build destroys the code of the old "
            "one; give a bucket with versioned=True."
        )


def _check_name(key: str, version: str | None) -> None:
    for name, value in (("key", key), ("object_version", version)):
        if value is not None and not Token.is_unresolved(value):
            _NAME.check(f"length of {name}", len(value.encode()))
    if version == "null":
        raise ValueError(
            "object_version='null': that is whatever was written while the bucket was not versioned, and can "
            "change; turn versioning on, upload the code again, and give the new version's id."
        )
    if version is None and not Token.is_unresolved(key) and not CONTENT_HASH.search(key):
        raise ValueError(
            f"key={key!r} without object_version: CloudFormation reads the code again only when one of them "
            "changes, and new code can have this key; give the object_version, or a key that ends with the "
            "SHA-256 of the content."
        )
