"""A function with a public URL and CORS, and another one that only a signed request of a role may call.

https://docs.aws.amazon.com/cdk/api/v2/python/aws_cdk.aws_lambda/README.html
"""

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_

CODE = """
import json
def handler(event, context):
    http = event["requestContext"]["http"]
    return {"method": http["method"], "path": http["path"], "body": event.get("body")}
"""

app = cdk.App()
stack = cdk.Stack(app, "FunctionUrl")


def function(name: str) -> lambda_.Function:
    return lambda_.Function(
        stack,
        name,
        runtime=lambda_.Runtime.PYTHON_3_13,
        handler="index.handler",
        code=lambda_.Code.from_inline(CODE),
    )


public = function("Public").add_function_url(
    auth_type=lambda_.FunctionUrlAuthType.NONE,
    cors=lambda_.FunctionUrlCorsOptions(
        allowed_origins=["https://example.com"], allowed_methods=[lambda_.HttpMethod.POST]
    ),
)
private = function("Private").add_function_url()
role = iam.Role(stack, "Caller", assumed_by=iam.AccountRootPrincipal())
private.grant_invoke_url(role)
cdk.CfnOutput(stack, "PublicUrl", value=public.url)
cdk.CfnOutput(stack, "PrivateUrl", value=private.url)
cdk.CfnOutput(stack, "CallerArn", value=role.role_arn)
app.synth()
