"""Callers → alias → old and new version of a function, shifted by CodeDeploy."""

from cdk_lambda_patterns.delivery.canary_alias.alarms import ReleaseAlarms
from cdk_lambda_patterns.delivery.canary_alias.construct import CanaryAlias
from cdk_lambda_patterns.delivery.canary_alias.hooks import SmokeCase, SmokeTest, TrafficCheck

__all__ = [
    "CanaryAlias",
    "ReleaseAlarms",
    "SmokeCase",
    "SmokeTest",
    "TrafficCheck",
]
