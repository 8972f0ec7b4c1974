"""A function behind a load balancer: what is made, and that it accepts what the user already has."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Duration, Environment, Fn, Stack, Stage
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk.assertions import Annotations, Match, Template
from constructs import Construct

from cdk_lambda_patterns.web.alb_function import AlbFunction, AlbHealthCheck, AlbOptions, AlbRule
from tasks.synthesis import app_context
from tests.templates import Resources, read_templates, stack_with

ELB = "AWS::ElasticLoadBalancingV2"
CERTIFICATE = "arn:aws:acm:eu-west-1:123456789012:certificate/0123"
BALANCER = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/shared/0123"
WEB_ACL = "arn:aws:wafv2:eu-west-1:123456789012:regional/webacl/a/b"
GLOBAL_ACL = "arn:aws:wafv2:us-east-1:123456789012:global/webacl/a/b"
LISTENER = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/shared/0123/4567"


def certificate(stack: Stack) -> acm.ICertificate:
    """An imported certificate."""
    return acm.Certificate.from_certificate_arn(stack, "Certificate", CERTIFICATE)


def their_function(stack: Construct, timeout: Duration | None = None) -> lambda_.Function:
    """A function of the user."""
    return lambda_.Function(
        stack,
        "Theirs",
        code=lambda_.Code.from_inline("def handler(event, context): pass"),
        handler="index.handler",
        runtime=lambda_.Runtime.PYTHON_3_13,
        timeout=timeout,
    )


def attributes(resources: Resources, type: str, name: str) -> dict[str, str]:
    """The attributes of the one load balancer or target group."""
    return {one["Key"]: one["Value"] for one in resources.only(f"{ELB}::{type}")[name]}


@stack_with
def plain(stack: Stack) -> None:
    AlbFunction(stack, "Notes", function=their_function(stack))


def test_everything_on_port_80_is_forwarded_to_the_function(plain: Resources) -> None:
    listener = plain.only(f"{ELB}::Listener")
    assert (listener["Port"], listener["Protocol"]) == (80, "HTTP")
    (action,) = listener["DefaultActions"]
    assert action["Type"] == "forward"
    group = plain.only(f"{ELB}::TargetGroup")
    (target,) = group["Targets"]
    assert target["Id"]["Fn::GetAtt"][0].startswith("Theirs")
    assert group["TargetType"] == "lambda"
    assert "HealthCheckEnabled" not in group


def test_multi_value_headers_are_enabled(plain: Resources) -> None:
    on = attributes(plain, "TargetGroup", "TargetGroupAttributes")
    assert on == {"lambda.multi_value_headers.enabled": "true"}


def test_headers_that_are_not_valid_http_are_dropped(plain: Resources) -> None:
    given = attributes(plain, "LoadBalancer", "LoadBalancerAttributes")
    assert given["routing.http.drop_invalid_header_fields.enabled"] == "true"
    assert given["deletion_protection.enabled"] == "false"


def test_clients_may_connect_to_port_80_and_outbound_traffic_is_denied(plain: Resources) -> None:
    group = plain.only("AWS::EC2::SecurityGroup")
    (ingress,) = group["SecurityGroupIngress"]
    assert (ingress["CidrIp"], ingress["FromPort"], ingress["ToPort"]) == ("0.0.0.0/0", 80, 80)
    assert [rule["CidrIp"] for rule in group["SecurityGroupEgress"]] == ["255.255.255.255/32"]


def test_a_new_vpc_has_two_public_subnets_and_costs_nothing(plain: Resources) -> None:
    assert len(plain.all("AWS::EC2::Subnet")) == 2
    assert not plain.all("AWS::EC2::NatGateway")
    assert not plain.all("AWS::EC2::EIP")
    assert not any(subnet["MapPublicIpOnLaunch"] for subnet in plain.all("AWS::EC2::Subnet").values())


def test_load_balancers_of_this_account_may_invoke_the_function_before_it_becomes_a_target(
    plain: Resources,
) -> None:
    permission = plain.only("AWS::Lambda::Permission")
    assert permission["Principal"] == "elasticloadbalancing.amazonaws.com"
    assert permission["SourceAccount"] == {"Ref": "AWS::AccountId"}
    (permission_id,) = plain.all("AWS::Lambda::Permission")
    (group_id,) = plain.all(f"{ELB}::TargetGroup")
    assert permission_id in plain.template["Resources"][group_id]["DependsOn"]


def test_load_balancer_and_target_group_have_no_physical_names(plain: Resources) -> None:
    assert "Name" not in plain.only(f"{ELB}::LoadBalancer")
    assert "Name" not in plain.only(f"{ELB}::TargetGroup")


@stack_with
def chosen(stack: Stack) -> None:
    AlbFunction(
        stack,
        "Notes",
        function=their_function(stack),
        certificate=certificate(stack),
        options=AlbOptions(
            multi_value_headers_enabled=False,
            deletion_protection=True,
            health_check=AlbHealthCheck(path="/up", interval=Duration.minutes(1)),
            allow_from=[ec2.Peer.ipv4("203.0.113.0/24"), ec2.Peer.prefix_list("pl-0123")],
            web_acl_arn=WEB_ACL,
        ),
    )


def test_with_a_certificate_http_is_redirected_to_https_with_modern_tls(chosen: Resources) -> None:
    https = chosen.only(f"{ELB}::Listener", Port=443)
    assert https["Protocol"] == "HTTPS"
    assert https["Certificates"] == [{"CertificateArn": CERTIFICATE}]
    assert https["SslPolicy"] == "ELBSecurityPolicy-TLS13-1-2-2021-06"
    assert https["DefaultActions"][0]["Type"] == "forward"
    (redirect,) = chosen.only(f"{ELB}::Listener", Port=80)["DefaultActions"]
    expected = {"Port": "443", "Protocol": "HTTPS", "StatusCode": "HTTP_301"}
    assert redirect == {"Type": "redirect", "RedirectConfig": expected}


def test_only_the_clients_in_allow_from_may_connect(chosen: Resources) -> None:
    rules = chosen.only("AWS::EC2::SecurityGroup")["SecurityGroupIngress"]
    inside = {(rule.get("CidrIp") or rule.get("SourcePrefixListId"), rule["FromPort"]) for rule in rules}
    separate = {
        (rule["SourcePrefixListId"], rule["FromPort"])
        for rule in chosen.all("AWS::EC2::SecurityGroupIngress").values()
    }
    assert inside | separate == {
        ("203.0.113.0/24", 80),
        ("203.0.113.0/24", 443),
        ("pl-0123", 80),
        ("pl-0123", 443),
    }


def test_options_reach_the_target_group(chosen: Resources) -> None:
    group = chosen.only(f"{ELB}::TargetGroup")
    assert "TargetGroupAttributes" not in group  # multi-value headers are off unless they are switched on
    assert group["HealthCheckEnabled"] is True
    assert group["HealthCheckPath"] == "/up"
    assert (group["HealthCheckIntervalSeconds"], group["HealthCheckTimeoutSeconds"]) == (60, 30)
    assert (group["HealthyThresholdCount"], group["UnhealthyThresholdCount"]) == (5, 2)


def test_options_reach_the_load_balancer(chosen: Resources) -> None:
    given = attributes(chosen, "LoadBalancer", "LoadBalancerAttributes")
    assert given["deletion_protection.enabled"] == "true"
    association = chosen.only("AWS::WAFv2::WebACLAssociation")
    (balancer_id,) = chosen.all(f"{ELB}::LoadBalancer")
    assert association["ResourceArn"] == {"Ref": balancer_id}
    assert association["WebACLArn"].endswith("webacl/a/b")


@stack_with
def internal(stack: Stack) -> None:
    vpc = ec2.Vpc(stack, "Network", max_azs=2, nat_gateways=0)
    AlbFunction(
        stack, "Notes", function=their_function(stack), vpc=vpc, options=AlbOptions(internet_facing=False)
    )


def test_clients_in_the_vpc_may_connect_to_an_internal_load_balancer(internal: Resources) -> None:
    assert internal.only(f"{ELB}::LoadBalancer")["Scheme"] == "internal"
    (vpc_id,) = internal.all("AWS::EC2::VPC")  # only the user's
    (ingress,) = internal.only("AWS::EC2::SecurityGroup")["SecurityGroupIngress"]
    assert ingress["CidrIp"] == {"Fn::GetAtt": [vpc_id, "CidrBlock"]}


@stack_with
def internal_without_vpc(stack: Stack) -> None:
    AlbFunction(stack, "Notes", function=their_function(stack), options=AlbOptions(internet_facing=False))


def test_an_internal_load_balancer_without_a_vpc_gets_isolated_subnets(
    internal_without_vpc: Resources,
) -> None:
    assert not internal_without_vpc.all("AWS::EC2::InternetGateway")
    assert len(internal_without_vpc.only(f"{ELB}::LoadBalancer")["Subnets"]) == 2


@stack_with
def alias_target(stack: Stack) -> None:
    function = their_function(stack)
    alias = lambda_.Alias(stack, "Live", alias_name="live", version=function.current_version)
    AlbFunction(stack, "Front", function=alias)


def test_an_alias_may_be_the_target(alias_target: Resources) -> None:
    (alias_id,) = alias_target.all("AWS::Lambda::Alias")
    (target,) = alias_target.only(f"{ELB}::TargetGroup")["Targets"]
    assert target["Id"] == {"Ref": alias_id}
    assert alias_target.only("AWS::Lambda::Permission")["FunctionName"] == {"Ref": alias_id}


@stack_with
def rules(stack: Stack) -> None:
    group = ec2.SecurityGroup.from_security_group_id(stack, "Group", "sg-0123")
    shared = elbv2.ApplicationListener.from_application_listener_attributes(
        stack, "Shared", listener_arn=LISTENER, security_group=group
    )
    rule = AlbRule(
        listener=shared,
        priority=7,
        paths=("/notes*",),
        hosts=("notes.example.com",),
        methods=("GET",),
        source_ips=("10.0.0.0/8",),
        headers={"x-version": ("2",)},
    )
    AlbFunction(stack, "Front", function=their_function(stack), rule=rule)


def test_a_rule_is_added_to_an_existing_listener_and_no_load_balancer_is_made(rules: Resources) -> None:
    for kind in (f"{ELB}::LoadBalancer", f"{ELB}::Listener", "AWS::EC2::VPC", "AWS::EC2::SecurityGroup"):
        assert not rules.all(kind)
    rule = rules.only(f"{ELB}::ListenerRule")
    assert (rule["ListenerArn"], rule["Priority"]) == (LISTENER, 7)
    assert {condition["Field"] for condition in rule["Conditions"]} == {
        "host-header",
        "http-header",
        "http-request-method",
        "path-pattern",
        "source-ip",
    }
    (group_id,) = rules.all(f"{ELB}::TargetGroup")
    assert rule["Actions"] == [{"TargetGroupArn": {"Ref": group_id}, "Type": "forward"}]


@stack_with
def dual_stack(stack: Stack) -> None:
    options = AlbOptions(
        ip_address_type=elbv2.IpAddressType.DUAL_STACK,
        health_check=AlbHealthCheck(healthy_http_codes="200,204-299"),
    )
    function = their_function(stack, Duration.seconds(60))
    front = AlbFunction(stack, "Front", function=function, options=options)
    rule = AlbRule(
        listener=front.listener,
        priority=1,
        query_strings=[
            elbv2.QueryStringCondition(key="version", value="2"),
            elbv2.QueryStringCondition(value="beta"),
        ],
    )
    AlbFunction(stack, "Beta", function=function, rule=rule)


def test_ipv6_clients_may_connect_to_a_dual_stack_load_balancer(dual_stack: Resources) -> None:
    assert dual_stack.only(f"{ELB}::LoadBalancer")["IpAddressType"] == "dualstack"
    rules = dual_stack.only("AWS::EC2::SecurityGroup")["SecurityGroupIngress"]
    assert {rule.get("CidrIp") or rule["CidrIpv6"] for rule in rules} == {"0.0.0.0/0", "::/0"}
    assert dual_stack.only("AWS::EC2::VPCCidrBlock")["AmazonProvidedIpv6CidrBlock"]
    assert all(subnet["Ipv6CidrBlock"] for subnet in dual_stack.all("AWS::EC2::Subnet").values())


def test_the_load_balancer_waits_longer_than_the_function_may_run(
    dual_stack: Resources, plain: Resources
) -> None:
    given = attributes(dual_stack, "LoadBalancer", "LoadBalancerAttributes")
    assert given["idle_timeout.timeout_seconds"] == "65"
    default = attributes(plain, "LoadBalancer", "LoadBalancerAttributes")
    assert "idle_timeout.timeout_seconds" not in default


def test_a_health_check_may_expect_other_statuses(dual_stack: Resources) -> None:
    (group,) = (
        one for one in dual_stack.all(f"{ELB}::TargetGroup").values() if one.get("HealthCheckEnabled")
    )
    assert group["Matcher"] == {"HttpCode": "200,204-299"}


def test_a_rule_may_ask_for_query_strings(dual_stack: Resources) -> None:
    (condition,) = dual_stack.only(f"{ELB}::ListenerRule")["Conditions"]
    assert condition["QueryStringConfig"]["Values"] == [{"Key": "version", "Value": "2"}, {"Value": "beta"}]


@stack_with
def in_their_subnets(stack: Stack) -> None:
    vpc = ec2.Vpc(stack, "Network", max_azs=2, nat_gateways=0)
    function = their_function(stack, Duration.minutes(5))
    alias = lambda_.Alias(stack, "Live", alias_name="live", version=function.current_version)
    options = AlbOptions(
        internet_facing=False,
        vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PUBLIC),
        idle_timeout=Duration.seconds(400),
    )
    AlbFunction(stack, "Front", function=alias, vpc=vpc, options=options)


def test_subnets_and_idle_timeout_may_be_chosen(in_their_subnets: Resources) -> None:
    subnets = in_their_subnets.only(f"{ELB}::LoadBalancer")["Subnets"]
    assert all("Public" in subnet["Ref"] for subnet in subnets)
    given = attributes(in_their_subnets, "LoadBalancer", "LoadBalancerAttributes")
    assert given["idle_timeout.timeout_seconds"] == "400"


@pytest.mark.parametrize(("seconds", "warnings"), [(59, 0), (60, 1)])
def test_a_function_that_outlasts_an_existing_load_balancer_is_warned_of(seconds: int, warnings: int) -> None:
    stack = stack_in(None)
    function = their_function(stack, Duration.seconds(seconds))
    version = lambda_.Version(stack, "Version", lambda_=function)
    AlbFunction(stack, "Front", function=version, rule=_rule(stack))
    text = Match.string_like_regexp("The function may run for 60 seconds")
    assert len(Annotations.from_stack(stack).find_warning("*", text)) == warnings


@stack_with
def imported(stack: Stack) -> None:
    balancer = elbv2.ApplicationLoadBalancer.from_application_load_balancer_attributes(
        stack,
        "Shared",
        load_balancer_arn=BALANCER,
        security_group_id="sg-0123",
        load_balancer_dns_name="shared-0123.eu-west-1.elb.amazonaws.com",
        vpc=ec2.Vpc.from_vpc_attributes(stack, "Vpc", vpc_id="vpc-0", availability_zones=["a"]),
    )
    service = AlbFunction(
        stack,
        "Notes",
        function=lambda_.Function.from_function_name(stack, "Theirs", "theirs"),
        load_balancer=balancer,
        options=AlbOptions(allow_from=[ec2.Peer.ipv4("10.0.0.0/8")]),
    )
    assert service.url == "http://shared-0123.eu-west-1.elb.amazonaws.com"


def test_an_imported_load_balancer_gets_a_listener(imported: Resources) -> None:
    for kind in (f"{ELB}::LoadBalancer", "AWS::EC2::VPC"):
        assert not imported.all(kind)
    assert imported.only(f"{ELB}::Listener")["LoadBalancerArn"].endswith("app/shared/0123")
    rule = imported.only("AWS::EC2::SecurityGroupIngress")
    assert (rule["GroupId"], rule["CidrIp"], rule["FromPort"]) == ("sg-0123", "10.0.0.0/8", 80)


def test_an_imported_function_of_the_account_is_the_target_and_gets_the_permission(
    imported: Resources,
) -> None:
    (target,) = imported.only(f"{ELB}::TargetGroup")["Targets"]
    assert target["Id"]["Fn::Join"][1][-1] == ":function:theirs"
    assert imported.only("AWS::Lambda::Permission")["FunctionName"] == target["Id"]


@stack_with
def twice(stack: Stack) -> None:
    vpc = ec2.Vpc(stack, "Network", max_azs=2, nat_gateways=0)
    function = their_function(stack)
    first = AlbFunction(stack, "One", vpc=vpc, function=function)
    AlbFunction(
        stack,
        "Two",
        function=function,
        rule=AlbRule(listener=first.listener, priority=1, paths=("/two",)),
    )


def test_one_function_may_be_behind_a_load_balancer_twice(twice: Resources) -> None:
    assert len(twice.all(f"{ELB}::TargetGroup")) == 2
    assert len(twice.all("AWS::Lambda::Permission")) == 2
    assert len(twice.all(f"{ELB}::LoadBalancer")) == 1


def test_listener_load_balancer_and_function_may_come_from_other_stacks_also_within_a_stage(
    tmp_path: Path,
) -> None:
    app = App(context=app_context(), outdir=str(tmp_path), builtin_cloud_formation_validation=False)
    stage = Stage(app, "Production")
    network, code = Stack(stage, "Network"), Stack(stage, "Code")
    shared = elbv2.ApplicationLoadBalancer(
        network, "Shared", vpc=ec2.Vpc(network, "Vpc", max_azs=2, nat_gateways=0)
    )
    listener = shared.add_listener(
        "Http", port=80, default_action=elbv2.ListenerAction.fixed_response(404), open=False
    )
    AlbFunction(
        Stack(stage, "Front"),
        "Front",
        function=their_function(code),
        rule=AlbRule(listener=listener, priority=1, paths=("/a*",)),
    )
    other_stack = Stack(stage, "Other")
    AlbFunction(other_stack, "Notes", function=their_function(other_stack), load_balancer=shared)
    app.synth()
    stacks = {name: stack for name, stack in read_templates(tmp_path).items() if "Production" in name}
    (front,) = (stack for name, stack in stacks.items() if "Front" in name)
    assert "Production-Network" in str(front.only(f"{ELB}::ListenerRule")["ListenerArn"])
    assert "Production-Code" in str(front.only("AWS::Lambda::Permission")["FunctionName"])
    (other,) = (stack for name, stack in stacks.items() if "Other" in name)
    assert "Production-Network" in str(other.only(f"{ELB}::Listener")["LoadBalancerArn"])


# --- Connections


@stack_with
def connected(stack: Stack) -> None:
    function = their_function(stack)
    vpc = ec2.Vpc(stack, "Network", max_azs=2, nat_gateways=0)
    front = AlbFunction(stack, "Front", function=function, vpc=vpc, options=AlbOptions(allow_from=[]))
    client = ec2.SecurityGroup(stack, "Client", vpc=vpc, allow_all_outbound=False)
    client.connections.allow_to_default_port(front)
    rule = AlbRule(listener=front.listener, priority=1, paths=("/two",))
    second = AlbFunction(stack, "Second", function=function, rule=rule)
    client.connections.allow_to(second, ec2.Port.tcp(8080))


def test_connections_are_those_of_the_load_balancer_also_of_one_behind_a_listener(
    connected: Resources,
) -> None:
    (balancer_group,) = connected.only(f"{ELB}::LoadBalancer")["SecurityGroups"]
    admitted = {
        (rule["GroupId"]["Fn::GetAtt"][0], rule["FromPort"])
        for rule in connected.all("AWS::EC2::SecurityGroupIngress").values()
    }
    assert admitted == {(balancer_group["Fn::GetAtt"][0], port) for port in (80, 8080)}


def test_with_a_rule_there_is_no_url() -> None:
    stack = stack_in(None)
    front = AlbFunction(stack, "Front", function=their_function(stack), rule=_rule(stack))
    assert front.load_balancer is None
    with pytest.raises(ValueError, match="the load balancer of the listener is not known"):
        _ = front.url


# --- Warnings and errors


def stack_in(region: str | None) -> Stack:
    """A stack with or without an explicit region."""
    app = App(context=app_context(), builtin_cloud_formation_validation=False)
    env = Environment(account="123456789012", region=region) if region else None
    return Stack(app, "Stack", env=env)


def warnings(stack: Stack) -> list[str]:
    """The warnings of a synthesis."""
    found: list[Any] = Annotations.from_stack(stack).find_warning("*", Match.any_value())
    return [str(one.entry.data) for one in found]


def test_without_a_certificate_there_is_a_warning_about_http() -> None:
    stack = stack_in(None)
    AlbFunction(stack, "Notes", function=their_function(stack))
    (warning,) = warnings(stack)
    assert "speaks HTTP only" in warning
    assert "cdk-lambda-patterns:alb-without-tls" in warning


def test_with_a_certificate_there_is_no_warning() -> None:
    stack = stack_in(None)
    AlbFunction(stack, "Notes", function=their_function(stack), certificate=certificate(stack))
    assert warnings(stack) == []


def test_access_logs_go_to_the_bucket_in_a_stack_with_a_region() -> None:
    stack = stack_in("eu-west-1")
    options = AlbOptions(access_logs_bucket=s3.Bucket(stack, "Logs"), access_logs_prefix="notes")
    AlbFunction(
        stack, "Notes", function=their_function(stack), certificate=certificate(stack), options=options
    )
    template = Resources(dict(Template.from_stack(stack).to_json()))
    given = attributes(template, "LoadBalancer", "LoadBalancerAttributes")
    assert given["access_logs.s3.enabled"] == "true"
    assert given["access_logs.s3.prefix"] == "notes"
    assert template.only("AWS::S3::BucketPolicy")
    assert warnings(stack) == []


def test_an_imported_bucket_for_access_logs_adds_a_warning() -> None:
    stack = stack_in("eu-west-1")
    bucket = s3.Bucket.from_bucket_name(stack, "Logs", "logs")
    options = AlbOptions(access_logs_bucket=bucket)
    AlbFunction(
        stack, "Notes", function=their_function(stack), certificate=certificate(stack), options=options
    )
    (warning,) = warnings(stack)
    assert "it must let Elastic Load Balancing write" in warning


def test_an_arn_of_the_unpublished_version_is_refused() -> None:
    stack = stack_in(None)
    latest = lambda_.Function.from_function_arn(
        stack, "Latest", "arn:aws:lambda:eu-west-1:123456789012:function:f:$LATEST"
    )
    with pytest.raises(ValueError, match="import the function without it"):
        AlbFunction(stack, "Notes", function=latest)


def test_access_logs_without_a_region_are_an_error_with_the_remedy() -> None:
    stack = stack_in(None)
    options = AlbOptions(access_logs_bucket=s3.Bucket(stack, "Logs"))
    with pytest.raises(ValueError, match=r"access logs need one; give the stack env=Environment\("):
        AlbFunction(stack, "Notes", function=their_function(stack), options=options)


def _listener(stack: Construct) -> elbv2.IApplicationListener:
    group = ec2.SecurityGroup.from_security_group_id(stack, "Group", "sg-0123")
    return elbv2.ApplicationListener.from_application_listener_attributes(
        stack, "Shared", listener_arn=LISTENER, security_group=group
    )


def _rule(stack: Construct, **conditions: Any) -> AlbRule:
    return AlbRule(listener=_listener(stack), priority=1, **(conditions or {"paths": ("/a",)}))


def _balancer(stack: Construct) -> elbv2.IApplicationLoadBalancer:
    return elbv2.ApplicationLoadBalancer.from_application_load_balancer_attributes(
        stack, "Balancer", load_balancer_arn=BALANCER, security_group_id="sg-0123"
    )


def _vpc(stack: Stack, *zones: str, region: str | None = None) -> ec2.IVpc:
    zones = zones or ("eu-west-1a", "eu-west-1b")
    subnets = [f"subnet-{number}" for number in range(len(zones))]
    return ec2.Vpc.from_vpc_attributes(
        stack,
        "Vpc",
        vpc_id="vpc-0",
        region=region,
        availability_zones=list(zones),
        public_subnet_ids=subnets,
        isolated_subnet_ids=[f"{subnet}i" for subnet in subnets],
    )


def _bucket_with_key(stack: Stack) -> s3.IBucket:
    return s3.Bucket(stack, "Logs", encryption_key=kms.Key(stack, "Key"))


def _front(stack: Stack, *, vpc: ec2.IVpc | None = None, **options: Any) -> AlbFunction:
    function = their_function(stack)
    return AlbFunction(stack, "A", function=function, vpc=vpc, options=AlbOptions(**options))


REFUSED: dict[str, Callable[[Stack], object]] = {
    "rule with vpc, certificate: the listener and its load balancer already": lambda stack: AlbFunction(
        stack,
        "A",
        function=their_function(stack),
        vpc=_vpc(stack),
        certificate=certificate(stack),
        rule=_rule(stack),
    ),
    "rule with load_balancer, internet_facing, allow_from: ": lambda stack: AlbFunction(
        stack,
        "A",
        function=their_function(stack),
        load_balancer=_balancer(stack),
        rule=_rule(stack),
        options=AlbOptions(internet_facing=False, allow_from=[]),
    ),
    "load_balancer with vpc, deletion_protection, web_acl_arn: it already exists": lambda stack: AlbFunction(
        stack,
        "A",
        function=their_function(stack),
        vpc=_vpc(stack),
        load_balancer=_balancer(stack),
        options=AlbOptions(deletion_protection=True, web_acl_arn=WEB_ACL),
    ),
    "vpc=Stack/Vpc: the load balancer would have only one subnet, and needs": lambda stack: _front(
        stack, vpc=_vpc(stack, "eu-west-1a")
    ),
    "vpc=Stack/Vpc: the load balancer would have two subnets in one Availability Zone": lambda stack: _front(
        stack, vpc=_vpc(stack, "eu-west-1a", "eu-west-1a", "eu-west-1b")
    ),
    "vpc=Stack/Vpc: the load balancer would have only one subnet": lambda stack: _front(
        stack, vpc=_vpc(stack), vpc_subnets=ec2.SubnetSelection(availability_zones=["eu-west-1b"])
    ),
    "vpc=Stack/New: the load balancer would have only one": lambda stack: _front(
        stack, vpc=ec2.Vpc(stack, "New", max_azs=1), internet_facing=False
    ),
    "web_acl_arn='arn': give the ARN of a web ACL of WAFv2": lambda _: AlbOptions(web_acl_arn="arn"),
    "web_acl_arn='a1b2c3d4-0123': give the ARN": lambda _: AlbOptions(web_acl_arn="a1b2c3d4-0123"),
    f"web_acl_arn='{GLOBAL_ACL}': a global web ACL protects CloudFront": lambda _: AlbOptions(
        web_acl_arn=GLOBAL_ACL
    ),
    "access_logs_prefix without access_logs_bucket": lambda _: AlbOptions(access_logs_prefix="a"),
    "access_logs_bucket is encrypted with a key of KMS": lambda stack: AlbOptions(
        access_logs_bucket=_bucket_with_key(stack)
    ),
    "access_logs_bucket is encrypted with a key of KMS: Elastic": lambda stack: AlbOptions(
        access_logs_bucket=s3.Bucket(stack, "Logs", encryption=s3.BucketEncryption.KMS_MANAGED)
    ),
    "access_logs_prefix='a/AWSLogs': Elastic Load Balancing adds": lambda stack: AlbOptions(
        access_logs_bucket=s3.Bucket(stack, "Logs"), access_logs_prefix="a/AWSLogs"
    ),
    "options.ip_address_type: the subnet Stack/V4/": lambda stack: _front(
        stack, vpc=ec2.Vpc(stack, "V4"), ip_address_type=elbv2.IpAddressType.DUAL_STACK
    ),
    "certificate=odd: give a certificate of ACM or IAM": lambda stack: AlbFunction(
        stack,
        "A",
        function=their_function(stack),
        certificate=acm.Certificate.from_certificate_arn(stack, "Certificate", "odd"),
    ),
    "interval=301: Elastic Load Balancing allows 5 to 300 seconds": lambda _: AlbHealthCheck(
        interval=Duration.seconds(301)
    ),
    "timeout=1: Elastic Load Balancing allows 2 to 120 seconds": lambda _: AlbHealthCheck(
        timeout=Duration.seconds(1)
    ),
    "timeout=10 with interval=10: a health check must time out before": lambda _: AlbHealthCheck(
        interval=Duration.seconds(10), timeout=Duration.seconds(10)
    ),
    "healthy_threshold_count=1: Elastic Load Balancing allows 2 to 10 checks": lambda _: AlbHealthCheck(
        healthy_threshold_count=1
    ),
    "unhealthy_threshold_count=11: Elastic": lambda _: AlbHealthCheck(unhealthy_threshold_count=11),
    "path='health': begin the path of a health check": lambda _: AlbHealthCheck(path="health"),
    "len(path)=0: Elastic Load Balancing allows 1 to 1,024": lambda _: AlbHealthCheck(path=""),
    "priority=0: Elastic Load Balancing allows 1 to 50,000": lambda stack: AlbRule(
        listener=_listener(stack), priority=0, paths=("/a",)
    ),
    "condition values=0: Elastic Load Balancing allows 1 to 5": lambda stack: AlbRule(
        listener=_listener(stack), priority=1
    ),
    "condition values=6: Elastic Load Balancing allows 1 to 5": lambda stack: _rule(
        stack, paths=("/a", "/b", "/c"), headers={"x": ("1", "2", "3")}
    ),
    "paths='notes': no path begins like that": lambda stack: _rule(stack, paths=("notes",)),
    "methods='get': give methods in capitals": lambda stack: _rule(stack, methods=("get",)),
    "paths='/a': give a sequence of strings, such as ('/a',)": lambda stack: _rule(stack, paths="/a"),
    "hosts='a.example': give a sequence": lambda stack: _rule(stack, hosts="a.example"),
    "methods='GET': give a sequence": lambda stack: _rule(stack, methods="GET"),
    "source_ips='10.0.0.0/8': give a sequence": lambda stack: _rule(stack, source_ips="10.0.0.0/8"),
    "headers['x-version']='2': give a sequence": lambda stack: _rule(stack, headers={"x-version": "2"}),
    "no vpc with vpc_subnets: the new one has subnets": lambda stack: AlbFunction(
        stack,
        "A",
        function=their_function(stack),
        options=AlbOptions(vpc_subnets=ec2.SubnetSelection(one_per_az=True)),
    ),
    "rule with ip_address_type, idle_timeout: the listener": lambda stack: AlbFunction(
        stack,
        "A",
        function=their_function(stack),
        rule=_rule(stack),
        options=AlbOptions(ip_address_type=elbv2.IpAddressType.DUAL_STACK, idle_timeout=Duration.seconds(60)),
    ),
    "idle_timeout=4,001: Elastic Load Balancing allows 1 to 4,000": lambda _: AlbOptions(
        idle_timeout=Duration.seconds(4001)
    ),
    "idle_timeout=60 with a function that may run for 61 seconds": lambda stack: AlbFunction(
        stack,
        "A",
        function=their_function(stack, Duration.seconds(61)),
        options=AlbOptions(idle_timeout=Duration.seconds(60)),
    ),
}

# What AWS has once, made by two constructs.
TWICE: dict[str, tuple[Callable[[Construct], dict[str, Any]], str]] = {
    "a priority of a listener": (lambda stack: {"rule": _rule(stack)}, "priority=1: each rule of "),
    "the listener of port 80": (
        lambda stack: {"load_balancer": _balancer(stack)},
        "load_balancer=Stack/Other/Balancer: one listener takes port 80",
    ),
}


@pytest.mark.parametrize(("front", "message"), TWICE.values(), ids=TWICE)
def test_what_another_construct_makes_already_is_an_error(
    front: Callable[[Construct], dict[str, Any]], message: str
) -> None:
    stack = stack_in("eu-west-1")
    AlbFunction(stack, "First", function=their_function(stack), **front(stack))
    again = front(Construct(stack, "Other"))  # the same, imported another time
    with pytest.raises(ValueError, match="^" + re.escape(message) + r".* Stack/First has it already; give"):
        AlbFunction(stack, "Second", function=their_function(Construct(stack, "Second code")), **again)


# Values of the rule of an existing listener that Elastic Load Balancing refuses.
# https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_RuleCondition.html
REFUSED_IN_RULES: list[tuple[dict[str, Any], str]] = [
    ({"paths": ("/a*b?", "/*/*"), "headers": {"x": ("**",)}}, "wildcards=6: Elastic Load Balancing allows"),
    ({"query_strings": [elbv2.QueryStringCondition(key="a*", value="*****")]}, "wildcards=6: "),
    ({"source_ips": ("10.0.0.1/8",)}, "give a network in CIDR notation, such as '10.0.0.0/8'"),
    ({"source_ips": ("203.0.113.5",)}, "give a network in CIDR notation, such as '203.0.113.5/32'"),
    ({"source_ips": ("2001:db8::5",)}, "such as '2001:db8::5/128'"),
    ({"source_ips": ("10.0.0.0/255.0.0.0",)}, "such as '10.0.0.0/8'"),
    ({"source_ips": ("10.0.0.0/33",)}, "such as '203.0.113.0/24'"),
    ({"source_ips": ("",)}, "source_ips='': give a network"),
    ({"source_ips": ("fe80::%eth0/64",)}, "give a network"),
    ({"source_ips": (" 10.0.0.0/8",)}, "give a network"),
    ({"paths": ("",)}, "length of paths=''=0: Elastic"),
    ({"paths": ("/" + "a" * 128,)}, "=129: Elastic Load Balancing allows 1 to 128 characters"),
    ({"paths": ("/a b",)}, "paths='/a b': give letters"),
    ({"paths": ("/café",)}, "paths='/café': give letters"),
    ({"paths": ("/a\nb",)}, "give letters"),
    ({"hosts": ("localhost",)}, "hosts='localhost': give a host name with a dot"),
    ({"hosts": ("*",)}, "hosts='*': give a host name"),
    ({"hosts": ("10.0.0.1",)}, "hosts='10.0.0.1': give a host name"),
    ({"hosts": ("https://a.example",)}, "give a host name"),
    ({"hosts": ("a.example:8080",)}, "give a host name"),
    ({"methods": ("GET,HEAD",)}, "methods='GET,HEAD': give methods in capitals"),
    ({"methods": ("*",)}, "methods='*': give methods in capitals"),
    ({"headers": {"": ("1",)}}, "headers['']: a header's name has 1 to 40 characters"),
    ({"headers": {"a" * 41: ("1",)}}, "a header's name has 1 to 40 characters"),
    ({"headers": {"x version": ("1",)}}, "headers['x version']: a header's name"),
    ({"headers": {"Host": ("a.example",)}}, "headers['Host']: Elastic Load Balancing has a condition of its"),
    ({"headers": {"x": ("1" * 129,)}}, "=129: Elastic Load Balancing allows 1 to 128 characters"),
    ({"query_strings": [elbv2.QueryStringCondition(value="1" * 129)]}, "=129: Elastic Load Balancing allows"),
    ({"query_strings": [elbv2.QueryStringCondition(key="", value="1")]}, "=0: Elastic Load Balancing allows"),
    (
        {"query_strings": [elbv2.QueryStringCondition(value="1")] * 5, "methods": ("GET",)},
        "condition values=6: Elastic Load Balancing allows 1 to 5",
    ),
]


@pytest.mark.parametrize(("conditions", "message"), REFUSED_IN_RULES)
def test_a_rule_that_elastic_load_balancing_refuses_is_an_error(
    conditions: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        _rule(stack_in(None), **conditions)


@pytest.mark.parametrize(
    "conditions",
    [
        {"source_ips": ("203.0.113.5/32", "2001:DB8::/32", "2001:0db8::/32", "0.0.0.0/0", "::/0")},
        {"paths": ("/", "*", "?a", "/a_-.$/~\"'@:+&*?", "/notes*")},
        {"headers": {"x": (r"\*\?\*\?\*\?", "*****")}},
        {"hosts": ("*.example.com", "a-b.c_d.example", "?.Example")},
        {"methods": ("M-SEARCH", "CUSTOM_METHOD")},
        {"headers": {"x-version": ("*2?", "é")}},
        {"headers": {"!#$%&'*+.^_`|~": ("1",)}, "query_strings": [elbv2.QueryStringCondition(value="*x*")]},
    ],
)
def test_what_elastic_load_balancing_allows_in_a_rule_passes(conditions: dict[str, Any]) -> None:
    assert _rule(stack_in(None), **conditions).conditions()


@pytest.mark.parametrize("priority", [1.5, True, 0, 50_001])
def test_the_priority_of_a_rule_is_a_whole_number(priority: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^priority="):
        AlbRule(listener=_listener(stack_in(None)), priority=priority, paths=("/a",))


@pytest.mark.parametrize("milliseconds", [59_999, 60_500])
def test_durations_are_whole_seconds(milliseconds: int) -> None:
    duration = Duration.millis(milliseconds)
    for make in (
        lambda: AlbOptions(idle_timeout=duration),
        lambda: AlbHealthCheck(interval=duration),
        lambda: AlbHealthCheck(interval=Duration.minutes(5), timeout=duration),
    ):
        with pytest.raises(ValueError, match="whole numbers only"):
            make()


@pytest.mark.parametrize("codes", ["", "199", "500", "200-", "200;204", "2xx", "200 - 299"])
def test_statuses_that_a_health_check_cannot_expect_are_errors(codes: str) -> None:
    with pytest.raises(ValueError, match="allows statuses from 200 to 499"):
        AlbHealthCheck(healthy_http_codes=codes)


@pytest.mark.parametrize("message", REFUSED)
def test_invalid_arguments_are_errors_at_once(message: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        REFUSED[message](stack_in("eu-west-1"))


def test_lists_known_only_at_deployment_pass() -> None:
    stack = stack_in(None)
    values = Fn.split(",", Fn.import_value("values"))
    rule = _rule(stack, paths=values, hosts=values, methods=values, source_ips=values)
    AlbFunction(stack, "Front", function=their_function(stack), rule=rule)
    made = Resources(dict(Template.from_stack(stack).to_json())).only(f"{ELB}::ListenerRule")
    assert len(made["Conditions"]) == 4
    assert made["Conditions"][0]["PathPatternConfig"]["Values"] == stack.resolve(values)


def test_values_known_only_at_deployment_pass() -> None:
    stack = stack_in(None)
    value = Fn.import_value("value")
    assert _rule(stack, paths=(value,), methods=(value,), source_ips=(value,)).conditions()


def test_subnets_whose_zones_are_unknown_here_pass() -> None:
    stack = stack_in(None)
    listed = Fn.split(",", Fn.import_value("subnets"))
    by_list = ec2.Vpc.from_vpc_attributes(
        stack, "List", vpc_id="vpc-0", availability_zones=Fn.get_azs(), public_subnet_ids=listed
    )
    imported = [ec2.Subnet.from_subnet_id(stack, name, f"subnet-{name}") for name in "ab"]
    chosen = AlbOptions(vpc_subnets=ec2.SubnetSelection(subnets=imported))
    for number, (vpc, options) in enumerate(
        ((by_list, None), (_vpc(stack), chosen), (ec2.Vpc(stack, "New"), None))
    ):
        scope = Construct(stack, str(number))
        AlbFunction(scope, "Front", function=their_function(scope), vpc=vpc, options=options)
    made = Resources(dict(Template.from_stack(stack).to_json())).all(f"{ELB}::LoadBalancer")
    assert stack.resolve(listed) in [one["Subnets"] for one in made.values()]
