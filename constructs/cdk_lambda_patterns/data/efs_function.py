"""Caller → Lambda in private subnets → EFS access point (TLS, IAM) → files that all environments share.

Use it for files that many environments read and change, for files larger than `/tmp`, and for models that are
too large for the code. Do not use it for objects that are written once and read whole (S3), for records
(DynamoDB), or for what only one environment needs (`/tmp`): a file system needs a VPC, and costs per gigabyte
more than S3.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from aws_cdk import RemovalPolicy, Stack, Token
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_efs as efs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from constructs import Construct, IConstruct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.event_sources import Code
from cdk_lambda_patterns.core.function import DEFAULT_HANDLER, HardenedFunction
from cdk_lambda_patterns.core.keys import check_key
from cdk_lambda_patterns.core.network import PrivateNetwork, Service
from cdk_lambda_patterns.core.options import FunctionOptions
from cdk_lambda_patterns.core.regions import OWN_KEYS, check_region
from cdk_lambda_patterns.core.vpcs import is_in_other_vpc
from cdk_lambda_patterns.data.private_function import join, make_function_group

# https://docs.aws.amazon.com/lambda/latest/api/API_FileSystemConfig.html
_MOUNT_PATH = re.compile(r"/mnt/(?!\.{1,2}$)[a-zA-Z0-9-_.]+")
_LONGEST_MOUNT_PATH = 160
# Not root, and the only user of the directory: the user of any other access point gets nothing.
_USER, _PERMISSIONS = "1000", "750"


@check_types
class EfsFunction(Construct):
    """A function that shares files on EFS with its other environments, and with other functions.

    It builds the function in the network, its security group, and, unless an access point is given, a file
    system: encrypted, with automatic backups, a mount target in each Availability Zone of the network, a
    policy that refuses connections without TLS or without a role, and an access point with a directory and
    a user of its own. Port 2049 is open from the function to the mount targets, and nothing else. The
    function depends on the mount targets, because Lambda refuses a function whose mount targets are not
    ready. It gets the environment variable ``MOUNT_PATH``.

    Args:
        code: The folder of the handler, or any ``lambda_.Code``.
        network: The network of function and mount targets.
        handler: ``module.function`` in that folder.
        services: The AWS services that the function calls, as for ``PrivateFunction``. EFS needs none.
        access_point: Owned or imported; an imported one with its file system, and that with its security
            group (``FileSystem.from_file_system_attributes``). Its mount targets must be in the Availability
            Zones of the network. Default: a new file system.
        local_mount_path: Where the function sees the files: ``/mnt/`` and a name.
        enable_automatic_backups: Whether AWS Backup keeps daily backups of a new file system for 35 days.
        lifecycle_policy: When files of a new file system that are not read become cheaper. Default: never.
        encryption_key: Customer managed key of a new file system: symmetric, no imported alias. Default: the
            AWS managed key of EFS.
        environment: Environment variables of the function; ``MOUNT_PATH`` is set by the construct.
        function_options: Settings of the function. Default: 256 MB, 30 seconds.
        removal_policy: What happens to file system and logs when the stack is deleted. Default: they are
            retained.

    Raises:
        ValueError: A value is not allowed, an imported access point has no file system, options of a new file
            system are given together with an access point, ``environment`` has ``MOUNT_PATH``, or an owned
            file system has no mount target in an Availability Zone of the function.

    Attributes:
        function (HardenedFunction): The function.
        access_point (IAccessPoint): The access point: give it to further functions.
        file_system (IFileSystem): The file system.
        security_group (SecurityGroup): The function's security group.

    Example::

        files = EfsFunction(self, "Files", code="worker", network=PrivateNetwork(self, "Network"))
        files.function.grant_invoke(website)

    https://docs.aws.amazon.com/lambda/latest/dg/configuration-filesystem.html
    https://docs.aws.amazon.com/efs/latest/ug/iam-access-control-nfs-efs.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        code: Code,
        network: PrivateNetwork,
        handler: str = DEFAULT_HANDLER,
        services: Sequence[Service] = (),
        access_point: efs.IAccessPoint | None = None,
        local_mount_path: str = "/mnt/files",
        enable_automatic_backups: bool = True,
        lifecycle_policy: efs.LifecyclePolicy | None = None,
        encryption_key: kms.IKey | None = None,
        environment: Mapping[str, str] | None = None,
        function_options: FunctionOptions | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        _check_mount_path(local_mount_path)
        if "MOUNT_PATH" in (environment or {}):
            raise ValueError("environment: the construct sets MOUNT_PATH itself; give local_mount_path.")
        of_new_ones = {
            "enable_automatic_backups": not enable_automatic_backups,
            "lifecycle_policy": lifecycle_policy is not None,
            "encryption_key": encryption_key is not None,
        }
        if access_point is not None and any(of_new_ones.values()):
            names = ", ".join(name for name, given in of_new_ones.items() if given)
            raise ValueError(
                f"{names} cannot be combined with access_point; configure its file system itself."
            )
        check_region(
            scope, "Lambda mounts file systems of its own Region only", {"access_point": access_point}
        )
        encryption_key = check_key("encryption_key", encryption_key)
        check_region(scope, OWN_KEYS, {"encryption_key": encryption_key})
        super().__init__(scope, id)
        if access_point is None:
            access_point = self._make_file_system(
                network, enable_automatic_backups, lifecycle_policy, encryption_key, removal_policy
            )
        self.access_point: efs.IAccessPoint = access_point
        self.file_system: efs.IFileSystem = _file_system_of(access_point)
        _check_vpc(self.file_system, network)
        _check_zones(self.file_system, network)
        self.security_group = make_function_group(self, "Function", network, services)
        self.function = HardenedFunction(
            self,
            "Function",
            code=code,
            handler=handler,
            environment={**(environment or {}), "MOUNT_PATH": local_mount_path},
            options=function_options,
            network=replace(
                join(network, self.security_group), filesystem=self._mounted_at(local_mount_path)
            ),
            removal_policy=removal_policy,
        )

    def _mounted_at(self, path: str) -> lambda_.FileSystem:
        """What `FileSystem.from_efs_access_point` returns, which grants ClientMount on all file systems."""
        access_point, file_system = self.access_point, self.file_system
        return lambda_.FileSystem(
            arn=access_point.access_point_arn,
            local_mount_path=path,
            connections=file_system.connections,
            dependency=[file_system.mount_targets_available],
            policies=[
                iam.PolicyStatement(
                    actions=["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"],
                    resources=[file_system.file_system_arn],
                    conditions={
                        "StringEquals": {"elasticfilesystem:AccessPointArn": access_point.access_point_arn}
                    },
                )
            ],
        )

    def _make_file_system(
        self,
        network: PrivateNetwork,
        enable_automatic_backups: bool,
        lifecycle_policy: efs.LifecyclePolicy | None,
        encryption_key: kms.IKey | None,
        removal_policy: RemovalPolicy,
    ) -> efs.AccessPoint:
        group = network.make_security_group(self, "FileSystemSecurityGroup", "Mount targets: inbound NFS")
        file_system = efs.FileSystem(
            self,
            "FileSystem",
            vpc=network.vpc,
            vpc_subnets=_one_in_each_zone(network),
            security_group=group,
            encrypted=True,
            kms_key=encryption_key,
            enable_automatic_backups=enable_automatic_backups,
            lifecycle_policy=lifecycle_policy,
            removal_policy=removal_policy,
        )
        # Any policy makes EFS ask for permissions: without one, it lets every client of the network mount.
        resource = file_system.node.default_child
        assert isinstance(resource, efs.CfnFileSystem)
        resource.file_system_policy = iam.PolicyDocument(
            statements=[
                iam.PolicyStatement(
                    effect=iam.Effect.DENY,
                    principals=[iam.AnyPrincipal()],
                    actions=["*"],
                    conditions={"Bool": {"aws:SecureTransport": "false"}},
                )
            ]
        )
        return file_system.add_access_point(
            "AccessPoint",
            path="/files",
            create_acl=efs.Acl(owner_uid=_USER, owner_gid=_USER, permissions=_PERMISSIONS),
            posix_user=efs.PosixUser(uid=_USER, gid=_USER),
        )


def _one_in_each_zone(network: PrivateNetwork) -> ec2.SubnetSelection:
    """The subnets of the mount targets: a file system has one in each Availability Zone."""
    # `one_per_az` has no effect on subnets that are listed.
    by_zone = {subnet.availability_zone: subnet for subnet in reversed(_subnets_of(network))}
    return ec2.SubnetSelection(subnets=list(reversed(by_zone.values())))


def _subnets_of(network: PrivateNetwork) -> list[ec2.ISubnet]:
    chosen = network.subnets
    selected = network.vpc.select_subnets(
        availability_zones=chosen.availability_zones,
        one_per_az=chosen.one_per_az,
        subnet_filters=chosen.subnet_filters,
        subnet_group_name=chosen.subnet_group_name,
        subnets=chosen.subnets,
        subnet_type=chosen.subnet_type,
    )
    return list(selected.subnets)


def _file_system_of(access_point: efs.IAccessPoint) -> efs.IFileSystem:
    try:
        return access_point.file_system
    except RuntimeError:
        raise ValueError(
            f"access_point={access_point.node.path}: it is imported without its file system, whose security "
            "group must let the function in; use AccessPoint.from_access_point_attributes with file_system."
        ) from None


def _check_vpc(file_system: efs.IFileSystem, network: PrivateNetwork) -> None:
    for group in file_system.connections.security_groups:
        if is_in_other_vpc(group, network.vpc):
            raise ValueError(
                f"access_point: the mount targets of {file_system.node.path} are in another VPC than the "
                f"function, {network.vpc.node.path}; give one of this VPC, or make the function in that one."
            )


def _check_zones(file_system: efs.IFileSystem, network: PrivateNetwork) -> None:
    """Refuse a function in a zone without a mount target, where the mount targets are made in this app.

    https://docs.aws.amazon.com/lambda/latest/dg/configuration-filesystem.html
    """
    used = {subnet.subnet_id: subnet.availability_zone for subnet in _subnets_of(network)}
    known = {subnet.subnet_id: subnet.availability_zone for subnet in _all_subnets(network.vpc)} | used
    mounted = _zones_of(file_system.node.children, file_system, known)
    if not mounted:  # it is imported
        return
    missing = {*used.values()} - mounted
    if missing:  # others may have been made for it elsewhere in the stack
        mounted = _zones_of(Stack.of(file_system).node.find_all(), file_system, known)
        missing -= mounted
    if missing and None not in mounted:
        raise ValueError(
            f"access_point: {file_system.node.path} has no mount target in {', '.join(sorted(missing))}, "
            "where the function may run; make the file system with a subnet of each zone (vpc_subnets), or "
            "give the network only subnets of its zones."
        )


def _zones_of(
    found: Sequence[IConstruct], file_system: efs.IFileSystem, known: Mapping[str, str]
) -> set[str | None]:
    """The zones of the mount targets of a file system; with None if one is in a subnet unknown here."""
    return {
        known.get(one.subnet_id)
        for one in found
        if isinstance(one, efs.CfnMountTarget) and one.file_system_id == file_system.file_system_id
    }


def _all_subnets(vpc: ec2.IVpc) -> list[ec2.ISubnet]:
    return [*vpc.public_subnets, *vpc.private_subnets, *vpc.isolated_subnets]


def _check_mount_path(path: str) -> None:
    if Token.is_unresolved(path) or (_MOUNT_PATH.fullmatch(path) and len(path) <= _LONGEST_MOUNT_PATH):
        return
    raise ValueError(
        f"local_mount_path={path!r}: Lambda allows /mnt/ and one name of letters, digits, hyphens, "
        "underscores and full stops, 160 characters in all; give such a path."
    )
