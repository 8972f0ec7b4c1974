"""Deploys a notes service, a function over a table, behind a load balancer on the internet."""

from aws_cdk import Annotations, Duration, RemovalPolicy
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from constructs import Construct

from cdk_lambda_patterns import FunctionOptions, HardenedFunction
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.table import make_table, text
from cdk_lambda_patterns.web.alb_function import AlbFunction, AlbHealthCheck, AlbOptions
from stacks.architecture import Architecture
from stacks.pattern_stack import PatternStack, context

_INDEX_NAME = "by-time"


class AlbFunctionStack(PatternStack):
    """A notes service on the internet, without a login.

    A demonstration: deleting the stack deletes the notes too (``RemovalPolicy.DESTROY``). It speaks HTTP
    unless the context ``certificate-arn`` names a certificate in the region.
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        notes = Construct(self, "Notes")
        table = _make_table(notes)
        function = _make_function(notes, table)
        certificate_arn = context(
            self, "certificate-arn", r"arn:[\w-]+:(acm|iam):[^:]*:\d{12}:.+", "the ARN of a certificate"
        )
        certificate = certificate_arn and acm.Certificate.from_certificate_arn(
            self, "Certificate", certificate_arn
        )
        front = AlbFunction(
            notes,
            "Default",  # an id that the CDK leaves out of logical ids: they begin with "Notes" only
            function=function,
            certificate=certificate,
            options=AlbOptions(health_check=AlbHealthCheck(path="/health")),
        )
        if certificate is None:
            Annotations.of(front).acknowledge_warning(
                "cdk-lambda-patterns:alb-without-tls", "A demonstration works without a domain name."
            )
        self.output("Url", front.url)
        self.output("TargetGroupArn", front.target_group.target_group_arn)
        self.output("FunctionName", function.function_name)
        self.output("TableName", table.table_name)


def _make_table(scope: Construct) -> dynamodb.Table:
    table = make_table(scope, "Table", partition_key=text("name"), removal_policy=RemovalPolicy.DESTROY)
    table.add_global_secondary_index(
        index_name=_INDEX_NAME,
        partition_key=text("kind"),
        sort_key=text("updated_at"),
        projection_type=dynamodb.ProjectionType.INCLUDE,
        non_key_attributes=["content_type", "size_bytes", "tags"],
    )
    return table


def _make_function(scope: Construct, table: dynamodb.Table) -> HardenedFunction:
    function = HardenedFunction(
        scope,
        "Function",
        code=pattern_source("web", "alb_function"),
        handler="alb_function.handler.handler",
        description="Stores notes, behind a load balancer",
        options=FunctionOptions(
            memory_size=512,
            timeout=Duration.seconds(10),
            environment={
                "TABLE_NAME": table.table_name,
                "INDEX_NAME": _INDEX_NAME,
                "POWERTOOLS_SERVICE_NAME": "notes",
            },
        ),
        removal_policy=RemovalPolicy.DESTROY,
    )
    # Without the table's own grant methods, which grant the same actions on every index too.
    for actions, resource in (
        (["dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem"], table.table_arn),
        (["dynamodb:Query"], f"{table.table_arn}/index/{_INDEX_NAME}"),
    ):
        iam.Grant.add_to_principal(grantee=function.execution_role, actions=actions, resource_arns=[resource])
    return function
