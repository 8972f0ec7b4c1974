"""One app for ``benchmarks.catalogue``: rows of the catalogue, or their resources in plain CDK.

``python -m benchmarks.catalogue_app ours IDS FOLDER`` writes the assembly to ``FOLDER``. With ``l1`` or
``l2`` it reads the templates of such an assembly there, and makes the same resources with the CDK only: with
L1 constructs only, or with L2 constructs for functions, versions, aliases, mappings, roles, policies, log
groups, queues, buckets, tables, topics, streams, networks and databases, and L1 for the rest.
"""

import gc
import json
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

gc.disable()

from aws_cdk import App, CfnOutput, CfnResource, Duration, Stack  # noqa: E402

from stacks.catalogue import find  # noqa: E402
from tasks.synthesis import app_context  # noqa: E402


def main() -> None:
    """Synthesise as the command line says."""
    kind, ids, folder = sys.argv[1], sys.argv[2].split(",") if sys.argv[2] else [], Path(sys.argv[3])
    if kind == "ours":
        synthesise_rows(ids, folder)
    else:
        synthesise_resources(ids, folder, in_l2=kind == "l2")
    gc.freeze()


def synthesise_rows(ids: list[str], folder: Path) -> None:
    """Do what ``app.py`` does for ``cdk list``, with these rows only."""
    app = App(context=app_context(), outdir=str(folder), builtin_cloud_formation_validation=False)
    for architecture in map(find, ids):
        architecture.make_stack(app)
    app.synth()


def synthesise_resources(ids: list[str], templates: Path, *, in_l2: bool) -> None:
    """Make each resource of the templates, importing the module of its service, and each output."""
    with tempfile.TemporaryDirectory() as folder:
        app = App(context=app_context(), outdir=folder, builtin_cloud_formation_validation=False)
        for row in ids:
            template = json.loads((templates / f"{row}.template.json").read_text("utf-8"))
            stack, plain = Stack(app, row), PlainL2()
            # What functions and policies need comes first.
            for logical_id, resource in sorted(template["Resources"].items(), key=PlainL2.order):
                owner, service, *_ = resource["Type"].split("::")
                if owner == "AWS" and service != "CDK":  # AWS::CDK::Metadata
                    import_module(f"aws_cdk.aws_{service.lower()}")
                properties = resource.get("Properties", {})
                if not in_l2 or not plain.make(stack, logical_id, resource["Type"], properties):
                    CfnResource(stack, logical_id, type=resource["Type"], properties=properties)
            for name in template.get("Outputs", {}):
                CfnOutput(stack, f"Output{name}", value=name)
        app.synth()


class PlainL2:
    """Makes the L2 construct of a resource, with its own role, log group and statements."""

    _LATE = (
        *("AWS::EC2::VPC", "AWS::EC2::SecurityGroup", "AWS::RDS::DBInstance"),
        *("AWS::IAM::Policy", "AWS::Lambda::Function"),
        *("AWS::Lambda::EventSourceMapping", "AWS::Lambda::Version", "AWS::Lambda::Alias"),
    )

    _PARTS = (
        *("AWS::SQS::QueuePolicy", "AWS::S3::BucketPolicy", "AWS::RDS::DBSubnetGroup"),
        *("AWS::EC2::Subnet", "AWS::EC2::RouteTable", "AWS::EC2::SubnetRouteTableAssociation"),
    )

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    @classmethod
    def order(cls, item: tuple[str, Any]) -> int:
        """Put what needs others after them."""
        kind = item[1]["Type"]
        return cls._LATE.index(kind) + 1 if kind in cls._LATE else 0

    def make(self, stack: Stack, id: str, kind: str, properties: dict[str, Any]) -> bool:
        """Make a resource unless plain CDK has no L2 construct for it that does more than L1."""
        if kind in self._PARTS:
            return True  # made with the queue, the bucket, the VPC or the database
        maker = getattr(self, "_" + kind.replace("AWS::", "").replace("::", "_").lower(), None)
        # Of the CDK itself, or from an image, which this does not build.
        in_l1 = not {"LoggingConfig", "Handler"} <= properties.keys()
        if maker is None or (kind == "AWS::Lambda::Function" and in_l1):
            return False
        self._made[kind] = maker(stack, id, properties)
        return True

    def _sqs_queue(self, stack: Stack, id: str, properties: dict[str, Any]) -> Any:
        from aws_cdk import aws_sqs as sqs

        return sqs.Queue(
            stack,
            id,
            enforce_ssl=True,
            fifo=properties.get("FifoQueue"),
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            retention_period=Duration.days(14),
        )

    def _s3_bucket(self, stack: Stack, id: str, _: dict[str, Any]) -> Any:
        from aws_cdk import aws_s3 as s3

        blocked = s3.BlockPublicAccess.BLOCK_ALL
        return s3.Bucket(stack, id, enforce_ssl=True, versioned=True, block_public_access=blocked)

    def _dynamodb_table(self, stack: Stack, id: str, _: dict[str, Any]) -> Any:
        from aws_cdk import aws_dynamodb as dynamodb

        key = dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING)
        return dynamodb.Table(stack, id, partition_key=key, billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST)

    def _logs_loggroup(self, stack: Stack, id: str, _: dict[str, Any]) -> Any:
        from aws_cdk import aws_logs as logs

        return logs.LogGroup(stack, id, retention=logs.RetentionDays.ONE_MONTH)

    def _kinesis_stream(self, stack: Stack, id: str, _: dict[str, Any]) -> Any:
        from aws_cdk import aws_kinesis as kinesis

        return kinesis.Stream(stack, id, stream_mode=kinesis.StreamMode.ON_DEMAND)

    def _sns_topic(self, stack: Stack, id: str, _: dict[str, Any]) -> Any:
        from aws_cdk import aws_sns as sns

        return sns.Topic(stack, id, fifo=True, enforce_ssl=True)

    def _iam_role(self, stack: Stack, id: str, _: dict[str, Any]) -> Any:
        from aws_cdk import aws_iam as iam

        return iam.Role(stack, id, assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))

    def _iam_policy(self, stack: Stack, id: str, properties: dict[str, Any]) -> Any:
        from aws_cdk import aws_iam as iam

        policy = iam.Policy(stack, id, roles=[self._made["AWS::IAM::Role"]])
        for number, statement in enumerate(properties["PolicyDocument"]["Statement"]):
            actions = statement["Action"]
            policy.add_statements(
                iam.PolicyStatement(
                    actions=[actions] if isinstance(actions, str) else actions,
                    resources=[f"arn:aws:service:::{id}{number}"],
                )
            )
        return policy

    def _lambda_function(self, stack: Stack, id: str, properties: dict[str, Any]) -> Any:
        from aws_cdk import aws_lambda as lambda_

        return lambda_.Function(
            stack,
            id,
            code=lambda_.Code.from_asset(str(Path(__file__).parents[1] / "lambda_src" / "shared")),
            handler=properties["Handler"],
            runtime=lambda_.Runtime.PYTHON_3_14,
            architecture=lambda_.Architecture.ARM_64,
            environment=dict.fromkeys(properties.get("Environment", {}).get("Variables", {}), id),
            memory_size=properties["MemorySize"],
            timeout=Duration.seconds(properties["Timeout"]),
            role=self._made["AWS::IAM::Role"],
            log_group=self._made["AWS::Logs::LogGroup"],
            logging_format=lambda_.LoggingFormat.JSON,
            tracing=lambda_.Tracing.ACTIVE,
        )

    def _lambda_version(self, *_: Any) -> Any:
        return self._made["AWS::Lambda::Function"].current_version

    def _lambda_alias(self, stack: Stack, id: str, _: dict[str, Any]) -> Any:
        from aws_cdk import aws_lambda as lambda_

        version = self._made["AWS::Lambda::Function"].current_version
        return lambda_.Alias(stack, id, alias_name=id, version=version)

    def _ec2_vpc(self, stack: Stack, id: str, _: dict[str, Any]) -> Any:
        from aws_cdk import aws_ec2 as ec2

        isolated = ec2.SubnetConfiguration(name="Private", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED)
        return ec2.Vpc(stack, id, max_azs=2, nat_gateways=0, subnet_configuration=[isolated])

    def _ec2_securitygroup(self, stack: Stack, id: str, _: dict[str, Any]) -> Any:
        from aws_cdk import aws_ec2 as ec2

        return ec2.SecurityGroup(stack, id, vpc=self._made["AWS::EC2::VPC"], allow_all_outbound=False)

    def _rds_dbinstance(self, stack: Stack, id: str, _: dict[str, Any]) -> Any:
        from aws_cdk import aws_ec2 as ec2
        from aws_cdk import aws_rds as rds

        engine = rds.DatabaseInstanceEngine.postgres(version=rds.PostgresEngineVersion.VER_17_9)
        isolated = ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED)
        return rds.DatabaseInstance(
            stack, id, engine=engine, vpc=self._made["AWS::EC2::VPC"], vpc_subnets=isolated
        )

    def _lambda_eventsourcemapping(self, stack: Stack, id: str, _: dict[str, Any]) -> Any:
        from aws_cdk import aws_lambda as lambda_

        return lambda_.EventSourceMapping(
            stack,
            id,
            target=self._made["AWS::Lambda::Function"],
            event_source_arn=f"arn:aws:sqs:eu-central-1:123456789012:{id}",  # of whatever kind the source is
            report_batch_item_failures=True,
        )


if __name__ == "__main__":
    main()
