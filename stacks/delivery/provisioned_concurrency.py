"""Deploys a function with provisioned concurrency behind an alias, and a noisy neighbour."""

from aws_cdk import Duration, RemovalPolicy, TimeZone
from aws_cdk import aws_applicationautoscaling as appscaling
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk_lambda_patterns import FunctionOptions, HardenedFunction
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.delivery.provisioned_concurrency import ProvisionedConcurrencyAlias
from stacks.architecture import Architecture
from stacks.pattern_stack import PatternStack

_REPORT = """\
import time

def handler(event, context):
    time.sleep(min(float(event["seconds"]), 100))  # a report that waits for others
    return "done"
"""


class ProvisionedConcurrencyStack(PatternStack):
    """Prices of parcels, with two initialized environments on weekdays and one otherwise, and slow reports.

    A demonstration: deleting the stack deletes the logs too (``RemovalPolicy.DESTROY``).
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        prices = HardenedFunction(
            self,
            "Prices",
            code=pattern_source("delivery", "provisioned_concurrency"),
            handler="provisioned_concurrency.handler.handler",
            removal_policy=RemovalPolicy.DESTROY,
        )
        live = ProvisionedConcurrencyAlias(
            self,
            "Live",
            function=prices,
            min_capacity=1,
            max_capacity=2,
            utilization_target=0.7,
            schedules={
                "Morning": _on_weekdays("7", low=2),
                "Evening": _on_weekdays("19", low=1),
            },
        )
        reports = HardenedFunction(
            self,
            "Reports",
            code=lambda_.Code.from_inline(_REPORT),
            handler="index.handler",
            options=FunctionOptions(memory_size=128, timeout=Duration.seconds(120)),
            removal_policy=RemovalPolicy.DESTROY,
        )
        self.output("FunctionName", prices.function_name)
        self.output("AliasName", live.alias.alias_name)
        self.output("ReportsFunctionName", reports.function_name)


def _on_weekdays(hour: str, *, low: int) -> appscaling.ScalingSchedule:
    return appscaling.ScalingSchedule(
        schedule=appscaling.Schedule.cron(hour=hour, minute="30", week_day="MON-FRI"),
        time_zone=TimeZone.EUROPE_BERLIN,
        min_capacity=low,
    )
