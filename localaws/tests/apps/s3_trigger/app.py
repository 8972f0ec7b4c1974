"""A bucket that invokes a function for each text, which writes it in capitals to a second bucket.

https://github.com/aws-samples/aws-cdk-examples/tree/main/python/lambda-s3-trigger
"""

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_notifications as s3n
from constructs import Construct


class S3TriggerStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        uploads = s3.Bucket(
            self,
            "Uploads",
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            encryption=s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            versioned=True,
            removal_policy=cdk.RemovalPolicy.DESTROY,
            auto_delete_objects=True,
            lifecycle_rules=[s3.LifecycleRule(expiration=cdk.Duration.days(30))],
        )
        capitals = s3.Bucket(
            self, "Capitals", removal_policy=cdk.RemovalPolicy.DESTROY, auto_delete_objects=True
        )
        function = lambda_.Function(
            self,
            "Capitalise",
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler="index.handler",
            code=lambda_.Code.from_asset("lambda"),
            environment={"TARGET": capitals.bucket_name},
            timeout=cdk.Duration.seconds(30),
        )
        uploads.grant_read(function)
        capitals.grant_write(function)
        uploads.add_event_notification(
            s3.EventType.OBJECT_CREATED,
            s3n.LambdaDestination(function),
            s3.NotificationKeyFilter(prefix="texts/", suffix=".txt"),
        )
        cdk.CfnOutput(self, "UploadsName", value=uploads.bucket_name)
        cdk.CfnOutput(self, "CapitalsName", value=capitals.bucket_name)


app = cdk.App()
S3TriggerStack(app, "S3TriggerStack")
app.synth()
