"""Deploys a blog: a site and pictures behind CloudFront, an API, subscribers, and a welcome mail for each."""

from typing import Final

from aws_cdk import Duration, Fn, RemovalPolicy
from aws_cdk import aws_apigatewayv2 as apigatewayv2
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as origins
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_ses as ses
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_lambda_patterns import FunctionOptions, HardenedFunction
from cdk_lambda_patterns.core.bucket import make_bucket
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.names import unique_name
from cdk_lambda_patterns.core.table import make_table, text
from cdk_lambda_patterns.edge.cloudfront_functions import CloudFrontFunctions
from cdk_lambda_patterns.storage.thumbnailer import Thumbnailer, ThumbnailOptions
from cdk_lambda_patterns.streams.dynamodb_stream import DynamoDbStreamConsumer, DynamoDbStreamConsumerOptions
from cdk_lambda_patterns.web.http_api import HttpApi, HttpApiOptions, HttpApiRoute
from stacks.architecture import Architecture
from stacks.distribution import acknowledge_demonstration, bucket_origin
from stacks.pattern_stack import PatternStack, context

_PICTURES: Final = "pictures/"
_SIZES: Final = (320, 960)
# How long a change waits for SES, which has quotas of a second and of a day. Then the function sends it to
# the failure queue with its data. What no attempt of the function handles, Lambda reports there without its
# data, while the stream still has it: that retains a change for a day.
_PATIENCE = Duration.hours(12)
_AGE_OF_CHANGES = Duration.hours(18)
_DOMAIN = r"([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z][A-Za-z0-9-]{0,61}[A-Za-z0-9]"
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_ADDRESS = rf"(?=[^@]{{1,64}}@){_ATOM}(\.{_ATOM})*@{_DOMAIN}"
_REGION = r"[a-z]{2,}(-[a-z]+)+-\d"


class BlogWebsiteStack(PatternStack):
    """Readers have everything from one distribution. Their tables have a replica in another Region.

    The context ``sender`` is the address that mails are from, ``sender-identity`` a verified identity that
    the account has already, and ``replica-region`` the Region of the replicas.

    A demonstration: deleting the stack deletes posts and subscribers too (``RemovalPolicy.DESTROY``).
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        # The CDK must know the Region of a table with replicas.
        super().__init__(scope, architecture, default_region="us-east-1")
        sender = context(self, "sender", _ADDRESS, "an address of yours, such as 'blog@example.com'")
        posts = self._make_global_table("Posts", partition_key=text("blog"), sort_key=text("id"))
        subscribers = self._make_global_table("Subscribers", partition_key=text("email"))
        pictures = Thumbnailer(
            self,
            "Pictures",
            sizes=_SIZES,
            options=ThumbnailOptions(prefix=_PICTURES),
            removal_policy=RemovalPolicy.DESTROY,
        )
        api = self._make_api(posts, subscribers)
        site = make_bucket(self, "Site", versioned=False, removal_policy=RemovalPolicy.DESTROY)
        distribution = self._make_distribution(site, pictures, api)
        self._make_welcome(subscribers, distribution, sender or "blog@example.com")
        self.output("DomainName", distribution.distribution_domain_name)
        self.output("DistributionId", distribution.distribution_id)
        self.output("ApiUrl", api.url)
        self.output("ApiFunctionName", api.function.function_name)
        self.output("SiteBucketName", site.bucket_name)
        self.output("PicturesBucketName", pictures.source_bucket.bucket_name)
        self.output("ThumbnailsBucketName", pictures.destination_bucket.bucket_name)
        self.output("PicturesTableName", pictures.table.table_name)
        self.output("PicturesFunctionName", pictures.function.function_name)
        self.output("PicturesFailureQueueUrl", pictures.failure_queue.queue_url)
        self.output("PostsTableName", posts.table_name)
        self.output("SubscribersTableName", subscribers.table_name)

    def _make_global_table(
        self, id: str, *, partition_key: dynamodb.Attribute, sort_key: dynamodb.Attribute | None = None
    ) -> dynamodb.TableV2:
        """Make an on-demand table with a replica."""
        other = context(self, "replica-region", _REGION, "a Region, such as 'eu-west-1'")
        if other == self.region:
            raise ValueError(f"-c replica-region={other}: this is the stack's own Region; give another one.")
        replica = other or ("eu-west-1" if self.region != "eu-west-1" else "us-east-1")
        return dynamodb.TableV2(
            self,
            id,
            partition_key=partition_key,
            sort_key=sort_key,
            replicas=[dynamodb.ReplicaTableProps(region=replica)],
            dynamo_stream=dynamodb.StreamViewType.NEW_AND_OLD_IMAGES,  # as replication needs it
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            removal_policy=RemovalPolicy.DESTROY,
        )

    def _make_api(self, posts: dynamodb.TableV2, subscribers: dynamodb.TableV2) -> HttpApi:
        get, post = apigatewayv2.HttpMethod.GET, apigatewayv2.HttpMethod.POST
        api = HttpApi(
            self,
            "Readers",
            authorization=apigatewayv2.HttpNoneAuthorizer(),
            code=pattern_source("solutions", "blog_website"),
            handler="blog_website.handler.handler",
            function_options=FunctionOptions(
                memory_size=512,
                timeout=Duration.seconds(10),
                environment={
                    "POSTS_TABLE_NAME": posts.table_name,
                    "SUBSCRIBERS_TABLE_NAME": subscribers.table_name,
                    "PICTURE_SIZES": ",".join(map(str, _SIZES)),
                    "POWERTOOLS_SERVICE_NAME": "blog",
                },
            ),
            routes=[
                HttpApiRoute(path="/api/posts", methods=(get,)),
                HttpApiRoute(path="/api/posts/{id}", methods=(get,)),
                HttpApiRoute(
                    path="/api/subscribers",
                    methods=(post,),
                    throttle=apigatewayv2.ThrottleSettings(rate_limit=5, burst_limit=10),
                ),
            ],
            options=HttpApiOptions(throttle=apigatewayv2.ThrottleSettings(rate_limit=200, burst_limit=100)),
            removal_policy=RemovalPolicy.DESTROY,
        )
        # Without the table's own grant methods, which grant the same actions on every index too.
        for table, actions in (
            (posts, ["dynamodb:GetItem", "dynamodb:Query"]),
            (subscribers, ["dynamodb:PutItem"]),
        ):
            iam.Grant.add_to_principal(grantee=api.function, actions=actions, resource_arns=[table.table_arn])
        return api

    def _make_distribution(
        self, site: s3.IBucket, pictures: Thumbnailer, api: HttpApi
    ) -> cloudfront.Distribution:
        headers = CloudFrontFunctions(
            self,
            "Headers",
            viewer_response=cloudfront.FunctionCode.from_file(
                file_path=str(pattern_source("edge", "cloudfront_functions") / "viewer_response.js")
            ),
            removal_policy=RemovalPolicy.DESTROY,
        ).associations
        https = cloudfront.ViewerProtocolPolicy.REDIRECT_TO_HTTPS
        distribution = cloudfront.Distribution(
            self,
            "Distribution",
            default_root_object="index.html",
            default_behavior=cloudfront.BehaviorOptions(
                origin=bucket_origin(self, "Site", site),
                viewer_protocol_policy=https,
                function_associations=headers,
            ),
            additional_behaviors={
                f"/{_PICTURES}*": cloudfront.BehaviorOptions(
                    origin=bucket_origin(self, "Thumbnails", pictures.destination_bucket),
                    viewer_protocol_policy=https,
                    function_associations=headers,
                ),
                "/api/*": cloudfront.BehaviorOptions(
                    origin=origins.HttpOrigin(Fn.parse_domain_name(api.url)),
                    allowed_methods=cloudfront.AllowedMethods.ALLOW_ALL,
                    cache_policy=self._make_cache_policy(),
                    viewer_protocol_policy=https,
                    function_associations=headers,
                ),
            },
        )
        acknowledge_demonstration(distribution)
        return distribution

    def _make_cache_policy(self) -> cloudfront.CachePolicy:
        """Let the API say how long a response is cached: responses without a word of it are not."""
        return cloudfront.CachePolicy(
            self,
            "CachePolicy",
            cache_policy_name=unique_name(self, "Posts", longest=128),
            min_ttl=Duration.seconds(0),
            default_ttl=Duration.seconds(0),
            max_ttl=Duration.minutes(1),
            query_string_behavior=cloudfront.CacheQueryStringBehavior.allow_list("before"),
        )

    def _make_welcome(
        self, subscribers: dynamodb.TableV2, distribution: cloudfront.Distribution, sender: str
    ) -> None:
        ledger = make_table(
            self,
            "Ledger",
            partition_key=text("change"),
            time_to_live_attribute="forget_at",
            removal_policy=RemovalPolicy.DESTROY,
        )
        welcome = DynamoDbStreamConsumer(
            self,
            "Welcome",
            table=subscribers,
            code=pattern_source("solutions", "blog_website"),
            handler="blog_website.welcome.handler",
            options=DynamoDbStreamConsumerOptions(
                batch_size=10,
                retry_attempts=10_000,  # the most; the function itself gives up what cannot be mailed
                max_record_age=_AGE_OF_CHANGES,
                filters=[{"pattern": '{"eventName": ["INSERT"]}'}],
            ),
            function_options=FunctionOptions(
                environment={
                    "LEDGER_TABLE_NAME": ledger.table_name,
                    "PATIENCE": str(_PATIENCE.to_seconds()),
                    "SENDER": sender,
                    "SITE_URL": f"https://{distribution.distribution_domain_name}/",
                    "POWERTOOLS_SERVICE_NAME": "welcome",
                }
            ),
            removal_policy=RemovalPolicy.DESTROY,
        )
        ledger.grant(welcome.function, "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem")
        self._grant_sending(welcome.function, sender)
        assert isinstance(welcome.function, HardenedFunction)
        assert isinstance(welcome.failure_destination, sqs.Queue)
        welcome.function.add_environment("FAILURE_QUEUE_URL", welcome.failure_destination.queue_url)
        self.output("SenderAddress", sender)
        self.output("LedgerTableName", ledger.table_name)
        self.output("WelcomeFunctionName", welcome.function.function_name)
        self.output("WelcomeFailureQueueUrl", welcome.failure_destination.queue_url)

    def _grant_sending(self, function: lambda_.IFunction, sender: str) -> None:
        """Let the function send mails from the sender, whose identity is a new one or one of the account."""
        existing = context(
            self, "sender-identity", f"{_ADDRESS}|{_DOMAIN}", "the sender or its domain, verified in SES"
        )
        if existing is None:
            identity: ses.IEmailIdentity = ses.EmailIdentity(
                self, "Sender", identity=ses.Identity.email(sender)
            )
        elif existing == sender or sender.endswith((f"@{existing}", f".{existing}")):
            identity = ses.EmailIdentity.from_email_identity_name(self, "Sender", existing)
        else:
            raise ValueError(f"-c sender-identity={existing}: give the sender, {sender}, or its domain.")
        # The identity of a domain has other senders too.
        of_domain = existing not in (None, sender)
        iam.Grant.add_to_principal(
            grantee=function,
            actions=["ses:SendEmail"],
            resource_arns=[identity.email_identity_arn],
            conditions={"StringEquals": {"ses:FromAddress": sender}} if of_domain else None,
        )
