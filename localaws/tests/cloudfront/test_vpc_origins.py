"""CloudFront → internal load balancer → instances of an Auto Scaling group: who reaches whom."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.http import Endpoint, HttpResponse
from helpers.lambda_functions import eventually
from helpers.stacks import DeploymentFailedError, Resources, Stack, deploy, ref
from localaws import LocalAws

pytestmark = pytest.mark.local

GROUP = "CloudFront-VPCOrigins-Service-SG"
DISABLED = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"


@dataclass
class Server:
    """What listens on the instances."""

    url: str = ""
    status: int = 200
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def requests(self, path: str) -> list[dict[str, str]]:
        return [headers for asked, headers in self.asked if asked == path]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    made = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            self.send_response_only(made.status)
            self.send_header("Server", "shop/1.0")
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, format: str, *args: Any) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{listening.server_address[1]}"
    Thread(target=listening.serve_forever, daemon=True).start()
    with closing(listening.socket):
        yield made
        listening.shutdown()


def attribute(of: str, name: str) -> dict[str, list[str]]:
    return {"Fn::GetAtt": [of, name]}


def _of(type_: str, **properties: Any) -> dict[str, Any]:
    return {"Type": f"AWS::{type_}", "Properties": properties}


def _rule(group: str, **source: Any) -> dict[str, Any]:
    return _of(
        "EC2::SecurityGroupIngress", GroupId=ref(group), IpProtocol="tcp", FromPort=80, ToPort=80, **source
    )


def _security_group(**rules: Any) -> dict[str, Any]:
    return _of("EC2::SecurityGroup", GroupDescription="x", VpcId=ref("Vpc"), **rules)


def resources() -> Resources:
    """A VPC with an internal load balancer before two instances, and a distribution with a VPC origin."""
    subnets = [ref("One"), ref("Two")]
    template = {
        "ImageId": "ami-0123456789abcdef0",
        "InstanceType": "t4g.nano",
        "SecurityGroupIds": [attribute("Machines", "GroupId")],
    }
    endpoint = {"Name": "shop", "Arn": ref("Balancer"), "HTTPPort": 80, "OriginProtocolPolicy": "http-only"}
    return {
        "Vpc": _of("EC2::VPC", CidrBlock="10.9.0.0/16"),
        "Gateway": _of("EC2::InternetGateway"),
        "Attachment": _of("EC2::VPCGatewayAttachment", VpcId=ref("Vpc"), InternetGatewayId=ref("Gateway")),
        "One": _of("EC2::Subnet", VpcId=ref("Vpc"), CidrBlock="10.9.1.0/24", AvailabilityZone="us-east-1a"),
        "Two": _of("EC2::Subnet", VpcId=ref("Vpc"), CidrBlock="10.9.2.0/24", AvailabilityZone="us-east-1b"),
        "Machines": _security_group(),
        "Front": _security_group(),
        "Admits": _rule("Machines", SourceSecurityGroupId=attribute("Front", "GroupId")),
        "Template": _of("EC2::LaunchTemplate", LaunchTemplateData=template),
        "Fleet": _of(
            "AutoScaling::AutoScalingGroup",
            MinSize="2",
            MaxSize="4",
            VPCZoneIdentifier=subnets,
            LaunchTemplate={"LaunchTemplateId": ref("Template"), "Version": "1"},
            TargetGroupARNs=[ref("Targets")],
            Tags=[{"Key": "app", "Value": "shop", "PropagateAtLaunch": True}],
        ),
        "Targets": _of(
            "ElasticLoadBalancingV2::TargetGroup",
            Protocol="HTTP",
            Port=80,
            VpcId=ref("Vpc"),
            TargetType="instance",
            HealthCheckPath="/health",
            HealthCheckIntervalSeconds=5,
            HealthCheckTimeoutSeconds=2,
        ),
        "Balancer": _of(
            "ElasticLoadBalancingV2::LoadBalancer",
            Type="application",
            Scheme="internal",
            Subnets=subnets,
            SecurityGroups=[attribute("Front", "GroupId")],
        ),
        "Listener": _of(
            "ElasticLoadBalancingV2::Listener",
            LoadBalancerArn=ref("Balancer"),
            Port=80,
            Protocol="HTTP",
            DefaultActions=[{"Type": "forward", "TargetGroupArn": ref("Targets")}],
        ),
        "Origin": {
            **_of("CloudFront::VpcOrigin", VpcOriginEndpointConfig=endpoint),
            "DependsOn": "Attachment",
        },
        "Distribution": _of("CloudFront::Distribution", DistributionConfig=_distribution()),
    }


def _distribution() -> dict[str, Any]:
    origin = {
        "Id": "o",
        "DomainName": attribute("Balancer", "DNSName"),
        "VpcOriginConfig": {"VpcOriginId": ref("Origin"), "OriginReadTimeout": 7},
    }
    behavior = {"TargetOriginId": "o", "ViewerProtocolPolicy": "allow-all", "CachePolicyId": DISABLED}
    return {"Enabled": True, "Origins": [origin], "DefaultCacheBehavior": behavior}


OUTPUTS = {
    "Vpc": ref("Vpc"),
    "Front": attribute("Front", "GroupId"),
    "Machines": attribute("Machines", "GroupId"),
    "Fleet": ref("Fleet"),
    "Targets": ref("Targets"),
    "Balancer": attribute("Balancer", "DNSName"),
    "Domain": attribute("Distribution", "DomainName"),
    "Origin": ref("Origin"),
    "OriginArn": attribute("Origin", "Arn"),
}


@dataclass
class Shop:
    """The deployed stack."""

    aws: LocalAws
    stack: Stack

    def get(self, path: str) -> HttpResponse:
        address = self.aws.address_of_distribution(self.stack.outputs["Domain"])
        return Endpoint.of(address, address.host).request("GET", path)

    def status(self, path: str = "/") -> int:
        return self.get(path).status

    @property
    def instances(self) -> list[str]:
        asked = [self.stack.outputs["Fleet"]]
        groups = self.aws.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=asked)
        return [one["InstanceId"] for one in groups["AutoScalingGroups"][0]["Instances"]]

    @property
    def health(self) -> dict[str, tuple[str, str]]:
        described = self.aws.client("elbv2").describe_target_health(
            TargetGroupArn=self.stack.outputs["Targets"]
        )["TargetHealthDescriptions"]
        return {
            one["Target"]["Id"]: (one["TargetHealth"]["State"], one["TargetHealth"].get("Reason", ""))
            for one in described
        }

    def group(self) -> list[dict[str, Any]]:
        filters = [
            {"Name": "vpc-id", "Values": [self.stack.outputs["Vpc"]]},
            {"Name": "group-name", "Values": [GROUP]},
        ]
        found: list[dict[str, Any]] = self.aws.client("ec2").describe_security_groups(Filters=filters)[
            "SecurityGroups"
        ]
        return found

    def admit(self, source: dict[str, Any], allowed: bool = True) -> None:
        ec2 = self.aws.client("ec2")
        change = ec2.authorize_security_group_ingress if allowed else ec2.revoke_security_group_ingress
        permission = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, **source}
        change(GroupId=self.stack.outputs["Front"], IpPermissions=[permission])

    def listening(self, server: Server) -> Any:
        return self.aws.instances_answer(self.stack.outputs["Fleet"], server.url)


@pytest.fixture(scope="module")
def shop(local_aws: LocalAws, _empty_account: None) -> Shop:
    made = Shop(local_aws, deploy(local_aws, resources(), OUTPUTS))
    made.admit({"UserIdGroupPairs": [{"GroupId": made.group()[0]["GroupId"]}]})
    return made


def test_only_cloudfront_reaches_the_load_balancer(shop: Shop, server: Server) -> None:
    address = shop.aws.address_of_load_balancer(shop.stack.outputs["Balancer"])
    with shop.listening(server):
        answer = shop.get("/page%20one")
        direct = Endpoint.of(address, address.host).request("GET", "/page")
    assert (answer.status, answer.body, answer.header("server")) == (200, b"hello", "shop/1.0")
    assert direct.status == 504
    assert b"internal" in direct.body
    (headers,) = server.requests("/page%20one")
    assert headers["host"] == shop.stack.outputs["Balancer"]
    assert headers["host"].startswith("internal-")
    assert headers["user-agent"] == "Amazon CloudFront"
    assert (headers["x-forwarded-proto"], headers["x-forwarded-port"]) == ("http", "80")
    assert headers["x-forwarded-for"].count(", ") == 1
    assert headers["x-amzn-trace-id"].startswith("Root=1-")
    assert headers["via"].endswith("(CloudFront)")


def test_without_a_rule_for_cloudfront_the_connection_times_out(shop: Shop, server: Server) -> None:
    pair = {"UserIdGroupPairs": [{"GroupId": shop.group()[0]["GroupId"]}]}
    name = "com.amazonaws.global.cloudfront.origin-facing"
    (listed,) = shop.aws.client("ec2").describe_managed_prefix_lists(
        Filters=[{"Name": "prefix-list-name", "Values": [name]}]
    )["PrefixLists"]
    by_list = {"PrefixListIds": [{"PrefixListId": listed["PrefixListId"]}]}
    addresses = {"IpRanges": [{"CidrIp": "203.0.113.0/24"}]}
    with shop.listening(server):
        shop.admit(pair, False)
        seen = [shop.status()]
        for source in (addresses, by_list):
            shop.admit(source)
            seen.append(shop.status())
            shop.admit(source, False)
        shop.admit(pair)
        seen.append(shop.status())
    assert seen == [504, 504, 200, 200]


def test_nothing_listens_on_an_instance_unless_a_test_says_so(shop: Shop, server: Server) -> None:
    first, second = shop.instances
    assert shop.status("/none") == 502
    with shop.aws.instances_answer(shop.stack.outputs["Targets"], server.url):
        assert shop.status("/by-target-group") == 200
    with shop.aws.instances_answer(second, server.url):
        eventually(lambda: shop.health[second] == ("healthy", ""))
        eventually(lambda: shop.health[first] == ("unhealthy", "Target.FailedHealthChecks"))
        assert [shop.status("/one") for _ in range(4)] == [200] * 4
    assert "ELB-HealthChecker/2.0" in {one["user-agent"] for one in server.requests("/health")}


def test_a_group_of_the_same_name_in_another_region_has_its_own_server(shop: Shop, server: Server) -> None:
    region, name = "eu-west-1", shop.stack.outputs["Fleet"]
    client = shop.aws.session.client("autoscaling", region_name=region)
    client.create_launch_configuration(LaunchConfigurationName="l", ImageId="ami-1", InstanceType="t3.nano")
    client.create_auto_scaling_group(
        AutoScalingGroupName=name,
        LaunchConfigurationName="l",
        MinSize=0,
        MaxSize=0,
        AvailabilityZones=["eu-west-1a"],
    )
    with shop.aws.instances_answer(name, server.url, region=region):
        assert shop.status("/elsewhere") == 502
    with shop.listening(server), shop.aws.instances_answer(name, "http://127.0.0.1:1", region=region):
        assert shop.status("/here") == 200


@pytest.mark.parametrize(
    ("group", "elsewhere"),
    [
        ("no-such-fleet", {}),
        ("Fleet", {"region": "eu-west-3"}),
        ("Fleet", {"account": "222222222222"}),
    ],
)
def test_a_group_that_is_not_there_is_refused(
    shop: Shop, server: Server, group: str, elsewhere: dict[str, str]
) -> None:
    fleet = shop.stack.outputs["Fleet"]
    there = "none" if "account" in elsewhere else rf".*\b{shop.aws.region} {fleet}\b"
    region = elsewhere.get("region", shop.aws.region)
    text = rf"no Auto Scaling group, target group or instance of {region}; the groups are: {there}"
    asked = {"Fleet": fleet}.get(group, group)
    with (
        pytest.raises(ValueError, match=text),
        shop.aws.instances_answer(asked, server.url, **elsewhere),
    ):
        pass


def test_the_instances_must_admit_the_load_balancer(shop: Shop, server: Server) -> None:
    ec2, machines = shop.aws.client("ec2"), shop.stack.outputs["Machines"]
    front = {"UserIdGroupPairs": [{"GroupId": shop.stack.outputs["Front"]}]}
    port: dict[str, Any] = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80}
    rule: dict[str, Any] = {"GroupId": machines, "IpPermissions": [{**port, **front}]}
    ec2.revoke_security_group_ingress(**rule)
    with shop.listening(server):
        refused = shop.status()
        subnets = {**port, "IpRanges": [{"CidrIp": "10.9.0.0/16"}]}
        ec2.authorize_security_group_ingress(GroupId=machines, IpPermissions=[subnets])
        by_address = shop.status()
        ec2.revoke_security_group_ingress(GroupId=machines, IpPermissions=[subnets])
    ec2.authorize_security_group_ingress(**rule)
    assert (refused, by_address) == (504, 200)


def test_an_unhealthy_target_still_gets_requests_if_there_is_no_other(
    shop: Shop, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "status", 500)
    mismatch = ("unhealthy", "Target.ResponseCodeMismatch")
    with shop.listening(server):
        eventually(lambda: set(shop.health.values()) == {mismatch})
        assert shop.status("/all") == 500


def test_an_instance_that_is_terminated_is_replaced(shop: Shop, server: Server) -> None:
    before, ec2 = shop.instances, shop.aws.client("ec2")
    ec2.terminate_instances(InstanceIds=before[:1])
    after = shop.instances
    assert len(after) == 2
    assert before[1] in after
    assert set(shop.health) == set(after)
    described = ec2.describe_instances(InstanceIds=after)["Reservations"]
    instances = [one for reservation in described for one in reservation["Instances"]]
    assert len({one["SubnetId"] for one in instances}) >= 1
    tags = {tag["Key"]: tag["Value"] for tag in instances[0]["Tags"]}
    assert tags == {"app": "shop", "aws:autoscaling:groupName": shop.stack.outputs["Fleet"]}
    scaling = shop.aws.client("autoscaling")
    for desired in (3, 2):
        scaling.set_desired_capacity(
            AutoScalingGroupName=shop.stack.outputs["Fleet"], DesiredCapacity=desired
        )
        assert len(shop.instances) == len(shop.health) == desired
    with shop.listening(server):
        assert shop.status("/replaced") == 200


def test_a_launch_configuration_starts_instances_too(shop: Shop) -> None:
    scaling, ec2 = shop.aws.client("autoscaling"), shop.aws.client("ec2")
    scaling.create_launch_configuration(
        LaunchConfigurationName="old",
        ImageId="ami-0123456789abcdef0",
        InstanceType="t3.nano",
        SecurityGroups=[shop.stack.outputs["Machines"]],
    )
    group = {"AutoScalingGroupName": "old", "MinSize": 1, "MaxSize": 1}
    where = {"AvailabilityZones": ["us-east-1a"], "TargetGroupARNs": [shop.stack.outputs["Targets"]]}
    scaling.create_auto_scaling_group(**group, **where, LaunchConfigurationName="old")
    described = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=["old"])["AutoScalingGroups"]
    (instance,) = [one["InstanceId"] for one in described[0]["Instances"]]
    found = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    assert [one["GroupId"] for one in found["SecurityGroups"]] == [shop.stack.outputs["Machines"]]
    assert instance in shop.health
    scaling.delete_auto_scaling_group(AutoScalingGroupName="old", ForceDelete=True)
    assert instance not in shop.health


def test_a_vpc_origin_in_use_is_neither_changed_nor_deleted(shop: Shop) -> None:
    client, origin = shop.aws.client("cloudfront"), shop.stack.outputs["Origin"]
    found = client.get_vpc_origin(Id=origin)
    assert found["VpcOrigin"]["Arn"] == shop.stack.outputs["OriginArn"]
    with pytest.raises(ClientError, match="CannotDeleteEntityWhileInUse"):
        client.delete_vpc_origin(Id=origin, IfMatch=found["ETag"])
    assert len(shop.group()) == 1
    changed = resources()
    changed["Origin"]["Properties"]["VpcOriginEndpointConfig"]["HTTPPort"] = 8080
    with pytest.raises(DeploymentFailedError, match="CannotUpdateEntityWhileInUse"):
        shop.stack.update(changed, OUTPUTS)


def test_a_vpc_without_an_internet_gateway_has_no_vpc_origin(local_aws: LocalAws) -> None:
    given = resources()
    for name in ("Attachment", "Distribution", "Fleet"):
        del given[name]
    del given["Origin"]["DependsOn"]
    given["Origin"]["Properties"]["VpcOriginEndpointConfig"]["Name"] = "closed"
    with pytest.raises(DeploymentFailedError, match="has no internet gateway"):
        deploy(local_aws, given)


def test_the_last_vpc_origin_takes_the_security_group_with_it(shop: Shop) -> None:
    """And the group its instances. The last test: it deletes the stack."""
    instances = shop.instances
    shop.admit({"UserIdGroupPairs": [{"GroupId": shop.group()[0]["GroupId"]}]}, False)
    shop.stack.delete()
    assert shop.group() == []
    described = shop.aws.client("ec2").describe_instances(InstanceIds=instances)["Reservations"]
    states = {one["State"]["Name"] for reservation in described for one in reservation["Instances"]}
    assert states == {"terminated"}


@pytest.mark.parametrize(
    "url",
    [
        *("", "http://example.com:80", "http://127.0.0.1", "https://127.0.0.1:1", 80),
        *("http://127.0.0.1:1/?a=1", "http://127.0.0.1:1#a", "http://me:secret@127.0.0.1:1"),
    ],
)
def test_a_server_is_on_this_machine(local_aws: LocalAws, url: Any) -> None:
    with pytest.raises(ValueError, match="HTTP server on this machine"), local_aws.instances_answer("g", url):
        pass
