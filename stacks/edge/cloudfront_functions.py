"""Deploys a site and a list of prices behind one distribution, with functions before and after its cache."""

from pathlib import Path
from typing import Any

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_iam as iam
from constructs import Construct

from cdk_lambda_patterns import HardenedFunction
from cdk_lambda_patterns.core.bucket import make_bucket
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.names import unique_name
from cdk_lambda_patterns.edge.cloudfront_functions import CloudFrontFunctions
from stacks.architecture import Architecture
from stacks.distribution import acknowledge_demonstration, bucket_origin, function_origin
from stacks.pattern_stack import PatternStack

_REDIRECTS = {"/manual": "/docs/", "/prices": "/api/prices"}


class CloudFrontFunctionsStack(PatternStack):
    """Pages from a private bucket, and prices from a function URL, both for CloudFront only.

    ``/plain/*`` has the same origin and cache policy as ``/api/*``, but no function: the scenario compares
    their hit rates.

    A demonstration: deleting the stack deletes the pages and keys (``RemovalPolicy.DESTROY``).
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        source = pattern_source("edge", "cloudfront_functions")
        functions = CloudFrontFunctions(
            self,
            "Edge",
            viewer_request=_code(source / "viewer_request.js"),
            viewer_response=_code(source / "viewer_response.js"),
            initial_items=_REDIRECTS,
            removal_policy=RemovalPolicy.DESTROY,
        )
        operator = iam.Role(self, "Operator", assumed_by=iam.AccountRootPrincipal())
        functions.grant_read_write(operator)

        pages = make_bucket(self, "Pages", versioned=False, removal_policy=RemovalPolicy.DESTROY)
        prices = HardenedFunction(
            self,
            "Prices",
            code=source,
            handler="cloudfront_functions.handler.handler",
            description="Lists prices, for CloudFront only",
            removal_policy=RemovalPolicy.DESTROY,
        )
        by_function: dict[str, Any] = {
            "origin": function_origin(self, "Prices", prices),
            "cache_policy": self._cache_policy(),
            "viewer_protocol_policy": cloudfront.ViewerProtocolPolicy.HTTPS_ONLY,
        }
        associations = functions.associations
        distribution = cloudfront.Distribution(
            self,
            "Distribution",
            default_root_object="index.html",
            default_behavior=cloudfront.BehaviorOptions(
                origin=bucket_origin(self, "Pages", pages),
                viewer_protocol_policy=cloudfront.ViewerProtocolPolicy.REDIRECT_TO_HTTPS,
                function_associations=associations,
            ),
            additional_behaviors={
                "/api/*": cloudfront.BehaviorOptions(**by_function, function_associations=associations),
                "/plain/*": cloudfront.BehaviorOptions(**by_function),
            },
        )
        acknowledge_demonstration(distribution)
        store = functions.key_value_store
        assert store is not None
        assert functions.viewer_request is not None
        self.output("DomainName", distribution.distribution_domain_name)
        self.output("DistributionId", distribution.distribution_id)
        self.output("BucketName", pages.bucket_name)
        self.output("KeyValueStoreArn", store.key_value_store_arn)
        self.output("OperatorRoleArn", operator.role_arn)
        self.output("ViewerRequestName", functions.viewer_request.function_name)
        self.output("FunctionName", prices.function_name)

    def _cache_policy(self) -> cloudfront.CachePolicy:
        """Every query string and the language are in the key: the function reduces both to what matters."""
        return cloudfront.CachePolicy(
            self,
            "CachePolicy",
            cache_policy_name=unique_name(self, "Key", longest=128),
            min_ttl=Duration.seconds(0),
            default_ttl=Duration.minutes(5),
            max_ttl=Duration.hours(1),
            header_behavior=cloudfront.CacheHeaderBehavior.allow_list("Accept-Language"),
            query_string_behavior=cloudfront.CacheQueryStringBehavior.all(),
            cookie_behavior=cloudfront.CacheCookieBehavior.none(),
            enable_accept_encoding_gzip=True,
            enable_accept_encoding_brotli=True,
        )


def _code(file: Path) -> cloudfront.FunctionCode:
    return cloudfront.FunctionCode.from_file(file_path=str(file))
