"""Records → Firehose → Lambda, which converts and partitions them → S3.

Use it for many small records that need code on the way and end up in large objects, for queries or an
archive. Do not use it to react to each record: buffers hold it for minutes. See `KinesisConsumer` for that.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from aws_cdk import Annotations, Duration, RemovalPolicy, Size, Stack, Token
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesisfirehose as firehose
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.bucket import make_bucket
from cdk_lambda_patterns.core.event_sources import Code, check_function, timeout_of, unqualified
from cdk_lambda_patterns.core.function import DEFAULT_HANDLER, HardenedFunction
from cdk_lambda_patterns.core.limits import Limit, check_strings
from cdk_lambda_patterns.core.options import FunctionOptions, NetworkOptions
from cdk_lambda_patterns.core.permissions import grant_on_bucket, grant_on_objects, grant_use_of_key
from cdk_lambda_patterns.core.regions import check_region

# https://docs.aws.amazon.com/firehose/latest/APIReference/API_BufferingHints.html
_SIZE = Limit("Firehose", 1, 128, "MiB")
_INTERVAL = Limit("Firehose", 0, 900, "seconds")
# https://docs.aws.amazon.com/firehose/latest/dev/buffering.html
_PARTITIONED_SIZE = Limit("Firehose with partition_keys", 64, 128, "MiB")
_PARTITIONED_INTERVAL = Limit("Firehose with partition_keys", 60, 900, "seconds")
# https://docs.aws.amazon.com/firehose/latest/dev/data-transformation.html
# The smallest is 0.2 MB, and the CDK takes whole numbers. Firehose waits for a function for 5 minutes.
_BATCH_SIZE = Limit("Firehose", 1, 3, "MiB")
_TIMEOUT = Limit("Firehose", 1, 300, "seconds")
# The CDK leaves out 0, and then Firehose retries three times. There is no documented maximum.
_RETRIES = Limit("aws-cdk-lib", 1, 300)
_PREFIX = Limit("Firehose", 0, 1_024, "characters")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# https://docs.aws.amazon.com/firehose/latest/dev/s3-prefixes.html
_ERROR_TYPE, _RANDOM = "!{firehose:error-output-type}", "!{firehose:random-string}"
# Of Java's DateTimeFormatter, with text in quotes.
_TIMESTAMP = re.compile(r"!\{timestamp:(?:'[^'{}]*'|[GuyDMLdQqYwWEecFahKkHmsSAnNVzOXxZp]|[^A-Za-z'{}])+\}")

# A mapping that the CDK adds to the stack, for destinations in a VPC. S3 needs no such rule.
_CIDR_BLOCKS = "@aws-cdk--aws-kinesisfirehose.CidrBlocks"

# What Firehose does with a bucket, a key and a function.
# https://docs.aws.amazon.com/firehose/latest/dev/controlling-access.html#using-iam-s3
_ON_BUCKET = ("s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads")
_ON_OBJECTS = ("s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject")
_ON_KEY = ("kms:Decrypt", "kms:GenerateDataKey")
_ON_FUNCTION = ("lambda:GetFunctionConfiguration", "lambda:InvokeFunction")


@check_types
@dataclass(frozen=True, kw_only=True)
class FirehoseTransformOptions:
    """How Firehose buffers, transforms and delivers.

    Args:
        partition_keys: Names of the keys that the function returns in ``metadata.partitionKeys``. With them,
            dynamic partitioning is on: each combination of values has its own prefix and its own objects.
            This cannot be turned on later. Default: none.
        data_prefix: What the keys of objects start with. Default: the partition keys as ``name=value/``, and
            the date. One of your own must name each partition key, and no other.
        error_prefix: The same for records that failed. One with expressions must have
            ``!{firehose:error-output-type}``.
        compression: Default: GZIP.
        buffering_size: How much Firehose collects for an object, 1 to 128 MiB. With ``partition_keys``, for
            each partition, at least 64 MiB. Default: 5, with ``partition_keys`` 128.
        buffering_interval: How long it collects, 0 to 900 seconds. With ``partition_keys`` at least 60
            seconds. Default: 300 seconds.
        batch_size: How much it collects for an invocation, 1 to 3 MiB. Default: 1.
        batch_interval: How long it collects for an invocation, 0 to 900 seconds. Default: 60 seconds.
        retries: How often it retries an invocation that failed, at least once. Then all records of the batch
            have failed. Default: 3.
        backup: Whether everything that was put is also stored, as it came, in a new bucket or in
            ``backup_bucket``: also what the function has put again. It cannot be turned off later.

    Raises:
        ValueError: A value is outside what Firehose allows, or a prefix lacks an expression, or has one that
            Firehose cannot evaluate.

    Example::

        FirehoseTransformOptions(partition_keys=["site"], buffering_interval=Duration.minutes(1), backup=True)
    """

    partition_keys: Sequence[str] = ()
    data_prefix: str | None = None
    error_prefix: str = f"errors/{_ERROR_TYPE}/!{{timestamp:yyyy/MM/dd}}/"
    compression: firehose.Compression | None = None
    buffering_size: Size | None = None
    buffering_interval: Duration | None = None
    batch_size: Size | None = None
    batch_interval: Duration | None = None
    retries: int | None = None
    backup: bool = False

    def __post_init__(self) -> None:
        check_strings("partition_keys", self.partition_keys)
        for number, key in enumerate(self.partition_keys):
            if not _KEY.fullmatch(key) or key in self.partition_keys[:number]:
                raise ValueError(
                    f"partition_keys[{number}]={key!r}: give different names of letters, digits and "
                    "underscores, the first no digit."
                )
        partitioned = bool(self.partition_keys)
        (_PARTITIONED_SIZE if partitioned else _SIZE).check("buffering_size", self.buffering_size)
        interval = _PARTITIONED_INTERVAL if partitioned else _INTERVAL
        interval.check("buffering_interval", self.buffering_interval)
        _BATCH_SIZE.check("batch_size", self.batch_size)
        _INTERVAL.check("batch_interval", self.batch_interval)
        _RETRIES.check("retries", self.retries)
        for name, prefix in (("data_prefix", self.prefix), ("error_prefix", self.error_prefix)):
            if not Token.is_unresolved(prefix):
                _PREFIX.check(f"length of {name}", len(prefix))
        keys = [_expression(key) for key in self.partition_keys]
        _check_expressions("data_prefix", self.prefix, [_RANDOM, *keys])
        _check_expressions("error_prefix", self.error_prefix, [_RANDOM, _ERROR_TYPE])
        missing = [key for key in keys if key not in self.prefix]
        if missing and not Token.is_unresolved(self.prefix):
            raise ValueError(
                f"data_prefix={self.data_prefix!r}: it lacks {', '.join(missing)}, so records with different "
                "values would share objects; add it, or leave the key out of partition_keys."
            )
        if "!{" in self.error_prefix and _ERROR_TYPE not in self.error_prefix:
            raise ValueError(
                f"error_prefix={self.error_prefix!r}: it lacks {_ERROR_TYPE}, which Firehose requires of a "
                "prefix with expressions; add it."
            )

    @property
    def prefix(self) -> str:
        """The prefix of data, with its expressions."""
        if self.data_prefix is not None:
            return self.data_prefix
        keys = "".join(f"{key}={_expression(key)}/" for key in self.partition_keys)
        return f"data/{keys}!{{timestamp:yyyy/MM/dd}}/"


def _expression(key: str) -> str:
    return f"!{{partitionKeyFromLambda:{key}}}"


def _check_expressions(name: str, prefix: str, allowed: Sequence[str]) -> None:
    """Check that a prefix has only expressions with a value: without one, each record is error output."""
    for found in () if Token.is_unresolved(prefix) else re.findall(r"!\{[^}]*\}?", prefix):
        if found not in allowed and not _TIMESTAMP.fullmatch(found):
            raise ValueError(
                f"{name}={prefix!r}: {found} has no value here; give {', '.join(allowed)}, or a time with "
                "the letters of Java's DateTimeFormatter, such as !{timestamp:yyyy/MM/dd}."
            )


@check_types
class FirehoseTransform(Construct):
    """A delivery stream, a function that transforms its records, and the bucket that gets them.

    It builds the delivery stream, the function, the bucket (unless you give one), a log group for what
    Firehose cannot do, and the role with which Firehose does everything. For each record the function answers
    ``Ok`` with the new data, ``Dropped``, or ``ProcessingFailed``: then Firehose writes the original to the
    error prefix, with the reason.

    An answer has at most 6 MB. A function whose records grow puts those that do not fit into the delivery
    stream again and answers ``Dropped``; its role may do that, and the event names the stream. Firehose
    delivers at least once.

    Args:
        code: The folder of a new function's handler, or any ``lambda_.Code``.
        handler: ``module.function`` in that folder.
        function: An existing function instead, or a version or alias of it. Its role gets a policy for
            putting records again.
        bucket: Owned, from another stack, or imported. Default: a new, private one.
        backup_bucket: Where everything that was put is also stored, as it came. Default: nowhere, or a new
            one with ``options.backup``.
        options: How Firehose buffers, transforms and delivers.
        encryption: Of what is buffered. Default: with a key of AWS.
        function_options: Settings of a new function. Default: 256 MB, 1 minute; at most 5 minutes.
        network: The VPC that a new function runs in. Default: none of yours.
        removal_policy: What happens to buckets and logs when the stack is deleted. Default: they are
            retained.

    Raises:
        ValueError: A value is not allowed, or the function is in another Region or takes too long, or it may
            be in another account.

    Attributes:
        delivery_stream (DeliveryStream): The delivery stream. ``grant_put_records`` lets a producer use it.
        function (IFunction): The function: the new one (a ``HardenedFunction``), or the given one.
        bucket (IBucket): The bucket with data and errors.
        backup_bucket (IBucket | None): The bucket with the originals.
        delivery_role (Role): The role of Firehose.
        delivery_log_group (LogGroup): What Firehose says about deliveries and invocations that failed.

    Example::

        lines = FirehoseTransform(
            self, "Lines", code="worker", options=FirehoseTransformOptions(partition_keys=["site"])
        )
        late = lines.delivery_stream.metric("DeliveryToS3.DataFreshness", statistic="Maximum")
        late.create_alarm(self, "Late", threshold=900, evaluation_periods=3)

    https://docs.aws.amazon.com/firehose/latest/dev/data-transformation.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        code: Code | None = None,
        handler: str = DEFAULT_HANDLER,
        function: lambda_.IFunction | None = None,
        bucket: s3.IBucket | None = None,
        backup_bucket: s3.IBucket | None = None,
        options: FirehoseTransformOptions | None = None,
        encryption: firehose.StreamEncryption | None = None,
        function_options: FunctionOptions | None = None,
        network: NetworkOptions | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        options = options or FirehoseTransformOptions()
        target = check_function(function, code, handler, function_options, network)
        function_options = (function_options or FunctionOptions()).with_defaults(
            memory_size=256, timeout=Duration.minutes(1)
        )
        _TIMEOUT.check("function_options.timeout", function_options.timeout)
        if function is not None:
            _TIMEOUT.check("timeout of function", timeout_of(function))
            check_region(scope, "Firehose invokes functions of its own Region only", {"function": function})
        super().__init__(scope, id)

        self.function: lambda_.IFunction = function or HardenedFunction(
            self,
            "Function",
            code=cast(Code, target),
            handler=handler,
            options=function_options,
            network=network,
            removal_policy=removal_policy,
        )
        self.bucket: s3.IBucket = bucket or make_bucket(
            self, "Bucket", versioned=False, removal_policy=removal_policy
        )
        self.backup_bucket = backup_bucket
        if options.backup and backup_bucket is None:
            self.backup_bucket = make_bucket(
                self, "BackupBucket", versioned=False, removal_policy=removal_policy
            )
        self.delivery_log_group = logs.LogGroup(self, "DeliveryLogGroup", removal_policy=removal_policy)
        self.delivery_role = self._make_role()
        self.delivery_stream = self._make_stream(
            options, encryption or firehose.StreamEncryption.aws_owned_key()
        )
        self._let_function_put_again()

    def _make_role(self) -> iam.Role:
        # AWS documents the trust without a condition, such as aws:SourceAccount: Firehose may not send one.
        # https://docs.aws.amazon.com/firehose/latest/dev/controlling-access.html
        role = iam.Role(self, "DeliveryRole", assumed_by=iam.ServicePrincipal("firehose.amazonaws.com"))
        for bucket in filter(None, (self.bucket, self.backup_bucket)):
            grant_on_bucket(role, bucket, *_ON_BUCKET)
            grant_on_objects(
                role, bucket, *_ON_OBJECTS, reason="The keys of objects contain partition keys and times."
            )
            grant_use_of_key(role, bucket.encryption_key, *_ON_KEY)
        role.add_to_policy(
            iam.PolicyStatement(actions=list(_ON_FUNCTION), resources=[self.function.function_arn])
        )
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["logs:PutLogEvents"], resources=[self.delivery_log_group.log_group_arn]
            )
        )
        return role

    def _make_stream(
        self, options: FirehoseTransformOptions, encryption: firehose.StreamEncryption
    ) -> firehose.DeliveryStream:
        # The grants of the CDK are groups of actions; the statements of the role are above.
        role = self.delivery_role.without_policy_updates()
        logging = firehose.EnableLogging(self.delivery_log_group)
        backup = None
        if self.backup_bucket is not None:
            backup = firehose.DestinationS3BackupProps(
                mode=firehose.BackupMode.ALL,
                bucket=self.backup_bucket,
                buffering_size=None if options.partition_keys else options.buffering_size,
                buffering_interval=options.buffering_interval,
                compression=options.compression or firehose.Compression.GZIP,
                data_output_prefix="originals/!{timestamp:yyyy/MM/dd}/",
                error_output_prefix=options.error_prefix,
                logging_config=logging,
            )
        self._check_permissions_of_function(role)
        blocks = Stack.of(self).node
        others = blocks.try_find_child(_CIDR_BLOCKS)
        dynamic = firehose.DynamicPartitioningProps(enabled=True) if options.partition_keys else None
        stream = firehose.DeliveryStream(
            self,
            "DeliveryStream",
            # Without it, the CDK makes a role that Firehose does not use. The creator of the delivery stream
            # gives Firehose a grant for the key: https://docs.aws.amazon.com/firehose/latest/dev/encryption.html
            role=role,
            encryption=encryption,
            destination=firehose.S3Bucket(
                self.bucket,
                role=role,
                processors=[
                    firehose.LambdaFunctionProcessor(
                        self.function,
                        buffer_size=options.batch_size,
                        buffer_interval=options.batch_interval,
                        retries=options.retries,
                    )
                ],
                dynamic_partitioning=dynamic,
                buffering_size=options.buffering_size,
                buffering_interval=options.buffering_interval,
                compression=options.compression or firehose.Compression.GZIP,
                data_output_prefix=options.prefix,
                error_output_prefix=options.error_prefix,
                logging_config=logging,
                s3_backup=backup,
            ),
        )
        if others is None:
            blocks.try_remove_child(_CIDR_BLOCKS)
        # It would start without permissions otherwise.
        stream.node.add_dependency(self.delivery_role)
        return stream

    def _check_permissions_of_function(self, role: iam.IRole) -> None:
        """Grant what the processor of the CDK grants, too, for an error that names the argument."""
        try:
            self.function.grant_invoke(role)
        except RuntimeError as error:
            raise ValueError(
                f"function={self.function.node.path}: it may be in another account, and the policy of an "
                "imported function cannot be changed here. If it is in the account and Region of the stack, "
                "import it with from_function_attributes(..., same_environment=True); otherwise its owner "
                "must allow lambda:InvokeFunction to the role, and you import it with skip_permissions=True."
            ) from error

    def _let_function_put_again(self) -> None:
        """Allow the function to put records again.

        In a policy of its own: the delivery stream needs the function, and a function needs the default
        policy of its role.
        """
        role = unqualified(self.function).role
        if role is None:
            Annotations.of(self).add_warning_v2(
                "cdk-lambda-patterns:importedFunctionRole",
                f"{self.function.node.path} is imported without its role. Make sure that the role may put "
                "records into the delivery stream, or import the function with its role "
                "(Function.from_function_attributes).",
            )
            return
        statement = iam.PolicyStatement(
            actions=["firehose:PutRecordBatch"], resources=[self.delivery_stream.delivery_stream_arn]
        )
        iam.Policy(self, "FunctionPolicy", roles=[role], statements=[statement])
