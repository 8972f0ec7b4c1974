"""A function that imports what a layer brings, and a version of it.

https://github.com/aws-samples/aws-cdk-examples/tree/main/python/lambda-layer
"""

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_


class LambdaLayerStack(cdk.Stack):
    def __init__(self, app: cdk.App, id: str) -> None:
        super().__init__(app, id)
        layer = lambda_.LayerVersion(
            self,
            "Helpers",
            code=lambda_.Code.from_asset("layer"),
            description="What all functions share",
            compatible_runtimes=[lambda_.Runtime.PYTHON_3_12, lambda_.Runtime.PYTHON_3_13],
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        function = lambda_.Function(
            self,
            "Function",
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler="index.handler",
            code=lambda_.Code.from_asset("lambda"),
            layers=[layer],
            tracing=lambda_.Tracing.ACTIVE,
            ephemeral_storage_size=cdk.Size.gibibytes(1),
        )
        alias = function.add_alias("live")
        cdk.CfnOutput(self, "AliasArn", value=alias.function_arn)
        cdk.CfnOutput(self, "LayerArn", value=layer.layer_version_arn)


app = cdk.App()
LambdaLayerStack(app, "LambdaLayerExample")
app.synth()
