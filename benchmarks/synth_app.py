"""One app for ``benchmarks.synth``: thumbnailers by this library, or the same resources written by hand."""

import gc
import sys
import tempfile

gc.disable()

from aws_cdk import App, Duration, RemovalPolicy, Stack  # noqa: E402
from aws_cdk import aws_dynamodb as dynamodb  # noqa: E402
from aws_cdk import aws_iam as iam  # noqa: E402
from aws_cdk import aws_lambda as lambda_  # noqa: E402
from aws_cdk import aws_logs as logs  # noqa: E402
from aws_cdk import aws_s3 as s3  # noqa: E402
from aws_cdk import aws_s3_notifications as notifications  # noqa: E402
from aws_cdk import aws_sqs as sqs  # noqa: E402
from constructs import Construct  # noqa: E402

from cdk_lambda_patterns.core.handler_code import pattern_source  # noqa: E402
from cdk_lambda_patterns.storage.thumbnailer import Thumbnailer  # noqa: E402

_A_STACK = 25  # as many as a stack's limit of 500 resources takes
_EXCLUDE = ["**/__pycache__", "**/*.pyc"]


class PlainThumbnailer(Construct):
    """The resources and statements of a ``Thumbnailer``, as a careful user would write them in L2."""

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        source = self._bucket("Source", versioned=True)
        destination = self._bucket("Destination", versioned=False)
        table = dynamodb.Table(
            self,
            "Table",
            partition_key=dynamodb.Attribute(name="source_key", type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
        )
        queue = sqs.Queue(
            self,
            "FailureQueue",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=Duration.days(14),
            removal_policy=RemovalPolicy.RETAIN,
        )
        function = self._function(source, destination, table, queue)
        self._notify(source, function)

    def _bucket(self, id: str, *, versioned: bool) -> s3.Bucket:
        return s3.Bucket(
            self,
            id,
            versioned=versioned,
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            enforce_ssl=True,
            removal_policy=RemovalPolicy.RETAIN,
        )

    def _function(
        self, source: s3.Bucket, destination: s3.Bucket, table: dynamodb.Table, queue: sqs.Queue
    ) -> lambda_.Function:
        log_group = logs.LogGroup(self, "FunctionLogGroup", retention=logs.RetentionDays.ONE_MONTH)
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        function = lambda_.Function(
            self,
            "Function",
            code=lambda_.Code.from_asset(str(pattern_source("storage", "thumbnailer")), exclude=_EXCLUDE),
            handler="thumbnailer.handler.handler",
            runtime=lambda_.Runtime.PYTHON_3_14,
            architecture=lambda_.Architecture.ARM_64,
            description="Makes thumbnails of the pictures in a bucket",
            memory_size=1769,
            timeout=Duration.minutes(1),
            role=role,
            log_group=log_group,
            logging_format=lambda_.LoggingFormat.JSON,
            tracing=lambda_.Tracing.ACTIVE,
            recursive_loop=lambda_.RecursiveLoop.TERMINATE,
            environment={
                "DESTINATION_BUCKET": destination.bucket_name,
                "TABLE_NAME": table.table_name,
                "FAILURE_QUEUE_URL": queue.queue_url,
                "SIZES": "128,256,512",
                "OUTPUT_FORMAT": "webp",
                "OUTPUT_PREFIX": "",
                "QUALITY": "80",
                "BACKGROUND": "#ffffff",
                "MAX_OBJECT_SIZE": "67108864",
                "MAX_PIXELS": "64000000",
                "INCOMPLETE_JPEG": "false",
                "POWERTOOLS_SERVICE_NAME": "thumbnailer",
                "POWERTOOLS_LOG_LEVEL": "INFO",
            },
        )
        lambda_.CfnEventInvokeConfig(
            self,
            "Asynchronous",
            function_name=function.function_name,
            qualifier="$LATEST",
            maximum_retry_attempts=2,
            maximum_event_age_in_seconds=21_600,
            destination_config=lambda_.CfnEventInvokeConfig.DestinationConfigProperty(
                on_failure=lambda_.CfnEventInvokeConfig.OnFailureProperty(destination=queue.queue_arn)
            ),
        )
        for actions, resource in (
            (["logs:CreateLogStream", "logs:PutLogEvents"], log_group.log_group_arn),
            (["s3:GetObject"], source.arn_for_objects("*")),
            (["s3:ListBucket"], source.bucket_arn),
            (["s3:PutObject", "s3:DeleteObject"], destination.arn_for_objects("*")),
            (["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:DeleteItem"], table.table_arn),
            (["sqs:SendMessage"], queue.queue_arn),
        ):
            role.add_to_policy(iam.PolicyStatement(actions=actions, resources=[resource]))
        return function

    def _notify(self, source: s3.Bucket, function: lambda_.Function) -> None:
        for event in (
            s3.EventType.OBJECT_CREATED,
            s3.EventType.OBJECT_REMOVED,
            s3.EventType.LIFECYCLE_EXPIRATION,
        ):
            source.add_event_notification(event, notifications.LambdaDestination(function))


def synthesise(kind: str, count: int) -> None:
    """Synthesise some thumbnailers of one kind: ``ours`` or ``plain``."""
    thumbnailer = {"ours": Thumbnailer, "plain": PlainThumbnailer}[kind]
    with tempfile.TemporaryDirectory() as folder:
        app = App(
            outdir=folder,
            context={"aws:cdk:bundling-stacks": []},
            builtin_cloud_formation_validation=False,
        )
        for number in range(count):
            if number % _A_STACK == 0:
                stack = Stack(app, f"Stack{number}")
            thumbnailer(stack, f"Thumbnailer{number}")
        app.synth()
    gc.freeze()


if __name__ == "__main__":
    synthesise(sys.argv[1], int(sys.argv[2]))
