"""Calls of the AWS API during the deployment: an object is written, and a parameter is read.

https://github.com/aws-samples/aws-cdk-examples/tree/main/python/custom-resource
"""

import aws_cdk as cdk
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_ssm as ssm
from aws_cdk import custom_resources as cr
from constructs import Construct


class GreetingStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        bucket = s3.Bucket(self, "Bucket", removal_policy=cdk.RemovalPolicy.DESTROY)
        place = {"Bucket": bucket.bucket_name, "Key": "hello.txt"}
        cr.AwsCustomResource(
            self,
            "Object",
            on_create=cr.AwsSdkCall(
                service="S3",
                action="putObject",
                parameters={**place, "Body": "Hello, world"},
                physical_resource_id=cr.PhysicalResourceId.of("hello"),
            ),
            on_delete=cr.AwsSdkCall(service="S3", action="deleteObject", parameters=place),
            policy=cr.AwsCustomResourcePolicy.from_sdk_calls(resources=[bucket.arn_for_objects("*")]),
            log_retention=logs.RetentionDays.ONE_WEEK,
            install_latest_aws_sdk=False,
        )
        parameter = ssm.StringParameter(self, "Parameter", string_value="42")
        read = cr.AwsCustomResource(
            self,
            "Read",
            on_update=cr.AwsSdkCall(
                service="@aws-sdk/client-ssm",
                action="GetParameter",
                parameters={"Name": parameter.parameter_name},
                physical_resource_id=cr.PhysicalResourceId.from_response("Parameter.ARN"),
            ),
            policy=cr.AwsCustomResourcePolicy.from_sdk_calls(
                resources=cr.AwsCustomResourcePolicy.ANY_RESOURCE
            ),
            install_latest_aws_sdk=False,
        )
        cdk.CfnOutput(self, "BucketName", value=bucket.bucket_name)
        cdk.CfnOutput(self, "Answer", value=read.get_response_field("Parameter.Value"))


app = cdk.App()
GreetingStack(app, "GreetingStack")
app.synth()
