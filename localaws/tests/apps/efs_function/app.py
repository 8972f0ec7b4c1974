"""A function with a file system, which has what it was sent by every invocation.

https://github.com/cdk-patterns/serverless/tree/main/the-efs-lambda
"""

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_efs as efs
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

CODE = """
def handler(event, context):
    with open("/mnt/messages/log.txt", "a") as file:
        file.write(event["text"] + ";")
    return open("/mnt/messages/log.txt").read()
"""


class EfsLambdaStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        vpc = ec2.Vpc(self, "Vpc", max_azs=2)
        file_system = efs.FileSystem(self, "Files", vpc=vpc, removal_policy=cdk.RemovalPolicy.DESTROY)
        access_point = file_system.add_access_point(
            "AccessPoint",
            create_acl=efs.Acl(owner_gid="1001", owner_uid="1001", permissions="750"),
            path="/export/lambda",
            posix_user=efs.PosixUser(gid="1001", uid="1001"),
        )
        function = lambda_.Function(
            self,
            "Function",
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler="index.handler",
            code=lambda_.Code.from_inline(CODE),
            vpc=vpc,
            filesystem=lambda_.FileSystem.from_efs_access_point(access_point, "/mnt/messages"),
        )
        cdk.CfnOutput(self, "FunctionName", value=function.function_name)


app = cdk.App()
EfsLambdaStack(app, "EfsLambdaStack")
app.synth()
