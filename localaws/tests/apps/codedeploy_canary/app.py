"""A function whose new version gets a tenth of the traffic first, with an alarm that rolls it back.

https://docs.aws.amazon.com/cdk/api/v2/python/aws_cdk.aws_codedeploy/README.html
"""

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_codedeploy as codedeploy
from aws_cdk import aws_lambda as lambda_
from constructs import Construct


class CanaryStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        release = self.node.try_get_context("release") or "one"
        function = lambda_.Function(
            self,
            "Function",
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler="index.handler",
            code=lambda_.Code.from_inline(f"def handler(event, context):\n    return {release!r}\n"),
        )
        alias = lambda_.Alias(self, "Live", alias_name="live", version=function.current_version)
        errors = cloudwatch.Alarm(
            self,
            "Errors",
            metric=alias.metric_errors(period=cdk.Duration.minutes(1)),
            threshold=1,
            evaluation_periods=1,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        codedeploy.LambdaDeploymentGroup(
            self,
            "Deployment",
            alias=alias,
            deployment_config=codedeploy.LambdaDeploymentConfig.CANARY_10_PERCENT_5_MINUTES,
            alarms=[errors],
        )
        cdk.CfnOutput(self, "AliasArn", value=alias.function_arn)


app = cdk.App()
CanaryStack(app, "CanaryStack")
app.synth()
