"""Deploys a notes service with two URLs: everybody may read, and signed callers may write."""

from aws_cdk import Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.web.function_url import FunctionUrl
from stacks.architecture import Architecture
from stacks.notes import make_notes_service
from stacks.pattern_stack import PatternStack


class FunctionUrlStack(PatternStack):
    """A notes service on the internet, which everybody may read, and the role Editor may change.

    The context ``cidrs`` (separated by commas) limits the addresses of readers, ``organization`` admits the
    accounts of an organization as editors, and ``origin`` is the web page whose scripts may read.

    A demonstration: deleting the stack deletes the notes (``RemovalPolicy.DESTROY``).
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        service = make_notes_service(
            self,
            code=pattern_source("web", "function_url"),
            handler="function_url.handler.handler",
            description="Stores notes, behind function URLs",
        )
        cidrs = self.node.try_get_context("cidrs")
        public = FunctionUrl(
            self,
            "Public",
            function=service.function,
            auth_type=lambda_.FunctionUrlAuthType.NONE,
            alias_name="public",
            cors=lambda_.FunctionUrlCorsOptions(
                allowed_origins=[self.node.try_get_context("origin") or "https://example.com"],
                allowed_methods=[lambda_.HttpMethod.GET],
                exposed_headers=["Note-Tag"],
                max_age=Duration.hours(1),
            ),
            source_cidrs=cidrs.split(",") if cidrs else None,
        )
        signed = FunctionUrl(
            self,
            "Signed",
            function=service.function,
            auth_type=lambda_.FunctionUrlAuthType.AWS_IAM,
            alias_name="live",
        )
        editor = iam.Role(self, "Editor", assumed_by=iam.AccountRootPrincipal())
        signed.grant_invoke_url(editor)
        if organization := self.node.try_get_context("organization"):
            signed.grant_invoke_url_to_organization(str(organization))
        self.output("PublicUrl", public.url)
        self.output("PublicAliasArn", public.target.function_arn)
        self.output("SignedUrl", signed.url)
        self.output("SignedAliasArn", signed.target.function_arn)
        self.output("EditorRoleArn", editor.role_arn)
        self.output("FunctionName", service.function.function_name)
        self.output("TableName", service.table.table_name)
