"""Services that invoke functions, each with an answer of its own: one small construct each."""

from cdk_lambda_patterns.observability.service_hooks.config_rule import ConfigFunctionRule
from cdk_lambda_patterns.observability.service_hooks.custom_resource import CustomResourceFunction

__all__ = ["ConfigFunctionRule", "CustomResourceFunction"]
