"""A stack that exports what another one imports by name.

https://github.com/aws-samples/aws-cdk-examples/tree/main/python/cross-stack-resources/raw-strings
"""

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

CODE = """
import boto3, os
def handler(event, context):
    boto3.client("sqs").send_message(QueueUrl=os.environ["URL"], MessageBody=event["text"])
"""


class ProducerStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        queue = sqs.Queue(self, "Queue")
        cdk.CfnOutput(self, "QueueArn", value=queue.queue_arn, export_name="shared-queue-arn")
        cdk.CfnOutput(self, "QueueUrl", value=queue.queue_url, export_name="shared-queue-url")
        self.export_value(sns.Topic(self, "Topic").topic_arn, name="shared-topic")


class ConsumerStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        queue = sqs.Queue.from_queue_arn(self, "Queue", cdk.Fn.import_value("shared-queue-arn"))
        function = lambda_.Function(
            self,
            "Function",
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler="index.handler",
            code=lambda_.Code.from_inline(CODE),
            environment={"URL": cdk.Fn.import_value("shared-queue-url")},
        )
        function.add_to_role_policy(
            iam.PolicyStatement(actions=["sqs:SendMessage"], resources=[queue.queue_arn])
        )
        cdk.CfnOutput(self, "FunctionName", value=function.function_name)


app = cdk.App()
producer = ProducerStack(app, "ProducerStack")
ConsumerStack(app, "ConsumerStack").add_dependency(producer)
app.synth()
