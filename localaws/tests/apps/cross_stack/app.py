"""A network of two stacks: the queue and the bucket of one are used by the other as Python objects.

https://github.com/aws-samples/aws-cdk-examples/tree/main/python/cross-stack-resources/native-objects
"""

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as sources
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from constructs import Construct

CODE = """
import boto3, os
def handler(event, context):
    for record in event["Records"]:
        key, body = record["messageId"], record["body"]
        boto3.client("s3").put_object(Bucket=os.environ["BUCKET"], Key=key, Body=body)
"""


class InfrastructureStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        self.queue = sqs.Queue(self, "Queue")
        self.bucket = s3.Bucket(
            self, "Bucket", removal_policy=cdk.RemovalPolicy.DESTROY, auto_delete_objects=True
        )
        cdk.CfnOutput(self, "QueueUrl", value=self.queue.queue_url)
        cdk.CfnOutput(self, "BucketName", value=self.bucket.bucket_name)


class ApplicationStack(cdk.Stack):
    def __init__(
        self, scope: Construct, construct_id: str, queue: sqs.IQueue, bucket: s3.IBucket, **kwargs
    ) -> None:
        super().__init__(scope, construct_id, **kwargs)
        function = lambda_.Function(
            self,
            "Archive",
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler="index.handler",
            code=lambda_.Code.from_inline(CODE),
            environment={"BUCKET": bucket.bucket_name},
        )
        bucket.grant_put(function)
        function.add_event_source(sources.SqsEventSource(queue, batch_size=1))


app = cdk.App()
infrastructure = InfrastructureStack(app, "InfrastructureStack")
ApplicationStack(app, "ApplicationStack", infrastructure.queue, infrastructure.bucket)
app.synth()
