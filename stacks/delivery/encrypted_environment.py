"""Deploys a function whose variables are encrypted, with two people who may read its configuration."""

from aws_cdk import RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.permissions import acknowledge
from cdk_lambda_patterns.delivery.encrypted_environment import EncryptedEnvironment
from stacks.architecture import Architecture
from stacks.pattern_stack import PatternStack


class EncryptedEnvironmentStack(PatternStack):
    """Signed payment links; an operator may read the variables, an auditor the rest of the configuration.

    A demonstration: deleting the stack deletes key, secret and logs (``RemovalPolicy.DESTROY``).
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        signing_key = secretsmanager.Secret(
            self,
            "SigningKey",
            generate_secret_string=secretsmanager.SecretStringGenerator(
                password_length=64, exclude_punctuation=True
            ),
            removal_policy=RemovalPolicy.DESTROY,
        )
        acknowledge(
            signing_key,
            {"AwsSolutions-SMG4": "The scenario rotates it; how is the business of who accepts the links."},
        )
        links = EncryptedEnvironment(
            self,
            "Links",
            code=pattern_source("delivery", "encrypted_environment"),
            handler="encrypted_environment.handler.handler",
            environment={"BASE_URL": "https://shop.example.com/pay", "MAX_AGE": "5"},
            secrets={"SIGNING_KEY": signing_key},
            removal_policy=RemovalPolicy.DESTROY,
        )
        operator = iam.Role(self, "Operator", assumed_by=iam.AccountRootPrincipal())
        links.grant_read_environment(operator)
        auditor = iam.Role(self, "Auditor", assumed_by=iam.AccountRootPrincipal())
        iam.Grant.add_to_principal(
            grantee=auditor,
            actions=["lambda:GetFunctionConfiguration"],
            resource_arns=[links.function.function_arn],
        )
        self.output("FunctionName", links.function.function_name)
        self.output("KeyArn", links.key.key_arn)
        self.output("SigningKeyArn", signing_key.secret_arn)
        self.output("OperatorRoleArn", operator.role_arn)
        self.output("AuditorRoleArn", auditor.role_arn)
