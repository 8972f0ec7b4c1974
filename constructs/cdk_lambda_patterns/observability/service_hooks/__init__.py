"""Services that invoke functions, each with an answer of its own: one small construct each."""

from cdk_lambda_patterns.observability.service_hooks.config_rule import ConfigFunctionRule
from cdk_lambda_patterns.observability.service_hooks.custom_resource import CustomResourceFunction
from cdk_lambda_patterns.observability.service_hooks.iot_rule import IotRule
from cdk_lambda_patterns.observability.service_hooks.ses_inbound import SesInbound
from cdk_lambda_patterns.observability.service_hooks.skills import AlexaSkill, LexCodeHook

__all__ = [
    "AlexaSkill",
    "ConfigFunctionRule",
    "CustomResourceFunction",
    "IotRule",
    "LexCodeHook",
    "SesInbound",
]
