"""A function that reads a file of its layer and runs a program of it, by their paths below `/opt`.

https://docs.aws.amazon.com/lambda/latest/dg/packaging-layers.html
"""

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_


class LayerFilesStack(cdk.Stack):
    def __init__(self, app: cdk.App, id: str) -> None:
        super().__init__(app, id)
        layer = lambda_.LayerVersion(
            self, "Tools", code=lambda_.Code.from_asset("layer"), removal_policy=cdk.RemovalPolicy.DESTROY
        )
        function = lambda_.Function(
            self,
            "Function",
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler="index.handler",
            code=lambda_.Code.from_asset("lambda"),
            layers=[layer],
        )
        cdk.CfnOutput(self, "FunctionName", value=function.function_name)


app = cdk.App()
LayerFilesStack(app, "LayerFilesStack")
app.synth()
