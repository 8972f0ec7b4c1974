"""A template that existed before the CDK, with a function added that uses one of its resources.

https://docs.aws.amazon.com/cdk/v2/guide/use-cfn-template.html
"""

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from aws_cdk import cloudformation_include as include
from constructs import Construct

CODE = """
import boto3, os
def handler(event, context):
    boto3.client("sqs").send_message(QueueUrl=os.environ["QUEUE"], MessageBody=event["text"])
"""


class MigratedStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        template = include.CfnInclude(
            self, "Template", template_file="template.yaml", parameters={"Stage": "beta"}
        )
        cfn_queue = template.get_resource("Jobs")
        cfn_queue.receive_message_wait_time_seconds = 5
        queue = sqs.Queue.from_queue_arn(self, "Queue", cfn_queue.attr_arn)
        function = lambda_.Function(
            self,
            "Sender",
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler="index.handler",
            code=lambda_.Code.from_inline(CODE),
            environment={"QUEUE": cfn_queue.ref},
        )
        queue.grant_send_messages(function)
        cdk.CfnOutput(self, "SenderName", value=function.function_name)


app = cdk.App()
MigratedStack(app, "MigratedStack")
app.synth()
