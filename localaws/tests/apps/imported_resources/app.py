"""A function with a table, a queue, a bucket and a role that exist already, imported by name or ARN.

https://docs.aws.amazon.com/cdk/v2/guide/resources.html
https://github.com/aws-samples/aws-cdk-examples/tree/main/python/lambda-triggered-by-existing-kinesis-stream
"""

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as sources
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_notifications as s3n
from aws_cdk import aws_sqs as sqs
from constructs import Construct

CODE = """
import boto3, json, os
def handler(event, context):
    table = boto3.resource("dynamodb").Table(os.environ["TABLE"])
    for record in event["Records"]:
        source = record.get("eventSource")
        table.put_item(Item={"id": record["body"] if source == "aws:sqs" else record["s3"]["object"]["key"]})
"""


class ImportStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        table = dynamodb.Table.from_table_name(self, "Table", "existing-table")
        queue_arn = self.format_arn(service="sqs", resource="existing-queue")
        queue = sqs.Queue.from_queue_arn(self, "Queue", queue_arn)
        bucket = s3.Bucket.from_bucket_name(self, "Bucket", "existing-bucket-of-123456789012")
        role = iam.Role.from_role_name(self, "Role", "existing-role")
        function = lambda_.Function(
            self,
            "Function",
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler="index.handler",
            code=lambda_.Code.from_inline(CODE),
            role=role,
            environment={"TABLE": table.table_name},
        )
        table.grant_write_data(function)
        function.add_event_source(sources.SqsEventSource(queue))
        bucket.add_event_notification(s3.EventType.OBJECT_CREATED, s3n.LambdaDestination(function))


app = cdk.App()
ImportStack(app, "ImportStack")
app.synth()
