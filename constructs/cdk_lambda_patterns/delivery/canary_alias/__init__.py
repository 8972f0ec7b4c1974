"""Callers → alias → old and new version of a function; CodeDeploy shifts the traffic, alarms roll it back."""

from cdk_lambda_patterns.delivery.canary_alias.alarms import ReleaseAlarms
from cdk_lambda_patterns.delivery.canary_alias.construct import CanaryAlias
from cdk_lambda_patterns.delivery.canary_alias.deployment_config import DeploymentConfig
from cdk_lambda_patterns.delivery.canary_alias.hooks import SmokeCase, SmokeTest, TrafficCheck

__all__ = [
    "CanaryAlias",
    "DeploymentConfig",
    "ReleaseAlarms",
    "SmokeCase",
    "SmokeTest",
    "TrafficCheck",
]
