"""CanaryAlias: the resources of a release, the permissions of each role, and rejected arguments."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Duration, Stack, Stage
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_codedeploy as codedeploy
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as event_sources
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Annotations, Match

from cdk_lambda_patterns import AsyncOptions, FunctionOptions, HardenedFunction
from cdk_lambda_patterns.delivery.canary_alias import (
    CanaryAlias,
    ReleaseAlarms,
    SmokeCase,
    SmokeTest,
    TrafficCheck,
)
from cdk_lambda_patterns.delivery.canary_alias.deployment_config import duration_of
from cdk_lambda_patterns.delivery.environments import Environments
from tests.templates import Resources, read_templates, stack_with, walk

CODE = lambda_.Code.from_inline("def handler(event, context): return event")
CASE = SmokeCase(name="one", payload={"article": 1}, expected={"cents": 199})
REPORTING = {"codedeploy:GetDeployment", "codedeploy:PutLifecycleEventHookExecutionStatus"}
LOGGING = {
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
}
SHIFTING = {"lambda:GetAlias", "lambda:UpdateAlias", "lambda:GetProvisionedConcurrencyConfig"}
VERSION_ARN = "arn:aws:lambda:eu-west-1:123456789012:function:orders:7"


def worker(
    stack: Stack,
    id: str = "Worker",
    *,
    asynchronous: AsyncOptions | None = None,
    options: FunctionOptions | None = None,
) -> HardenedFunction:
    return HardenedFunction(stack, id, code=CODE, asynchronous=asynchronous, options=options)


@stack_with
def plain(stack: Stack) -> None:
    canary = CanaryAlias(stack, "Live", function=worker(stack))
    canary.alias.add_event_source(event_sources.SqsEventSource(sqs.Queue(stack, "Queue")))
    canary.alias.add_function_url(auth_type=lambda_.FunctionUrlAuthType.AWS_IAM)


def resource_of(resources: Resources, type: str) -> dict[str, Any]:
    """The one resource of a type, with its properties and its other attributes."""
    [found] = [one for one in resources.template["Resources"].values() if one["Type"] == type]
    return dict(found)


def test_only_codedeploy_changes_the_alias(plain: Resources) -> None:
    alias = resource_of(plain, "AWS::Lambda::Alias")
    [group] = plain.all("AWS::CodeDeploy::DeploymentGroup")
    [application] = plain.all("AWS::CodeDeploy::Application")
    assert alias["UpdatePolicy"] == {
        "CodeDeployLambdaAliasUpdate": {
            "ApplicationName": {"Ref": application},
            "DeploymentGroupName": {"Ref": group},
        }
    }
    assert alias["Properties"]["Name"] == "live"
    assert "RoutingConfig" not in alias["Properties"]


def test_a_version_outlives_the_next_release_and_not_its_own_failure(plain: Resources) -> None:
    version = resource_of(plain, "AWS::Lambda::Version")
    assert (version["DeletionPolicy"], version["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")


def test_a_release_that_fails_is_stopped_or_trips_an_alarm_is_rolled_back(plain: Resources) -> None:
    group = plain.only("AWS::CodeDeploy::DeploymentGroup")
    assert group["AutoRollbackConfiguration"] == {
        "Enabled": True,
        "Events": ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_REQUEST", "DEPLOYMENT_STOP_ON_ALARM"],
    }
    assert group["DeploymentConfigName"] == "CodeDeployDefault.LambdaCanary10Percent5Minutes"
    assert group["AlarmConfiguration"] == {
        "Enabled": True,
        "Alarms": [{"Name": {"Ref": alarm}} for alarm in plain.all("AWS::CloudWatch::Alarm")],
    }


def test_the_alarm_on_errors_is_on_the_new_version_only(plain: Resources) -> None:
    alarm = plain.only("AWS::CloudWatch::Alarm", MetricName="Errors")
    [version] = plain.all("AWS::Lambda::Version")
    [function] = plain.all("AWS::Lambda::Function")
    assert {one["Name"]: one["Value"] for one in alarm["Dimensions"]} == {
        "FunctionName": {"Ref": function},
        "Resource": {"Fn::Join": ["", [{"Ref": function}, ":live"]]},
        "ExecutedVersion": {"Fn::GetAtt": [version, "Version"]},
    }
    assert (alarm["Threshold"], alarm["Period"], alarm["Statistic"]) == (1, 60, "Sum")
    assert alarm["TreatMissingData"] == "notBreaching"


def test_each_version_has_alarms_of_its_own(plain: Resources, throttled: Resources) -> None:
    for resources in (plain, throttled):
        [version] = resources.all("AWS::Lambda::Version")
        for alarm in resources.all("AWS::CloudWatch::Alarm").values():
            _, parts = alarm["AlarmName"]["Fn::Join"]
            assert parts[0] == {"Ref": "AWS::StackName"}
            assert parts[-1] == {"Fn::GetAtt": [version, "Version"]}


@stack_with
def throttled(stack: Stack) -> None:
    CanaryAlias(stack, "Live", function=worker(stack), alarms=ReleaseAlarms(throttles=10))


def test_by_default_throttled_calls_trip_no_alarm(plain: Resources) -> None:
    assert len(plain.all("AWS::CloudWatch::Alarm")) == 1


def test_the_alarm_on_throttles_counts_those_of_the_alias_while_the_new_version_runs(
    throttled: Resources,
) -> None:
    alarm = throttled.only("AWS::CloudWatch::Alarm", Threshold=10)
    queries = {query["Id"]: query for query in alarm["Metrics"]}
    watched = {
        name: {one["Name"] for one in queries[name]["MetricStat"]["Metric"]["Dimensions"]}
        for name in ("runs", "throttles")
    }
    assert watched == {
        "runs": {"FunctionName", "Resource", "ExecutedVersion"},
        "throttles": {"FunctionName", "Resource"},
    }
    [result] = [query["Expression"] for query in queries.values() if "Expression" in query]
    assert result == "IF(FILL(runs, 0) > 0, throttles, 0)"


def test_triggers_and_urls_attach_to_the_alias(plain: Resources) -> None:
    [alias] = plain.all("AWS::Lambda::Alias")
    mapping = plain.only("AWS::Lambda::EventSourceMapping")
    _, parts = mapping["FunctionName"]["Fn::Join"]
    assert parts[1] == ":live"
    assert {"Ref": alias} in list(walk(parts))
    assert plain.only("AWS::Lambda::Url")["Qualifier"] == "live"


def test_codedeploy_may_shift_this_alias_and_describe_these_alarms(plain: Resources) -> None:
    role = "LiveDeploymentRole"
    assert plain.actions(role) == SHIFTING | {"cloudwatch:DescribeAlarms"}
    [function] = plain.all("AWS::Lambda::Function")
    named = {str(one["Action"]): one["Resource"] for one in plain.statements(role)}
    assert named["['lambda:GetAlias', 'lambda:UpdateAlias']"] == {"Fn::GetAtt": [function, "Arn"]}
    [alarm] = plain.all("AWS::CloudWatch::Alarm").values()
    _, of_alarms = named["cloudwatch:DescribeAlarms"]["Fn::Join"]
    _, of_name = alarm["AlarmName"]["Fn::Join"]
    assert of_alarms[-2] == {"Ref": "AWS::StackName"} == of_name[0]
    assert of_name[1].startswith(of_alarms[-1].removesuffix("*"))
    assert not [value for value in walk(plain.template) if value == "ManagedPolicyArns"]


def test_policies_for_a_release_exist_before_the_alias_changes(plain: Resources, full: Resources) -> None:
    for resources, count in ((plain, 1), (full, 3)):
        before = resource_of(resources, "AWS::Lambda::Alias")["DependsOn"]
        policies = [one for one in before if one in resources.all("AWS::IAM::Policy")]
        assert len(policies) == count


@stack_with
def full(stack: Stack) -> None:
    own = cloudwatch.Alarm(
        stack,
        "Own",
        metric=cloudwatch.Metric(namespace="Shop", metric_name="Refunds"),
        threshold=1,
        evaluation_periods=1,
    )
    rule = cloudwatch.AlarmRule.from_alarm(own, cloudwatch.AlarmState.ALARM)
    composite = cloudwatch.CompositeAlarm(stack, "Composite", alarm_rule=rule)
    canary = CanaryAlias(
        stack,
        "Live",
        function=worker(stack, asynchronous=AsyncOptions()),
        alias_name="stable",
        deployment_config=codedeploy.TrafficRouting.time_based_linear(
            interval=Duration.minutes(10), percentage=20
        ),
        alarms=ReleaseAlarms(
            errors=5,
            throttles=None,
            p99_duration=Duration.millis(800),
            period=Duration.minutes(2),
            evaluation_periods=3,
            others=[composite],
        ),
        pre_hook=SmokeTest(
            cases=[CASE, SmokeCase(name="slow", payload=[], timeout=Duration.seconds(90))],
            options=FunctionOptions(memory_size=256),
        ),
        post_hook=TrafficCheck(error_percentage=0.5, versions_kept=4),
        provisioned_concurrent_executions=2,
    )
    assert canary.pre_hook is not None
    assert len(canary.alarms) == 3


def test_traffic_routing_becomes_a_deployment_configuration(full: Resources) -> None:
    [config] = full.all("AWS::CodeDeploy::DeploymentConfig")
    assert full.only("AWS::CodeDeploy::DeploymentConfig")["TrafficRoutingConfig"] == {
        "Type": "TimeBasedLinear",
        "TimeBasedLinear": {"LinearInterval": 10, "LinearPercentage": 20},
    }
    assert full.only("AWS::CodeDeploy::DeploymentGroup")["DeploymentConfigName"] == {"Ref": config}


def test_alarms_are_as_asked_for(full: Resources) -> None:
    group = full.only("AWS::CodeDeploy::DeploymentGroup")
    assert len(group["AlarmConfiguration"]["Alarms"]) == 3
    errors = full.only("AWS::CloudWatch::Alarm", MetricName="Errors")
    assert (errors["Threshold"], errors["Period"], errors["EvaluationPeriods"]) == (5, 120, 3)
    latency = full.only("AWS::CloudWatch::Alarm", MetricName="Duration")
    assert (latency["ExtendedStatistic"], latency["Threshold"]) == ("p99", 800)


def test_a_composite_alarm_takes_the_permission_to_describe_all_alarms(full: Resources) -> None:
    [statement] = [
        one for one in full.statements("LiveDeploymentRole") if one["Action"] == "cloudwatch:DescribeAlarms"
    ]
    assert statement["Resource"] == "*"


def test_the_alias_has_provisioned_concurrency(full: Resources) -> None:
    alias = full.only("AWS::Lambda::Alias")
    assert alias["ProvisionedConcurrencyConfig"] == {"ProvisionedConcurrentExecutions": 2}


def test_the_alias_has_the_functions_failure_destination(full: Resources) -> None:
    function, alias = full.all("AWS::Lambda::EventInvokeConfig").values()
    assert (function["Qualifier"], alias["Qualifier"]) == ("$LATEST", "stable")
    assert alias["DestinationConfig"] == function["DestinationConfig"]


def hook(resources: Resources, name: str) -> dict[str, Any]:
    """The properties of a built-in hook."""
    return resources.only("AWS::Lambda::Function", Handler=f"canary_alias.handler.{name}")


def test_the_smoke_test_has_its_cases_and_time_for_them(full: Resources) -> None:
    properties = hook(full, "pre_traffic")
    assert json.loads(properties["Environment"]["Variables"]["SMOKE_CASES"]) == [
        {"name": "one", "payload": {"article": 1}, "expected": {"cents": 199}, "timeout": 10},
        {"name": "slow", "payload": [], "expected": None, "timeout": 90},
    ]
    assert (properties["Timeout"], properties["MemorySize"]) == (160, 256)


def test_a_hook_has_only_the_permissions_that_it_needs(full: Resources) -> None:
    invoking = {"lambda:InvokeFunction"}
    assert full.actions("LivePreTraffic") == REPORTING | LOGGING | invoking
    pruning = {"lambda:ListAliases", "lambda:ListVersionsByFunction", "lambda:DeleteFunction"}
    looking = {"lambda:GetAlias", "cloudwatch:GetMetricData"}
    assert full.actions("LivePostTraffic") == REPORTING | LOGGING | looking | pruning
    for role in ("LivePreTraffic", "LivePostTraffic"):
        [reporting] = [one for one in full.statements(role) if set(one["Action"]) == REPORTING]
        assert "deploymentgroup" in str(reporting["Resource"])
        assert "*" not in str(reporting["Resource"])


def test_a_hook_can_delete_versions_and_not_the_function(full: Resources) -> None:
    [statement] = [
        one for one in full.statements("LivePostTraffic") if one["Action"] == "lambda:DeleteFunction"
    ]
    assert statement["Resource"]["Fn::Join"][1][-1] == ":*"


def test_codedeploy_invokes_the_hooks(full: Resources) -> None:
    policy = resource_of(full, "AWS::Lambda::Alias")["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
    names = [policy["BeforeAllowTrafficHook"]["Ref"], policy["AfterAllowTrafficHook"]["Ref"]]
    [invoked] = [
        one["Resource"]
        for one in full.statements("LiveDeploymentRole")
        if one["Action"] == "lambda:InvokeFunction"
    ]
    assert sorted(one["Fn::GetAtt"][0] for one in invoked) == sorted(names)
    assert full.all("AWS::Lambda::Function")[names[0]]["Handler"] == "canary_alias.handler.pre_traffic"


@stack_with
def others(stack: Stack) -> None:
    ask = worker(stack, "Ask")
    imported = lambda_.Version.from_version_arn(stack, "Imported", VERSION_ARN)
    CanaryAlias(
        stack,
        "First",
        function=imported,
        deployment_config=codedeploy.LambdaDeploymentConfig.ALL_AT_ONCE,
        alarms=ReleaseAlarms(errors=None, throttles=None),
        pre_hook=ask,
        post_hook=TrafficCheck(),
    )
    CanaryAlias(stack, "Second", function=worker(stack), pre_hook=ask, post_hook=worker(stack, "Look"))


def test_a_version_published_elsewhere_is_released(others: Resources) -> None:
    alias = others.only("AWS::Lambda::Alias", FunctionVersion="7")
    assert alias["FunctionName"] == "orders"


def test_without_alarms_there_is_no_permission_to_describe_any(others: Resources) -> None:
    assert others.actions("FirstDeploymentRole") == SHIFTING | {"lambda:InvokeFunction"}
    [group] = [
        one
        for one in others.all("AWS::CodeDeploy::DeploymentGroup").values()
        if one["DeploymentConfigName"] == "CodeDeployDefault.LambdaAllAtOnce"
    ]
    assert group["AutoRollbackConfiguration"]["Events"] == [
        "DEPLOYMENT_FAILURE",
        "DEPLOYMENT_STOP_ON_REQUEST",
    ]


def test_a_hook_of_ones_own_may_report(others: Resources) -> None:
    assert others.actions("AskServiceRole") == LOGGING | REPORTING
    assert "lambda:DeleteFunction" not in others.actions("FirstPostTraffic")


def test_a_hook_from_another_stack_may_report_by_a_policy_of_this_stack(tmp_path: Path) -> None:
    app = App(outdir=str(tmp_path), builtin_cloud_formation_validation=False)
    stack, other = Stack(app, "Mine"), Stack(app, "Theirs")
    CanaryAlias(stack, "Live", function=worker(stack), pre_hook=worker(other, "Hook"))
    app.synth()
    mine = read_templates(tmp_path)["Mine"]
    [(name, policy)] = [
        (name, one)
        for name, one in mine.all("AWS::IAM::Policy").items()
        if "codedeploy:GetDeployment" in one["PolicyDocument"]["Statement"][0]["Action"]
    ]
    assert "Fn::ImportValue" in policy["Roles"][0]
    assert name in resource_of(mine, "AWS::Lambda::Alias")["DependsOn"]


def in_its_environment(canary: CanaryAlias, hook: lambda_.Function) -> None:
    hook.add_environment("ALIAS", canary.alias.function_arn)


def in_its_policy(canary: CanaryAlias, hook: lambda_.Function) -> None:
    canary.alias.grant_invoke(hook)


def by_its_name(canary: CanaryAlias, hook: lambda_.Function) -> None:
    hook.add_environment("ALIAS", canary.alias.function_name)


def test_the_unknown_role_of_an_imported_hook_is_a_warning() -> None:
    stack = Stack(App(builtin_cloud_formation_validation=False), "S")
    arn = "arn:aws:lambda:eu-west-1:123456789012:function:theirs"
    hook = lambda_.Function.from_function_attributes(stack, "Hook", function_arn=arn, skip_permissions=True)
    CanaryAlias(stack, "Live", function=worker(stack), pre_hook=hook)
    message = Match.string_like_regexp(
        "S/Hook is imported without its role.*PutLifecycleEventHookExecutionStatus"
    )
    Annotations.from_stack(stack).has_warning("*", message)


@pytest.mark.parametrize("refer", [in_its_environment, in_its_policy, by_its_name])
@pytest.mark.parametrize("place", ["pre_hook", "post_hook"])
def test_a_hook_that_refers_to_the_alias_is_rejected(
    refer: Callable[[CanaryAlias, lambda_.Function], None], place: str
) -> None:
    app = App(builtin_cloud_formation_validation=False)
    stack = Stack(app, "S")
    hook = worker(stack, "Hook")
    refer(CanaryAlias(stack, "Live", function=worker(stack), **{place: hook}), hook)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="S/Hook: this hook refers to the alias 'live', which CloudForm"):
        app.synth()


def test_a_hook_may_name_the_alias_without_a_reference() -> None:
    app = App(builtin_cloud_formation_validation=False)
    stack = Stack(app, "S")
    function, hook = worker(stack), worker(stack, "Hook")
    canary = CanaryAlias(stack, "Live", function=function, pre_hook=hook)
    hook.add_environment("ALIAS", f"{function.function_name}:{canary.alias.alias_name}")
    app.synth()


def test_it_works_in_a_stage() -> None:
    stage = Stage(App(builtin_cloud_formation_validation=False), "Stage")
    stack = Stack(stage, "S")
    CanaryAlias(stack, "Live", function=worker(stack), pre_hook=worker(stack, "Hook"))
    stage.synth()


@stack_with
def given_version(stack: Stack) -> None:
    CanaryAlias(stack, "Live", function=worker(stack).current_version)


def test_a_given_version_is_retained_too(given_version: Resources) -> None:
    assert resource_of(given_version, "AWS::Lambda::Version")["DeletionPolicy"] == "RetainExceptOnCreate"


@pytest.mark.parametrize(
    ("config", "minutes"),
    [
        (codedeploy.LambdaDeploymentConfig.CANARY_10_PERCENT_15_MINUTES, 15),
        (codedeploy.LambdaDeploymentConfig.LINEAR_10_PERCENT_EVERY_1_MINUTE, 9),
        (codedeploy.LambdaDeploymentConfig.LINEAR_10_PERCENT_EVERY_10_MINUTES, 90),
        (codedeploy.LambdaDeploymentConfig.ALL_AT_ONCE, None),
        (codedeploy.TrafficRouting.all_at_once(), None),
        (codedeploy.TrafficRouting.time_based_linear(interval=Duration.minutes(7), percentage=30), 21),
        (codedeploy.TrafficRouting.time_based_canary(interval=Duration.hours(1), percentage=5), 60),
    ],
)
def test_how_long_a_deployment_configuration_takes(config: Any, minutes: int | None) -> None:
    duration = duration_of(config)
    assert (duration and duration.to_minutes()) == minutes


def canary(**options: Any) -> Callable[[Stack], object]:
    """Make a CanaryAlias with these options."""
    return lambda stack: CanaryAlias(stack, "Live", **{"function": worker(stack), **options})


def routing(percentage: float, interval: Duration) -> codedeploy.TrafficRouting:
    return codedeploy.TrafficRouting.time_based_linear(interval=interval, percentage=percentage)


REJECTED: dict[str, tuple[Callable[[Stack], object], str]] = {
    "an alias of an alias": (
        lambda stack: CanaryAlias(stack, "Live", function=worker(stack).add_alias("beta")),  # type: ignore[arg-type]
        "an alias cannot point at an alias; give the function itself",
    ),
    "an imported alias": (
        lambda stack: CanaryAlias(
            stack,
            "Live",
            function=lambda_.Alias.from_alias_attributes(
                stack,
                "Imported",
                alias_name="beta",
                alias_version=lambda_.Version.from_version_arn(stack, "Version", VERSION_ARN),
            ),
        ),
        "an alias cannot point at an alias; give the function itself",
    ),
    "an imported function": (
        lambda stack: CanaryAlias(
            stack,
            "Live",
            function=lambda_.Function.from_function_name(stack, "Imported", "orders"),
        ),
        "the function is imported, so this app does not know when it changes",
    ),
    "what is not published": (
        lambda stack: CanaryAlias(stack, "Live", function=worker(stack).latest_version),
        "$LATEST is not a published version",
    ),
    "a function from another stack": (
        lambda stack: CanaryAlias(stack, "Live", function=worker(Stack(stack.node.root, "Other"))),  # type: ignore[arg-type]
        "make the alias in the stack of the function",
    ),
    "a version from another stack": (
        lambda stack: CanaryAlias(
            stack,
            "Live",
            function=worker(Stack(stack.node.root, "Other")).current_version,  # type: ignore[arg-type]
        ),
        "make the alias in the stack of the function",
    ),
    "an alias that another construct makes": (
        lambda stack: (
            CanaryAlias(stack, "One", function=(function := worker(stack))),
            CanaryAlias(stack, "Two", function=function),
        ),
        "the alias 'live' of S/Worker: the name of an alias is unique for its function, and S/One has it",
    ),
    "an alias that an environment is": (
        lambda stack: (
            Environments(stack, "One", function=(function := worker(stack)), aliases={"a": 1, "live": 1}),
            CanaryAlias(stack, "Two", function=function),
        ),
        "the alias 'live' of S/Worker: the name of an alias is unique for its function, and S/One has it",
    ),
    "an alias of an imported function that another construct makes": (
        lambda stack: [
            CanaryAlias(
                stack, name, function=lambda_.Version.from_version_arn(stack, f"Version{name}", VERSION_ARN)
            )
            for name in ("One", "Two")
        ],
        "the name of an alias is unique for its function, and S/One has it already",
    ),
    "more provisioned than reserved concurrency": (
        lambda stack: CanaryAlias(
            stack,
            "Live",
            function=worker(stack, options=FunctionOptions(reserved_concurrent_executions=5)),
            provisioned_concurrent_executions=10,
        ),
        "provisioned_concurrent_executions=10 and reserved_concurrent_executions=5: Lambda",
    ),
    "provisioned concurrency with SnapStart": (
        lambda stack: CanaryAlias(
            stack,
            "Live",
            function=worker(
                stack, options=FunctionOptions(snap_start=lambda_.SnapStartConf.ON_PUBLISHED_VERSIONS)
            ),
            provisioned_concurrent_executions=1,
        ),
        "provisioned_concurrent_executions=1 with SnapStart: Lambda does not support both",
    ),
    "provisioned concurrency of the version as well": (
        lambda stack: CanaryAlias(
            stack,
            "Live",
            function=lambda_.Version(stack, "V", lambda_=worker(stack), provisioned_concurrent_executions=1),
            provisioned_concurrent_executions=1,
        ),
        "S/V: the version has provisioned_concurrent_executions of its own",
    ),
    "more than a day of short periods": (
        lambda _: ReleaseAlarms(evaluation_periods=1441),
        "period=1 minutes and evaluation_periods=1,441: CloudWatch allows 1,440 minutes",
    ),
    "more than a week of long periods": (
        lambda _: ReleaseAlarms(period=Duration.hours(1), evaluation_periods=169),
        "period=60 minutes and evaluation_periods=169: CloudWatch allows 10,080 minutes",
    ),
    "a name of digits": (canary(alias_name="7"), "alias_name='7': Lambda allows"),
    "0 percent": (
        canary(deployment_config=routing(0, Duration.minutes(1))),
        "percentage=0: CodeDeploy allows 1 to 99",
    ),
    "100 percent": (
        canary(deployment_config=routing(100, Duration.minutes(1))),
        "percentage=100: CodeDeploy allows",
    ),
    "a fraction of a percent": (
        canary(deployment_config=routing(12.5, Duration.minutes(1))),
        "percentage=12.5: CodeDeploy allows 1 to 99 %, whole numbers only",
    ),
    "a fraction of a percent in a canary": (
        canary(
            deployment_config=codedeploy.TrafficRouting.time_based_canary(
                interval=Duration.minutes(5), percentage=0.5
            )
        ),
        "percentage=0.5: CodeDeploy allows 1 to 99 %, whole numbers only",
    ),
    "half an error": (lambda _: ReleaseAlarms(errors=1.5), "errors=1.5: a whole number is needed"),  # type: ignore[arg-type]
    "half a period": (
        lambda _: ReleaseAlarms(evaluation_periods=1.5),  # type: ignore[arg-type]
        "evaluation_periods=1.5: a whole number is needed",
    ),
    "half a minute": (
        canary(deployment_config=routing(10, Duration.seconds(90))),
        "interval=1.5: CodeDeploy allows 1 to 2,880 minutes, whole numbers only",
    ),
    "more than two days": (
        canary(deployment_config=routing(1, Duration.minutes(30))),
        "interval times the number of further shifts=2,970: CodeDeploy allows 1 to 2,880 minutes",
    ),
    "one step of more than two days": (
        canary(deployment_config=routing(50, Duration.hours(49))),
        "interval=2,940: CodeDeploy allows 1 to 2,880 minutes",
    ),
    "an alarm that would trip too late": (
        canary(alarms=ReleaseAlarms(evaluation_periods=5)),
        "alarms need 5 minutes to trip, but the deployment_config shifts all traffic within 5 minutes",
    ),
    "an alarm that is always on": (lambda _: ReleaseAlarms(errors=0), "errors=0: an alarm allows 1 to"),
    "too many alarms": (
        lambda stack: ReleaseAlarms(
            others=[cloudwatch.Alarm.from_alarm_name(stack, str(n), str(n)) for n in range(50)]
        ),
        "number of alarms=51: CodeDeploy allows 0 to 50",
    ),
    "the same alarm twice": (
        lambda stack: ReleaseAlarms(
            others=[cloudwatch.Alarm.from_alarm_name(stack, str(n), "busy") for n in range(2)]
        ),
        "others=S/0, S/1: CodeDeploy takes each alarm once",
    ),
    "a period in seconds": (
        lambda _: ReleaseAlarms(period=Duration.seconds(90)),
        "period=1.5: CloudWatch allows 1 to 1,440 minutes, whole numbers only",
    ),
    "no case": (lambda _: SmokeTest(cases=[]), "a smoke test without cases passes any version"),
    "two cases with one name": (lambda _: SmokeTest(cases=[CASE, CASE]), "duplicate name"),
    "cases that take too long": (
        lambda _: SmokeTest(
            cases=[SmokeCase(name=str(n), payload=0, timeout=Duration.minutes(10)) for n in range(2)]
        ),
        "timeout of all cases together=1,200: the smoke test allows 1 to 840 seconds",
    ),
    "large cases": (
        canary(pre_hook=SmokeTest(cases=[SmokeCase(name="a", payload="x" * 4000)])),
        "give fewer or smaller ones",
    ),
    "more than 100 percent": (lambda _: TrafficCheck(error_percentage=101), "error_percentage=101"),
    "no version to roll back to": (
        lambda _: TrafficCheck(versions_kept=0),
        "versions_kept=0: the traffic check allows 1",
    ),
    "no provisioned concurrency": (
        canary(provisioned_concurrent_executions=0),
        "provisioned_concurrent_executions=0: Lambda allows 1 to",
    ),
    "a hook with too little time to report": (
        canary(post_hook=TrafficCheck(options=FunctionOptions(timeout=Duration.seconds(59)))),
        "timeout=59: the hook allows 60 to 900 seconds",
    ),
}


@pytest.mark.parametrize(("make", "message"), REJECTED.values(), ids=REJECTED)
def test_an_invalid_argument_is_rejected_with_the_reason(
    make: Callable[[Stack], object], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        make(Stack(App(builtin_cloud_formation_validation=False), "S"))


@pytest.mark.parametrize(
    ("options", "argument"),
    [(ReleaseAlarms, "errors"), (ReleaseAlarms, "evaluation_periods"), (TrafficCheck, "versions_kept")],
)
def test_true_is_no_number(options: Callable[..., object], argument: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{argument}="):
        options(**{argument: True})
