"""Deploys a site and variants of its images behind one distribution, with functions at four points."""

from typing import Any

from aws_cdk import Annotations, Duration, RemovalPolicy
from aws_cdk import aws_cloudfront as cloudfront
from constructs import Construct

from cdk_lambda_patterns import HardenedFunction
from cdk_lambda_patterns.core.bucket import make_bucket
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.names import unique_name
from cdk_lambda_patterns.core.permissions import grant_on_objects
from cdk_lambda_patterns.edge.lambda_edge import EdgeHook, LambdaEdge
from stacks.architecture import Architecture
from stacks.distribution import acknowledge_demonstration, bucket_origin, function_origin
from stacks.pattern_stack import PatternStack


class LambdaEdgeStack(PatternStack):
    """Pages of a country and an A/B group from a private bucket, images from a function URL.

    A demonstration: deleting the stack deletes the pages (``RemovalPolicy.DESTROY``). The functions of
    Lambda@Edge are retained, and can be deleted some hours later.
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture, default_region="us-east-1")
        source = pattern_source("edge", "lambda_edge")

        def hook(handler: str) -> EdgeHook:
            return EdgeHook(code=source, handler=f"lambda_edge.{handler}")

        edge = LambdaEdge(
            self,
            "Edge",
            viewer_request=hook("viewer.request_handler"),
            origin_request=hook("origin.request_handler"),
            origin_response=hook("origin.response_handler"),
            viewer_response=hook("viewer.response_handler"),
        )
        for point in ("viewer_request", "viewer_response"):
            Annotations.of(edge.functions[point]).acknowledge_warning(
                f"cdk-lambda-patterns:cheaperAtTheEdge-{point}", "This demonstration shows all four points."
            )

        pages = make_bucket(self, "Pages", versioned=False, removal_policy=RemovalPolicy.DESTROY)
        images = HardenedFunction(
            self,
            "Images",
            code=source,
            handler="lambda_edge.handler.handler",
            description="Makes narrower variants of images, for CloudFront only",
            environment={"BUCKET_NAME": pages.bucket_name},
            removal_policy=RemovalPolicy.DESTROY,
        )
        grant_on_objects(
            images.execution_role,
            pages,
            "s3:GetObject",
            prefix="images/",
            reason="Any image may be asked for.",
        )
        common: dict[str, Any] = {
            "cache_policy": self._cache_policy(),
            "viewer_protocol_policy": cloudfront.ViewerProtocolPolicy.REDIRECT_TO_HTTPS,
            "edge_lambdas": edge.edge_lambdas,
        }
        site = bucket_origin(self, "Pages", pages)
        distribution = cloudfront.Distribution(
            self,
            "Distribution",
            default_root_object="index.html",
            default_behavior=cloudfront.BehaviorOptions(origin=site, **common),
            additional_behaviors={
                "/images/*": cloudfront.BehaviorOptions(
                    origin=function_origin(self, "Images", images),
                    **common,
                ),
                # One viewer's pages are for no other: not in the cache, and the origin sees whose they are.
                "/account/*": cloudfront.BehaviorOptions(
                    origin=site,
                    **{**common, "cache_policy": cloudfront.CachePolicy.CACHING_DISABLED},
                    origin_request_policy=self._account_policy(),
                ),
            },
        )
        acknowledge_demonstration(distribution)
        self.output("DomainName", distribution.distribution_domain_name)
        self.output("BucketName", pages.bucket_name)
        self.output("FunctionName", images.function_name)
        # Not its name, which a stack of another Region does not know.
        self.output("ViewerRequestArn", edge.edge_lambdas[0].function_version.edge_arn)

    def _cache_policy(self) -> cloudfront.CachePolicy:
        """The country is in the key, because the origin request chooses by it; cookies are not."""
        return cloudfront.CachePolicy(
            self,
            "CachePolicy",
            cache_policy_name=unique_name(self, "Key", longest=128),
            min_ttl=Duration.seconds(0),
            default_ttl=Duration.minutes(5),
            max_ttl=Duration.days(1),
            header_behavior=cloudfront.CacheHeaderBehavior.allow_list("CloudFront-Viewer-Country"),
            query_string_behavior=cloudfront.CacheQueryStringBehavior.allow_list("width"),
            cookie_behavior=cloudfront.CacheCookieBehavior.none(),
        )

    def _account_policy(self) -> cloudfront.OriginRequestPolicy:
        """The session, which whatever makes the pages must check, and the country."""
        return cloudfront.OriginRequestPolicy(
            self,
            "AccountPolicy",
            origin_request_policy_name=unique_name(self, "Account", longest=128),
            header_behavior=cloudfront.OriginRequestHeaderBehavior.allow_list("CloudFront-Viewer-Country"),
            cookie_behavior=cloudfront.OriginRequestCookieBehavior.allow_list("session"),
        )
