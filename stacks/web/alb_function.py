"""Deploys a notes service, a function over a table, behind a load balancer on the internet."""

from aws_cdk import Annotations
from aws_cdk import aws_certificatemanager as acm
from constructs import Construct

from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.web.alb_function import AlbFunction, AlbHealthCheck, AlbOptions
from stacks.architecture import Architecture
from stacks.notes import make_notes_service
from stacks.pattern_stack import PatternStack


class AlbFunctionStack(PatternStack):
    """A notes service on the internet, without a login.

    A demonstration: deleting the stack deletes the notes too (``RemovalPolicy.DESTROY``). It speaks HTTP
    unless the context ``certificate-arn`` names a certificate in the region.
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        notes = Construct(self, "Notes")
        service = make_notes_service(
            notes,
            code=pattern_source("web", "alb_function"),
            handler="alb_function.handler.handler",
            description="Stores notes, behind a load balancer",
        )
        certificate_arn = self.node.try_get_context("certificate-arn")
        certificate = certificate_arn and acm.Certificate.from_certificate_arn(
            self, "Certificate", certificate_arn
        )
        front = AlbFunction(
            notes,
            "Default",  # an id that the CDK leaves out of logical ids: they begin with "Notes" only
            function=service.function,
            certificate=certificate,
            options=AlbOptions(health_check=AlbHealthCheck(path="/health")),
        )
        if certificate is None:
            Annotations.of(front).acknowledge_warning(
                "cdk-lambda-patterns:alb-without-tls", "A demonstration works without a domain name."
            )
        self.output("Url", front.url)
        self.output("TargetGroupArn", front.target_group.target_group_arn)
        self.output("FunctionName", service.function.function_name)
        self.output("TableName", service.table.table_name)
