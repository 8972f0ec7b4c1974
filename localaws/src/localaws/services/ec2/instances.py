"""`AWS::EC2::Instance`, and the public parameters with the newest images of Amazon Linux that it is given.

The emulator's CloudFormation lacks the type, and it has the parameters of two images only. So a VPC of the
CDK with NAT instances cannot be deployed.

Faithful to: the names of the parameters; `Ref`, attributes, security groups, the source/destination check and
tags of an instance.
Not to: the instance itself, which nothing runs; changes without a new instance, except to tags; the images,
which are the two that the emulator knows, whatever the processor.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-ec2-instance.html
https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-public-parameters-ami.html
https://docs.aws.amazon.com/linux/al2023/ug/ec2.html
"""

from __future__ import annotations

import itertools
from typing import Any

from ministack.services import ec2, ssm

from localaws.patching import Properties, changes, new_resource
from localaws.services.ec2.networks import call, declare_tagged

_FOLDER = "/aws/service/ami-amazon-linux-latest"
_PROCESSORS = ("arm64", "x86_64")


@changes(ssm, "_PUBLIC_AMI_PARAMETERS")
def _public_ami_parameters(known: dict[str, str]) -> dict[str, str]:
    newest = known[f"{_FOLDER}/al2023-ami-kernel-default-x86_64"]
    second = known[f"{_FOLDER}/amzn2-ami-hvm-x86_64-gp2"]
    found = {
        f"{_FOLDER}/al2023-ami-{minimal}kernel-{kernel}-{processor}": newest
        for minimal, kernel, processor in itertools.product(
            ("", "minimal-"), ("default", "6.1", "6.12", "6.18"), _PROCESSORS
        )
    }
    found |= {
        f"{_FOLDER}/amzn2-ami-{kernel}hvm-{processor}-{disk}": second
        for kernel, processor, disk in itertools.product(("", "kernel-5.10-"), _PROCESSORS, ("ebs", "gp2"))
    }
    return found | known


def launch(properties: Properties) -> str:
    """Start an instance with the properties of a template; returns its id."""
    subnet = ec2._subnets.get(properties.get("SubnetId"))
    if properties.get("SubnetId") and subnet is None:
        raise ValueError(f"The subnet ID '{properties['SubnetId']}' does not exist")
    zone = properties.get("AvailabilityZone")
    if subnet is not None and zone not in (None, subnet["AvailabilityZone"]):
        raise ValueError(f"The subnet {subnet['SubnetId']} is in {subnet['AvailabilityZone']}, not in {zone}")
    groups = properties.get("SecurityGroupIds") or []
    if missing := [one for one in groups if one not in ec2._security_groups]:
        raise ValueError(f"The security group '{missing[0]}' does not exist")
    given = {
        name: properties.get(name) for name in ("ImageId", "InstanceType", "KeyName", "SubnetId", "UserData")
    }
    given |= {f"SecurityGroupId.{number}": one for number, one in enumerate(groups, 1)}
    given["IamInstanceProfile.Name"] = properties.get("IamInstanceProfile")
    made = call(ec2._run_instances, given, "instanceId")
    record = ec2._instances[made]
    record["SourceDestCheck"] = str(properties.get("SourceDestCheck", True)).lower() == "true"
    if zone:
        record["Placement"]["AvailabilityZone"] = zone
    if subnet is not None:
        record["Placement"]["AvailabilityZone"] = subnet["AvailabilityZone"]
        if str(subnet.get("MapPublicIpOnLaunch", False)).lower() != "true":
            record["PublicIpAddress"] = ""
    return made


def terminate(instance: str) -> None:
    """Terminate an instance."""
    if instance in ec2._instances:
        call(ec2._terminate_instances, {"InstanceId.1": instance})


def _attributes(instance: str) -> dict[str, Any]:
    record = ec2._instances[instance]
    return {
        "AvailabilityZone": record["Placement"]["AvailabilityZone"],
        "InstanceId": instance,
        "PrivateDnsName": record["PrivateDnsName"],
        "PrivateIp": record["PrivateIpAddress"],
        "PublicDnsName": record["PublicDnsName"],
        "PublicIp": record["PublicIpAddress"],
        "VpcId": record["VpcId"],
    }


declare_tagged(
    new_resource(
        "AWS::EC2::Instance",
        replaced_by=(
            *("AvailabilityZone", "IamInstanceProfile", "ImageId", "InstanceType", "KeyName"),
            *("SecurityGroupIds", "SourceDestCheck", "SubnetId", "UserData"),
        ),
        stack_tags=True,
    ),
    launch,
    terminate,
    _attributes,
    tagged="InstanceId",
)
