"""HardenedFunction: its defaults, and what each option does."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from aws_cdk import App, Duration, Fn, Size, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_efs as efs
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_destinations as destinations
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_signer as signer
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs

from cdk_lambda_patterns import AsyncOptions, FunctionOptions, HardenedFunction, LogOptions, NetworkOptions
from cdk_lambda_patterns.core.options import check_environment
from cdk_lambda_patterns.core.permissions import QueueDestination
from cdk_lambda_patterns.storage.metadata_sync import MetadataSync
from cdk_lambda_patterns.storage.thumbnailer import Thumbnailer
from tests.templates import Resources, stack_with

CODE = lambda_.Code.from_inline("def handler(event, context): return event")
LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}
XRAY = {"xray:PutTraceSegments", "xray:PutTelemetryRecords"}


@stack_with
def plain(stack: Stack) -> None:
    HardenedFunction(stack, "Plain", code=CODE)


def test_a_function_runs_the_newest_python_on_arm64_with_json_logs_and_tracing(plain: Resources) -> None:
    function = plain.function()
    assert function["Runtime"] == "python3.14"
    assert function["Architectures"] == ["arm64"]
    assert function["LoggingConfig"]["LogFormat"] == "JSON"
    assert function["TracingConfig"] == {"Mode": "Active"}
    assert function["RecursiveLoop"] == "Terminate"


def test_its_logs_go_to_its_own_log_group_and_are_retained(plain: Resources) -> None:
    (group_id,) = plain.all("AWS::Logs::LogGroup")
    assert plain.only("AWS::Logs::LogGroup")["RetentionInDays"] == 731  # the CDK's default
    assert plain.function()["LoggingConfig"]["LogGroup"] == {"Ref": group_id}
    assert plain.template["Resources"][group_id]["DeletionPolicy"] == "Retain"


def test_its_role_has_only_its_own_statements_and_no_managed_policy(plain: Resources) -> None:
    assert "ManagedPolicyArns" not in plain.only("AWS::IAM::Role")
    assert plain.actions("PlainServiceRole") == LOGS | XRAY
    writing = next(s for s in plain.statements("PlainServiceRole") if set(s["Action"]) == LOGS)
    (group_id,) = plain.all("AWS::Logs::LogGroup")
    assert writing["Resource"] == {"Fn::GetAtt": [group_id, "Arn"]}


def test_a_function_that_is_not_asynchronous_has_no_event_invoke_config(plain: Resources) -> None:
    assert plain.all("AWS::Lambda::EventInvokeConfig") == {}
    assert plain.all("AWS::SQS::Queue") == {}


@stack_with
def asynchronous(stack: Stack) -> None:
    HardenedFunction(stack, "Worker", code=CODE, asynchronous=AsyncOptions())


def test_an_asynchronous_function_retries_twice_within_six_hours_and_then_sends_to_the_failure_queue(
    asynchronous: Resources,
) -> None:
    (queue_id,) = asynchronous.all("AWS::SQS::Queue")
    config = asynchronous.only("AWS::Lambda::EventInvokeConfig")
    assert config["MaximumRetryAttempts"] == 2
    assert config["MaximumEventAgeInSeconds"] == 21_600
    assert config["DestinationConfig"] == {"OnFailure": {"Destination": {"Fn::GetAtt": [queue_id, "Arn"]}}}


def test_its_failure_queue_is_encrypted_retains_two_weeks_and_refuses_plain_http(
    asynchronous: Resources,
) -> None:
    queue = asynchronous.only("AWS::SQS::Queue")
    assert queue["SqsManagedSseEnabled"] is True
    assert queue["MessageRetentionPeriod"] == 14 * 24 * 3600
    (statement,) = asynchronous.only("AWS::SQS::QueuePolicy")["PolicyDocument"]["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_sending_to_the_failure_queue_takes_one_permission(asynchronous: Resources) -> None:
    assert asynchronous.actions("WorkerServiceRole") == LOGS | XRAY | {"sqs:SendMessage"}


@stack_with
def with_async_options(stack: Stack) -> None:
    HardenedFunction(
        stack,
        "Worker",
        code=CODE,
        asynchronous=AsyncOptions(
            retry_attempts=0,
            max_event_age=Duration.minutes(5),
            on_success=destinations.SqsDestination(sqs.Queue(stack, "Done")),
            dead_letter_queue=sqs.Queue(stack, "Dead"),
        ),
        on_failure=destinations.SnsDestination(sns.Topic(stack, "Failed")),
    )


def test_retries_age_destinations_and_dead_letter_queue_can_be_chosen(
    with_async_options: Resources,
) -> None:
    config = with_async_options.only("AWS::Lambda::EventInvokeConfig")
    assert config["MaximumRetryAttempts"] == 0
    assert config["MaximumEventAgeInSeconds"] == 300
    (topic_id,) = with_async_options.all("AWS::SNS::Topic")
    assert config["DestinationConfig"]["OnFailure"]["Destination"] == {"Ref": topic_id}
    done_id, dead_id = sorted(with_async_options.all("AWS::SQS::Queue"), reverse=True)
    assert config["DestinationConfig"]["OnSuccess"]["Destination"] == {"Fn::GetAtt": [done_id, "Arn"]}
    assert with_async_options.function()["DeadLetterConfig"] == {
        "TargetArn": {"Fn::GetAtt": [dead_id, "Arn"]}
    }


@stack_with
def with_everything(stack: Stack) -> None:
    vpc = ec2.Vpc(stack, "Vpc", max_azs=1, nat_gateways=1)
    key = kms.Key(stack, "Key")
    disk = efs.FileSystem(stack, "Disk", vpc=vpc)
    profile = signer.SigningProfile(stack, "Profile", platform=signer.Platform.AWS_LAMBDA_SHA384_ECDSA)
    HardenedFunction(
        stack,
        "Everything",
        code=CODE,
        environment={"STAGE": "test"},
        options=FunctionOptions(
            memory_size=3008,
            timeout=Duration.minutes(15),
            ephemeral_storage_size=Size.gibibytes(10),
            architecture=lambda_.Architecture.X86_64,
            runtime=lambda_.Runtime.PYTHON_3_13,
            environment={"COLOUR": "blue"},
            environment_encryption=key,
            layers=[
                lambda_.LayerVersion.from_layer_version_arn(
                    stack, "Layer", "arn:aws:lambda:eu-west-1:123456789012:layer:tools:1"
                )
            ],
            reserved_concurrent_executions=7,
            logs=LogOptions(retention=logs.RetentionDays.ONE_YEAR, encryption_key=key),
            tracing=lambda_.Tracing.DISABLED,
            code_signing_config=lambda_.CodeSigningConfig(stack, "Signed", signing_profiles=[profile]),
        ),
        network=NetworkOptions(
            vpc=vpc,
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS),
            security_groups=[ec2.SecurityGroup(stack, "Group", vpc=vpc)],
            filesystem=lambda_.FileSystem.from_efs_access_point(disk.add_access_point("Access"), "/mnt/disk"),
        ),
    )


def test_every_option_reaches_the_function(with_everything: Resources) -> None:
    function = with_everything.function()
    key_arn = {"Fn::GetAtt": [next(iter(with_everything.all("AWS::KMS::Key"))), "Arn"]}
    assert function["MemorySize"] == 3008
    assert function["Timeout"] == 900
    assert function["EphemeralStorage"] == {"Size": 10_240}
    assert function["Architectures"] == ["x86_64"]
    assert function["Runtime"] == "python3.13"
    assert function["Environment"]["Variables"] == {"STAGE": "test", "COLOUR": "blue"}
    assert function["KmsKeyArn"] == key_arn
    assert len(function["Layers"]) == 1
    assert function["ReservedConcurrentExecutions"] == 7
    assert "TracingConfig" not in function
    assert len(function["VpcConfig"]["SubnetIds"]) == 1
    assert function["FileSystemConfigs"][0]["LocalMountPath"] == "/mnt/disk"
    assert "CodeSigningConfigArn" in function
    log_group = with_everything.only("AWS::Logs::LogGroup")
    assert log_group["RetentionInDays"] == 365
    assert log_group["KmsKeyId"] == key_arn


def test_in_a_vpc_its_role_has_the_network_interface_actions_instead_of_a_managed_policy(
    with_everything: Resources,
) -> None:
    roles = with_everything.all("AWS::IAM::Role")
    (role,) = (roles[role_id] for role_id in roles if role_id.startswith("Everything"))
    assert "ManagedPolicyArns" not in role
    actions = with_everything.actions("EverythingServiceRole")
    assert {action for action in actions if action.startswith("ec2:")} == {
        "ec2:AssignPrivateIpAddresses",
        "ec2:CreateNetworkInterface",
        "ec2:DeleteNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:UnassignPrivateIpAddresses",
    }
    assert not actions & XRAY


@stack_with
def with_snap_start(stack: Stack) -> None:
    HardenedFunction(
        stack,
        "Snapshotted",
        code=CODE,
        options=FunctionOptions(snap_start=lambda_.SnapStartConf.ON_PUBLISHED_VERSIONS),
    )


def test_snap_start_is_an_option(with_snap_start: Resources) -> None:
    assert with_snap_start.function()["SnapStart"] == {"ApplyOn": "PublishedVersions"}


@pytest.fixture(scope="module")
def stack() -> Stack:
    """A stack that is never synthesised, for what is refused before that."""
    return Stack(App(), "Refused")


REFUSED: dict[str, Callable[[], object]] = {
    "memory_size=64: Lambda allows 128 to 10,240 MB": lambda: FunctionOptions(memory_size=64),
    "memory_size=10,241: Lambda allows 128 to 10,240 MB": lambda: FunctionOptions(memory_size=10_241),
    "timeout=901: Lambda allows 1 to 900 seconds": lambda: FunctionOptions(timeout=Duration.seconds(901)),
    "timeout=0: Lambda allows 1 to 900 seconds": lambda: FunctionOptions(timeout=Duration.seconds(0)),
    "ephemeral_storage_size=511: Lambda allows 512 to 10,240 MB": lambda: FunctionOptions(
        ephemeral_storage_size=Size.mebibytes(511)
    ),
    "ephemeral_storage_size=10,241: Lambda allows 512": lambda: FunctionOptions(
        ephemeral_storage_size=Size.mebibytes(10_241)
    ),
    "reserved_concurrent_executions=-1: Lambda allows 0": lambda: FunctionOptions(
        reserved_concurrent_executions=-1
    ),
    "retry_attempts=3: Lambda allows 0 to 2": lambda: AsyncOptions(retry_attempts=3),
    "retry_attempts=-1: Lambda allows 0 to 2": lambda: AsyncOptions(retry_attempts=-1),
    "max_event_age=59: Lambda allows 60 to 21,600 seconds": lambda: AsyncOptions(
        max_event_age=Duration.seconds(59)
    ),
    "max_event_age=21,601: Lambda allows 60": lambda: AsyncOptions(max_event_age=Duration.seconds(21_601)),
    "environment variable AWS_REGION: Lambda reserves": lambda: FunctionOptions(
        environment={"AWS_REGION": "eu-west-1"}
    ),
    "environment variable 'X': Lambda allows letters": lambda: FunctionOptions(environment={"X": "1"}),
    "environment variable '1ST': Lambda allows letters": lambda: FunctionOptions(environment={"1ST": "1"}),
    "environment of 4,097 bytes: Lambda allows 4,096": lambda: FunctionOptions(
        environment={"NAME": "x" * 4093}
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_lambda_refuses_is_refused_at_once_with_the_limit(message: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        REFUSED[message]()


def layers(stack: Stack, *versions: str) -> list[lambda_.ILayerVersion]:
    arn = "arn:aws:lambda:eu-west-1:123456789012:layer:"
    return [
        lambda_.LayerVersion.from_layer_version_arn(stack, f"Layer{number}", f"{arn}{version}")
        for number, version in enumerate(versions)
    ]


def test_more_than_five_layers_are_refused() -> None:
    six = layers(Stack(), "a:1", "b:1", "c:1", "d:1", "e:1", "f:1")
    assert FunctionOptions(layers=six[:5]).layers == six[:5]
    with pytest.raises(ValueError, match=r"^len\(layers\)=6: Lambda allows 0 to 5"):
        FunctionOptions(layers=six)


@pytest.mark.parametrize(
    "options",
    [
        FunctionOptions(memory_size=128, timeout=Duration.seconds(1)),
        FunctionOptions(memory_size=10_240, timeout=Duration.seconds(900)),
        FunctionOptions(ephemeral_storage_size=Size.mebibytes(512), reserved_concurrent_executions=0),
        FunctionOptions(ephemeral_storage_size=Size.mebibytes(10_240), environment={"NAME": "x" * 4092}),
    ],
)
def test_both_ends_of_a_limit_are_allowed(options: FunctionOptions) -> None:
    assert options == options.with_defaults()


@pytest.mark.parametrize(("attempts", "seconds"), [(0, 60), (2, 6 * 60 * 60)])
def test_both_ends_of_the_limits_of_asynchronous_invocation_are_allowed(attempts: int, seconds: int) -> None:
    options = AsyncOptions(retry_attempts=attempts, max_event_age=Duration.seconds(seconds))
    assert options.retry_attempts == attempts


def test_values_known_only_at_deployment_pass(stack: Stack) -> None:
    from aws_cdk import CfnParameter

    number = CfnParameter(stack, "Number", type="Number").value_as_number
    options = FunctionOptions(memory_size=int(number), timeout=Duration.seconds(number))
    assert options.timeout is not None
    check_environment({"NAME": "x" * 4000, "LATER": CfnParameter(stack, "Text").value_as_string * 10})


def test_the_environment_is_checked_as_the_sum_of_pattern_and_user(stack: Stack) -> None:
    with pytest.raises(ValueError, match=r"environment of 4,106 bytes"):
        HardenedFunction(
            stack,
            "TooMuch",
            code=CODE,
            environment={"ONE": "x" * 2050},
            options=FunctionOptions(environment={"TWO": "x" * 2050}),
        )


def test_a_failure_destination_is_refused_where_nothing_is_asynchronous(stack: Stack) -> None:
    destination = destinations.SnsDestination(sns.Topic(stack, "Failed"))
    with pytest.raises(ValueError, match=r"^on_failure: only asynchronous invocations have this destination"):
        HardenedFunction(stack, "Synchronous", code=CODE, on_failure=destination)


FIFO_ARN = "arn:aws:{}:eu-west-1:123456789012:theirs.fifo"


def fifo_queue(stack: Stack) -> sqs.IQueue:
    return sqs.Queue(stack, "Queue", fifo=True)


def fifo_queue_from_another_stack(stack: Stack) -> sqs.IQueue:
    return sqs.Queue(Stack(stack, "Theirs"), "Queue", fifo=True)


def imported_fifo_queue(stack: Stack) -> sqs.IQueue:
    return sqs.Queue.from_queue_arn(stack, "Queue", FIFO_ARN.format("sqs"))


def fifo_queue_imported_by_name(stack: Stack) -> sqs.IQueue:
    arn = stack.format_arn(service="sqs", resource="theirs.fifo")
    return sqs.Queue.from_queue_arn(stack, "Queue", arn)


FIFO_QUEUES = [fifo_queue, fifo_queue_from_another_stack, imported_fifo_queue, fifo_queue_imported_by_name]
FIFO_DESTINATIONS: list[Callable[[Stack], lambda_.IDestination]] = [
    *(lambda stack, make=make: destinations.SqsDestination(make(stack)) for make in FIFO_QUEUES),
    lambda stack: destinations.SnsDestination(sns.Topic(stack, "Topic", fifo=True)),
    lambda stack: destinations.SnsDestination(
        sns.Topic.from_topic_arn(stack, "Topic", FIFO_ARN.format("sns"))
    ),
    lambda stack: QueueDestination(sqs.Queue(stack, "Queue", fifo=True)),
]


@pytest.mark.parametrize("make", FIFO_DESTINATIONS)
def test_a_fifo_destination_is_refused_because_lambda_would_lose_what_it_sends(
    make: Callable[[Stack], lambda_.IDestination],
) -> None:
    stack = Stack(App(), "S")
    with pytest.raises(ValueError, match=r"^on_failure=.*: it is a FIFO queue or topic, and Lambda"):
        HardenedFunction(stack, "F", code=CODE, asynchronous=AsyncOptions(), on_failure=make(stack))
    options = AsyncOptions(on_success=make(Stack(stack, "Success")))
    with pytest.raises(ValueError, match=r"^asynchronous\.on_success=.*: it is a FIFO queue or topic"):
        HardenedFunction(stack, "G", code=CODE, asynchronous=options)


@pytest.mark.parametrize("make", FIFO_QUEUES)
def test_a_fifo_dead_letter_queue_of_a_function_is_refused(
    make: Callable[[Stack], sqs.IQueue],
) -> None:
    stack = Stack(App(), "S")
    options = AsyncOptions(dead_letter_queue=make(stack))
    with pytest.raises(ValueError, match=r"^asynchronous\.dead_letter_queue=.*: it is a FIFO queue"):
        HardenedFunction(stack, "F", code=CODE, asynchronous=options)


@pytest.mark.parametrize("make", FIFO_QUEUES)
@pytest.mark.parametrize("pattern", [Thumbnailer, MetadataSync])
def test_a_fifo_failure_queue_of_a_pattern_is_refused(
    make: Callable[[Stack], sqs.IQueue], pattern: type[Thumbnailer] | type[MetadataSync]
) -> None:
    stack = Stack(App(), "S")
    with pytest.raises(ValueError, match=r"^failure_queue=.*: it is a FIFO queue"):
        pattern(stack, "Pattern", failure_queue=make(stack))


def test_two_versions_of_one_layer_are_refused() -> None:
    stack = Stack(App(), "Stack")
    one, other, two = layers(stack, "a:1", "b:1", "a:2")
    unknown = lambda_.LayerVersion.from_layer_version_arn(stack, "Unknown", Fn.import_value("layer"))
    assert FunctionOptions(layers=[one, unknown, other]).layers
    message = r"^layers\[2\]=Stack/Layer2: Lambda allows one version of each layer, and layers\[0\] is"
    with pytest.raises(ValueError, match=message):
        FunctionOptions(layers=[one, unknown, two])


@pytest.mark.parametrize("number", [0, 6])
def test_a_function_has_one_to_five_security_groups(number: int) -> None:
    stack = Stack()
    vpc = ec2.Vpc(stack, "Vpc", max_azs=1)
    groups = [ec2.SecurityGroup(stack, f"Group{one}", vpc=vpc) for one in range(number)]
    with pytest.raises(ValueError, match=rf"^len\(security_groups\)={number}: Lambda allows 1 to 5"):
        NetworkOptions(vpc=vpc, security_groups=groups)


def test_a_security_group_of_another_vpc_is_refused() -> None:
    stack = Stack(App(), "Stack")
    vpc, other = (ec2.Vpc(stack, name, max_azs=1) for name in ("Vpc", "Other"))
    imported = ec2.SecurityGroup.from_security_group_id(stack, "Imported", "sg-0123456789abcdef0")
    own = ec2.SecurityGroup(stack, "Own", vpc=vpc)
    network = NetworkOptions(vpc=vpc, security_groups=[own, imported])
    HardenedFunction(stack, "Fine", code=CODE, handler="index.handler", network=network)
    network = NetworkOptions(vpc=vpc, security_groups=[ec2.SecurityGroup(stack, "Theirs", vpc=other)])
    with pytest.raises(
        ValueError, match=r"^security_groups: Stack/Theirs is in another VPC than the function"
    ):
        HardenedFunction(stack, "Function", code=CODE, handler="index.handler", network=network)


@pytest.mark.parametrize("imported", [True, False])
def test_records_of_success_do_not_go_to_a_bucket(imported: bool) -> None:
    stack = Stack()
    bucket = s3.Bucket.from_bucket_name(stack, "B", "records") if imported else s3.Bucket(stack, "B")
    destination = destinations.S3Destination(bucket)
    with pytest.raises(
        ValueError, match=r"^asynchronous\.on_success: Lambda sends records of failures only to a"
    ):
        HardenedFunction(
            stack,
            "Function",
            code=CODE,
            handler="index.handler",
            asynchronous=AsyncOptions(on_success=destination),
        )
    HardenedFunction(
        stack,
        "Other",
        code=CODE,
        handler="index.handler",
        asynchronous=AsyncOptions(),
        on_failure=destination,
    )


def test_a_misspelt_option_is_a_python_error() -> None:
    with pytest.raises(TypeError, match="memory"):
        FunctionOptions(memory=512)  # type: ignore[call-arg]


def test_a_public_subnet_is_refused(stack: Stack) -> None:
    vpc = ec2.Vpc(stack, "PublicVpc", max_azs=1, nat_gateways=0)
    with pytest.raises(RuntimeError, match=r"[Pp]ublic subnet"):
        HardenedFunction(
            stack,
            "Exposed",
            code=CODE,
            network=NetworkOptions(
                vpc=vpc, vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PUBLIC)
            ),
        )


def test_code_that_is_not_a_folder_is_refused(stack: Stack, tmp_path: Path) -> None:
    with pytest.raises(NotADirectoryError, match=r"missing.*give the folder of the handler"):
        HardenedFunction(stack, "Nowhere", code=tmp_path / "missing")


def test_options_that_were_given_win_over_the_defaults_of_a_pattern() -> None:
    options = FunctionOptions(memory_size=512).with_defaults(
        memory_size=1769, reserved_concurrent_executions=1
    )
    assert (options.memory_size, options.reserved_concurrent_executions) == (512, 1)
    with pytest.raises(TypeError, match="unknown"):
        options.with_defaults(unknown=1)


def test_a_variable_that_the_construct_sets_cannot_be_overridden() -> None:
    options = FunctionOptions(environment={"COLOUR": "blue", "MINE": "x"})
    with pytest.raises(ValueError, match="environment variable COLOUR: the construct sets it itself"):
        HardenedFunction(Stack(), "F", code=CODE, environment={"COLOUR": "red"}, options=options)
