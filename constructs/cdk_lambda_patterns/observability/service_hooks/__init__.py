"""Services that invoke functions, each with an answer of its own: one small construct each."""

from cdk_lambda_patterns.observability.service_hooks.iot_rule import IotRule
from cdk_lambda_patterns.observability.service_hooks.ses_inbound import SesInbound
from cdk_lambda_patterns.observability.service_hooks.skills import AlexaSkill, LexCodeHook

__all__ = ["AlexaSkill", "IotRule", "LexCodeHook", "SesInbound"]
