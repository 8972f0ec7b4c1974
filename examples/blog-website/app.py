"""A blog: site and pictures behind CloudFront, posts behind an API, a welcome mail for each subscriber."""

from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as origins
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_ses as ses

from cdk_lambda_patterns import FunctionOptions
from cdk_lambda_patterns.edge import CloudFrontFunctions
from cdk_lambda_patterns.storage import Thumbnailer, ThumbnailOptions
from cdk_lambda_patterns.streams import DynamoDbStreamConsumer, DynamoDbStreamConsumerOptions
from cdk_lambda_patterns.web import HttpApi, HttpApiRoute

FOLDER = Path(__file__).parent
GET, POST = apigateway.HttpMethod.GET, apigateway.HttpMethod.POST


class Blog(cdk.Stack):
    def __init__(self, scope, id, **arguments):
        super().__init__(scope, id, **arguments)
        sender = self.node.try_get_context("sender") or "blog@example.com"
        posts = self.global_table("Posts", "blog", "id")
        subscribers = self.global_table("Subscribers", "email")
        mails = self.table("Mails", "change")

        # Its libraries are compiled: the test asks for those of its own machine, which runs the function.
        intel = self.node.try_get_context("machine") == "x86_64"
        python = self.node.try_get_context("python")
        compiled = FunctionOptions(
            architecture=lambda_.Architecture.X86_64 if intel else lambda_.Architecture.ARM_64,
            runtime=lambda_.Runtime(f"python{python}", lambda_.RuntimeFamily.PYTHON) if python else None,
        )
        pictures = Thumbnailer(
            self,
            "Pictures",
            sizes=(320, 960),
            options=ThumbnailOptions(prefix="pictures/"),
            function_options=compiled,
        )
        api = HttpApi(
            self,
            "Api",
            authorization=apigateway.HttpNoneAuthorizer(),
            code=FOLDER / "blog",
            handler="api.handler",
            function_options=FunctionOptions(
                timeout=cdk.Duration.seconds(10),
                environment={"POSTS": posts.table_name, "SUBSCRIBERS": subscribers.table_name},
            ),
            routes=[
                HttpApiRoute(path="/api/posts", methods=(GET,)),
                HttpApiRoute(path="/api/posts/{id}", methods=(GET,)),
                HttpApiRoute(path="/api/subscribers", methods=(POST,)),
            ],
        )
        posts.grant(api.function, "dynamodb:GetItem", "dynamodb:Query")
        subscribers.grant(api.function, "dynamodb:PutItem")

        welcome = DynamoDbStreamConsumer(
            self,
            "Welcome",
            table=subscribers,
            code=FOLDER / "blog",
            handler="welcome.handler",
            # What SES throttles waits in the stream, for up to 18 hours: the stream has a change for a day.
            options=DynamoDbStreamConsumerOptions(
                retry_attempts=10_000,
                max_record_age=cdk.Duration.hours(18),
                filters=[{"pattern": '{"eventName": ["INSERT"]}'}],
            ),
            function_options=FunctionOptions(environment={"MAILS": mails.table_name, "SENDER": sender}),
        )
        mails.grant(welcome.function, "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem")
        identity = ses.EmailIdentity(self, "Sender", identity=ses.Identity.email(sender))
        iam.Grant.add_to_principal(
            grantee=welcome.function, actions=["ses:SendEmail"], resource_arns=[identity.email_identity_arn]
        )

        site = s3.Bucket(self, "Site", enforce_ssl=True)
        headers = CloudFrontFunctions(
            self,
            "Headers",
            viewer_response=cloudfront.FunctionCode.from_file(file_path=str(FOLDER / "blog" / "headers.js")),
        ).associations
        bucket = origins.S3BucketOrigin.with_origin_access_control
        distribution = cloudfront.Distribution(
            self,
            "Distribution",
            default_root_object="index.html",
            default_behavior=self.behavior(bucket(site), headers),
            additional_behaviors={
                "/pictures/*": self.behavior(bucket(pictures.destination_bucket), headers),
                "/api/*": self.behavior(
                    origins.HttpOrigin(cdk.Fn.parse_domain_name(api.url)),
                    headers,
                    allowed_methods=cloudfront.AllowedMethods.ALLOW_ALL,
                    cache_policy=cloudfront.CachePolicy.CACHING_DISABLED,
                ),
            },
        )
        for name, value in {
            "DomainName": distribution.distribution_domain_name,
            "DistributionId": distribution.distribution_id,
            "SiteBucketName": site.bucket_name,
            "PicturesBucketName": pictures.source_bucket.bucket_name,
            "PostsTableName": posts.table_name,
            "MailsTableName": mails.table_name,
        }.items():
            cdk.CfnOutput(self, name, value=value)

    def global_table(self, id, partition_key, sort_key=None):
        return self.table(
            id,
            partition_key,
            sort_key=sort_key and text(sort_key),
            replicas=[dynamodb.ReplicaTableProps(region="eu-west-1")],
            dynamo_stream=dynamodb.StreamViewType.NEW_AND_OLD_IMAGES,
        )

    def table(self, id, partition_key, **more):
        return dynamodb.TableV2(self, id, partition_key=text(partition_key), **more)

    def behavior(self, origin, headers, **more):
        https = cloudfront.ViewerProtocolPolicy.REDIRECT_TO_HTTPS
        return cloudfront.BehaviorOptions(
            origin=origin, viewer_protocol_policy=https, function_associations=headers, **more
        )


def text(name):
    return dynamodb.Attribute(name=name, type=dynamodb.AttributeType.STRING)


app = cdk.App()
# The CDK must know the Region of tables with replicas.
Blog(app, "Blog", env=cdk.Environment(region="us-east-1"))
app.synth()
