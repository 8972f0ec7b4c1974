"""S3 Batch Operations job → Lambda for each object of a manifest → completion report in S3.

Use it for work on objects that were there before: events are only about new ones. S3 reads the list, invokes
the function for each object, retries, and reports each result. Do not use it for a few thousand objects (a
loop is simpler and costs no job), or for what S3 does without a function: copying, tagging, restoring.
"""

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.bucket import make_bucket
from cdk_lambda_patterns.core.event_sources import Code
from cdk_lambda_patterns.core.function import DEFAULT_HANDLER, HardenedFunction
from cdk_lambda_patterns.core.options import FunctionOptions, NetworkOptions
from cdk_lambda_patterns.core.permissions import (
    acknowledge_wildcard,
    grant_on_bucket,
    grant_on_objects,
    grant_to_identity,
    grant_use_of_key,
)

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/batch-ops-iam-role-policies.html
_PRINCIPAL = "batchoperations.s3.amazonaws.com"


@check_types
class BatchOperation(Construct):
    """A function for S3 Batch Operations, the role of its jobs, and a bucket for manifests and reports.

    CloudFormation has no type for a job: create one when there is work (``aws s3control create-job``, an SDK
    or the console), with the function, the role and the bucket of this construct. S3 then invokes the
    function synchronously, as that role, and writes a line for each object into the completion report.

    The function's answer decides about each object: ``Succeeded``, ``PermanentFailure``, or
    ``TemporaryFailure``, which S3 tries again. Your handler must be idempotent: a task may run twice, and a
    second job may have objects of the first.

    Args:
        code: The folder of the handler, or any ``lambda_.Code``.
        handler: ``module.function`` in that folder.
        source: The bucket whose objects S3 may list when it generates a manifest: owned, from another stack,
            or imported. The function gets no permission on it: grant what your handler does.
        bucket: For manifests below ``MANIFEST_PREFIX``, and for reports below ``REPORT_PREFIX``. Owned or
            imported; not encrypted with a KMS key, of yours or of AWS, with which S3 reads no CSV manifest.
            The encryption of an imported one is not known here. Default: a new one, with versions, so that a
            job can name the version of its manifest.
        function_options: Settings of the function. Default: 256 MB, one minute.
        network: The VPC that the function runs in. Default: none of yours.
        removal_policy: What happens to a new bucket and the logs when the stack is deleted. Default: they
            are retained. ``DESTROY`` also empties the bucket.

    Raises:
        ValueError: The bucket is encrypted with a KMS key, or an option is not allowed.

    Attributes:
        function (HardenedFunction): The function that a job invokes.
        role (Role): The role to give to a job.
        bucket (IBucket): Manifests and reports.

    Example::

        backfill = BatchOperation(self, "Backfill", code="worker", source=bucket)
        bucket.grant_read(backfill.function)
        backfill.grant_create_job(website)

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/batch-ops-invoke-lambda.html
    """

    #: Where jobs may read and write manifests, and where they may write reports, in ``bucket``.
    MANIFEST_PREFIX = "manifests"
    REPORT_PREFIX = "reports"

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        code: Code,
        handler: str = DEFAULT_HANDLER,
        source: s3.IBucket,
        bucket: s3.IBucket | None = None,
        function_options: FunctionOptions | None = None,
        network: NetworkOptions | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        if bucket is not None and _is_encrypted_by_kms(bucket):
            raise ValueError(
                f"bucket={bucket.node.path}: it is encrypted with a KMS key, and S3 Batch Operations reads "
                "no CSV manifest that is; give one that is encrypted with S3's own keys, or leave it out."
            )
        super().__init__(scope, id)
        self.bucket: s3.IBucket = bucket or make_bucket(
            self, "Bucket", versioned=True, removal_policy=removal_policy
        )
        self.function = HardenedFunction(
            self,
            "Function",
            code=code,
            handler=handler,
            description="Works on one object of a manifest, and answers S3 Batch Operations",
            options=(function_options or FunctionOptions()).with_defaults(
                memory_size=256, timeout=Duration.minutes(1)
            ),
            network=network,
            removal_policy=removal_policy,
        )
        # AWS documents no condition for the trust: no aws:SourceArn or aws:SourceAccount that S3 would send.
        self.role = iam.Role(self, "JobRole", assumed_by=iam.ServicePrincipal(_PRINCIPAL))
        self.role.add_to_policy(
            iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[self.function.function_arn])
        )
        # To generate a manifest, S3 makes an inventory of the bucket.
        grant_on_bucket(self.role, source, "s3:PutInventoryConfiguration")
        self.grant_manifests(self.bucket, f"{self.MANIFEST_PREFIX}/")
        for prefix in (self.MANIFEST_PREFIX, self.REPORT_PREFIX):
            grant_on_objects(
                self.role,
                self.bucket,
                "s3:PutObject",
                prefix=f"{prefix}/",
                reason="S3 names generated manifests and reports by the id of the job.",
            )

    def grant_manifests(self, bucket: s3.IBucket, prefix: str) -> iam.Grant:
        """Let jobs read manifests elsewhere, such as the inventory reports of a bucket.

        Args:
            bucket: The bucket with the manifests, and with the data files of inventory reports.
            prefix: What their keys start with.
        """
        grant_use_of_key(self.role, bucket.encryption_key, "kms:Decrypt")  # allowed for inventory reports
        return grant_on_objects(
            self.role,
            bucket,
            "s3:GetObject",
            "s3:GetObjectVersion",  # for a job that names the version of its manifest
            prefix=prefix,
            reason="A job may have any manifest below the prefix.",
        )

    def grant_create_job(self, grantee: iam.IGrantable) -> None:
        """Let a principal create jobs that invoke functions, and pass the role to S3 Batch Operations.

        It may create jobs for any function that a role it may pass can invoke. To see, confirm and cancel
        jobs, it needs ``s3:DescribeJob`` and ``s3:UpdateJobStatus`` on ``job/*`` of the account as well.

        A role that is imported from another account, or as immutable, gets no policy here: a warning says
        so. A role of another account cannot pass this role at all.

        https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html

        Raises:
            ValueError: The grantee has no identity policy here: an account, a service, an ARN.
        """
        jobs = {"StringEquals": {"s3:RequestJobOperation": "LambdaInvoke"}}
        passing = {"StringEquals": {"iam:PassedToService": _PRINCIPAL}}
        role = self.role.role_arn
        otherwise = "give it s3:CreateJob, and iam:PassRole on the role of the jobs, where it is made."
        for action, resource, on, conditions in (
            ("s3:CreateJob", "*", "*", jobs),
            ("iam:PassRole", role, self.role.node.path, passing),
        ):
            grant_to_identity(
                self, grantee, action, resource, on=on, conditions=conditions, otherwise=otherwise
            )
        caller = grantee.grant_principal
        if isinstance(caller, iam.Role):
            acknowledge_wildcard(caller, "*", "CreateJob has no resource-level permissions.")


def _is_encrypted_by_kms(bucket: s3.IBucket) -> bool:
    """Whether a KMS key encrypts new objects, also a key of AWS (`KMS_MANAGED`), as far as the app knows."""
    resource = bucket.node.default_child
    of_owned = resource.bucket_encryption if isinstance(resource, s3.CfnBucket) else None
    return bucket.encryption_key is not None or "aws:kms" in str(Stack.of(bucket).resolve(of_owned))
