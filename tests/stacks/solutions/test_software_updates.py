"""The stack of the software updates: who reaches whom, and for how long responses are fresh."""

from __future__ import annotations

import functools
from http.client import HTTPConnection
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from aws_cdk import App

from stacks.catalogue import find
from stacks.solutions import software_updates
from tests.templates import Assembly, Resources


@pytest.fixture
def stack(catalogue: Assembly) -> Resources:
    return catalogue.stacks["software-updates"]


def test_the_load_balancer_is_private_and_admits_only_the_group_of_cloudfront(stack: Resources) -> None:
    assert stack.only("AWS::ElasticLoadBalancingV2::LoadBalancer")["Scheme"] == "internal"
    rules = list(stack.all("AWS::EC2::SecurityGroupIngress").values())
    sources = {str(rule["SourceSecurityGroupId"]): rule["FromPort"] for rule in rules}
    assert sorted(sources.values()) == [80, 8080]
    (source,) = [source for source, port in sources.items() if port == 80]
    assert source.startswith("{'Fn::GetAtt': ['FinderGroup")
    inline = [one.get("SecurityGroupIngress") for one in stack.all("AWS::EC2::SecurityGroup").values()]
    assert inline == [None] * len(inline)


def test_the_network_has_a_gateway_to_which_no_route_leads(stack: Resources) -> None:
    assert len(stack.all("AWS::EC2::InternetGateway")) == 1
    assert stack.all("AWS::EC2::Route") == {}
    assert stack.all("AWS::EC2::NatGateway") == {}


def test_versioned_files_are_fresh_for_a_year_and_the_manifest_never(stack: Resources) -> None:
    def times(name: str) -> list[int]:
        (config,) = [
            one["CachePolicyConfig"]
            for logical_id, one in stack.all("AWS::CloudFront::CachePolicy").items()
            if logical_id.startswith(name)
        ]
        return [config[ttl] for ttl in ("MinTTL", "DefaultTTL", "MaxTTL")]

    assert times("Release") == [0, 31_536_000, 31_536_000]
    # Not a maximum of 0, which is no cache: then nothing would be served while the origin fails.
    assert times("Manifest") == [0, 0, 1]


def test_origin_shield_is_on_for_the_only_origin(stack: Resources) -> None:
    config: Any = stack.only("AWS::CloudFront::Distribution")["DistributionConfig"]
    (origin,) = config["Origins"]
    assert origin["OriginShield"] == {"Enabled": True, "OriginShieldRegion": {"Ref": "AWS::Region"}}
    assert list(origin["VpcOriginConfig"]) == ["VpcOriginId"]


def test_machines_are_reached_by_the_load_balancer_only_and_ask_for_tokens(stack: Resources) -> None:
    data = stack.only("AWS::EC2::LaunchTemplate")["LaunchTemplateData"]
    assert data["MetadataOptions"] == {"HttpTokens": "required"}
    assert data["BlockDeviceMappings"][0]["Ebs"]["Encrypted"] is True
    assert stack.only("AWS::AutoScaling::AutoScalingGroup")["HealthCheckType"] == "ELB"


def test_machines_are_healthy_once_they_have_files(stack: Resources) -> None:
    data = str(stack.only("AWS::EC2::LaunchTemplate")["LaunchTemplateData"]["UserData"])
    assert data.count("/health") == 1
    *_, sync, last = software_updates._SYNC.splitlines()
    assert ("mv /srv/next" in sync, last) == (True, "echo ok > /srv/updates/health")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/releases/1.0/app.bin", 200),
        ("/", 404),
        ("/releases", 404),
        ("/releases/", 404),
        ("/.next", 404),
        ("/%2Enext", 404),
        ("/releases/../manifest.json", 404),
        ("/manifest.json", 200),
        ("/manifest.json/", 404),
    ],
)
def test_machines_serve_files_and_list_nothing(files: int, path: str, status: int) -> None:
    connection = HTTPConnection("127.0.0.1", files)
    connection.request("GET", path)
    assert connection.getresponse().status == status
    connection.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tmp_path_factory.mktemp("served")
    (folder / "releases/1.0").mkdir(parents=True)
    for name in ("releases/1.0/app.bin", "manifest.json", ".next"):
        (folder / name).write_text("x")
    program: dict[str, Any] = {"__name__": "server"}
    exec(software_updates._SERVER, program)  # noqa: S102 (what the machines run)
    program["Files"].log_message = lambda *_: None
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(program["Files"], directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("region", "shield"), [("eu-north-1", ""), ("eu-west-1", "us-west-1")])
def test_a_region_without_origin_shield_is_refused(region: str, shield: str) -> None:
    app = App(context={"region": region, "origin-shield-region": shield})
    with pytest.raises(ValueError, match=f"origin-shield-region='{shield or region}': choose one of"):
        software_updates.SoftwareUpdatesStack(app, find("software-updates"))
