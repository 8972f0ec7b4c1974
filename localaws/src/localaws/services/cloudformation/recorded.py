"""Properties that handlers read and that have no effect, which a deployment reports.

The recorder sees what a handler reads, and not that the value goes nowhere. This is what is known of it,
measured with a deployed stack. An entry goes when a bridge emulates the property.

Faithful to: the report, which names each of these properties that a template has.
Not to: the properties themselves.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/introduction.html
"""

from __future__ import annotations

from collections.abc import Callable

from localaws.patching import Properties, recorded_only


def _given(name: str, value: str) -> Callable[[Properties], bool]:
    """Whether a property has this value."""
    return lambda properties: str(properties.get(name)) == value


recorded_only("AWS::ApiGatewayV2::Integration", "RequestTemplates")
recorded_only(
    "AWS::ApiGatewayV2::Integration",
    "ConnectionType",
    "ConnectionId",
    when=_given("ConnectionType", "VPC_LINK"),
)
recorded_only("AWS::ApiGatewayV2::Stage", "ClientCertificateId")
recorded_only(
    "AWS::Cognito::UserPool",
    "LambdaConfig.CustomEmailSender",
    "LambdaConfig.CustomSMSSender",
    "LambdaConfig.UserMigration",
)
recorded_only("AWS::Lambda::Url", "InvokeMode", when=_given("InvokeMode", "RESPONSE_STREAM"))
