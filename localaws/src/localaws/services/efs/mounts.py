"""Functions mount EFS file systems: each access point is a folder, which environments see below `/mnt`.

The emulator has complete records of file systems, mount targets and access points, and no files.

Faithful to: a function with a file system needs a VPC; the root directory of an access point is made with its
permissions when it is first mounted, if the access point says how, and else must exist; the mount needs a
mount target in the zone of each subnet of the function, security groups that let port 2049 pass on both
sides, and, if the file system has a policy, `ClientMount` for the role, in its policies and that of the file
system, over TLS, by mount target and access point; without `ClientWrite` files can only be read. A new
environment that cannot mount fails the invocation with Lambda's error; an environment keeps what it has
mounted. Files are deleted with their file system.
Not to: NFS. A folder of this machine is bound: what one process writes, the others see at once, locks are the
kernel's, and nothing is slow, limited or cut off. Owners and the user of an access point: files belong to the
user of this machine. `ClientRootAccess`. Encryption, storage classes, backups and replication have no effect.
Routes and network access control lists are not asked. Node.js functions, and all functions where there are no
namespaces (macOS), mount nothing.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-filesystem.html
https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-invocation.html
https://docs.aws.amazon.com/efs/latest/ug/efs-access-points.html
https://docs.aws.amazon.com/efs/latest/ug/iam-access-control-nfs-efs.html
"""

from __future__ import annotations

import ipaddress
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ministack.services import ec2, efs

from localaws.patching import around, on_reset
from localaws.refusals import Parameters, Refusal, refuses
from localaws.services.iam.roles import role_allows
from localaws.services.lambda_.start_refusals import StartRefusedError

_NFS = 2049
_CLIENT = "elasticfilesystem:Client"


def mounts_of(config: Mapping[str, Any]) -> Iterator[tuple[str, Path, bool]]:
    """What a new environment mounts: where it is seen, the folder, and whether it can be written.

    Raises:
        StartRefusedError: It cannot be mounted.
    """
    for mount in config.get("FileSystemConfigs") or ():
        arn = mount["Arn"]
        if ":elasticfilesystem:" not in arn:
            continue  # of S3 Files
        point = efs._access_points.get(arn.rpartition("/")[2])
        system = efs._file_systems.get(point["FileSystemId"]) if point else None
        if point is None or system is None:
            raise _failure(arn)
        if not _is_reachable(system["FileSystemId"], config.get("VpcConfig") or {}):
            raise StartRefusedError(
                "EFSMountConnectivityException",
                408,
                f"The function couldn't connect to the Amazon EFS file system with access point {arn}. Check "
                "your network configuration and try again.",
            )
        if not _may(config["Role"], "Mount", system, arn):
            raise _failure(arn)
        yield mount["LocalMountPath"], _root_of(system, point), _may(config["Role"], "Write", system, arn)


def _failure(arn: str) -> StartRefusedError:
    text = f"The function could not mount the EFS file system with access point {arn}."
    return StartRefusedError("EFSMountFailureException", 403, text)


def _may(role: str, action: str, system: Mapping[str, Any], access_point: str) -> bool:
    """Whether a role may use the file system as a client. Without a policy, EFS lets every client."""
    policy = system.get("FileSystemPolicy")
    if not policy:
        return True
    context = {
        "elasticfilesystem:AccessPointArn": access_point,
        "elasticfilesystem:AccessedViaMountTarget": "true",
    }
    owner = system["OwnerId"]
    return role_allows(role, f"{_CLIENT}{action}", system["FileSystemArn"], context, policy=(policy, owner))


def _root_of(system: Mapping[str, Any], point: Mapping[str, Any]) -> Path:
    """The folder of an access point, which is made if it says how.

    https://docs.aws.amazon.com/efs/latest/ug/enforce-root-directory-access-point.html
    """
    root = point.get("RootDirectory") or {}
    folder = _folder_of(system["FileSystemId"])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / str(root.get("Path") or "/").lstrip("/")
    if not path.is_dir():
        if not root.get("CreationInfo"):
            raise _failure(point["AccessPointArn"])
        path.mkdir(parents=True)
        path.chmod(int(root["CreationInfo"]["Permissions"], 8))
    return path


def _folder_of(file_system: str) -> Path:
    return Path(os.environ["STATE_DIR"]).parent / "efs" / file_system


# --- Networks


def _is_reachable(file_system: str, network: Mapping[str, Any]) -> bool:
    """Whether the function reaches a mount target from each of its subnets."""
    targets = [one for one in efs._mount_targets.values() if one["FileSystemId"] == file_system]
    subnets = [ec2._subnets.get(subnet) for subnet in network.get("SubnetIds") or ()]
    return bool(subnets) and all(
        subnet is not None
        and any(
            target["VpcId"] == subnet["VpcId"]
            and target["AvailabilityZoneName"] == subnet["AvailabilityZone"]
            and _passes(network.get("SecurityGroupIds") or (), subnet, target)
            for target in targets
        )
        for subnet in subnets
    )


def _passes(groups: Any, subnet: Mapping[str, Any], target: Mapping[str, Any]) -> bool:
    """Whether the groups of the function let NFS out, and those of the mount target let it in."""
    theirs = target.get("SecurityGroups") or ()
    out = any(
        _matches(rule, theirs, f"{target.get('IpAddress')}/32")
        for group in groups
        for rule in (ec2._security_groups.get(group) or {}).get("IpPermissionsEgress", ())
    )
    inward = any(
        _matches(rule, groups, subnet["CidrBlock"])
        for group in theirs
        for rule in (ec2._security_groups.get(group) or {}).get("IpPermissions", ())
    )
    return out and inward


def _matches(rule: Mapping[str, Any], groups: Any, network: str) -> bool:
    protocol = str(rule.get("IpProtocol"))
    if protocol != "-1" and not (
        protocol in ("tcp", "6") and int(rule.get("FromPort", 0)) <= _NFS <= int(rule.get("ToPort", 65535))
    ):
        return False
    if any(pair.get("GroupId") in groups for pair in rule.get("UserIdGroupPairs") or ()):
        return True
    return any(
        ipaddress.ip_network(network).subnet_of(ipaddress.ip_network(one["CidrIp"]))  # type: ignore[arg-type]
        for one in rule.get("IpRanges") or ()
    )


# --- Functions and file systems


@refuses("lambda", "CreateFunction")
def _without_vpc(function: Parameters) -> Refusal | None:
    network = function.get("VpcConfig") or {}
    for mount in function.get("FileSystemConfigs") or ():
        if not network.get("SubnetIds"):
            text = (
                f"Function must be configured to execute in a VPC to reference access point {mount['Arn']}."
            )
            return Refusal("InvalidParameterValueException", text)
    return None


@around(efs, "_delete_file_system")
def _delete_file_system(stock: Callable[[str], Any], fs_id: str) -> Any:
    answer = stock(fs_id)
    if answer[0] < 300:
        shutil.rmtree(_folder_of(fs_id), ignore_errors=True)
    return answer


@on_reset
def _forget() -> None:
    shutil.rmtree(_folder_of(""), ignore_errors=True)
