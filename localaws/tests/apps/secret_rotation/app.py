"""A secret with a generated password, a function that may read it, and a function that rotates it.

https://docs.aws.amazon.com/cdk/api/v2/python/aws_cdk.aws_secretsmanager/README.html
https://docs.aws.amazon.com/cdk/v2/guide/get-secrets-manager-value.html
"""

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct


class SecretStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        secret = secretsmanager.Secret(
            self,
            "Login",
            generate_secret_string=secretsmanager.SecretStringGenerator(
                secret_string_template='{"username": "app"}',
                generate_string_key="password",
                exclude_punctuation=True,
                password_length=24,
            ),
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        common = {"runtime": lambda_.Runtime.PYTHON_3_13, "code": lambda_.Code.from_asset("lambda")}
        reader = lambda_.Function(
            self,
            "Reader",
            handler="secret.read",
            environment={"SECRET_ARN": secret.secret_arn},
            **common,
        )
        secret.grant_read(reader)
        rotator = lambda_.Function(self, "Rotator", handler="secret.rotate", **common)
        secret.add_rotation_schedule(
            "Rotation", rotation_lambda=rotator, automatically_after=cdk.Duration.days(7)
        )
        cdk.CfnOutput(self, "SecretArn", value=secret.secret_arn)
        cdk.CfnOutput(self, "ReaderName", value=reader.function_name)


app = cdk.App()
SecretStack(app, "SecretStack")
app.synth()
