"""Deploys a bucket for releases, a function from a bucket, and one whose code is in the template."""

from aws_cdk import RemovalPolicy
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3_assets as assets
from constructs import Construct

from cdk_lambda_patterns import HardenedFunction
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.delivery.cross_account_code import CodeBucket, CodeFromBucket
from stacks.architecture import Architecture
from stacks.pattern_stack import PatternStack, context

_INLINE = """\
import importlib.util, os

def handler(event, context):
    files = sorted(name for name in os.listdir(os.path.dirname(__file__)) if name.endswith(".py"))
    found = importlib.util.find_spec("aws_lambda_powertools") is not None
    return {"release": "inline", "files": files, "has_powertools": found}
"""


class CrossAccountCodeStack(PatternStack):
    """Gross prices, by a function from the bucket of the CDK, whose keys are hashes of the content.

    The bucket for releases is empty: the scenario publishes and deploys from it. The context
    ``deploying-account`` names the account that deploys; by default it is the stack's own.

    A demonstration: deleting the stack deletes the releases and logs (``RemovalPolicy.DESTROY``).
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        archive = assets.Asset(
            self,
            "Archive",
            path=str(pattern_source("delivery", "cross_account_code")),
            exclude=["__pycache__", "*.pyc"],
        )
        prices = CodeFromBucket(
            self,
            "Prices",
            bucket=archive.bucket,
            key=archive.s3_object_key,
            removal_policy=RemovalPolicy.DESTROY,
        )
        inline = HardenedFunction(
            self,
            "Inline",
            code=lambda_.Code.from_inline(_INLINE),
            handler="index.handler",
            removal_policy=RemovalPolicy.DESTROY,
        )
        deploys = context(self, "deploying-account", r"[0-9]{12}", "the 12 digits of an account")
        releases = CodeBucket(
            self, "Releases", accounts=[deploys or self.account], removal_policy=RemovalPolicy.DESTROY
        )
        self.output("BucketName", releases.bucket.bucket_name)
        self.output("FunctionName", prices.function.function_name)
        self.output("InlineFunctionName", inline.function_name)
