"""A website: files of a folder and a generated file are copied to a bucket when the stack is deployed.

https://docs.aws.amazon.com/cdk/api/v2/python/aws_cdk.aws_s3_deployment/README.html
https://github.com/cdk-patterns/serverless/tree/main/s3-react-website
"""

import aws_cdk as cdk
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_deployment as deployment
from constructs import Construct


class WebsiteStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        bucket = s3.Bucket(
            self,
            "Website",
            website_index_document="index.html",
            website_error_document="error.html",
            public_read_access=True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ACLS_ONLY,
            removal_policy=cdk.RemovalPolicy.DESTROY,
            auto_delete_objects=True,
        )
        deployment.BucketDeployment(
            self,
            "Deployment",
            sources=[
                deployment.Source.asset("website"),
                deployment.Source.json_data(
                    "config.json", {"region": self.region, "bucket": bucket.bucket_name}
                ),
            ],
            destination_bucket=bucket,
            cache_control=[deployment.CacheControl.max_age(cdk.Duration.minutes(5))],
            retain_on_delete=False,
        )
        cdk.CfnOutput(self, "BucketName", value=bucket.bucket_name)
        cdk.CfnOutput(self, "WebsiteUrl", value=bucket.bucket_website_url)


app = cdk.App()
WebsiteStack(app, "WebsiteStack")
app.synth()
