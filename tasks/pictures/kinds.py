"""How a picture shows a resource of each type: AWS's icon, its name, what it sends, and who starts it.

The names of the icons are those of the files of the npm package ``aws-icons``, which has AWS's own.
"""

from typing import NamedTuple


class Starter(NamedTuple):
    """An outside party that starts something, where the page names no other."""

    name: str
    icon: str
    verb: str


class Kind(NamedTuple):
    """How resources of a type are shown.

    Args:
        icon: AWS's icon.
        service: What the resource is, for people.
        sends: What flows from it, where the template does not say.
        starter: Who starts it, where nothing in the stack does and it starts something else.
    """

    icon: str
    service: str
    sends: str = ""
    starter: Starter | None = None


_CALLER = Starter("Caller", "Client", "invokes")
_CLIENT = Starter("Client", "Client", "HTTPS requests")

# The types of the resources that are shown; all others are folded away.
KINDS: dict[str, Kind] = {
    "AWS::AmazonMQ::Broker": Kind(
        "AmazonMQ", "Amazon MQ broker", "messages", Starter("Publisher", "Client", "publishes")
    ),
    "AWS::ApiGateway::RestApi": Kind("AmazonAPIGateway", "REST API", "request", _CLIENT),
    "AWS::ApiGatewayV2::Api": Kind("AmazonAPIGateway", "HTTP API", "request", _CLIENT),
    "AWS::AppSync::GraphQLApi": Kind("AWSAppSync", "AppSync API", "request", _CLIENT),
    "AWS::ApplicationAutoScaling::ScalableTarget": Kind(
        "AWSApplicationAutoScaling", "Application Auto Scaling"
    ),
    "AWS::AutoScaling::AutoScalingGroup": Kind("AmazonEC2AutoScaling", "EC2 Auto Scaling group"),
    "AWS::CloudFront::Distribution": Kind(
        "AmazonCloudFront", "CloudFront distribution", "", Starter("Viewer", "User", "HTTPS requests")
    ),
    "AWS::CloudFront::Function": Kind("AmazonCloudFrontFunctions", "CloudFront function"),
    "AWS::CloudFront::KeyValueStore": Kind("AmazonDynamoDBAttributes", "CloudFront key value store"),
    "AWS::CloudWatch::Alarm": Kind("AmazonCloudWatchAlarm", "CloudWatch alarm", "alarm"),
    "AWS::CloudWatch::CompositeAlarm": Kind("AmazonCloudWatchAlarm", "Composite alarm", "alarm"),
    "AWS::CloudWatch::Dashboard": Kind("AmazonCloudWatch", "CloudWatch dashboard"),
    "AWS::CodeDeploy::DeploymentGroup": Kind("AWSCodeDeploy", "CodeDeploy"),
    "AWS::CodeGuruProfiler::ProfilingGroup": Kind("AmazonCodeGuru", "CodeGuru profiling group"),
    "AWS::CodePipeline::Pipeline": Kind("AWSCodePipeline", "CodePipeline"),
    "AWS::Cognito::IdentityPool": Kind("AmazonCognito", "Cognito identity pool"),
    "AWS::Cognito::UserPool": Kind(
        "AmazonCognito", "Cognito user pool", "", Starter("User", "User", "signs up, signs in")
    ),
    "AWS::Config::ConfigRule": Kind("AWSConfig", "AWS Config rule"),
    "AWS::DynamoDB::Table": Kind(
        "AmazonDynamoDB", "DynamoDB table", "changes", Starter("Application", "Client", "writes items")
    ),
    "AWS::DynamoDB::GlobalTable": Kind(
        "AmazonDynamoDB", "DynamoDB global table", "changes", Starter("Application", "Client", "writes items")
    ),
    "AWS::EC2::VPCEndpoint": Kind("AmazonVPCEndpoints", "VPC endpoint"),
    "AWS::EFS::AccessPoint": Kind("AmazonElasticFileSystemFileSystem", "EFS access point"),
    "AWS::EFS::FileSystem": Kind("AmazonEFS", "EFS file system"),
    "AWS::ElasticLoadBalancingV2::LoadBalancer": Kind(
        "ElasticLoadBalancing", "Application Load Balancer", "request", _CLIENT
    ),
    "AWS::Events::Archive": Kind("AmazonEventBridge", "EventBridge archive"),
    "AWS::Events::EventBus": Kind(
        "AmazonEventBridge", "EventBridge bus", "events", Starter("Publisher", "Client", "puts events")
    ),
    "AWS::Events::Rule": Kind("AmazonEventBridge", "EventBridge rule", "event"),
    "AWS::IoT::TopicRule": Kind("AWSIoTCore", "AWS IoT rule", "messages"),
    "AWS::KMS::Key": Kind("AWSKeyManagementService", "KMS key"),
    "AWS::Kinesis::Stream": Kind(
        "AmazonKinesisDataStreams",
        "Kinesis data stream",
        "records",
        Starter("Producer", "Client", "puts records"),
    ),
    "AWS::KinesisFirehose::DeliveryStream": Kind(
        "AmazonDataFirehose", "Firehose stream", "records", Starter("Producer", "Client", "puts records")
    ),
    "AWS::Lambda::Alias": Kind("AWSLambda", "Lambda alias", "", _CALLER),
    "AWS::Lambda::Function": Kind("AWSLambda", "Lambda function", "", _CALLER),
    "AWS::Lambda::LayerVersion": Kind("AWSLambda", "Lambda layer"),
    "AWS::Lambda::Url": Kind("AWSLambda", "Lambda function URL", "request", _CLIENT),
    "AWS::Logs::LogGroup": Kind(
        "AmazonCloudWatchLogs", "Log group", "log events", Starter("Application", "Client", "logs")
    ),
    "AWS::Pipes::Pipe": Kind("AmazonEventBridge", "EventBridge pipe", "events"),
    "AWS::RDS::DBCluster": Kind("AmazonAurora", "Aurora cluster"),
    "AWS::RDS::DBInstance": Kind("AmazonRDS", "RDS database"),
    "AWS::RDS::DBProxy": Kind("AmazonRDS", "RDS Proxy"),
    "AWS::S3::Bucket": Kind(
        "AmazonSimpleStorageService", "S3 bucket", "events", Starter("Application", "Client", "uploads")
    ),
    "AWS::SES::EmailIdentity": Kind("AmazonSimpleEmailService", "SES identity"),
    "AWS::SES::ReceiptRule": Kind("AmazonSimpleEmailService", "SES receipt rule"),
    "AWS::SNS::Topic": Kind(
        "AmazonSimpleNotificationService",
        "SNS topic",
        "messages",
        Starter("Publisher", "Client", "publishes"),
    ),
    "AWS::SQS::Queue": Kind(
        "AmazonSimpleQueueService", "SQS queue", "messages", Starter("Sender", "Client", "sends messages")
    ),
    "AWS::SSM::Parameter": Kind("AWSSystemsManagerParameterStore", "SSM parameter"),
    "AWS::Scheduler::Schedule": Kind("AmazonEventBridgeScheduler", "EventBridge schedule"),
    "AWS::SecretsManager::Secret": Kind("AWSSecretsManager", "Secrets Manager secret"),
    "AWS::Signer::SigningProfile": Kind("AWSSigner", "Signer profile"),
    "AWS::StepFunctions::StateMachine": Kind(
        "AWSStepFunctions", "Step Functions workflow", "", Starter("Caller", "Client", "starts")
    ),
    "AWS::WAFv2::WebACL": Kind("AWSWAF", "AWS WAF web ACL"),
}
# What is shown only where something is connected to it.
WHEN_CONNECTED = (
    "AWS::CloudWatch::Alarm",
    "AWS::EC2::VPCEndpoint",
    "AWS::KMS::Key",
    "AWS::SSM::Parameter",
    "AWS::SecretsManager::Secret",
    "AWS::WAFv2::WebACL",
)
# AWS services that send events to the default event bus, by the source that a rule names.
SENDERS = {
    "aws.codecommit": ("CodeCommit", "AWSCodeCommit"),
    "aws.codepipeline": ("CodePipeline", "AWSCodePipeline"),
    "aws.cloudformation": ("CloudFormation", "AWSCloudFormation"),
    "aws.iot": ("AWS IoT", "AWSIoTCore"),
    "aws.rds": ("Amazon RDS", "AmazonRDS"),
    "aws.s3": ("Amazon S3", "AmazonSimpleStorageService"),
    "aws.signer": ("AWS Signer", "AWSSigner"),
    "aws.states": ("Step Functions", "AWSStepFunctions"),
}
# The service of a VPC endpoint, by the type of the resources that are reached through it.
ENDPOINTS = {
    "AWS::DynamoDB::GlobalTable": "dynamodb",
    "AWS::DynamoDB::Table": "dynamodb",
    "AWS::Events::EventBus": "events",
    "AWS::Kinesis::Stream": "kinesis-streams",
    "AWS::Lambda::Function": "lambda",
    "AWS::Lambda::Alias": "lambda",
    "AWS::S3::Bucket": "s3",
    "AWS::SNS::Topic": "sns",
    "AWS::SQS::Queue": "sqs",
    "AWS::SecretsManager::Secret": "secretsmanager",
    "AWS::StepFunctions::StateMachine": "states",
}
_VERBS = {
    "BatchGet": "reads",
    "Get": "reads",
    "Query": "reads",
    "Scan": "reads",
    "Abort": "writes",
    "BatchWrite": "writes",
    "ConditionCheck": "writes",
    "Delete": "writes",
    "Put": "writes",
    "Update": "writes",
    "List": "lists",
    "SendEmail": "sends mail",
    "SendMessage": "sends messages",
    "SendRawEmail": "sends mail",
    "SendTask": "answers",
    "Publish": "publishes",
    "PutEvents": "puts events",
    "PutRecord": "puts records",
    "PutLogEvents": "logs",
    "CreateLog": "logs",
    "Invoke": "invokes",
    "StartSync": "starts",
    "Start": "starts",
    "StartSigning": "signs",
    "Describe": "looks",
    "ClientMount": "mounts",
    "ClientWrite": "mounts",
    "Decrypt": "decrypts",
    "Encrypt": "encrypts",
    "GenerateDataKey": "encrypts",
    "ConfigureAgent": "sends profiles",
    "PostAgent": "sends profiles",
}


def verbs(actions: list[str]) -> str:
    """What a role with some actions does: with ``GetItem`` and ``PutItem`` it reads and writes."""
    found = dict.fromkeys(_verb(action) for action in actions)
    if len(found) > 1:
        found.pop("lists", None)
    order = [verb for verb in ("reads", "writes") if verb in found]
    return " and ".join([*order, *(verb for verb in found if verb not in order)])


def _verb(action: str) -> str:
    matching = [start for start in _VERBS if action.startswith(start)]
    return _VERBS[max(matching, key=len)] if matching else action
