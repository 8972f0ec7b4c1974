"""A website in a private bucket, which a distribution serves.

https://docs.aws.amazon.com/cdk/api/v2/python/aws_cdk.aws_cloudfront_origins/README.html
https://github.com/cdk-patterns/serverless/tree/main/s3-angular-website
"""

import aws_cdk as cdk
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as origins
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_deployment as deployment
from constructs import Construct


class SiteStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        bucket = s3.Bucket(self, "Site", removal_policy=cdk.RemovalPolicy.DESTROY, auto_delete_objects=True)
        distribution = cloudfront.Distribution(
            self,
            "Distribution",
            default_root_object="index.html",
            default_behavior=cloudfront.BehaviorOptions(
                origin=origins.S3BucketOrigin.with_origin_access_control(bucket),
                viewer_protocol_policy=cloudfront.ViewerProtocolPolicy.REDIRECT_TO_HTTPS,
            ),
        )
        deployment.BucketDeployment(
            self,
            "Deployment",
            sources=[deployment.Source.data("index.html", "<h1>Hello</h1>")],
            destination_bucket=bucket,
            distribution=distribution,
            distribution_paths=["/*"],
        )
        cdk.CfnOutput(self, "Domain", value=distribution.distribution_domain_name)


app = cdk.App()
SiteStack(app, "SiteStack")
app.synth()
