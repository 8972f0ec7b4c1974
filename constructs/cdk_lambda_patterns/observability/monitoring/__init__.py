"""Patterns, or functions, queues, APIs and the like → metrics → alarms → SNS; a dashboard; saved queries."""

from cdk_lambda_patterns.observability.monitoring.alarms import Alarms
from cdk_lambda_patterns.observability.monitoring.construct import Monitoring

__all__ = ["Alarms", "Monitoring"]
