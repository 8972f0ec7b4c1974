"""Parameters: read by a function while it runs, and by a second stack when it is deployed.

https://docs.aws.amazon.com/cdk/v2/guide/get-ssm-value.html
"""

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_ssm as ssm
from constructs import Construct

CODE = """
import boto3, os
ssm = boto3.client("ssm")
def handler(event, context):
    found = ssm.get_parameters_by_path(Path=os.environ["PREFIX"], Recursive=True)["Parameters"]
    return {each["Name"]: each["Value"] for each in found}
"""


class ConfigStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        ssm.StringParameter(
            self, "Colour", parameter_name="/shop/theme/colour", string_value="teal", description="The theme"
        )
        ssm.StringListParameter(
            self, "Sizes", parameter_name="/shop/theme/sizes", string_list_value=["S", "M", "L"]
        )


class ReaderStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        function = lambda_.Function(
            self,
            "Reader",
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler="index.handler",
            code=lambda_.Code.from_inline(CODE),
            environment={
                "PREFIX": "/shop/theme",
                "COLOUR": ssm.StringParameter.value_for_string_parameter(self, "/shop/theme/colour"),
                "SIZES": cdk.Fn.join(
                    "+",
                    ssm.StringListParameter.value_for_typed_list_parameter(self, "/shop/theme/sizes"),
                ),
            },
        )
        path = self.format_arn(service="ssm", resource="parameter", resource_name="shop/theme")
        function.add_to_role_policy(
            cdk.aws_iam.PolicyStatement(actions=["ssm:GetParametersByPath"], resources=[path, f"{path}/*"])
        )
        cdk.CfnOutput(self, "ReaderName", value=function.function_name)


app = cdk.App()
config = ConfigStack(app, "ConfigStack")
ReaderStack(app, "ReaderStack").add_dependency(config)
app.synth()
