"""The buckets of this library: private, encrypted, TLS only."""

from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_s3 as s3
from constructs import Construct

from cdk_lambda_patterns.core.permissions import acknowledge
from cdk_lambda_patterns.core.provider_roles import AUTO_DELETE_OBJECTS, write_out_provider_role


def make_bucket(scope: Construct, id: str, *, versioned: bool, removal_policy: RemovalPolicy) -> s3.Bucket:
    """Make a private bucket.

    Args:
        scope: The parent.
        id: The id under the parent.
        versioned: Whether overwritten and deleted objects remain as noncurrent versions.
        removal_policy: ``DESTROY`` also empties it when the stack is deleted.
    """
    bucket = s3.Bucket(
        scope,
        id,
        versioned=versioned,
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        enforce_ssl=True,
        removal_policy=removal_policy,
        auto_delete_objects=removal_policy is RemovalPolicy.DESTROY,
    )
    # Not as an argument, which would overrule a key from the app's property injectors.
    resource = bucket.node.default_child
    if isinstance(resource, s3.CfnBucket) and resource.bucket_encryption is None:
        by_s3 = s3.CfnBucket.ServerSideEncryptionByDefaultProperty(sse_algorithm="AES256")
        rule = s3.CfnBucket.ServerSideEncryptionRuleProperty(server_side_encryption_by_default=by_s3)
        resource.bucket_encryption = s3.CfnBucket.BucketEncryptionProperty(
            server_side_encryption_configuration=[rule]
        )
    write_out_provider_role(Stack.of(scope), AUTO_DELETE_OBJECTS)
    acknowledge(
        bucket,
        {
            "AwsSolutions-S1": "Access logs are the account owner's choice (CloudTrail data events, or a "
            "log bucket): pass a bucket of your own to have them."
        },
    )
    return bucket
