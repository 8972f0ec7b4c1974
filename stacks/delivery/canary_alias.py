"""Deploys a function whose new versions get a tenth of its calls first, with a smoke test and alarms."""

from typing import Literal, get_args

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

Behaviour = Literal["good", "wrong", "fails", "slow"]
"""How a release behaves. The smoke test finds ``wrong``; only real traffic finds ``fails`` and ``slow``."""

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
    """Prices of articles: a function whose response names its release.

    The context ``release`` names the release (default: 1), and ``behaviour`` says how it behaves: ``good``,
    ``wrong`` (wrong prices, which the smoke test finds), ``fails`` or ``slow`` (an error or three seconds for
    every third article, which only real traffic finds). Deploying with another ``release`` releases it.

    A demonstration: deleting the stack deletes the logs too (``RemovalPolicy.DESTROY``).
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        context = self.node.try_get_context
        behaviour = context("behaviour") or "good"
        check_choice("behaviour", behaviour, get_args(Behaviour))
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
            alarms=ReleaseAlarms(errors=3, p99_duration=Duration.seconds(2)),
            pre_hook=SmokeTest(
                cases=[
                    SmokeCase(name="first article", payload={"article": 1}, expected={"cents": 199}),
                    SmokeCase(
                        name="large number", payload={"article": 10_000}, expected={"cents": 1_000_099}
                    ),
                ],
                options=hooks,
            ),
            post_hook=TrafficCheck(versions_kept=3, options=hooks),
        )
        self.output("FunctionName", function.function_name)
        self.output("AliasArn", canary.alias.function_arn)
        self.output("ApplicationName", canary.application.application_name)
        self.output("DeploymentGroupName", canary.deployment_group.deployment_group_name)
        for name, hook in (("PreTraffic", canary.pre_hook), ("PostTraffic", canary.post_hook)):
            if hook is not None:
                self.output(f"{name}FunctionName", hook.function_name)
