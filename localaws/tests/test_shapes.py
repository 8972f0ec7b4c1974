"""Values of the embedded AWS have the length, the alphabet and the shape of AWS's.

A value that is shorter or simpler hides faults: 56 digits fit into no DynamoDB Number. Each row of the table
names the page of the AWS documentation, below https://docs.aws.amazon.com/, that shows such a value.
"""

from __future__ import annotations

import functools
import json
import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from helpers.lambda_functions import Functions, eventually
from helpers.stacks import deploy, ref, role
from localaws import LocalAws

pytestmark = pytest.mark.local

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
ECHO = """
import os
def handler(event, context):
    shown = ("_X_AMZN_TRACE_ID", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    return {"request": context.aws_request_id, "stream": context.log_stream_name,
            **{name: os.environ[name] for name in shown}}
"""
Answer = dict[str, Any]


def new(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


@functools.cache
def put_record(aws: LocalAws) -> Answer:
    client, name = aws.client("kinesis"), new("stream")
    client.create_stream(StreamName=name, ShardCount=1)
    client.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1})
    put: Answer = client.put_record(StreamName=name, Data=b"x", PartitionKey="x")
    shard = {"StreamName": name, "ShardId": put["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
    iterator = client.get_shard_iterator(**shard)["ShardIterator"]
    return {**put, "ShardIterator": iterator, **client.get_records(ShardIterator=iterator)}


@functools.cache
def sent(aws: LocalAws, *, fifo: bool) -> tuple[Answer, Answer]:
    """A message, as it was sent and as it is received."""
    client, name = aws.client("sqs"), new("queue") + (".fifo" if fifo else "")
    url = client.create_queue(QueueName=name, Attributes={"FifoQueue": "true"} if fifo else {})["QueueUrl"]
    group = {"MessageGroupId": "g", "MessageDeduplicationId": "d"} if fifo else {}
    answer = client.send_message(QueueUrl=url, MessageBody="x", **group)
    return answer, client.receive_message(QueueUrl=url, AttributeNames=["All"])["Messages"][0]


@functools.cache
def notified(aws: LocalAws, *, fifo: bool) -> tuple[Answer, Answer]:
    """A notification, as it was published and as a queue receives it."""
    sns, end = aws.client("sns"), ".fifo" if fifo else ""
    sqs, kind = aws.client("sqs"), {"FifoQueue": "true"} if fifo else {}
    url = sqs.create_queue(QueueName=new("queue") + end, Attributes=kind)["QueueUrl"]
    at = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    allow = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": at}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    attributes = {"FifoTopic": "true", "ContentBasedDeduplication": "true"} if fifo else {}
    topic = sns.create_topic(Name=new("topic") + end, Attributes=attributes)["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=at)
    answer = sns.publish(TopicArn=topic, Message="x", **({"MessageGroupId": "g"} if fifo else {}))
    (message,) = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5, AttributeNames=["All"])["Messages"]
    return answer, message | json.loads(message["Body"])


@functools.cache
def put_object(aws: LocalAws, *, parts: bool = False) -> Answer:
    client, name = aws.client("s3"), new("bucket")
    client.create_bucket(Bucket=name)
    client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    if not parts:
        answer: Answer = client.put_object(Bucket=name, Key="x", Body=b"x")
        return answer
    upload = client.create_multipart_upload(Bucket=name, Key="x")
    of = {"Bucket": name, "Key": "x", "UploadId": upload["UploadId"]}
    part = {"PartNumber": 1, "ETag": client.upload_part(**of, PartNumber=1, Body=b"x")["ETag"]}
    done = client.complete_multipart_upload(**of, MultipartUpload={"Parts": [part]})
    return {**done, "UploadId": upload["UploadId"]}


def header(answer: Answer, name: str) -> str:
    return str(answer["ResponseMetadata"]["HTTPHeaders"][name])


@functools.cache
def change_of_table(aws: LocalAws) -> Answer:
    client, streams, name = aws.client("dynamodb"), aws.client("dynamodbstreams"), new("table")
    table = client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "Id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "Id", "AttributeType": "N"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )["TableDescription"]
    client.put_item(TableName=name, Item={"Id": {"N": "101"}, "Message": {"S": "New item!"}})
    of = {"StreamArn": table["LatestStreamArn"]}
    shard = streams.describe_stream(**of)["StreamDescription"]["Shards"][0]["ShardId"]
    start = streams.get_shard_iterator(**of, ShardId=shard, ShardIteratorType="TRIM_HORIZON")
    (record,) = streams.get_records(ShardIterator=start["ShardIterator"])["Records"]
    return {**record, **record["dynamodb"], "ShardId": shard, **table}


@functools.cache
def echoed(aws: LocalAws) -> Answer:
    """What a function sees of itself."""
    functions = Functions(aws)
    payload: Answer = functions.invoke(functions.make(ECHO)).payload
    return payload


@functools.cache
def network(aws: LocalAws) -> dict[str, str]:
    ec2, elb, name = aws.client("ec2"), aws.client("elbv2"), new("n")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    zones = {"a": "10.9.0.0/24", "b": "10.9.1.0/24"}
    subnet, other = (
        ec2.create_subnet(VpcId=vpc, CidrBlock=block, AvailabilityZone=f"{aws.region}{zone}")["Subnet"][
            "SubnetId"
        ]
        for zone, block in zones.items()
    )
    group = ec2.create_security_group(GroupName=name, Description="x", VpcId=vpc)["GroupId"]
    port = {"GroupId": group, "IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "CidrIp": "10.0.0.0/8"}
    rule = ec2.authorize_security_group_ingress(**port)["SecurityGroupRules"][0]["SecurityGroupRuleId"]
    endpoint = ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=f"com.amazonaws.{aws.region}.s3")
    balancer = elb.create_load_balancer(Name=name, Subnets=[subnet, other])["LoadBalancers"][0]
    targets = elb.create_target_group(Name=name, TargetType="lambda")["TargetGroups"][0]["TargetGroupArn"]
    actions = [{"Type": "forward", "TargetGroupArn": targets}]
    at = {"LoadBalancerArn": balancer["LoadBalancerArn"], "Port": 80, "Protocol": "HTTP"}
    listener = elb.create_listener(**at, DefaultActions=actions)["Listeners"][0]["ListenerArn"]
    paths = [{"Field": "path-pattern", "Values": ["/x"]}]
    of = {"ListenerArn": listener, "Priority": 1, "Conditions": paths, "Actions": actions}
    return {
        "VPC": vpc,
        "subnet": subnet,
        "other subnet": other,
        "security group": group,
        "security group rule": rule,
        "network interface": ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"][
            "NetworkInterfaceId"
        ],
        "VPC endpoint": endpoint["VpcEndpoint"]["VpcEndpointId"],
        "Elastic IP allocation": ec2.allocate_address(Domain="vpc")["AllocationId"],
        "load balancer": balancer["LoadBalancerArn"].partition("/")[2].replace(name, "N"),
        "DNS name of a load balancer": balancer["DNSName"].replace(name, "N"),
        "target group": targets.partition("/")[2].replace(name, "N"),
        "listener": listener.partition("/")[2].replace(name, "N"),
        "listener rule": elb.create_rule(**of)["Rules"][0]["RuleArn"].partition("/")[2].replace(name, "N"),
    }


@functools.cache
def databases(aws: LocalAws) -> dict[str, str]:
    rds, name = aws.client("rds"), new("n")
    login = {"MasterUsername": "someone", "MasterUserPassword": "x" * 12}
    small = {"DBInstanceClass": "db.t3.micro", "Engine": "mysql", "AllocatedStorage": 20}
    instance = rds.create_db_instance(DBInstanceIdentifier=name, **small, **login)["DBInstance"]
    cluster = rds.create_db_cluster(DBClusterIdentifier=name, Engine="aurora-mysql", **login)["DBCluster"]
    saved = rds.create_db_snapshot(DBInstanceIdentifier=name, DBSnapshotIdentifier=name)["DBSnapshot"]
    of = {"DBInstanceIdentifier": new("r"), "SourceDBInstanceIdentifier": name}
    replica = rds.create_db_instance_read_replica(**of)["DBInstance"]
    of = {"DBInstanceIdentifier": new("c"), "DBSnapshotIdentifier": name}
    restored = rds.restore_db_instance_from_db_snapshot(**of)["DBInstance"]
    proxy = rds.create_db_proxy(
        DBProxyName=name,
        EngineFamily="MYSQL",
        Auth=[{"SecretArn": aws.client("secretsmanager").create_secret(Name=name)["ARN"]}],
        RoleArn=Functions(aws).role(service="rds.amazonaws.com"),
        VpcSubnetIds=[network(aws)["subnet"], network(aws)["other subnet"]],
    )["DBProxy"]
    return {
        "instance": instance["DbiResourceId"],
        "cluster": cluster["DbClusterResourceId"],
        "cluster endpoint": cluster["Endpoint"].replace(name, "N"),
        "snapshot": saved["DbiResourceId"],
        "replica": replica["DbiResourceId"],
        "restored instance": restored["DbiResourceId"],
        "proxy": proxy["DBProxyArn"].rpartition(":")[2],
    }


@functools.cache
def deployed(aws: LocalAws) -> dict[str, str]:
    """Values of resources that CloudFormation makes."""
    login = {"MasterUsername": "someone", "MasterUserPassword": "x" * 12}
    small = {"DBInstanceClass": "db.t3.micro", "Engine": "mysql", "AllocatedStorage": "20"}
    resources: dict[str, Any] = {
        "Role": role(),
        "Secret": {"Type": "AWS::SecretsManager::Secret", "Properties": {}},
        "Instance": {"Type": "AWS::RDS::DBInstance", "Properties": small | login},
        "Cluster": {"Type": "AWS::RDS::DBCluster", "Properties": {"Engine": "aurora-mysql", **login}},
        "Api": {"Type": "AWS::ApiGatewayV2::Api", "Properties": {"Name": "x", "ProtocolType": "HTTP"}},
    }
    outputs = {
        "Role": {"Fn::GetAtt": ["Role", "RoleId"]},
        "Secret": ref("Secret"),
        "Instance": {"Fn::GetAtt": ["Instance", "DbiResourceId"]},
        "Cluster": {"Fn::GetAtt": ["Cluster", "DBClusterResourceId"]},
        "Api": ref("Api"),
    }
    return deploy(aws, resources, outputs).outputs


@functools.cache
def users(aws: LocalAws) -> dict[str, str]:
    cognito, pools = aws.client("cognito-idp"), aws.client("cognito-identity")
    pool = cognito.create_user_pool(PoolName=new("pool"))["UserPool"]["Id"]
    client = cognito.create_user_pool_client(UserPoolId=pool, ClientName="x", GenerateSecret=True)
    user = cognito.admin_create_user(UserPoolId=pool, Username="someone")["User"]["Attributes"]
    identities = pools.create_identity_pool(
        IdentityPoolName=new("pool"), AllowUnauthenticatedIdentities=True
    )["IdentityPoolId"]
    pools.set_identity_pool_roles(IdentityPoolId=identities, Roles={"unauthenticated": role_of_guests(aws)})
    guest = pools.get_id(IdentityPoolId=identities)["IdentityId"]
    credentials = pools.get_credentials_for_identity(IdentityId=guest)["Credentials"]
    return {
        "pool": pool,
        "client": client["UserPoolClient"]["ClientId"],
        "client secret": client["UserPoolClient"]["ClientSecret"],
        "sub": next(one["Value"] for one in user if one["Name"] == "sub"),
        "identity pool": identities,
        "identity": guest,
        **credentials,
    }


def role_of_guests(aws: LocalAws) -> str:
    provider = {"Federated": "cognito-identity.amazonaws.com"}
    trust = {"Effect": "Allow", "Principal": provider, "Action": "sts:AssumeRoleWithWebIdentity"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    made = aws.client("iam").create_role(RoleName=new("guests"), AssumeRolePolicyDocument=document)
    return str(made["Role"]["Arn"])


@functools.cache
def principals(aws: LocalAws) -> Answer:
    iam, sts, name = aws.client("iam"), aws.client("sts"), new("n")
    user, group = iam.create_user(UserName=name)["User"], iam.create_group(GroupName=name)["Group"]
    trust = {"Effect": "Allow", "Principal": {"AWS": aws.account}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]
    session = sts.assume_role(RoleArn=made["Arn"], RoleSessionName="work")
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {
        "user": user["UserId"],
        "group": group["GroupId"],
        "role": made["RoleId"],
        "key": key["AccessKeyId"],
        "secret": key["SecretAccessKey"],
        "session": session["AssumedRoleUser"]["AssumedRoleId"],
        **session["Credentials"],
    }


def event_id(aws: LocalAws) -> str:
    entry = {"Source": "x", "DetailType": "x", "Detail": "{}"}
    put: str = aws.client("events").put_events(Entries=[entry])["Entries"][0]["EventId"]
    return put


def log_stream(aws: LocalAws) -> str:
    functions = Functions(aws)
    name = functions.make(ECHO)
    functions.invoke(name)
    logs = aws.client("logs")
    (stream, *_) = eventually(
        lambda: logs.describe_log_streams(logGroupName=f"/aws/lambda/{name}")["logStreams"]
    )
    return str(stream["logStreamName"])


def function_url(aws: LocalAws) -> str:
    functions = Functions(aws)
    made = functions.aws.client("lambda").create_function_url_config(
        FunctionName=functions.make(ECHO), AuthType="NONE"
    )
    return str(made["FunctionUrl"])


def key_id(aws: LocalAws, *, multi_region: bool) -> str:
    return str(aws.client("kms").create_key(MultiRegion=multi_region)["KeyMetadata"]["KeyId"])


SECRET_KEY, TOKEN = r"[A-Za-z0-9+/]{40}", r"IQoJ[A-Za-z0-9+/]{350,}={0,2}"
UNIQUE = r"[A-Z2-7]"
SECRET = r"arn:aws:secretsmanager:[a-z0-9-]+:\d{12}:secret:[\w-]+-[A-Za-z0-9]{6}"
SENT, NOTIFIED = functools.partial(sent, fifo=False), functools.partial(notified, fifo=False)
SENT_FIFO, NOTIFIED_FIFO = functools.partial(sent, fifo=True), functools.partial(notified, fifo=True)

KINESIS, SQS, SNS = "lambda/latest/dg/with-kinesis.html", "lambda/latest/dg/with-sqs.html", "sns/latest/dg/"
SNS_JSON = SNS + "sns-message-and-json-formats.html"
S3, EC2 = "AmazonS3/latest/", "AWSEC2/latest/UserGuide/resource-ids.html"
IDS = "IAM/latest/UserGuide/reference_identifiers.html"
DATABASES = "AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.IAMPolicy.html"
BALANCERS = "elasticloadbalancing/latest/APIReference/API_CreateLoadBalancer.html"
RULES = "elasticloadbalancing/latest/APIReference/API_CreateRule.html"
COGNITO = "cognito-user-identity-pools/latest/APIReference/"
IDENTITY = "cognitoidentity/latest/APIReference/API_GetCredentialsForIdentity.html"
SECRETS = "secretsmanager/latest/userguide/whats-in-a-secret.html"
STS = "STS/latest/APIReference/API_Credentials.html"
CONTEXT = "lambda/latest/dg/python-context.html"

SHAPES: dict[str, tuple[Callable[[LocalAws], str], str, str]] = {
    "Kinesis sequence number": (lambda aws: put_record(aws)["SequenceNumber"], r"49\d{54}", KINESIS),
    "Kinesis shard id": (lambda aws: put_record(aws)["ShardId"], r"shardId-\d{12}", KINESIS),
    "Kinesis shard iterator": (
        lambda aws: put_record(aws)["ShardIterator"],
        r"AAAAAAAAAAE[A-Za-z0-9+/]{150,490}={0,2}",
        "kinesis/latest/APIReference/API_GetShardIterator.html",
    ),
    "Kinesis next iterator": (
        lambda aws: put_record(aws)["NextShardIterator"],
        r"AAAAAAAAAAE[A-Za-z0-9+/]{150,490}={0,2}",
        "kinesis/latest/APIReference/API_GetRecords.html",
    ),
    "DynamoDB event id": (
        lambda aws: change_of_table(aws)["eventID"],
        r"[0-9a-f]{32}",
        "lambda/latest/dg/with-ddb.html",
    ),
    "DynamoDB sequence number": (
        lambda aws: change_of_table(aws)["SequenceNumber"],
        r"[1-9]\d{20,39}",
        "amazondynamodb/latest/APIReference/API_streams_StreamRecord.html",
    ),
    "DynamoDB size of the documented example": (
        lambda aws: str(change_of_table(aws)["SizeBytes"]),
        "26",
        "lambda/latest/dg/with-ddb.html",
    ),
    "DynamoDB shard id": (
        lambda aws: change_of_table(aws)["ShardId"],
        r"shardId-\d{20}-[0-9a-f]{8}",
        "amazondynamodb/latest/APIReference/API_streams_DescribeStream.html",
    ),
    "DynamoDB stream label": (
        lambda aws: change_of_table(aws)["LatestStreamLabel"],
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}",
        "amazondynamodb/latest/APIReference/API_TableDescription.html",
    ),
    "SQS message id": (lambda aws: SENT(aws)[1]["MessageId"], UUID, SQS),
    "SQS receipt handle": (
        lambda aws: SENT(aws)[1]["ReceiptHandle"],
        r"AQEB[A-Za-z0-9+/]{300,}={0,2}",
        SQS,
    ),
    "SQS sequence number": (
        lambda aws: SENT_FIFO(aws)[1]["Attributes"]["SequenceNumber"],
        r"[1-9]\d{19}",
        SQS,
    ),
    "SQS sequence number sent": (lambda aws: SENT_FIFO(aws)[0]["SequenceNumber"], r"[1-9]\d{19}", SQS),
    "SNS message id": (lambda aws: NOTIFIED(aws)[0]["MessageId"], UUID, SNS_JSON),
    "SNS signature": (lambda aws: NOTIFIED(aws)[1]["Signature"], r"[A-Za-z0-9+/]{342}==", SNS_JSON),
    "SNS certificate": (
        lambda aws: NOTIFIED(aws)[1]["SigningCertURL"],
        r"https://sns\.[a-z0-9-]+\.amazonaws\.com/SimpleNotificationService-[0-9a-f]{32}\.pem",
        SNS_JSON,
    ),
    "SNS unsubscription": (
        lambda aws: NOTIFIED(aws)[1]["UnsubscribeURL"],
        rf"https://.*/\?Action=Unsubscribe&SubscriptionArn=arn:aws:sns:[a-z0-9-]+:\d{{12}}:[\w-]+:{UUID}",
        SNS_JSON,
    ),
    "SNS sequence number": (
        lambda aws: NOTIFIED_FIFO(aws)[0]["SequenceNumber"],
        r"[1-9]\d{19}",
        "sns/latest/api/API_Publish.html",
    ),
    "SNS sequence number sent": (
        lambda aws: NOTIFIED_FIFO(aws)[1]["SequenceNumber"],
        r"[1-9]\d{19}",
        SNS + "fifo-topic-message-ordering.html",
    ),
    "SNS sender": (
        lambda aws: NOTIFIED(aws)[1]["Attributes"]["SenderId"],
        rf"AIDA{UNIQUE}{{17}}",
        SQS,
    ),
    "EventBridge event id": (event_id, UUID, "eventbridge/latest/ref/overiew-event-structure.html"),
    "S3 version id": (
        lambda aws: put_object(aws)["VersionId"],
        r"[A-Za-z0-9._]{32}",
        S3 + "userguide/versioning-workflows.html",
    ),
    "S3 ETag of parts": (
        lambda aws: put_object(aws, parts=True)["ETag"],
        r'"[0-9a-f]{32}-1"',
        S3 + "API/API_Object.html",
    ),
    "S3 upload id": (
        lambda aws: put_object(aws, parts=True)["UploadId"],
        r"[A-Za-z0-9._]{100,}",
        S3 + "API/API_CreateMultipartUpload.html",
    ),
    "S3 request id": (
        lambda aws: header(put_object(aws), "x-amz-request-id"),
        r"[A-Z0-9]{16}",
        S3 + "userguide/get-request-ids.html",
    ),
    "S3 host id": (
        lambda aws: header(put_object(aws), "x-amz-id-2"),
        r"[A-Za-z0-9+/]{64,}={0,2}",
        S3 + "userguide/get-request-ids.html",
    ),
    "secret": (lambda aws: aws.client("secretsmanager").create_secret(Name=new("n"))["ARN"], SECRET, SECRETS),
    "secret of a template": (lambda aws: deployed(aws)["Secret"], SECRET, SECRETS),
    "user": (lambda aws: principals(aws)["user"], rf"AIDA{UNIQUE}{{17}}", IDS),
    "group": (lambda aws: principals(aws)["group"], rf"AGPA{UNIQUE}{{17}}", IDS),
    "role": (lambda aws: principals(aws)["role"], rf"AROA{UNIQUE}{{17}}", IDS),
    "role of a template": (lambda aws: deployed(aws)["Role"], rf"AROA{UNIQUE}{{17}}", IDS),
    "role session": (lambda aws: principals(aws)["session"], rf"AROA{UNIQUE}{{17}}:work", IDS),
    "access key": (lambda aws: principals(aws)["key"], rf"AKIA{UNIQUE}{{16}}", IDS),
    "secret access key": (lambda aws: principals(aws)["secret"], SECRET_KEY, STS),
    "temporary access key": (lambda aws: principals(aws)["AccessKeyId"], rf"ASIA{UNIQUE}{{16}}", IDS),
    "temporary secret key": (lambda aws: principals(aws)["SecretAccessKey"], SECRET_KEY, STS),
    "session token": (lambda aws: principals(aws)["SessionToken"], TOKEN, STS),
    "access key of a function": (lambda aws: echoed(aws)["AWS_ACCESS_KEY_ID"], rf"ASIA{UNIQUE}{{16}}", IDS),
    "secret key of a function": (lambda aws: echoed(aws)["AWS_SECRET_ACCESS_KEY"], SECRET_KEY, STS),
    "session token of a function": (lambda aws: echoed(aws)["AWS_SESSION_TOKEN"], TOKEN, STS),
    "Lambda request id": (lambda aws: echoed(aws)["request"], UUID, CONTEXT),
    "Lambda log stream": (
        lambda aws: echoed(aws)["stream"],
        r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}",
        CONTEXT,
    ),
    "log stream": (log_stream, r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", CONTEXT),
    "trace": (
        lambda aws: echoed(aws)["_X_AMZN_TRACE_ID"],
        r"Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=[01];Lineage=1:[0-9a-f]{8}:\d+",
        "xray/latest/devguide/xray-concepts.html",
    ),
    "function URL": (
        function_url,
        r"https://[a-z0-9]{32}\.lambda-url\.[a-z0-9-]+\.on\.aws/",
        "lambda/latest/dg/urls-configuration.html",
    ),
    "KMS key": (
        functools.partial(key_id, multi_region=False),
        UUID,
        "kms/latest/developerguide/concepts.html",
    ),
    "KMS key of several Regions": (
        functools.partial(key_id, multi_region=True),
        r"mrk-[0-9a-f]{32}",
        "kms/latest/developerguide/concepts.html",
    ),
    "REST API": (
        lambda aws: aws.client("apigateway").create_rest_api(name="x")["id"],
        r"[a-z0-9]{10}",
        "apigateway/latest/developerguide/how-to-call-api.html",
    ),
    "HTTP API": (
        lambda aws: aws.client("apigatewayv2").create_api(Name="x", ProtocolType="HTTP")["ApiId"],
        r"[a-z0-9]{10}",
        "apigateway/latest/developerguide/how-to-call-api.html",
    ),
    "HTTP API of a template": (
        lambda aws: deployed(aws)["Api"],
        r"[a-z0-9]{10}",
        "apigateway/latest/developerguide/how-to-call-api.html",
    ),
    **{
        f"RDS {name}": (lambda aws, name=name: databases(aws)[name], pattern, DATABASES)  # type: ignore[misc]
        for name, pattern in {
            "instance": r"db-[A-Z0-9]{26}",
            "cluster": r"cluster-[A-Z0-9]{26}",
            "cluster endpoint": r"N\.cluster-[a-z0-9]{12}\.[a-z0-9-]+\.rds\.amazonaws\.com",
            "snapshot": r"db-[A-Z0-9]{26}",
            "replica": r"db-[A-Z0-9]{26}",
            "restored instance": r"db-[A-Z0-9]{26}",
            "proxy": r"prx-[0-9a-f]{17}",
        }.items()
    },
    "RDS instance of a template": (lambda aws: deployed(aws)["Instance"], r"db-[A-Z0-9]{26}", DATABASES),
    "RDS cluster of a template": (lambda aws: deployed(aws)["Cluster"], r"cluster-[A-Z0-9]{26}", DATABASES),
    **{
        name: (lambda aws, name=name: network(aws)[name], pattern, page)  # type: ignore[misc]
        for name, pattern, page in (
            ("VPC", r"vpc-[0-9a-f]{17}", EC2),
            ("subnet", r"subnet-[0-9a-f]{17}", EC2),
            ("security group", r"sg-[0-9a-f]{17}", EC2),
            ("security group rule", r"sgr-[0-9a-f]{17}", EC2),
            ("network interface", r"eni-[0-9a-f]{17}", EC2),
            ("VPC endpoint", r"vpce-[0-9a-f]{17}", EC2),
            ("Elastic IP allocation", r"eipalloc-[0-9a-f]{17}", EC2),
            ("load balancer", r"app/N/[0-9a-f]{16}", BALANCERS),
            ("DNS name of a load balancer", r"N-\d{10}\.[a-z0-9-]+\.elb\.amazonaws\.com", BALANCERS),
            ("target group", r"N/[0-9a-f]{16}", RULES),
            ("listener", r"app/N/[0-9a-f]{16}/[0-9a-f]{16}", RULES),
            ("listener rule", r"app/N/[0-9a-f]{16}/[0-9a-f]{16}/[0-9a-f]{16}", RULES),
        )
    },
    **{
        f"Cognito {name}": (lambda aws, name=name: users(aws)[name], pattern, page)  # type: ignore[misc]
        for name, pattern, page in (
            ("pool", r"[a-z0-9-]+_[A-Za-z0-9]{9}", COGNITO + "API_UserPoolType.html"),
            ("client", r"[a-z0-9]{26}", COGNITO + "API_UserPoolClientType.html"),
            ("client secret", r"[a-z0-9]{50,64}", COGNITO + "API_UserPoolClientType.html"),
            ("sub", UUID, COGNITO + "API_UserType.html"),
            ("identity pool", rf"[a-z0-9-]+:{UUID}", IDENTITY),
            ("identity", rf"[a-z0-9-]+:{UUID}", IDENTITY),
            ("AccessKeyId", rf"ASIA{UNIQUE}{{16}}", IDENTITY),
            ("SecretKey", SECRET_KEY, IDENTITY),
            ("SessionToken", TOKEN, IDENTITY),
        )
    },
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_value_has_awss_shape(local_aws: LocalAws, name: str) -> None:
    make, pattern, page = SHAPES[name]
    value = make(local_aws)
    assert re.fullmatch(pattern, value), f"{value}: see https://docs.aws.amazon.com/{page}"
