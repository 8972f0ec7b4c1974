"""A queue, a topic and a bucket that are encrypted with a key of the account, and who may use it.

https://docs.aws.amazon.com/cdk/api/v2/python/aws_cdk.aws_kms/README.html
https://docs.aws.amazon.com/cdk/api/v2/python/aws_cdk.aws_sqs/README.html
"""

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as sources
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from constructs import Construct

CODE = """
import boto3, os
def handler(event, context):
    for record in event["Records"]:
        key, body = record["messageId"], record["body"]
        boto3.client("s3").put_object(Bucket=os.environ["BUCKET"], Key=key, Body=body)
"""


class EncryptedStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        key = kms.Key(
            self, "Key", enable_key_rotation=True, alias="orders", removal_policy=cdk.RemovalPolicy.DESTROY
        )
        topic = sns.Topic(
            self, "Topic", master_key=kms.Key(self, "TopicKey", removal_policy=cdk.RemovalPolicy.DESTROY)
        )
        queue = sqs.Queue(
            self, "Queue", encryption=sqs.QueueEncryption.KMS, encryption_master_key=key, enforce_ssl=True
        )
        topic.add_subscription(subscriptions.SqsSubscription(queue, raw_message_delivery=True))
        bucket = s3.Bucket(
            self,
            "Bucket",
            encryption_key=key,
            bucket_key_enabled=True,
            removal_policy=cdk.RemovalPolicy.DESTROY,
            auto_delete_objects=True,
        )
        function = lambda_.Function(
            self,
            "Function",
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler="index.handler",
            code=lambda_.Code.from_inline(CODE),
            environment={"BUCKET": bucket.bucket_name},
            environment_encryption=key,
        )
        bucket.grant_write(function)
        function.add_event_source(sources.SqsEventSource(queue))
        cdk.CfnOutput(self, "TopicArn", value=topic.topic_arn)
        cdk.CfnOutput(self, "BucketName", value=bucket.bucket_name)
        cdk.CfnOutput(self, "KeyArn", value=key.key_arn)


app = cdk.App()
EncryptedStack(app, "EncryptedStack")
app.synth()
