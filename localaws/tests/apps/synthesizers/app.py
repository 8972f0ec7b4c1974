"""Stacks that are deployed without bootstrap, with the caller's credentials, and with a prefix for assets.

https://docs.aws.amazon.com/cdk/v2/guide/configure-synth.html
https://docs.aws.amazon.com/cdk/v2/guide/bootstrapping-customizing.html
"""

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct


class QueueStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        cdk.CfnOutput(self, "Url", value=sqs.Queue(self, "Queue").queue_url)


class FunctionStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        function = lambda_.Function(
            self,
            "Function",
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler="index.handler",
            code=lambda_.Code.from_asset("lambda"),
        )
        cdk.CfnOutput(self, f"{construct_id}Name", value=function.function_name)


app = cdk.App()
QueueStack(app, "Bootstrapless", synthesizer=cdk.BootstraplessSynthesizer())
FunctionStack(app, "Credentials", synthesizer=cdk.CliCredentialsStackSynthesizer())
prefixed = cdk.DefaultStackSynthesizer(bucket_prefix="apps/", generate_bootstrap_version_rule=False)
FunctionStack(app, "Prefixed", synthesizer=prefixed)
app.synth()
