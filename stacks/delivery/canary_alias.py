"""Deploys a function whose new versions reach a tenth of its callers first, with smoke cases and alarms."""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk_lambda_patterns import FunctionOptions, HardenedFunction, LogOptions
from cdk_lambda_patterns.core.limits import check_choice
from cdk_lambda_patterns.delivery.canary_alias import (
    CanaryAlias,
    ReleaseAlarms,
    SmokeCase,
    SmokeTest,
    TrafficCheck,
)
from stacks.architecture import Architecture
from stacks.pattern_stack import PatternStack

# What a release may be like. "wrong" is what smoke cases find; "fails" and "slow" are what only traffic
# finds.
BEHAVIOURS = ("good", "wrong", "fails", "slow")

_SERVICE = """\
import os, time

def handler(event, context):
    article, behaviour = event["article"], os.environ["BEHAVIOUR"]
    if behaviour == "fails" and article % 3 == 0:
        raise RuntimeError("no price for every third article")
    if behaviour == "slow" and article % 3 == 0:
        time.sleep(3)
    cents = 100 * article + 99 if behaviour != "wrong" else 0
    return {"article": article, "cents": cents, "release": os.environ["RELEASE"]}
"""


class CanaryAliasStack(PatternStack):
    """Prices of articles: a function whose releases are told apart by what they answer.

    The context ``release`` names a release (default: 1), and ``behaviour`` says what it is like: ``good``,
    ``wrong`` (prices are wrong, which the smoke cases find), ``fails`` or ``slow`` (an error or three seconds
    for every third article, which only traffic finds). Deploying it with another ``release`` releases it.

    A demonstration: deleting the stack deletes the logs too (``RemovalPolicy.DESTROY``).
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        context = self.node.try_get_context
        behaviour = context("behaviour") or "good"
        check_choice("behaviour", behaviour, BEHAVIOURS)
        function = HardenedFunction(
            self,
            "Prices",
            code=lambda_.Code.from_inline(_SERVICE),
            handler="index.handler",
            environment={"RELEASE": str(context("release") or "1"), "BEHAVIOUR": behaviour},
            options=FunctionOptions(memory_size=128, timeout=Duration.seconds(5)),
            removal_policy=RemovalPolicy.DESTROY,
        )
        hooks = FunctionOptions(logs=LogOptions(removal_policy=RemovalPolicy.DESTROY))
        canary = CanaryAlias(
            self,
            "Live",
            function=function,
            alarms=ReleaseAlarms(errors=3, p99_latency=Duration.seconds(2)),
            pre_traffic=SmokeTest(
                cases=[
                    SmokeCase(name="first article", payload={"article": 1}, expected={"cents": 199}),
                    SmokeCase(
                        name="large number", payload={"article": 10_000}, expected={"cents": 1_000_099}
                    ),
                ],
                options=hooks,
            ),
            post_traffic=TrafficCheck(versions_kept=3, options=hooks),
        )
        self.output("FunctionName", function.function_name)
        self.output("AliasArn", canary.alias.function_arn)
        self.output("ApplicationName", canary.application.application_name)
        self.output("DeploymentGroupName", canary.deployment_group.deployment_group_name)
        self.output("PreTrafficFunctionName", canary.pre_traffic.function_name if canary.pre_traffic else "")
        self.output(
            "PostTrafficFunctionName", canary.post_traffic.function_name if canary.post_traffic else ""
        )
