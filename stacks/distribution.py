"""What the distributions of demonstrations have in common: origins that only they reach, and no extras."""

from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as origins
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from constructs import Construct

from cdk_lambda_patterns.core.names import unique_name
from cdk_lambda_patterns.core.permissions import acknowledge

# A name of an access control has at most 64 characters, and the CDK's own would collide in a second stack.
_LONGEST = 64


def bucket_origin(scope: Construct, name: str, bucket: s3.IBucket) -> cloudfront.IOrigin:
    """Return a bucket as an origin that admits only the distribution (origin access control)."""
    control = cloudfront.S3OriginAccessControl(
        scope, f"{name}Access", origin_access_control_name=unique_name(scope, name, longest=_LONGEST)
    )
    return origins.S3BucketOrigin.with_origin_access_control(bucket, origin_access_control=control)


def function_origin(scope: Construct, name: str, function: lambda_.IFunction) -> cloudfront.IOrigin:
    """Return the URL of a function as an origin that admits only the distribution (origin access control)."""
    control = cloudfront.FunctionUrlOriginAccessControl(
        scope, f"{name}Access", origin_access_control_name=unique_name(scope, name, longest=_LONGEST)
    )
    url = function.add_function_url(auth_type=lambda_.FunctionUrlAuthType.AWS_IAM)
    return origins.FunctionUrlOrigin.with_origin_access_control(url, origin_access_control=control)


def acknowledge_demonstration(distribution: cloudfront.Distribution) -> None:
    """Acknowledge what a demonstration does without."""
    acknowledge(
        distribution,
        {
            "AwsSolutions-CFR1": "A demonstration for every country.",
            "AwsSolutions-CFR2": "A web ACL is the account owner's choice, and is billed by itself.",
            "AwsSolutions-CFR3": "Access logs are the account owner's choice (a log bucket).",
            "AwsSolutions-CFR4": "Without a domain of its own it has the certificate of cloudfront.net, "
            "whose TLS version cannot be chosen.",
        },
    )
