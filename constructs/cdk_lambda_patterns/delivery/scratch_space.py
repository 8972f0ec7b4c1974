"""Job → Lambda: large file from S3 cached in /tmp, progress in checkpoints; a killed job resumes.

Use it for work that needs a large file or much temporary space, and for jobs that must not begin again after
a kill or a timeout. Do not use it for files that many environments change (mount EFS), for files of which a
job needs only a part (read ranges from S3), or for jobs of many hours (Step Functions).
"""

import json

from aws_cdk import Duration, RemovalPolicy, Size
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.bucket import make_bucket
from cdk_lambda_patterns.core.event_sources import Code
from cdk_lambda_patterns.core.function import DEFAULT_HANDLER, HardenedFunction
from cdk_lambda_patterns.core.keys import check_key
from cdk_lambda_patterns.core.options import AsyncOptions, FunctionOptions, NetworkOptions
from cdk_lambda_patterns.core.permissions import (
    acknowledge_wildcard_in,
    grant_on_bucket,
    grant_on_objects,
    grant_use_of_key,
)
from cdk_lambda_patterns.core.regions import OWN_KEYS, SAME_REGION, check_region

CHECKPOINTS = "checkpoints/"
"""What the keys of checkpoints start with."""

_CONTEXT = "scratch-space"
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-ephemeral-storage.html
_DEFAULT_STORAGE = Size.mebibytes(512)
# Longer than a failed event stays in the failure queue (14 days), so that a redriven job still resumes.
_CHECKPOINTS_EXPIRE = Duration.days(30)


@check_types
class ScratchSpaceFunction(Construct):
    """A function whose `/tmp` is a cache of large files, and whose jobs resume from checkpoints.

    It builds the function with its settings for asynchronous invocations, a bucket for the checkpoints and a
    KMS key, and grants the function the data keys of that key in one encryption context only. Events come
    from whatever may invoke the function asynchronously: Lambda retries a job whose environment was killed,
    and the function invokes itself for the rest of a job that needs more than one invocation.

    `/tmp` belongs to one environment and may be gone at any moment, so keep there only what saves time. The
    handler of this architecture (``lambda_src/delivery/scratch_space``) has a cache, checkpoints and their
    encryption as three modules that know nothing of its reports. The function gets the environment variables
    ``SOURCE_BUCKET``, ``CHECKPOINT_BUCKET``, ``CACHE_MAX_BYTES``, ``KEY_ARN`` and ``ENCRYPTION_CONTEXT``
    (JSON).

    Args:
        code: The folder of the handler, or any ``lambda_.Code``.
        handler: ``module.function`` in that folder.
        source_bucket: The bucket of the large files, with versioning: a job reads one version of its file,
            also after it resumed.
        checkpoint_bucket: The bucket of the checkpoints, under ``checkpoints/``, for this function only. Its
            name is the encryption context. Default: a new one, where they expire after 30 days.
        encryption_key: Customer managed key for the contents of `/tmp` and the checkpoints: symmetric, no
            imported alias. The policy of an imported key must leave permissions to IAM. Default: a new one,
            with rotation.
        cache_size: How much of `/tmp` the cache may take. Default: half.
        asynchronous: Retries, the maximum age of events, and destinations. Default: two retries, six hours.
        function_options: Settings of the function; ``ephemeral_storage_size`` is the size of `/tmp`. Default:
            512 MB of memory, 15 minutes, 512 MB of `/tmp`.
        network: The VPC that the function runs in. Default: none of yours.
        removal_policy: What happens to bucket, key, queue and logs when the stack is deleted. Default: they
            are retained.

    Raises:
        ValueError: A value is not allowed, the cache is larger than `/tmp`, the bucket has no versioning, or
            the key is not symmetric or an imported alias.

    Attributes:
        function (HardenedFunction): The function.
        checkpoint_bucket (IBucket): The bucket of the checkpoints.
        encryption_key (IKey): The key.
        failure_queue (IQueue | None): The queue for jobs that failed permanently.

    Example::

        reports = ScratchSpaceFunction(
            self, "Reports", code="worker", source_bucket=s3.Bucket(self, "Files", versioned=True),
            function_options=FunctionOptions(ephemeral_storage_size=Size.gibibytes(4)),
        )
        reports.function.grant_invoke(website)

    https://docs.aws.amazon.com/lambda/latest/dg/configuration-ephemeral-storage.html
    https://docs.aws.amazon.com/kms/latest/developerguide/encrypt_context.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        code: Code,
        handler: str = DEFAULT_HANDLER,
        source_bucket: s3.IBucket,
        checkpoint_bucket: s3.IBucket | None = None,
        encryption_key: kms.IKey | None = None,
        cache_size: Size | None = None,
        asynchronous: AsyncOptions | None = None,
        function_options: FunctionOptions | None = None,
        network: NetworkOptions | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        options = (function_options or FunctionOptions()).with_defaults(
            memory_size=512, timeout=Duration.minutes(15)
        )
        cache_bytes = _cache_bytes(cache_size, options.ephemeral_storage_size or _DEFAULT_STORAGE)
        _check_versioned(source_bucket)
        buckets = {"source_bucket": source_bucket, "checkpoint_bucket": checkpoint_bucket}
        check_region(scope, SAME_REGION, buckets)
        encryption_key = check_key("encryption_key", encryption_key)
        check_region(scope, OWN_KEYS, {"encryption_key": encryption_key})
        super().__init__(scope, id)

        self.checkpoint_bucket = checkpoint_bucket or self._make_bucket(removal_policy)
        self.encryption_key: kms.IKey = encryption_key or kms.Key(
            self, "Key", enable_key_rotation=True, removal_policy=removal_policy
        )
        # It is no secret: CloudTrail shows it with each use of the key. The name is that of one bucket in the
        # world, and a checkpoint stays readable for as long as its bucket stays, whatever the app is called.
        self._context = {_CONTEXT: self.checkpoint_bucket.bucket_name}
        self.function = HardenedFunction(
            self,
            "Function",
            code=code,
            handler=handler,
            environment={
                "SOURCE_BUCKET": source_bucket.bucket_name,
                "CHECKPOINT_BUCKET": self.checkpoint_bucket.bucket_name,
                "CACHE_MAX_BYTES": str(cache_bytes),
                "KEY_ARN": self.encryption_key.key_arn,
                "ENCRYPTION_CONTEXT": json.dumps(self._context),
            },
            asynchronous=asynchronous or AsyncOptions(),
            options=options,
            network=network,
            removal_policy=removal_policy,
        )
        self.failure_queue = self.function.failure_queue
        self._grant_files(source_bucket)
        self._grant_checkpoints()
        self._grant_data_keys()
        self._grant_continuing()

    def _make_bucket(self, removal_policy: RemovalPolicy) -> s3.Bucket:
        bucket = make_bucket(self, "Checkpoints", versioned=False, removal_policy=removal_policy)
        bucket.add_lifecycle_rule(prefix=CHECKPOINTS, expiration=_CHECKPOINTS_EXPIRE)
        return bucket

    def _grant_files(self, bucket: s3.IBucket) -> None:
        role = self.function.execution_role
        reason = "The sender of a job names the file."
        grant_on_objects(role, bucket, "s3:GetObject", "s3:GetObjectVersion", reason=reason)
        grant_use_of_key(role, bucket.encryption_key, "kms:Decrypt")

    def _grant_checkpoints(self) -> None:
        role, bucket = self.function.execution_role, self.checkpoint_bucket
        # Without it, S3 says of a checkpoint that does not exist that access is denied.
        grant_on_bucket(role, bucket, "s3:ListBucket")
        grant_on_objects(
            role,
            bucket,
            "s3:GetObject",
            "s3:PutObject",
            "s3:DeleteObject",
            prefix=CHECKPOINTS,
            reason="A checkpoint has the id of its job.",
        )
        grant_use_of_key(role, bucket.encryption_key, "kms:GenerateDataKey", "kms:Decrypt")

    def _grant_data_keys(self) -> None:
        """Allow data keys in this function's encryption context, not those of other users."""
        self.function.execution_role.add_to_policy(
            iam.PolicyStatement(
                actions=["kms:Decrypt", "kms:GenerateDataKey"],
                resources=[self.encryption_key.key_arn],
                conditions={
                    "StringEquals": {
                        f"kms:EncryptionContext:{name}": value for name, value in self._context.items()
                    }
                },
            )
        )

    def _grant_continuing(self) -> None:
        """Allow the function to invoke itself, in a policy that is made after the function."""
        arn = self.function.function_arn
        policy = iam.Policy(
            self,
            "Continue",
            roles=[self.function.execution_role],
            statements=[
                iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[arn, f"{arn}:*"]),
            ],
        )
        acknowledge_wildcard_in(
            policy, f"{arn}:*", "A job goes on with the version or alias that it was started with."
        )


def _cache_bytes(cache_size: Size | None, storage: Size) -> int:
    if cache_size is None:
        if storage.is_unresolved():
            raise ValueError(
                "cache_size: the size of /tmp is known only when the stack is deployed; give a cache_size."
            )
        return int(storage.to_bytes()) // 2
    if cache_size.is_unresolved():
        raise ValueError("cache_size: its value is known only when the stack is deployed; give a number.")
    if cache_size.to_bytes() < 1:
        raise ValueError(f"cache_size={cache_size.to_string()}: the cache must hold a file; give more.")
    if not storage.is_unresolved() and cache_size.to_bytes() > storage.to_bytes():
        raise ValueError(
            f"cache_size={cache_size.to_string()}: the function's /tmp has {storage.to_string()}; give less, "
            "or raise ephemeral_storage_size, up to 10,240 MB."
        )
    return int(cache_size.to_bytes())


def _check_versioned(bucket: s3.IBucket) -> None:
    """Check that a bucket has versioning. Nothing is known of an imported one."""
    resource = bucket.node.default_child
    if not isinstance(resource, s3.CfnBucket):
        return
    setting = resource.stack.resolve(resource.versioning_configuration)
    if not setting or setting.get("status") != "Enabled":
        raise ValueError(
            f"source_bucket={bucket.node.path}: it has no versioning, so a job could read two versions of "
            "its file; give one with versioned=True."
        )
