"""Functions that mount file systems: what they share, and what keeps them from mounting."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.lambda_functions import Functions
from localaws import LocalAws
from localaws.engines import namespaces

pytestmark = [
    pytest.mark.local,
    pytest.mark.skipif(not namespaces.available(), reason="this machine has no namespaces for functions"),
]

RUN = """
import fcntl, os, pathlib, stat
mnt = pathlib.Path("/mnt/data")
def handler(event, context):
    names = dict(globals())
    exec(event, names)
    return names.get("found")
"""


@dataclass
class Network:
    """A VPC with two zones, a file system with a mount target in each, and an access point."""

    aws: LocalAws
    functions: Functions
    point: str = ""

    def __post_init__(self) -> None:
        self.ec2, self.efs = self.aws.client("ec2"), self.aws.client("efs")
        vpc = self.ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
        self.subnets = [
            self.ec2.create_subnet(
                VpcId=vpc, CidrBlock=f"10.7.{number}.0/24", AvailabilityZone=f"{self.aws.region}{zone}"
            )["Subnet"]["SubnetId"]
            for number, zone in enumerate("ab")
        ]
        self.mine, self.theirs = (
            self.ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]
            for name in ("function", "target")
        )
        self.nfs = {
            "IpProtocol": "tcp",
            "FromPort": 2049,
            "ToPort": 2049,
            "UserIdGroupPairs": [{"GroupId": self.mine}],
        }
        self.ec2.authorize_security_group_ingress(GroupId=self.theirs, IpPermissions=[self.nfs])
        system = self.efs.create_file_system(CreationToken=uuid.uuid4().hex)
        self.system, self.arn = system["FileSystemId"], system["FileSystemArn"]
        self.targets = [
            self.efs.create_mount_target(
                FileSystemId=self.system, SubnetId=subnet, SecurityGroups=[self.theirs]
            )["MountTargetId"]
            for subnet in self.subnets
        ]
        self.point = self.access_point("/export/data", CreationInfo=CREATION)

    def access_point(self, path: str, **root: Any) -> str:
        made = self.efs.create_access_point(
            ClientToken=uuid.uuid4().hex, FileSystemId=self.system, RootDirectory={"Path": path, **root}
        )
        return str(made["AccessPointArn"])

    def function(self, *allowed: str, point: str = "") -> str:
        return self.functions.make(
            RUN,
            role=self.functions.role(*((action, self.arn) for action in allowed)),
            FileSystemConfigs=[{"Arn": point or self.point, "LocalMountPath": "/mnt/data"}],
            VpcConfig={"SubnetIds": self.subnets, "SecurityGroupIds": [self.mine]},
        )

    def policy(self, *statements: dict[str, Any]) -> None:
        document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
        self.efs.put_file_system_policy(FileSystemId=self.system, Policy=document)


CREATION = {"OwnerUid": 1000, "OwnerGid": 1000, "Permissions": "750"}
TLS_ONLY = {
    "Effect": "Deny",
    "Principal": {"AWS": "*"},
    "Action": "*",
    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
}
MOUNT, WRITE = "elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"


@pytest.fixture
def network(local_aws: LocalAws, functions: Functions) -> Iterator[Network]:
    network = Network(local_aws, functions)
    yield network
    network.efs.delete_file_system_policy(FileSystemId=network.system)


def refused(network: Network, function: str) -> tuple[str, int]:
    """The error of an invocation that does not reach the function."""
    with pytest.raises(ClientError) as error:
        network.functions.invoke(function, "found = 1")
    answer = error.value.response
    assert ":access-point/fsap-" in answer["Error"]["Message"]
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def test_functions_share_files_which_outlive_them(network: Network) -> None:
    invoke, one, two = network.functions.invoke, network.function(), network.function()
    invoke(one, "(mnt / 'note').write_text('one')")
    asked = "found = [(mnt / 'note').read_text(), oct(mnt.stat().st_mode & 0o777), os.listdir('/mnt')]"
    assert invoke(two, asked).payload == ["one", "0o750", ["data"]]
    network.aws.client("lambda").update_function_configuration(FunctionName=two, MemorySize=256)
    assert invoke(two, asked).payload[0] == "one"
    elsewhere = network.function(point=network.access_point("/export", CreationInfo=CREATION))
    assert invoke(elsewhere, "found = os.listdir(mnt)").payload == ["data"]


def test_locks_hold_between_environments(network: Network) -> None:
    function = network.function()
    count = """
with open(mnt / "count", "a+") as file:
    fcntl.lockf(file, fcntl.LOCK_EX)
    file.seek(0)
    number = int(file.read() or 0)
    file.truncate(0)
    file.write(str(number + 1))
"""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: network.functions.invoke(function, count), range(12)))
    assert network.functions.invoke(function, "found = (mnt / 'count').read_text()").payload == "12"


CONNECTIVITY, FAILURE = ("EFSMountConnectivityException", 408), ("EFSMountFailureException", 403)
BROKEN: dict[str, tuple[Callable[[Network], Any], tuple[str, int]]] = {
    "no mount target in a zone": (
        lambda network: network.efs.delete_mount_target(MountTargetId=network.targets[1]),
        CONNECTIVITY,
    ),
    "the target lets nothing in": (
        lambda network: network.ec2.revoke_security_group_ingress(
            GroupId=network.theirs, IpPermissions=[network.nfs]
        ),
        CONNECTIVITY,
    ),
    "the target lets another port in": (
        lambda network: [
            network.ec2.revoke_security_group_ingress(GroupId=network.theirs, IpPermissions=[network.nfs]),
            network.ec2.authorize_security_group_ingress(
                GroupId=network.theirs, IpPermissions=[{**network.nfs, "FromPort": 2048, "ToPort": 2048}]
            ),
        ],
        CONNECTIVITY,
    ),
    "the function lets nothing out": (
        lambda network: network.ec2.revoke_security_group_egress(
            GroupId=network.mine,
            IpPermissions=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}],
        ),
        CONNECTIVITY,
    ),
    "a policy, and no permission": (lambda network: network.policy(TLS_ONLY), FAILURE),
    "no access point": (
        lambda network: network.efs.delete_access_point(AccessPointId=network.point.rpartition("/")[2]),
        FAILURE,
    ),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_new_environment_that_cannot_mount_fails_the_invocation(network: Network, broken: str) -> None:
    breaks, error = BROKEN[broken]
    function = network.function()
    network.functions.invoke(function, "found = 1")
    breaks(network)
    assert network.functions.invoke(function, "found = 1").payload == 1  # it has mounted already
    network.aws.client("lambda").update_function_configuration(FunctionName=function, MemorySize=256)
    assert refused(network, function) == error


def test_a_root_directory_must_exist_unless_the_access_point_makes_it(network: Network) -> None:
    assert refused(network, network.function(point=network.access_point("/none"))) == FAILURE


def test_with_a_policy_the_role_needs_permissions_and_may_be_limited_to_reading(network: Network) -> None:
    network.policy(TLS_ONLY)
    both, reading, invoke = network.function(MOUNT, WRITE), network.function(MOUNT), network.functions.invoke
    invoke(both, "(mnt / 'note').write_text('x')")
    asked = """
found = [(mnt / "note").read_text()]
try:
    (mnt / "note").write_text("y")
except OSError as error:
    found.append(error.strerror)
"""
    assert invoke(reading, asked).payload == ["x", "Read-only file system"]


@pytest.mark.parametrize("allowed", ["other", "mine"])
def test_a_policy_may_allow_one_access_point(network: Network, allowed: str) -> None:
    point = network.point if allowed == "mine" else network.access_point("/other", CreationInfo=CREATION)
    network.policy(
        {
            "Effect": "Allow",
            "Principal": {"AWS": "*"},
            "Action": [MOUNT, WRITE],
            "Condition": {
                "StringEquals": {"elasticfilesystem:AccessPointArn": point},
                "Bool": {"elasticfilesystem:AccessedViaMountTarget": "true"},
            },
        }
    )
    function = network.function()
    if allowed == "mine":
        network.functions.invoke(function, "(mnt / 'x').touch()")
    else:
        assert refused(network, function) == FAILURE


def test_a_function_with_a_file_system_needs_a_vpc(network: Network) -> None:
    mount = [{"Arn": network.point, "LocalMountPath": "/mnt/data"}]
    with pytest.raises(ClientError, match="must be configured to execute in a VPC to reference access point"):
        network.functions.make(RUN, FileSystemConfigs=mount)
    with pytest.raises(ClientError, match=r"fileSystemConfigs.1.member.localMountPath"):
        network.functions.make(RUN, FileSystemConfigs=[{**mount[0], "LocalMountPath": "/data"}])


def test_files_are_deleted_with_their_file_system(network: Network) -> None:
    network.functions.invoke(network.function(), "(mnt / 'note').touch()")
    for target in network.targets:
        network.efs.delete_mount_target(MountTargetId=target)
    network.efs.delete_access_point(AccessPointId=network.point.rpartition("/")[2])
    network.efs.delete_file_system(FileSystemId=network.system)
    network.efs.create_file_system(CreationToken="new")
    network.__post_init__()
    assert network.functions.invoke(network.function(), "found = os.listdir(mnt)").payload == []


def test_still_needed_the_emulator_has_no_files(stock_functions: Functions) -> None:
    function = stock_functions.make(
        RUN, FileSystemConfigs=[{"Arn": "arn:aws:elasticfilesystem:x", "LocalMountPath": "/mnt/data"}]
    )
    assert stock_functions.invoke(function, "os.listdir(mnt)").error
