"""A repository for the images of functions."""

from collections.abc import Sequence

from aws_cdk import ArnFormat, RemovalPolicy, Stack
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.callers import check_account
from cdk_lambda_patterns.core.limits import Limit

_PULL = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
# https://docs.aws.amazon.com/AmazonECR/latest/userguide/lifecycle_policy_parameters.html
_IMAGES = Limit("ECR", 1, 100_000, "images")
# https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-tag-mutability.html
_FILTERS = Limit("ECR", 0, 5, "filters")


@check_types
class ImageRepository(ecr.Repository):
    """A repository whose tags are never pushed again, from which functions of named accounts may pull.

    Images are scanned when they are pushed, and none expires unless you say so: a function may run an image
    that has lost its tag, and ECR counts its age from the push. Put all images that share large layers into
    one repository: ECR stores and transfers each layer once per repository, and Lambda caches it once.

    Args:
        mutable_tags: Filters for tags that may be pushed again, at most 5: ``["live-*"]``. Default: none.
        keep_images: How many images stay, the newest ones. Default: all. A function whose image has expired
            fails sooner or later, also for a version or alias that you roll back to.
        accounts: Other accounts whose functions may use the images.
        encryption_key: Customer managed key that encrypts the images. Default: a key of ECR.
        removal_policy: ``DESTROY`` also deletes the images when the stack is deleted. Default: it is
            retained.

    Raises:
        ValueError: A value is outside what ECR allows.

    Attributes:
        repository_uri (str): For ``docker push``; and what else an ``ecr.Repository`` has.

    Example::

        ImageRepository(self, "Images", keep_images=100, accounts=["111122223333"])

    https://docs.aws.amazon.com/lambda/latest/dg/images-create.html
    https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-tag-mutability.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        mutable_tags: Sequence[str] | None = None,
        keep_images: int | None = None,
        accounts: Sequence[str] | None = None,
        encryption_key: kms.IKey | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        _IMAGES.check("keep_images", keep_images)
        _FILTERS.check("len(mutable_tags)", len(mutable_tags or ()))
        for account in accounts or ():
            check_account("accounts", account)
        newest = ecr.LifecycleRule(description="The newest images stay", max_image_count=keep_images)
        immutable = ecr.TagMutability.IMMUTABLE
        super().__init__(
            scope,
            id,
            image_tag_mutability=ecr.TagMutability.IMMUTABLE_WITH_EXCLUSION if mutable_tags else immutable,
            image_tag_mutability_exclusion_filters=[
                ecr.ImageTagMutabilityExclusionFilter.wildcard(tag) for tag in mutable_tags
            ]
            if mutable_tags
            else None,
            image_scan_on_push=True,
            lifecycle_rules=[newest] if keep_images else None,
            encryption_key=encryption_key,
            removal_policy=removal_policy,
            empty_on_delete=True if removal_policy is RemovalPolicy.DESTROY else None,
        )
        self.add_to_resource_policy(lambda_may_pull(self.stack, accounts or ()))
        if accounts:
            self.add_to_resource_policy(
                iam.PolicyStatement(
                    sid="CrossAccountPermission",
                    principals=[iam.AccountPrincipal(account) for account in accounts],
                    actions=_PULL,
                )
            )


def lambda_may_pull(stack: Stack, accounts: Sequence[str]) -> iam.PolicyStatement:
    """The statement that lets Lambda pull images for functions of the stack's account, and of others.

    https://docs.aws.amazon.com/lambda/latest/dg/images-create.html#configuration-images-permissions
    """
    functions = [
        stack.format_arn(
            service="lambda",
            account=account,
            resource="function",
            resource_name="*",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        for account in (stack.account, *accounts)
    ]
    return iam.PolicyStatement(
        sid="LambdaECRImageRetrievalPolicy",
        principals=[iam.ServicePrincipal("lambda.amazonaws.com")],
        actions=_PULL,
        conditions={"StringLike": {"aws:SourceArn": functions}},
    )
