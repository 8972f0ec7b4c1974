"""EfsFunction: the file system, who may connect and mount, and what exists already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import App, Environment, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_efs as efs
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_

from cdk_lambda_patterns import PrivateNetwork
from cdk_lambda_patterns.data.efs_function import EfsFunction
from tests.templates import Resources, stack_with

CODE = lambda_.Code.from_inline("def handler(event, context): return event")


def make(stack: Stack, id: str = "Files", **more: Any) -> EfsFunction:
    network = more.pop("network", None) or PrivateNetwork(stack, "Network")
    return EfsFunction(stack, id, code=CODE, handler="index.handler", network=network, **more)


def imported_point(stack: Stack) -> efs.IAccessPoint:
    group = ec2.SecurityGroup.from_security_group_id(stack, "Theirs", "sg-0")
    system = efs.FileSystem.from_file_system_attributes(
        stack, "System", file_system_id="fs-0", security_group=group
    )
    return efs.AccessPoint.from_access_point_attributes(
        stack, "Point", access_point_id="fsap-0", file_system=system
    )


@stack_with
def owned(stack: Stack) -> None:
    network = PrivateNetwork(stack, "Network")
    first = make(stack, network=network)
    make(stack, "More", network=network, access_point=first.access_point)


@stack_with
def imported(stack: Stack) -> None:
    make(stack, access_point=imported_point(stack), local_mount_path="/mnt/their.files")


@stack_with
def several_subnets(stack: Stack) -> None:
    vpc = ec2.Vpc(
        stack,
        "Vpc",
        max_azs=2,
        nat_gateways=0,
        subnet_configuration=[
            ec2.SubnetConfiguration(name=name, subnet_type=ec2.SubnetType.PRIVATE_ISOLATED) for name in "ab"
        ],
    )
    make(stack, network=PrivateNetwork(stack, "Network", vpc=vpc))


def mounted(stack: Stack, network: PrivateNetwork, id: str, zones: int) -> efs.AccessPoint:
    subnets = ec2.SubnetSelection(subnets=network.vpc.isolated_subnets[:zones])
    return efs.FileSystem(stack, id, vpc=network.vpc, vpc_subnets=subnets).add_access_point("Point")


def test_a_zone_of_the_function_without_a_mount_target_is_refused() -> None:
    stack = Stack(App(), "Stack")
    network = PrivateNetwork(stack, "Network")
    first = ec2.SubnetSelection(subnets=network.vpc.isolated_subnets[:1])
    narrow = PrivateNetwork(stack, "Narrow", vpc=network.vpc, vpc_subnets=first)
    small = mounted(stack, network, "Small", zones=1)
    with pytest.raises(ValueError, match=r"access_point: Stack/Small has no mount target in .*, where"):
        make(stack, "A", network=network, access_point=small)
    make(stack, "B", network=network, access_point=mounted(stack, network, "Large", zones=2))
    make(stack, "C", network=narrow, access_point=small)
    second = network.vpc.isolated_subnets[1].subnet_id
    efs.CfnMountTarget(
        stack, "Own", file_system_id=small.file_system.file_system_id, subnet_id=second, security_groups=[]
    )
    make(stack, "D", network=network, access_point=small)


@stack_with
def chosen(stack: Stack) -> None:
    make(
        stack,
        enable_automatic_backups=False,
        lifecycle_policy=efs.LifecyclePolicy.AFTER_7_DAYS,
        encryption_key=kms.Key(stack, "Key"),
    )


def test_a_new_file_system_is_encrypted_backed_up_retained_and_in_each_zone(owned: Resources) -> None:
    (name,) = owned.all("AWS::EFS::FileSystem")
    system = owned.template["Resources"][name]
    assert (system["DeletionPolicy"], system["UpdateReplacePolicy"]) == ("Retain", "Retain")
    assert (system["Properties"]["Encrypted"], system["Properties"]["BackupPolicy"]) == (
        True,
        {"Status": "ENABLED"},
    )
    assert len(owned.all("AWS::EFS::MountTarget")) == 2


def test_a_connection_needs_tls_and_a_role_because_the_policy_allows_nothing(owned: Resources) -> None:
    policy = owned.only("AWS::EFS::FileSystem")["FileSystemPolicy"]["Statement"]
    assert policy == [
        {
            "Action": "*",
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            "Effect": "Deny",
            "Principal": {"AWS": "*"},
        }
    ]
    for role in ("FilesFunction", "MoreFunction"):
        (use,) = [one for one in owned.statements(role) if "elasticfilesystem" in str(one["Action"])]
        assert use["Action"] == ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"]
        assert use["Resource"] != "*"
        assert "elasticfilesystem:AccessPointArn" in use["Condition"]["StringEquals"]


def test_the_directory_belongs_to_one_user_who_is_not_root(owned: Resources) -> None:
    point = owned.only("AWS::EFS::AccessPoint")
    assert point["PosixUser"] == {"Uid": "1000", "Gid": "1000"}
    creation = {"OwnerUid": "1000", "OwnerGid": "1000", "Permissions": "750"}
    assert point["RootDirectory"] == {"Path": "/files", "CreationInfo": creation}


def test_port_2049_and_no_other_is_open_from_function_to_mount_targets(owned: Resources) -> None:
    rules = [
        *owned.all("AWS::EC2::SecurityGroupIngress").values(),
        *owned.all("AWS::EC2::SecurityGroupEgress").values(),
    ]
    assert {(one["IpProtocol"], one["FromPort"], one["ToPort"]) for one in rules} == {("tcp", 2049, 2049)}
    assert len(rules) == 4  # of two functions
    for group in owned.all("AWS::EC2::SecurityGroup").values():
        assert "SecurityGroupIngress" not in group
        assert all("Disallow" in one["Description"] for one in group.get("SecurityGroupEgress", []))


@pytest.mark.parametrize("name", ["FilesFunction", "MoreFunction"])
def test_the_function_waits_for_the_mount_targets(owned: Resources, name: str) -> None:
    (function,) = [
        one
        for logical_id, one in owned.template["Resources"].items()
        if one["Type"] == "AWS::Lambda::Function" and logical_id.startswith(name)
    ]
    assert owned.all("AWS::EFS::MountTarget").keys() <= set(function["DependsOn"])
    assert function["Properties"]["FileSystemConfigs"][0]["LocalMountPath"] == "/mnt/files"
    assert function["Properties"]["Environment"]["Variables"]["MOUNT_PATH"] == "/mnt/files"


def test_of_several_subnets_in_a_zone_one_has_a_mount_target(several_subnets: Resources) -> None:
    assert len(several_subnets.all("AWS::EC2::Subnet")) == 4
    assert len(several_subnets.all("AWS::EFS::MountTarget")) == 2


def test_an_imported_access_point_makes_nothing_and_opens_the_imported_group(imported: Resources) -> None:
    assert not imported.all("AWS::EFS::FileSystem")
    assert imported.only("AWS::EC2::SecurityGroupIngress")["GroupId"] == "sg-0"
    mounts = imported.only("AWS::Lambda::Function")["FileSystemConfigs"]
    assert mounts[0]["LocalMountPath"] == "/mnt/their.files"


def test_a_new_file_system_takes_its_options(chosen: Resources) -> None:
    system = chosen.only("AWS::EFS::FileSystem")
    assert system["LifecyclePolicies"] == [{"TransitionToIA": "AFTER_7_DAYS"}]
    assert system["KmsKeyId"]["Fn::GetAtt"][0].startswith("Key")
    assert system.get("BackupPolicy", {"Status": "DISABLED"}) == {"Status": "DISABLED"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            lambda _: {"local_mount_path": "/data"},
            "local_mount_path='/data': Lambda allows /mnt/ and one name",
        ),
        (lambda _: {"local_mount_path": "/mnt/a/b"}, "local_mount_path="),
        (lambda _: {"local_mount_path": "/mnt/"}, "local_mount_path="),
        (lambda _: {"local_mount_path": "/mnt/.."}, "local_mount_path="),
        (lambda _: {"local_mount_path": "/mnt/."}, "local_mount_path="),
        (lambda _: {"environment": {"MOUNT_PATH": "/mnt/x"}}, "environment: the construct sets MOUNT_PATH"),
        (lambda _: {"local_mount_path": "/mnt/" + "x" * 156}, "local_mount_path="),
        (
            lambda s: {"access_point": imported_point(s), "enable_automatic_backups": False},
            "enable_automatic_backups cannot be combined with access_point",
        ),
        (
            lambda s: {
                "access_point": imported_point(s),
                "lifecycle_policy": efs.LifecyclePolicy.AFTER_7_DAYS,
                "encryption_key": kms.Key(s, "Key"),
            },
            "lifecycle_policy, encryption_key cannot be combined",
        ),
        (
            lambda s: {
                "access_point": efs.FileSystem(s, "There", vpc=ec2.Vpc(s, "Vpc")).add_access_point("Point")
            },
            "access_point: the mount targets of Stack/There are in another VPC than the function, Stack/Netw",
        ),
        (
            lambda s: {"access_point": efs.AccessPoint.from_access_point_id(s, "Point", "fsap-0")},
            "access_point=Stack/Point: it is imported without its file system",
        ),
        (
            lambda s: {
                "encryption_key": kms.Key.from_key_arn(s, "Key", "arn:aws:kms:eu-west-2:123456789012:key/k")
            },
            "encryption_key=.*eu-west-2",
        ),
        (
            lambda s: {"encryption_key": kms.Key(s, "Key", key_spec=kms.KeySpec.RSA_2048)},
            "encryption_key=Stack/Key: .* this one is RSA_2048",
        ),
    ],
)
def test_what_cannot_work_is_refused(arguments: Callable[[Stack], dict[str, Any]], message: str) -> None:
    stack = Stack(App(), "Stack", env=Environment(account="123456789012", region="eu-west-1"))
    with pytest.raises(ValueError, match=message):
        make(stack, **arguments(stack))
