"""How fast CodeDeploy shifts traffic to a new version: a predefined configuration or one of your own."""

import math
import re

from aws_cdk import Duration, Token
from aws_cdk import aws_codedeploy as codedeploy
from constructs import Construct

from cdk_lambda_patterns.core.limits import Limit, number_in

DeploymentConfig = codedeploy.ILambdaDeploymentConfig | codedeploy.TrafficRouting
"""A deployment configuration, or the traffic routing that one is made from."""

_TimeBased = codedeploy.TimeBasedCanaryTrafficRouting | codedeploy.TimeBasedLinearTrafficRouting

# https://docs.aws.amazon.com/codedeploy/latest/userguide/limits.html: 48 hours from first to last shift
_MINUTES = Limit("CodeDeploy", 1, 48 * 60, "minutes", whole=True)
# https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_TimeBasedCanary.html
_PERCENTAGE = Limit("CodeDeploy", 1, 99, "%")

# https://docs.aws.amazon.com/codedeploy/latest/userguide/deployment-configurations.html
_PREDEFINED = re.compile(r"Lambda(Canary|Linear)(\d+)Percent(?:Every)?(\d+)Minutes?$")


def make_deployment_config(scope: Construct, given: DeploymentConfig) -> codedeploy.ILambdaDeploymentConfig:
    """Return a deployment configuration: the given one, or a new one with the given traffic routing.

    Raises:
        ValueError: CodeDeploy does not support this traffic routing for Lambda.
    """
    if isinstance(given, codedeploy.AllAtOnceTrafficRouting):
        return codedeploy.LambdaDeploymentConfig.ALL_AT_ONCE
    if not isinstance(given, codedeploy.TrafficRouting):
        return given
    if not isinstance(given, _TimeBased):
        raise ValueError(
            f"deployment_config={type(given).__name__}: CodeDeploy shifts the traffic of an alias all at "
            "once, in a canary or linearly; use TrafficRouting.time_based_canary or .time_based_linear."
        )
    _PERCENTAGE.check("percentage", given.percentage)
    _MINUTES.check("interval", number_in("minutes", "interval", given.interval))
    _MINUTES.check("interval times the number of further shifts", _minutes(given))
    return codedeploy.LambdaDeploymentConfig(scope, "DeploymentConfig", traffic_routing=given)


def duration_of(config: DeploymentConfig) -> Duration | None:
    """Return the time from the first shift to the last.

    ``None`` for all at once, which takes no time, and for a configuration whose routing is not known here.
    """
    if isinstance(config, _TimeBased):
        minutes = _minutes(config)
        return None if minutes is None else Duration.minutes(minutes)
    if isinstance(config, codedeploy.TrafficRouting):
        return None
    match = _PREDEFINED.search(config.deployment_config_name)
    if match is None:
        return None
    kind, percentage, interval = match[1], int(match[2]), int(match[3])
    return Duration.minutes(interval * (1 if kind == "Canary" else _steps(percentage)))


def _minutes(routing: _TimeBased) -> int | None:
    linear = isinstance(routing, codedeploy.TimeBasedLinearTrafficRouting)
    if routing.interval.is_unresolved() or (linear and Token.is_unresolved(routing.percentage)):
        return None
    return round(routing.interval.to_minutes()) * (_steps(routing.percentage) if linear else 1)


def _steps(percentage: float) -> int:
    """How many intervals a linear shift takes."""
    return math.ceil(100 / percentage) - 1
