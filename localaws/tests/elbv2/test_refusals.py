"""What Elastic Load Balancing refuses of load balancers, target groups, listeners and actions."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.lambda_functions import Functions
from helpers.load_balancers import ECHO, OUTPUTS, listener, resources
from helpers.stacks import DeploymentFailedError, deploy, ref
from localaws import LocalAws

pytestmark = pytest.mark.local

Request = dict[str, Any]
SUBNETS = ["subnet-00000001", "subnet-00000002"]
NETWORK = "vpc-00000001"
INVALID, CONFIGURATION, ACTION = "ValidationError", "InvalidConfigurationRequest", "InvalidLoadBalancerAction"


def name() -> str:
    return f"elb-{uuid.uuid4().hex[:8]}"


@dataclass(frozen=True)
class Resources:
    """What the calls below are about; `{balancer}` in a table is its ARN."""

    elb: Any
    balancer: str
    listener: str
    group: str
    function: str
    other: str
    vpc_subnet: str

    def fill(self, value: Any) -> Any:
        """The value with the ARNs in place of their names."""
        if isinstance(value, str):
            return vars(self).get(value[1:-1], value) if value.startswith("{") else value
        if isinstance(value, list):
            return [self.fill(one) for one in value]
        return {key: self.fill(one) for key, one in value.items()} if isinstance(value, dict) else value


@pytest.fixture(scope="module")
def made(local_aws: LocalAws, _empty_account: None) -> Resources:
    """A load balancer with a listener that forwards to a function."""
    elb, functions = local_aws.client("elbv2"), Functions(local_aws)
    balancer = elb.create_load_balancer(Name="taken", Subnets=SUBNETS)["LoadBalancers"][0]["LoadBalancerArn"]
    group = elb.create_target_group(Name="taken", TargetType="lambda")["TargetGroups"][0]["TargetGroupArn"]
    arns = []
    for function in (functions.make(ECHO), functions.make(ECHO)):
        local_aws.client("lambda").add_permission(
            FunctionName=function,
            StatementId="elb",
            Action="lambda:InvokeFunction",
            Principal="elasticloadbalancing.amazonaws.com",
        )
        arns.append(functions.arn("lambda", f"function:{function}"))
    elb.register_targets(TargetGroupArn=group, Targets=[{"Id": arns[0]}])
    forward = [{"Type": "forward", "TargetGroupArn": group}]
    of = {"LoadBalancerArn": balancer, "Port": 80, "Protocol": "HTTP", "DefaultActions": forward}
    arn = elb.create_listener(**of)["Listeners"][0]["ListenerArn"]
    zone = {"VpcId": NETWORK, "CidrBlock": "172.31.64.0/20", "AvailabilityZone": f"{local_aws.region}a"}
    subnet = local_aws.client("ec2").create_subnet(**zone)["Subnet"]["SubnetId"]
    return Resources(elb, balancer, arn, group, arns[0], arns[1], subnet)


def refused(code: str, text: str, call: Callable[..., Any], **request: Any) -> None:
    with pytest.raises(ClientError) as raised:
        call(**request)
    error = raised.value.response["Error"]
    assert (error["Code"], text in error["Message"]) == (code, True), error


# --- Load balancers and target groups


def balancer(**given: Any) -> Request:
    return {"Name": "another", "Subnets": SUBNETS, **given}


def of_functions(**given: Any) -> Request:
    return {"Name": "another", "TargetType": "lambda", **given}


def of_addresses(**given: Any) -> Request:
    network = {"Protocol": "HTTP", "Port": 80, "VpcId": NETWORK}
    return {"Name": "another", "TargetType": "ip", **network, **given}


def without(request: Request, key: str) -> Request:
    return {name: value for name, value in request.items() if name != key}


def attributes(of: str, *pairs: tuple[str, str]) -> Request:
    arn = {"LoadBalancerArn": "{balancer}"} if of == "balancer" else {"TargetGroupArn": "{group}"}
    return {**arn, "Attributes": [{"Key": key, "Value": value} for key, value in pairs]}


def targets(*functions: str) -> Request:
    return {"TargetGroupArn": "{group}", "Targets": [{"Id": one} for one in functions]}


IDLE, DESYNC = "idle_timeout.timeout_seconds", "routing.http.desync_mitigation_mode"
SCOPE = "does not support the attribute deregistration_delay.timeout_seconds"
MODEL = "failed to satisfy constraint: Member must have value"
CALLS: list[tuple[str, Request, str, str]] = [
    (
        "create_load_balancer",
        balancer(Name="x" * 33),
        INVALID,
        f"The load balancer name '{'x' * 33}' cannot be longer than '32' characters",
    ),
    (
        "create_load_balancer",
        balancer(Name="a_b"),
        INVALID,
        "that are alphanumeric characters and hyphens(-)",
    ),
    ("create_load_balancer", balancer(Name="-a"), INVALID, "cannot begin with a hyphen(-)"),
    ("create_load_balancer", balancer(Name="a-"), INVALID, "cannot end with a hyphen(-)"),
    ("create_load_balancer", balancer(Name="internal-a"), INVALID, "cannot begin with 'internal-'"),
    (
        "create_load_balancer",
        balancer(Name="taken", Scheme="internal"),
        "DuplicateLoadBalancerName",
        "A load balancer with the same name 'taken' exists, but with different settings",
    ),
    (
        "create_load_balancer",
        balancer(Subnets=SUBNETS[:1]),
        INVALID,
        "At least two subnets in two different Availability Zones must be specified",
    ),
    ("create_load_balancer", {"Name": "another"}, INVALID, "At least two subnets in two different"),
    (
        "create_load_balancer",
        balancer(Subnets=[SUBNETS[0], "{vpc_subnet}"]),
        CONFIGURATION,
        "A load balancer cannot be attached to multiple subnets in the same Availability Zone",
    ),
    (
        "create_load_balancer",
        balancer(Subnets=[SUBNETS[0], "subnet-0123456789abcdef0"]),
        "SubnetNotFound",
        "The subnet ID 'subnet-0123456789abcdef0' does not exist",
    ),
    ("create_load_balancer", balancer(Subnets=["a", "b"]), "InvalidSubnet", "The subnet ID 'a' is not valid"),
    (
        "create_load_balancer",
        balancer(SecurityGroups=["sg-0123456789abcdef0"]),
        CONFIGURATION,
        "One or more security groups are invalid",
    ),
    (
        "create_load_balancer",
        balancer(Scheme="public"),
        INVALID,
        "enum value set: [internet-facing, internal]",
    ),
    (
        "set_subnets",
        {"LoadBalancerArn": "{balancer}", "Subnets": SUBNETS[:1]},
        INVALID,
        "At least two subnets in two different",
    ),
    (
        "set_security_groups",
        {"LoadBalancerArn": "{balancer}", "SecurityGroups": ["sg-0123456789abcdef0"]},
        CONFIGURATION,
        "One or more security groups are invalid",
    ),
    (
        "modify_load_balancer_attributes",
        attributes("balancer", ("idle_timeout", "1")),
        INVALID,
        "Load balancer attribute key 'idle_timeout' is not recognized",
    ),
    (
        "modify_load_balancer_attributes",
        attributes("balancer", ("deletion_protection.enabled", "yes")),
        CONFIGURATION,
        "The value of 'deletion_protection.enabled' must be 'true' or 'false', but was 'yes'",
    ),
    (
        "modify_load_balancer_attributes",
        attributes("balancer", (IDLE, "0")),
        CONFIGURATION,
        f"The value of '{IDLE}' cannot be less than 1 characters",
    ),
    (
        "modify_load_balancer_attributes",
        attributes("balancer", (IDLE, "4001")),
        CONFIGURATION,
        f"The value of '{IDLE}' cannot be greater than 4000 characters",
    ),
    (
        "modify_load_balancer_attributes",
        attributes("balancer", (DESYNC, "strict")),
        CONFIGURATION,
        "'strict' must be one of [defensive, monitor, strictest]",
    ),
    (
        "modify_load_balancer_attributes",
        attributes("balancer", (DESYNC, "monitor"), (DESYNC, "monitor")),
        INVALID,
        f"Attribute key '{DESYNC}' has been specified more than once",
    ),
    (
        "create_target_group",
        of_functions(Name="x" * 33),
        INVALID,
        f"Target group name '{'x' * 33}' cannot be longer than '32' characters",
    ),
    ("create_target_group", of_functions(Name="a_b"), INVALID, "Value 'a_b' at 'targetGroupName' failed"),
    (
        "create_target_group",
        of_functions(Name="-a"),
        INVALID,
        "Member must satisfy regular expression pattern",
    ),
    (
        "create_target_group",
        of_functions(Name="taken", HealthCheckPath="/health"),
        "DuplicateTargetGroupName",
        "A target group with the same name 'taken' exists, but with different settings",
    ),
    (
        "create_target_group",
        of_functions(Port=80),
        INVALID,
        "Port cannot be specified for target groups with target type 'lambda'",
    ),
    (
        "create_target_group",
        of_functions(Protocol="HTTP"),
        INVALID,
        "Protocol cannot be specified for target",
    ),
    ("create_target_group", of_functions(VpcId=NETWORK), INVALID, "VPC ID cannot be specified for target"),
    ("create_target_group", without(of_addresses(), "Protocol"), INVALID, "A protocol must be specified"),
    ("create_target_group", without(of_addresses(), "Port"), INVALID, "A port must be specified"),
    ("create_target_group", without(of_addresses(), "VpcId"), INVALID, "A VPC ID must be specified"),
    ("create_target_group", of_addresses(VpcId="vpc-1"), INVALID, "The VPC ID 'vpc-1' is not found"),
    (
        "create_target_group",
        of_functions(HealthCheckIntervalSeconds=301),
        INVALID,
        f"{MODEL} less than or equal",
    ),
    (
        "create_target_group",
        of_functions(HealthCheckTimeoutSeconds=121),
        INVALID,
        f"{MODEL} less than or equal",
    ),
    (
        "create_target_group",
        of_functions(HealthCheckIntervalSeconds=30),
        INVALID,
        "Health check timeout '30' must be smaller than the interval '30'",
    ),
    (
        "create_target_group",
        of_functions(Matcher={"HttpCode": "200-500"}),
        INVALID,
        "within '200-499' inclusive",
    ),
    (
        "modify_target_group_attributes",
        attributes("group", ("stickiness.duration_seconds", "1")),
        INVALID,
        "Target group attribute key 'stickiness.duration_seconds' is not recognized",
    ),
    (
        "modify_target_group_attributes",
        attributes("group", ("deregistration_delay.timeout_seconds", "1")),
        CONFIGURATION,
        f"A target group with target type 'lambda' {SCOPE}",
    ),
    (
        "modify_target_group_attributes",
        attributes("group", ("lambda.multi_value_headers.enabled", "yes")),
        INVALID,
        "'lambda.multi_value_headers.enabled' value 'yes' must be one of [true, false]",
    ),
    (
        "register_targets",
        targets("{function}", "{other}"),
        "TooManyTargets",
        "Up to '1' Lambda function target(s) can be registered, but '2' were specified",
    ),
    ("register_targets", targets("{other}"), "TooManyTargets", "Up to '1' Lambda function target(s)"),
    (
        "delete_target_group",
        {"TargetGroupArn": "{group}"},
        "ResourceInUse",
        "is currently in use by a listener or a rule",
    ),
]


@pytest.mark.parametrize(("call", "request_", "code", "text"), CALLS)
def test_a_request_is_refused(made: Resources, call: str, request_: Request, code: str, text: str) -> None:
    refused(code, text, getattr(made.elb, call), **made.fill(request_))


def test_the_same_load_balancer_and_target_group_can_be_created_again(made: Resources) -> None:
    again = made.elb.create_load_balancer(Name="taken", Subnets=SUBNETS)["LoadBalancers"][0]
    assert again["LoadBalancerArn"] == made.balancer
    group = made.elb.create_target_group(Name="taken", TargetType="lambda")["TargetGroups"][0]
    assert group["TargetGroupArn"] == made.group
    made.elb.register_targets(**made.fill(targets("{function}")))


def test_a_protected_load_balancer_is_deleted_only_without_protection(made: Resources) -> None:
    mapped = [{"SubnetId": subnet} for subnet in SUBNETS]
    created = made.elb.create_load_balancer(Name=name(), SubnetMappings=mapped)["LoadBalancers"][0]
    of = {"LoadBalancerArn": created["LoadBalancerArn"]}
    group = made.elb.create_target_group(Name=name(), TargetType="lambda")["TargetGroups"][0][
        "TargetGroupArn"
    ]
    forward = {"Type": "forward", "ForwardConfig": {"TargetGroups": [{"TargetGroupArn": group}]}}
    made.elb.create_listener(**of, Port=80, Protocol="HTTP", DefaultActions=[forward])
    protection = {"Key": "deletion_protection.enabled", "Value": "true"}
    made.elb.modify_load_balancer_attributes(**of, Attributes=[protection])
    text = f"Load balancer '{of['LoadBalancerArn']}' cannot be deleted because deletion protection is enabled"
    refused("OperationNotPermitted", text, made.elb.delete_load_balancer, **of)
    made.elb.modify_load_balancer_attributes(**of, Attributes=[{**protection, "Value": "false"}])
    refused("ResourceInUse", "is currently in use", made.elb.delete_target_group, TargetGroupArn=group)
    made.elb.delete_load_balancer(**of)
    made.elb.delete_target_group(TargetGroupArn=group)


# --- Listeners


CERTIFICATE = {"CertificateArn": "arn:aws:acm:us-east-1:123456789012:certificate/any"}
FIXED = {"StatusCode": "200", "ContentType": "text/plain"}
LISTENERS: list[tuple[Request, str, str]] = [
    (
        {"Port": 80},
        "DuplicateListener",
        "A listener already exists on this port for this load balancer '{balancer}'",
    ),
    ({"Port": 65_536}, INVALID, f"Value '65536' at 'port' {MODEL} less than or equal to 65535"),
    ({"Port": None}, INVALID, "A listener port must be specified"),
    ({"Protocol": None}, INVALID, "A listener protocol must be specified"),
    ({"Protocol": "TCP"}, INVALID, "Listener protocol 'TCP' must be one of 'HTTP, HTTPS'"),
    (
        {"Protocol": "SPDY"},
        INVALID,
        "Value 'SPDY' at 'protocol' failed to satisfy constraint: Member must satisfy",
    ),
    ({"Protocol": "HTTPS"}, INVALID, "A certificate must be specified for HTTPS listeners"),
    (
        {"Protocol": "HTTPS", "Certificates": [CERTIFICATE, {"CertificateArn": "arn:other"}]},
        "TooManyCertificates",
        "Up to '1' certificate ARNs can be specified, but '2' were specified",
    ),
    ({"Certificates": [CERTIFICATE]}, INVALID, "A certificate cannot be specified for HTTP listeners"),
    (
        {"SslPolicy": "ELBSecurityPolicy-2016-08"},
        INVALID,
        "An SSL policy cannot be specifed for HTTP listeners",
    ),
]


@pytest.mark.parametrize(("given", "code", "text"), LISTENERS)
def test_a_listener_is_refused(made: Resources, given: Request, code: str, text: str) -> None:
    answer = [{"Type": "fixed-response", "FixedResponseConfig": FIXED}]
    request = {"LoadBalancerArn": made.balancer, "Port": 8080, "Protocol": "HTTP", "DefaultActions": answer}
    request = {key: value for key, value in {**request, **given}.items() if value is not None}
    refused(code, text.replace("{balancer}", made.balancer), made.elb.create_listener, **request)


def test_a_listener_is_modified_only_to_what_it_may_be(made: Resources) -> None:
    answer = [{"Type": "fixed-response", "FixedResponseConfig": FIXED}]
    of = {"LoadBalancerArn": made.balancer, "Protocol": "HTTP", "DefaultActions": answer}
    arn = made.elb.create_listener(**of, Port=8443)["Listeners"][0]["ListenerArn"]
    modify = made.elb.modify_listener
    refused("DuplicateListener", "A listener already exists", modify, ListenerArn=arn, Port=80)
    refused(INVALID, "A certificate must be specified", modify, ListenerArn=arn, Protocol="HTTPS")
    modify(ListenerArn=arn, Protocol="HTTPS", Certificates=[CERTIFICATE])
    modify(ListenerArn=arn, Port=8444)
    modify(ListenerArn=arn, Protocol="HTTP")
    made.elb.delete_listener(ListenerArn=arn)


# --- Actions


def fixed(**given: str) -> Request:
    return {"Type": "fixed-response", "FixedResponseConfig": {**FIXED, **given}}


def redirect(**given: str) -> Request:
    return {"Type": "redirect", "RedirectConfig": {"StatusCode": "HTTP_301", **given}}


def forward(*groups: str, **given: Any) -> Request:
    return {
        "Type": "forward",
        "ForwardConfig": {"TargetGroups": [{"TargetGroupArn": one} for one in groups]},
        **given,
    }


TO = {"Type": "forward", "TargetGroupArn": "{group}"}
ENDPOINTS = ("Issuer", "AuthorizationEndpoint", "TokenEndpoint", "UserInfoEndpoint")
OIDC = {
    "Type": "authenticate-oidc",
    "AuthenticateOidcConfig": {
        **dict.fromkeys(ENDPOINTS, "https://a.example"),
        "ClientId": "a",
        "ClientSecret": "b",
    },
}
ACTIONS: list[tuple[list[Request], str, str]] = [
    ([], INVALID, "An action must be specified"),
    ([{"Type": "reply"}], INVALID, "Value 'reply' at 'actions.1.member.type' failed to satisfy constraint"),
    (
        [{"Type": "fixed-response"}],
        INVALID,
        "For actions of type 'fixed-response', you must specify the following fields: 'FixedResponseConfig'",
    ),
    ([TO, TO], ACTION, "When you specify multiple actions, you must specify an order for each action"),
    (
        [{**TO, "Order": 1}, {**TO, "Order": 2}],
        ACTION,
        "Action types 'forward,forward' cannot be specified together",
    ),
    (
        [{**redirect(Path="/a"), "Order": 1}, {**fixed(), "Order": 2}],
        ACTION,
        "Action types 'redirect,fixed-response' cannot be specified together",
    ),
    (
        [{**TO, "Order": 1}, {**OIDC, "Order": 2}],
        ACTION,
        "An action of type 'forward' must have a higher order than all other actions",
    ),
    ([fixed(StatusCode="301")], INVALID, "Value '301' at 'actions.1.member.fixedResponseConfig.statusCode'"),
    ([fixed(MessageBody="x" * 1025)], INVALID, "Member must have length less than or equal to 1024"),
    (
        [fixed(ContentType="image/png")],
        ACTION,
        "The ContentType must be one of:'text/html', 'application/json', 'application/javascript', ",
    ),
    ([redirect()], ACTION, "The redirect configuration is not valid because it creates a loop."),
    ([redirect(Query="a=b")], ACTION, "The redirect configuration is not valid because it creates a loop."),
    ([redirect(Path="a")], ACTION, "The Path parameter must be a valid path, should start with a '/'"),
    (
        [redirect(Port="0")],
        ACTION,
        "The Port parameter must be either an integer between 1 and 65535 or '#{port}'.",
    ),
    ([redirect(Protocol="FTP")], INVALID, "Value 'FTP' at 'actions.1.member.redirectConfig.protocol'"),
    ([redirect(StatusCode="HTTP_307")], INVALID, "enum value set: [HTTP_301, HTTP_302]"),
    ([redirect(Host="x" * 129)], INVALID, "Member must have length less than or equal to 128"),
    ([forward("arn:missing")], "TargetGroupNotFound", "Target group 'arn:missing' not found"),
    ([forward(*["{group}"] * 6)], ACTION, "You cannot specify more than 5 target groups per action"),
    ([forward("arn:other", TargetGroupArn="{group}")], ACTION, "only if the ARNs match"),
]


@pytest.mark.parametrize(("actions", "code", "text"), ACTIONS)
def test_the_actions_of_a_rule_are_refused(
    made: Resources, actions: list[Request], code: str, text: str
) -> None:
    condition = {"Field": "path-pattern", "Values": ["/a"]}
    request = {"ListenerArn": made.listener, "Priority": 1, "Conditions": [condition]}
    refused(code, text, made.elb.create_rule, **request, Actions=made.fill(actions))


def test_a_listener_neither_redirects_to_http_nor_shares_its_target_group(made: Resources) -> None:
    arn = made.elb.create_load_balancer(Name=name(), Subnets=SUBNETS)["LoadBalancers"][0]["LoadBalancerArn"]
    of = {"LoadBalancerArn": arn, "Port": 443, "Protocol": "HTTPS", "Certificates": [CERTIFICATE]}
    create = made.elb.create_listener
    down = [redirect(Protocol="HTTP", Port="80")]
    refused(ACTION, "You cannot redirect HTTPS to HTTP.", create, **of, DefaultActions=down)
    text = f"The following target groups cannot be associated with more than one load balancer: {made.group}"
    refused("TargetGroupAssociationLimit", text, create, **of, DefaultActions=made.fill([TO]))


# --- Templates


def second_target(resource: Request) -> None:
    resource["Group"]["Properties"]["Targets"].append(
        {"Id": "arn:aws:lambda:us-east-1:123456789012:function:b"}
    )


def second_listener(resource: Request) -> None:
    resource["Second"] = listener(80, fixed()) | {"DependsOn": "Listener"}


def loop(resource: Request) -> None:
    resource["Listener"] = listener(80, redirect())


def zero(resource: Request) -> None:
    resource["Listener"] = listener(0, fixed())


def one_subnet(resource: Request) -> None:
    resource["Balancer"]["Properties"]["Subnets"] = SUBNETS[:1]


def first_priority(resource: Request) -> None:
    conditions = [{"Field": "path-pattern", "Values": ["/a"]}]
    properties = {
        "ListenerArn": ref("Listener"),
        "Priority": 0,
        "Conditions": conditions,
        "Actions": [fixed()],
    }
    resource["Rule"] = {"Type": "AWS::ElasticLoadBalancingV2::ListenerRule", "Properties": properties}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (second_target, "Up to '1' Lambda function target(s) can be registered, but '2' were specified"),
        (second_listener, "A listener already exists on this port for this load balancer"),
        (loop, "The redirect configuration is not valid because it creates a loop."),
        (zero, f"Value '0' at 'port' {MODEL} greater than or equal to 1"),
        (one_subnet, "At least two subnets in two different Availability Zones must be specified"),
        (first_priority, f"Value '0' at 'priority' {MODEL} greater than or equal to 1"),
    ],
)
def test_a_template_is_refused(local_aws: LocalAws, change: Callable[[Request], None], text: str) -> None:
    template = resources()
    change(template)
    with pytest.raises(DeploymentFailedError) as raised:
        deploy(local_aws, template, OUTPUTS)
    assert text in str(raised.value)


# --- Still needed


def test_the_emulator_still_accepts_any_listener(stock_aws: LocalAws) -> None:
    elb = stock_aws.client("elbv2")
    arn = elb.create_load_balancer(Name="internal-a_b")["LoadBalancers"][0]["LoadBalancerArn"]
    of = {"LoadBalancerArn": arn, "Port": 80, "Protocol": "TCP", "DefaultActions": [redirect(), redirect()]}
    elb.create_listener(**of)
    elb.create_listener(**of)
