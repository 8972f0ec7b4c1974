"""The ways of a network, read from a template's security groups."""

from __future__ import annotations

from typing import Any

from tasks.network_facts import ways


def group(name: str) -> dict[str, Any]:
    return {"Fn::GetAtt": [name, "GroupId"]}


def rule(source: str, target: str, port: object) -> dict[str, Any]:
    properties = {"SourceSecurityGroupId": group(source), "GroupId": group(target), "FromPort": port}
    return {"Type": "AWS::EC2::SecurityGroupIngress", "Properties": properties}


TEMPLATE: dict[str, dict[str, Any]] = {
    "Worker": {
        "Type": "AWS::Lambda::Function",
        "Properties": {"VpcConfig": {"SecurityGroupIds": [group("WorkerGroup")]}},
    },
    "Plain": {"Type": "AWS::Lambda::Function", "Properties": {}},
    "Proxy": {"Type": "AWS::RDS::DBProxy", "Properties": {"VpcSecurityGroupIds": [group("ProxyGroup")]}},
    "Database": {"Type": "AWS::RDS::DBInstance", "Properties": {"VPCSecurityGroups": [group("DataGroup")]}},
    "First": rule("WorkerGroup", "ProxyGroup", 5432),
    "Second": rule("ProxyGroup", "DataGroup", {"Fn::GetAtt": ["Database", "Endpoint.Port"]}),
    "Elsewhere": rule("WorkerGroup", "AnotherGroup", 443),
    "FromAddresses": {
        "Type": "AWS::EC2::SecurityGroupIngress",
        "Properties": {"CidrIp": "10.0.0.0/8", "GroupId": group("DataGroup"), "FromPort": 22},
    },
}


def test_a_way_leads_from_members_of_one_group_to_members_of_another() -> None:
    assert list(ways(TEMPLATE)) == [("Worker", "TCP 5432", "Proxy"), ("Proxy", "TCP its port", "Database")]
