"""Resources that AWS refuses: CloudFormation creates each with the API of its service, with the same checks.

The emulator's CloudFormation handlers call no API, so what is checked there does not hold for templates.

Faithful to: a resource is created and updated like the requests that CloudFormation makes for it, and fails
with the service's text. A property that is not in the request is not checked.
Not to: CloudFormation's own check of a resource against its schema, which comes first and has other words for
the same limits; the request ids in the texts.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/troubleshooting.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ministack.services.cloudformation import provisioners, stacks

from localaws.constraints import model_of
from localaws.patching import Created, Properties, around
from localaws.refusals import Parameters, refusal

# The requests of each type: service, operation, and the properties that have another name there.
_REQUESTS: dict[str, list[tuple[str, str, dict[str, str]]]] = {
    "AWS::CloudWatch::Alarm": [("cloudwatch", "PutMetricAlarm", {})],
    "AWS::CloudWatch::CompositeAlarm": [("cloudwatch", "PutCompositeAlarm", {})],
    "AWS::Cognito::UserPool": [("cognito-idp", "CreateUserPool", {"PoolName": "UserPoolName"})],
    "AWS::Cognito::UserPoolClient": [("cognito-idp", "CreateUserPoolClient", {})],
    "AWS::Cognito::UserPoolDomain": [("cognito-idp", "CreateUserPoolDomain", {})],
    "AWS::Cognito::UserPoolGroup": [("cognito-idp", "CreateGroup", {})],
    "AWS::DynamoDB::Table": [("dynamodb", "CreateTable", {})],
    "AWS::Events::Archive": [("events", "CreateArchive", {"EventSourceArn": "SourceArn"})],
    "AWS::Events::EventBus": [("events", "CreateEventBus", {})],
    "AWS::Events::Rule": [("events", "PutRule", {}), ("events", "PutTargets", {"Rule": "Name"})],
    "AWS::IAM::ManagedPolicy": [("iam", "CreatePolicy", {"PolicyName": "ManagedPolicyName"})],
    "AWS::IAM::Policy": [("iam", "PutRolePolicy", {})],
    "AWS::IAM::Role": [("iam", "CreateRole", {})],
    "AWS::IAM::User": [("iam", "CreateUser", {})],
    "AWS::KMS::Alias": [("kms", "CreateAlias", {})],
    "AWS::KMS::Key": [("kms", "CreateKey", {"Policy": "KeyPolicy"}), ("kms", "ScheduleKeyDeletion", {})],
    "AWS::Kinesis::Stream": [("kinesis", "CreateStream", {"StreamName": "Name"})],
    "AWS::KinesisFirehose::DeliveryStream": [("firehose", "CreateDeliveryStream", {})],
    "AWS::Lambda::Alias": [("lambda", "CreateAlias", {})],
    "AWS::Lambda::CodeSigningConfig": [("lambda", "CreateCodeSigningConfig", {})],
    "AWS::Lambda::EventInvokeConfig": [("lambda", "PutFunctionEventInvokeConfig", {})],
    "AWS::Lambda::EventSourceMapping": [("lambda", "CreateEventSourceMapping", {})],
    "AWS::Lambda::Function": [("lambda", "CreateFunction", {})],
    "AWS::Lambda::LayerVersion": [("lambda", "PublishLayerVersion", {})],
    "AWS::Lambda::Permission": [("lambda", "AddPermission", {})],
    "AWS::Lambda::Version": [("lambda", "PublishVersion", {})],
    "AWS::Logs::LogGroup": [("logs", "CreateLogGroup", {}), ("logs", "PutRetentionPolicy", {})],
    "AWS::Logs::MetricFilter": [("logs", "PutMetricFilter", {})],
    "AWS::Logs::SubscriptionFilter": [("logs", "PutSubscriptionFilter", {})],
    "AWS::RDS::EventSubscription": [("rds", "CreateEventSubscription", {})],
    "AWS::SecretsManager::Secret": [("secretsmanager", "CreateSecret", {})],
    "AWS::XRay::Group": [("xray", "CreateGroup", {})],
    "AWS::XRay::SamplingRule": [("xray", "CreateSamplingRule", {})],
}
# The requests for each entry of a property that is a list of structures.
_ENTRIES = {
    "AWS::IAM::Role": [("Policies", "iam", "PutRolePolicy")],
    "AWS::IAM::User": [("Policies", "iam", "PutUserPolicy")],
}
_MODULES = (provisioners, stacks)  # the latter has imported both names
# How errors call the services, where it is not as in the type.
_SERVICES = {"Cognito": "CognitoIdentityProvider", "Events": "EventBridge", "IAM": "Iam", "KMS": "Kms"}


@around(_MODULES, "_provision_resource")
def _provision_resource(
    stock: Callable[..., Created], resource_type: str, logical_id: str, props: Properties, stack_name: str
) -> Created:
    _require(resource_type, props)
    return stock(resource_type, logical_id, props, stack_name)


@around(_MODULES, "_update_resource")
def _update_resource(
    stock: Callable[..., Created],
    resource_type: str,
    physical_id: str,
    old_props: Properties,
    new_props: Properties,
    *args: Any,
    **kwargs: Any,
) -> Created:
    if old_props != new_props:
        _require(resource_type, new_props)
    return stock(resource_type, physical_id, old_props, new_props, *args, **kwargs)


def _require(type_: str, properties: Properties) -> None:
    for request in _requests(type_, properties):
        if found := refusal(*request):
            name = type_.split("::")[1]
            about = f"(Service: {_SERVICES.get(name, name)}, Status Code: {found.status})"
            said = f'Resource handler returned message: "{found.text} {about}"'
            raise ValueError(f"{said} (HandlerErrorCode: InvalidRequest)")


def _requests(type_: str, properties: Properties) -> Iterator[tuple[str, str, Parameters]]:
    """The requests that CloudFormation makes for a resource. Its own tags are not checked."""
    if isinstance(tags := properties.get("Tags"), list):
        own = [tag for tag in tags if not str(tag.get("Key")).startswith("aws:cloudformation:")]
        properties = {**properties, "Tags": own or None}
    yield "cloudformation", type_, properties
    for service, operation, names in _REQUESTS.get(type_, ()):
        yield service, operation, _parameters(service, operation, names, properties)
    for name, service, operation in _ENTRIES.get(type_, ()):
        for entry in properties.get(name) or []:
            yield service, operation, _parameters(service, operation, {}, entry)


def _parameters(service: str, operation: str, names: Mapping[str, str], properties: Properties) -> Parameters:
    shape: Any = model_of(service).operation_model(operation).input_shape
    by_letters = {name.lower(): value for name, value in properties.items()}
    found = {name: by_letters.get(names.get(name, name).lower()) for name in shape.members}
    return {name: value for name, value in found.items() if value is not None}
