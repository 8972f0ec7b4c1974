"""How fast traffic moves to a new version: CodeDeploy's strategies, predefined ones and one's own."""

import math
import re

from aws_cdk import Duration
from aws_cdk import aws_codedeploy as codedeploy
from constructs import Construct

from cdk_lambda_patterns.core.limits import check_range

# A predefined strategy, or the traffic routing of one's own.
Strategy = codedeploy.ILambdaDeploymentConfig | codedeploy.TrafficRouting

_TimeBased = codedeploy.TimeBasedCanaryTrafficRouting | codedeploy.TimeBasedLinearTrafficRouting

# https://docs.aws.amazon.com/codedeploy/latest/userguide/limits.html: 48 hours from first to last shift
_MINUTES = (1, 48 * 60)
# https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_TimeBasedCanary.html
_PERCENT = (1, 99)

# https://docs.aws.amazon.com/codedeploy/latest/userguide/deployment-configurations.html
_PREDEFINED = re.compile(r"Lambda(Canary|Linear)(\d+)Percent(?:Every)?(\d+)Minutes?$")


def make_deployment_config(scope: Construct, strategy: Strategy) -> codedeploy.ILambdaDeploymentConfig:
    """Return the configuration of a strategy: the predefined one, or one of its own made here.

    Raises:
        ValueError: CodeDeploy does not shift traffic so.
    """
    if isinstance(strategy, codedeploy.AllAtOnceTrafficRouting):
        return codedeploy.LambdaDeploymentConfig.ALL_AT_ONCE
    if not isinstance(strategy, codedeploy.TrafficRouting):
        return strategy
    if not isinstance(strategy, _TimeBased):
        raise ValueError(
            f"strategy={type(strategy).__name__}: CodeDeploy shifts traffic between versions all at once, "
            "in a canary or linearly; give what TrafficRouting.time_based_canary or .time_based_linear "
            "returns."
        )
    check_range("percentage", strategy.percentage, *_PERCENT, unit="%", allows="CodeDeploy allows")
    minutes, rest = divmod(round(strategy.interval.to_seconds()), 60)
    if rest:
        raise ValueError(
            f"interval={minutes * 60 + rest} s: CodeDeploy counts in whole minutes; choose some."
        )
    check_range("interval", minutes, *_MINUTES, unit="minutes", allows="CodeDeploy allows")
    total = _minutes(strategy)
    if total > _MINUTES[1]:
        raise ValueError(
            f"strategy of {total:,} minutes ({strategy.percentage:g} % every {minutes}): CodeDeploy "
            f"allows {_MINUTES[1]:,} between the first and the last shift; choose larger or faster steps."
        )
    return codedeploy.LambdaDeploymentConfig(scope, "DeploymentConfig", traffic_routing=strategy)


def duration_of(strategy: Strategy) -> Duration | None:
    """How long it takes from the first callers of the new version to all of them, as far as known here.

    ``None`` for all at once, which takes no time, and for a configuration made elsewhere.
    """
    if isinstance(strategy, _TimeBased):
        return Duration.minutes(_minutes(strategy))
    if isinstance(strategy, codedeploy.TrafficRouting):
        return None
    match = _PREDEFINED.search(strategy.deployment_config_name)
    if match is None:
        return None
    kind, percentage, interval = match[1], int(match[2]), int(match[3])
    return Duration.minutes(interval * (1 if kind == "Canary" else math.ceil(100 / percentage) - 1))


def _minutes(routing: _TimeBased) -> int:
    steps = 1
    if isinstance(routing, codedeploy.TimeBasedLinearTrafficRouting):
        steps = math.ceil(100 / routing.percentage) - 1
    return round(routing.interval.to_minutes()) * steps
