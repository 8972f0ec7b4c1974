"""Deploys the notes service behind a load balancer for everybody to try; all of it goes with the stack."""

from aws_cdk import Annotations, RemovalPolicy
from aws_cdk import aws_certificatemanager as acm
from constructs import Construct

from cdk_lambda_patterns.web.alb_function import AlbFunction
from cdk_lambda_patterns.web.alb_function.options import AlbHealthCheck, AlbOptions
from stacks.architecture import Architecture
from stacks.pattern_stack import PatternStack


class AlbFunctionStack(PatternStack):
    """A notes service on the internet, without anybody having to log in.

    A demonstration: deleting the stack deletes the notes too (``RemovalPolicy.DESTROY``). It speaks HTTP
    unless the context ``certificate-arn`` names a certificate of the region.
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        certificate_arn = self.node.try_get_context("certificate-arn")
        certificate = certificate_arn and acm.Certificate.from_certificate_arn(
            self, "Certificate", certificate_arn
        )
        service = AlbFunction(
            self,
            "Notes",
            certificate=certificate,
            options=AlbOptions(health_check=AlbHealthCheck()),
            removal_policy=RemovalPolicy.DESTROY,
        )
        if certificate is None:
            Annotations.of(service).acknowledge_warning(
                "cdk-lambda-patterns:alb-without-tls", "A demonstration needs no domain name of yours."
            )
        assert service.table is not None
        assert service.url is not None
        self.output("Url", service.url)
        self.output("TargetGroupArn", service.target_group.target_group_arn)
        self.output("FunctionName", service.function.function_name)
        self.output("TableName", service.table.table_name)
