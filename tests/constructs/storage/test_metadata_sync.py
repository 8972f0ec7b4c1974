"""MetadataSync: what it builds for each target and each delivery, with new and with existing resources."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Duration, Environment, RemovalPolicy, Stack, Stage
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_rds as rds
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Annotations, Match

from cdk_lambda_patterns import FunctionOptions
from cdk_lambda_patterns.core.network import PrivateNetwork
from cdk_lambda_patterns.core.table import text
from cdk_lambda_patterns.data.rds_proxy import DatabaseOptions, ExistingProxy, PoolOptions
from cdk_lambda_patterns.storage.metadata_sync import (
    Delivery,
    DynamoTarget,
    MetadataOptions,
    MetadataSync,
    PostgresTarget,
    ReconcilerOptions,
)
from tasks.synthesis import app_context
from tests.templates import Resources, as_list, read_templates, stack_with, walk

LOOKING = {
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "s3:GetObject",
    "s3:ListBucket",
    "sqs:SendMessage",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
}
ON_TABLE = {"dynamodb:GetItem", "dynamodb:UpdateItem"}
IN_NETWORK = {
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
    "rds-db:connect",
}
FUNCTION, RECONCILER = "FilesFunctionServiceRole", "FilesReconcilerServiceRole"
EVENTS = [
    "s3:ObjectCreated:*",
    "s3:ObjectRemoved:*",
    "s3:LifecycleExpiration:*",
    "s3:LifecycleTransition",
    "s3:ObjectRestore:*",
    "s3:Replication:*",
]
SMALL = DatabaseOptions(instance_type=ec2.InstanceType("t4g.micro"))


def reconciler(resources: Resources) -> dict[str, Any]:
    return resources.only("AWS::Lambda::Function", Handler="metadata_sync.reconciler.handler")


def variables(function: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = function["Environment"]["Variables"]
    return found


@stack_with
def owned(stack: Stack) -> None:
    MetadataSync(stack, "Files")


def test_it_makes_a_private_versioned_bucket(owned: Resources) -> None:
    bucket = owned.only("AWS::S3::Bucket")
    assert all(bucket["PublicAccessBlockConfiguration"].values())
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}


def test_the_table_has_the_keys_of_the_listing_and_an_index_for_queries_by_time(owned: Resources) -> None:
    table = owned.only("AWS::DynamoDB::Table")
    assert table["KeySchema"] == [
        {"AttributeName": "bucket", "KeyType": "HASH"},
        {"AttributeName": "key", "KeyType": "RANGE"},
    ]
    [index] = table["GlobalSecondaryIndexes"]
    assert index["IndexName"] == "by-last-modified"
    assert [key["AttributeName"] for key in index["KeySchema"]] == ["modified_shard", "last_modified"]
    assert index["Projection"] == {
        "ProjectionType": "INCLUDE",
        "NonKeyAttributes": ["version_id", "size", "etag"],
    }
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["BillingMode"] == "PAY_PER_REQUEST"


def test_each_kind_of_event_about_an_object_invokes_the_function(owned: Resources) -> None:
    assert owned.notified() == [(event, {}) for event in EVENTS]


def test_the_roles_have_these_actions_and_no_others(owned: Resources) -> None:
    assert owned.actions(FUNCTION) == LOOKING | ON_TABLE
    assert owned.actions(RECONCILER) == LOOKING | ON_TABLE | {"dynamodb:Query"}
    assert owned.actions("FilesScheduleRole") == {"lambda:InvokeFunction"}


def test_the_functions_use_the_table_and_not_its_index(owned: Resources) -> None:
    (table,) = owned.all("AWS::DynamoDB::Table")
    for role in (FUNCTION, RECONCILER):
        [statement] = [one for one in owned.statements(role) if "dynamodb:GetItem" in one["Action"]]
        assert statement["Resource"] == {"Fn::GetAtt": [table, "Arn"]}


def test_the_schedule_invokes_the_reconciler_every_five_minutes_and_no_version_of_it(
    owned: Resources,
) -> None:
    schedule = owned.only("AWS::Scheduler::Schedule")
    assert schedule["ScheduleExpression"] == "rate(5 minutes)"
    assert "StartDate" not in schedule  # so the first invocation follows the deployment
    [statement] = owned.statements("FilesScheduleRole")
    assert statement["Resource"] == schedule["Target"]["Arn"]
    assert schedule["Target"]["Arn"]["Fn::GetAtt"][0].startswith("FilesReconciler")
    assert schedule["Target"]["RetryPolicy"]["MaximumRetryAttempts"] == 0
    [role] = [role for name, role in owned.all("AWS::IAM::Role").items() if "ScheduleRole" in name]
    [trust] = role["AssumeRolePolicyDocument"]["Statement"]
    equals = trust["Condition"]["StringEquals"]
    assert equals["aws:SourceAccount"] == {"Ref": "AWS::AccountId"}
    assert equals["aws:SourceArn"]["Fn::Join"][1][-1] == ":schedule-group/default"


def test_the_reconciler_has_the_longest_timeout_and_is_not_retried(owned: Resources) -> None:
    assert reconciler(owned)["Timeout"] == 900
    [config] = [
        one
        for one in owned.all("AWS::Lambda::EventInvokeConfig").values()
        if one["FunctionName"]["Ref"].startswith("FilesReconciler")
    ]
    assert (config["MaximumRetryAttempts"], config["MaximumEventAgeInSeconds"]) == (0, 300)


def test_failed_events_go_to_one_queue_and_failed_invocations_by_the_schedule_to_another(
    owned: Resources,
) -> None:
    url = variables(owned.function())["FAILURE_QUEUE_URL"]
    queues = {
        config["FunctionName"]["Ref"]: config["DestinationConfig"]["OnFailure"]["Destination"]["Fn::GetAtt"][
            0
        ]
        for config in owned.all("AWS::Lambda::EventInvokeConfig").values()
    }
    [of_events] = [queue for function, queue in queues.items() if function.startswith("FilesFunction")]
    assert url == {"Ref": of_events}
    assert len(set(queues.values())) == 2  # so a redrive of events finds only events
    assert "FAILURE_QUEUE_URL" not in variables(reconciler(owned))


def test_by_default_a_row_has_what_one_call_to_s3_returns(owned: Resources) -> None:
    for function in (owned.function(), reconciler(owned)):
        given = variables(function)
        assert (given["TARGET"], given["PREFIX"], given["SUFFIXES"]) == ("dynamodb", "", "[]")
        assert (given["USER_METADATA"], given["TAGS"], given["TOMBSTONE_DAYS"]) == ("false", "false", "15")
    assert variables(reconciler(owned))["RECONCILE_EVERY_SECONDS"] == "86400"


def test_everything_stateful_is_retained_by_default(owned: Resources, relational: Resources) -> None:
    for resources, policy in ((owned, "Retain"), (relational, "Delete")):
        for kind in (
            "AWS::S3::Bucket",
            "AWS::DynamoDB::Table",
            "AWS::SQS::Queue",
            "AWS::Logs::LogGroup",
            "AWS::RDS::DBInstance",
        ):
            for name in resources.all(kind):
                resource = resources.template["Resources"][name]
                assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == (policy, policy)


def test_it_writes_no_output_no_literal_partition_and_uses_no_managed_policy(
    owned: Resources, relational: Resources
) -> None:
    for resources in (owned, relational):
        assert "Outputs" not in resources.template
        assert not [
            text for text in walk(resources.template["Resources"]) if str(text).startswith("arn:aws:")
        ]
        assert not [value for value in walk(resources.template) if "ManagedPolicyArns" in str(value)]


@stack_with
def chosen(stack: Stack) -> None:
    MetadataSync(
        stack,
        "Files",
        source=s3.Bucket(stack, "Source", encryption_key=kms.Key(stack, "SourceKey")),
        target=DynamoTarget(
            table=dynamodb.Table(
                stack,
                "Table",
                partition_key=dynamodb.Attribute(name="bucket", type=dynamodb.AttributeType.STRING),
                sort_key=dynamodb.Attribute(name="key", type=dynamodb.AttributeType.STRING),
                encryption_key=kms.Key(stack, "TableKey"),
            )
        ),
        options=MetadataOptions(
            prefix="invoices/",
            suffixes=[".pdf", ".xml"],
            user_metadata=True,
            tags=True,
            tombstones=Duration.days(30),
        ),
        reconciler=ReconcilerOptions(
            every=Duration.hours(6),
            function_options=FunctionOptions(memory_size=2048),
        ),
        failure_queue=sqs.Queue(stack, "Failed", encryption_master_key=kms.Key(stack, "FailedKey")),
        function_options=FunctionOptions(memory_size=256),
    )


def test_options_reach_the_handlers(chosen: Resources) -> None:
    for function in (chosen.function(), reconciler(chosen)):
        given = variables(function)
        assert given["PREFIX"] == "invoices/"
        assert json.loads(given["SUFFIXES"]) == [".pdf", ".xml"]
        assert (given["USER_METADATA"], given["TAGS"], given["TOMBSTONE_DAYS"]) == ("true", "true", "30")
    assert variables(reconciler(chosen))["RECONCILE_EVERY_SECONDS"] == "21600"
    assert chosen.function()["MemorySize"] == 256
    assert reconciler(chosen)["MemorySize"] == 2048


def test_prefix_and_suffixes_filter_every_kind_of_event_including_tags(chosen: Resources) -> None:
    assert sorted(chosen.notified(), key=str) == sorted(
        [
            (event, {"prefix": "invoices/", "suffix": suffix})
            for event in [*EVENTS, "s3:ObjectTagging:*"]
            for suffix in (".pdf", ".xml")
        ],
        key=str,
    )


def test_the_role_can_only_look_at_objects_under_the_prefix(chosen: Resources) -> None:
    [statement] = [one for one in chosen.statements(FUNCTION) if "s3:GetObjectTagging" in one["Action"]]
    assert statement["Action"] == ["s3:GetObject", "s3:GetObjectTagging"]
    assert statement["Resource"]["Fn::Join"][1][1] == "/invoices/*"


def test_each_customer_key_is_granted_with_the_actions_it_is_used_for(chosen: Resources) -> None:
    def granted(role: str) -> dict[str, Any]:
        return {
            key["Fn::GetAtt"][0][:-8]: statement["Action"]
            for statement in chosen.statements(role)
            if "kms:" in str(statement["Action"])
            for key in as_list(statement["Resource"])
        }

    table = ["kms:Decrypt", "kms:DescribeKey"]
    assert granted(FUNCTION) == {
        "SourceKey": "kms:Decrypt",
        "TableKey": table,
        "FailedKey": ["kms:Decrypt", "kms:GenerateDataKey"],
    }
    assert granted(RECONCILER) == {"SourceKey": "kms:Decrypt", "TableKey": table}


@stack_with
def relational(stack: Stack) -> None:
    sync = MetadataSync(
        stack,
        "Files",
        target=PostgresTarget(database=SMALL, pool=PoolOptions(max_connections_percent=50)),
        options=MetadataOptions(delivery="eventbridge"),
        removal_policy=RemovalPolicy.DESTROY,
    )
    assert sync.database
    assert sync.database.database
    assert sync.table is None


def test_postgresql_is_reached_by_both_functions_through_one_proxy_with_iam(relational: Resources) -> None:
    assert not relational.all("AWS::DynamoDB::Table")
    proxy = relational.only("AWS::RDS::DBProxy")
    assert proxy["RequireTLS"] is True
    assert [auth["IAMAuth"] for auth in proxy["Auth"]] == ["REQUIRED"]
    target_group = relational.only("AWS::RDS::DBProxyTargetGroup")
    assert target_group["ConnectionPoolConfigurationInfo"]["MaxConnectionsPercent"] == 50
    assert relational.actions(FUNCTION) == LOOKING | IN_NETWORK
    assert relational.actions(RECONCILER) == LOOKING | IN_NETWORK
    for function in (relational.function(), reconciler(relational)):
        given = variables(function)
        assert given["TARGET"] == "postgres"
        assert "TABLE_NAME" not in given
        assert (given["DB_NAME"], given["DB_USER"], given["DB_PORT"]) == ("app", "app", "5432")
        assert given["DB_HOST"]["Fn::GetAtt"][1] == "Endpoint"
        assert function["VpcConfig"]


def test_both_functions_in_the_network_reach_s3_and_only_one_reaches_the_queue(relational: Resources) -> None:
    endpoints = relational.all("AWS::EC2::VPCEndpoint").values()
    assert sorted(str(one["VpcEndpointType"]) for one in endpoints) == ["Gateway", "Interface"]
    rules = [
        (rule["SourceSecurityGroupId"]["Fn::GetAtt"][0], rule["FromPort"])
        for rule in relational.all("AWS::EC2::SecurityGroupIngress").values()
    ]
    to_https = [source for source, port in rules if port == 443]
    assert len(to_https) == 1
    assert to_https[0].startswith("FilesFunctionSecurityGroup")
    to_sql = sorted(source for source, port in rules if port != 443)
    assert [source.partition("SecurityGroup")[0] for source in to_sql] == [
        "FilesFunction",
        "FilesMigration",
        "FilesProxy",
        "FilesReconciler",
    ]


def test_eventbridge_delivers_the_events_of_this_bucket_and_has_a_dead_letter_queue(
    relational: Resources,
) -> None:
    (bucket,) = relational.all("AWS::S3::Bucket")
    rule = relational.only("AWS::Events::Rule")
    assert rule["EventPattern"]["source"] == ["aws.s3"]
    assert rule["EventPattern"]["detail"] == {"bucket": {"name": [{"Ref": bucket}]}}
    assert "Object Deleted" in rule["EventPattern"]["detail-type"]
    assert "Object Tags Added" not in rule["EventPattern"]["detail-type"]
    [target] = rule["Targets"]
    assert target["DeadLetterConfig"]["Arn"]["Fn::GetAtt"][0].startswith("FilesFailureQueue")
    notifications = relational.only("Custom::S3BucketNotifications")
    assert notifications["NotificationConfiguration"] == {"EventBridgeConfiguration": {}}
    permission = relational.only("AWS::Lambda::Permission")
    assert permission["Principal"] == "events.amazonaws.com"


@pytest.mark.parametrize(
    ("prefix", "suffixes", "keys"),
    [
        ("a/", (), [{"prefix": "a/"}]),
        ("", (".b", ".c"), [{"suffix": ".b"}, {"suffix": ".c"}]),
        ("a/", (".b", ".c"), [{"wildcard": "a/*.b"}, {"wildcard": "a/*.c"}]),
        ("a*\\", ("b",), [{"wildcard": "a\\*\\\\*b"}]),
        # In S3 a prefix and a suffix may overlap, around a wildcard they may not.
        ("aba", ("aba",), [{"wildcard": "aba*aba"}, "ababa", "aba"]),
    ],
)
def test_eventbridge_matches_the_keys_that_notifications_would(
    prefix: str, suffixes: tuple[str, ...], keys: list[object], tmp_path: Path
) -> None:
    app = App(context=app_context(), outdir=str(tmp_path), builtin_cloud_formation_validation=False)
    options = MetadataOptions(prefix=prefix, suffixes=suffixes, delivery="eventbridge", tags=True)
    MetadataSync(Stack(app, "Stack"), "Files", options=options)
    app.synth()
    (resources,) = read_templates(tmp_path).values()
    pattern = resources.only("AWS::Events::Rule")["EventPattern"]
    assert pattern["detail"]["object"] == {"key": keys}
    assert "Object Tags Added" in pattern["detail-type"]


@stack_with
def imported(stack: Stack) -> None:
    MetadataSync(
        stack,
        "Files",
        source=s3.Bucket.from_bucket_name(stack, "Uploads", "invoices"),
        target=DynamoTarget(table=dynamodb.Table.from_table_name(stack, "Rows", "rows")),
        failure_queue=sqs.Queue.from_queue_arn(stack, "Failed", "arn:aws:sqs:eu-west-1:123456789012:failed"),
    )


def test_with_imported_resources_it_makes_none_of_its_own(imported: Resources) -> None:
    assert not imported.all("AWS::S3::Bucket")
    assert not imported.all("AWS::DynamoDB::Table")
    assert len(imported.all("AWS::SQS::Queue")) == 1  # for failed invocations by the schedule
    assert variables(imported.function())["TABLE_NAME"] == "rows"
    notifications = imported.only("Custom::S3BucketNotifications")
    assert (notifications["BucketName"], notifications["Managed"]) == ("invoices", False)
    assert imported.actions(FUNCTION) == LOOKING | ON_TABLE


def test_a_table_with_other_keys_is_refused() -> None:
    stack = Stack(App(), "Stack")
    table = dynamodb.Table(stack, "Rows", partition_key=text("bucket"))
    message = r"table=Stack/Rows: its keys are bucket \(S\); .* partition key bucket and the sort key key"
    with pytest.raises(ValueError, match=message):
        MetadataSync(stack, "Files", target=DynamoTarget(table=table))


def test_a_warning_says_that_the_events_of_a_bucket_in_another_region_must_be_forwarded() -> None:
    app = App()
    stack = Stack(app, "Stack", env=Environment(region="eu-west-1", account="111111111111"))
    source = s3.Bucket.from_bucket_attributes(
        stack, "Uploads", bucket_name="far-away", region="us-east-1", account="111111111111"
    )
    with pytest.raises(ValueError, match="is in Region us-east-1, and the function in eu-west-1"):
        MetadataSync(stack, "Refused", source=source)
    MetadataSync(stack, "Files", source=source, options=MetadataOptions(delivery="eventbridge"))
    warning = "The bucket Stack/Uploads is in Region us-east-1.*: a rule there has to forward its events.*"
    Annotations.from_stack(stack).has_warning("/Stack/Files", Match.string_like_regexp(warning))


def test_a_warning_names_what_cannot_be_configured_for_imported_resources(tmp_path: Path) -> None:
    stack = Stack(App(context=app_context(), outdir=str(tmp_path)), "Stack")
    sync = MetadataSync(
        stack,
        "Files",
        source=s3.Bucket.from_bucket_name(stack, "Uploads", "uploads"),
        options=MetadataOptions(delivery="eventbridge"),
        failure_queue=sqs.Queue.from_queue_arn(stack, "Failed", "arn:aws:sqs:eu-west-1:123456789012:failed"),
    )
    assert sync.rule is not None
    warnings = Annotations.from_stack(stack)
    warnings.has_warning("/Stack/Files", Match.string_like_regexp("The bucket uploads is imported: .*"))
    warnings.has_warning("/Stack/Files", Match.string_like_regexp("The queue failed is imported: .*"))


@stack_with
def existing_proxy(stack: Stack) -> None:
    vpc = ec2.Vpc.from_vpc_attributes(
        stack,
        "Vpc",
        vpc_id="vpc-0123456789abcdef0",
        availability_zones=["eu-west-1a", "eu-west-1b"],
        isolated_subnet_ids=["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"],
        isolated_subnet_route_table_ids=["rtb-0123456789abcdef0", "rtb-0123456789abcdef1"],
    )
    group = ec2.SecurityGroup.from_security_group_id(stack, "Group", "sg-0123456789abcdef0")
    MetadataSync(
        stack,
        "Files",
        target=PostgresTarget(
            database=ExistingProxy(
                proxy=rds.DatabaseProxy.from_database_proxy_attributes(
                    stack,
                    "Proxy",
                    db_proxy_name="files",
                    db_proxy_arn="arn:aws:rds:eu-west-1:123456789012:db-proxy:prx-0123456789abcdef0",
                    endpoint="files.proxy-abc.eu-west-1.rds.amazonaws.com",
                    security_groups=[group],
                ),
                proxy_security_group=group,
                user="writer",
            ),
            network=PrivateNetwork(stack, "Network", vpc=vpc),
        ),
    )


def test_with_an_existing_proxy_it_makes_no_proxy_database_or_network(existing_proxy: Resources) -> None:
    for kind in ("AWS::RDS::DBProxy", "AWS::RDS::DBInstance", "AWS::RDS::DBCluster", "AWS::EC2::VPC"):
        assert not existing_proxy.all(kind)
    given = variables(existing_proxy.function())
    assert given["DB_HOST"] == "files.proxy-abc.eu-west-1.rds.amazonaws.com"
    assert given["DB_USER"] == "writer"
    assert "rds-db:connect" in existing_proxy.actions(RECONCILER)


@stack_with
def twice(stack: Stack) -> None:
    shared = s3.Bucket(stack, "Shared")
    for prefix in ("a/", "b/"):
        MetadataSync(
            stack,
            f"Files{prefix[0].upper()}",
            source=shared,
            options=MetadataOptions(prefix=prefix, delivery="eventbridge"),
            removal_policy=RemovalPolicy.DESTROY,
        )


def test_a_stack_can_hold_two_also_of_one_bucket(twice: Resources) -> None:
    assert len(twice.all("AWS::S3::Bucket")) == 1
    assert len(twice.all("AWS::Events::Rule")) == 2
    assert len(twice.all("AWS::DynamoDB::Table")) == 2
    assert len(twice.all("Custom::S3BucketNotifications")) == 1


@pytest.mark.parametrize("delivery", ["notifications", "eventbridge"])
def test_the_source_may_be_from_another_stack_also_within_a_stage(delivery: Delivery, tmp_path: Path) -> None:
    app = App(context=app_context(), outdir=str(tmp_path), builtin_cloud_formation_validation=False)
    stage = Stage(app, "Production")
    uploads = Stack(stage, "Uploads")
    source = s3.Bucket(uploads, "Bucket", encryption_key=kms.Key(uploads, "Key"))
    options = MetadataOptions(delivery=delivery)
    MetadataSync(Stack(stage, "Rows"), "Files", source=source, options=options)
    app.synth()

    stacks = {name: stack for name, stack in read_templates(tmp_path).items() if "Production" in name}
    (uploading,) = (stack for name, stack in stacks.items() if "Uploads" in name)
    (rows,) = (stack for name, stack in stacks.items() if "Rows" in name)
    assert rows.actions(FUNCTION) == LOOKING | ON_TABLE | {"kms:Decrypt"}
    if delivery == "eventbridge":
        configuration = uploading.only("Custom::S3BucketNotifications")["NotificationConfiguration"]
        assert configuration == {"EventBridgeConfiguration": {}}
        assert not [value for value in walk(uploading.template) if "ManagedPolicyArns" in str(value)]
    else:
        assert rows.only("Custom::S3BucketNotifications")["Managed"] is False


def test_eventbridge_may_use_the_key_of_the_failure_queue(tmp_path: Path) -> None:
    app = App(context=app_context(), outdir=str(tmp_path), builtin_cloud_formation_validation=False)
    stack = Stack(app, "Stack")
    MetadataSync(
        stack,
        "Files",
        options=MetadataOptions(delivery="eventbridge"),
        failure_queue=sqs.Queue(stack, "Failed", encryption_master_key=kms.Key(stack, "Key")),
    )
    app.synth()
    (resources,) = read_templates(tmp_path).values()
    [statement] = [
        one
        for one in resources.only("AWS::KMS::Key")["KeyPolicy"]["Statement"]
        if one["Principal"].get("Service") == "events.amazonaws.com"
    ]
    assert statement["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


REFUSED: dict[str, Callable[[], object]] = {
    "len(prefix)=1,025: S3 allows 0 to 1,024 bytes": lambda: MetadataOptions(prefix="ä" * 512 + "x"),
    "suffixes=('.jpg', 'g'): S3 refuses filters that overlap": lambda: MetadataOptions(
        suffixes=(".jpg", "g")
    ),
    "suffixes='.jpg': give a sequence of strings": lambda: MetadataOptions(suffixes=".jpg"),
    "delivery='sns': choose one of 'notifications', 'eventbridge'": lambda: MetadataOptions(
        delivery="sns"  # type: ignore[arg-type] # what mypy finds, the check finds as well
    ),
    "17 suffixes with 6 events each: 102 notifications, and S3 allows 100": lambda: MetadataSync(
        Stack(), "M", options=MetadataOptions(suffixes=tuple(f".{number:02}" for number in range(17)))
    ),
    "tombstones=1,209,600: MetadataSync allows 1,296,000 to 31,536,000 seconds": lambda: MetadataOptions(
        tombstones=Duration.days(14)
    ),
    "every=60: MetadataSync allows 300 to 2,592,000 seconds": lambda: ReconcilerOptions(
        every=Duration.minutes(1)
    ),
    "engine='mysql': the rows are written with PostgreSQL's SQL": lambda: PostgresTarget(
        database=DatabaseOptions(engine="mysql")
    ),
    "borrow_timeout=20, timeout=10: the function would time out before": lambda: MetadataSync(
        Stack(),
        "Files",
        target=PostgresTarget(database=SMALL),
        function_options=FunctionOptions(timeout=Duration.seconds(10)),
    ),
    "an existing database without network": lambda: MetadataSync(
        Stack(),
        "Files",
        target=PostgresTarget(
            database=ExistingProxy(
                proxy=rds.DatabaseProxy.from_database_proxy_attributes(
                    Stack(), "P", db_proxy_name="p", db_proxy_arn="arn", endpoint="p", security_groups=[]
                ),
                proxy_security_group=ec2.SecurityGroup.from_security_group_id(Stack(), "G", "sg-1"),
                user="writer",
            )
        ),
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_a_value_that_is_not_allowed_is_refused_when_the_construct_is_made(message: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        REFUSED[message]()


def _with_suffixes(number: int) -> Stack:
    stack = Stack(App(), "Stack")
    suffixes = tuple(f".{one:08}" for one in range(number))
    source = s3.Bucket(stack, "Source")
    options = MetadataOptions(suffixes=suffixes, delivery="eventbridge")
    MetadataSync(stack, "Sync", source=source, options=options)
    return stack


def test_an_event_pattern_that_is_too_long_is_refused_or_needs_a_higher_quota() -> None:
    with pytest.raises(
        ValueError, match=r"^size of the event pattern for prefix and suffixes=.* to 4,096 char"
    ):
        _with_suffixes(200)
    long = Match.string_like_regexp("and EventBridge allows 2,048 by default")
    Annotations.from_stack(_with_suffixes(100)).has_warning("*", long)
    Annotations.from_stack(_with_suffixes(50)).has_no_warning("*", long)


def test_one_rule_in_eventbridge_takes_many_suffixes() -> None:
    suffixes = tuple(f".{number:02}" for number in range(17))
    assert MetadataOptions(suffixes=suffixes, delivery="eventbridge").suffixes == suffixes


def test_a_target_in_dynamodb_has_no_database() -> None:
    sync = MetadataSync(Stack(), "Files")
    assert sync.table
    assert sync.database is None
