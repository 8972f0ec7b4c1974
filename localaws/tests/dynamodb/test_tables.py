"""Tables have the properties of their template."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.stacks import DeploymentFailedError, Resources, Stack, arn, deploy, ref
from localaws import LocalAws

pytestmark = pytest.mark.local

STATEMENT = {"Effect": "Allow", "Principal": "*", "Action": "dynamodb:GetItem", "Resource": "*"}
PROPERTIES = {
    "TimeToLiveSpecification": {"AttributeName": "expires", "Enabled": True},
    "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
    "SSESpecification": {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": arn("Key")},
    "TableClass": "STANDARD_INFREQUENT_ACCESS",
    "ResourcePolicy": {"PolicyDocument": {"Version": "2012-10-17", "Statement": [STATEMENT]}},
    "DeletionProtectionEnabled": True,
}
OUTPUTS = {"Name": ref("Table"), "Arn": arn("Table"), "Key": arn("Key")}


def resources(**properties: Any) -> Resources:
    """A table and a key."""
    table = {
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
    }
    return {
        "Table": {"Type": "AWS::DynamoDB::Table", "Properties": table | properties},
        "Key": {"Type": "AWS::KMS::Key", "Properties": {}},
    }


def global_table(**of_replica: Any) -> Resources:
    """The same as a global table with one replica, as TableV2 of the CDK makes it."""
    found = resources(StreamSpecification={"StreamViewType": "KEYS_ONLY"})
    shared = ("TimeToLiveSpecification", "SSESpecification")
    found["Table"]["Type"] = "AWS::DynamoDB::GlobalTable"
    found["Table"]["Properties"] |= {name: of_replica.pop(name) for name in shared if name in of_replica}
    if "SSESpecification" in found["Table"]["Properties"]:
        encryption = dict(found["Table"]["Properties"]["SSESpecification"])
        of_replica["SSESpecification"] = {"KMSMasterKeyId": encryption.pop("KMSMasterKeyId")}
        found["Table"]["Properties"]["SSESpecification"] = encryption
    found["Table"]["Properties"]["Replicas"] = [{"Region": ref("AWS::Region"), **of_replica}]
    return found


def described(aws: LocalAws, stack: Stack) -> dict[str, Any]:
    """The settings of the table that DynamoDB's calls return."""
    dynamodb, name = aws.client("dynamodb"), stack.outputs["Name"]
    table = dynamodb.describe_table(TableName=name)["Table"]
    backups = dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    try:
        policy = json.loads(dynamodb.get_resource_policy(ResourceArn=stack.outputs["Arn"])["Policy"])
    except dynamodb.exceptions.PolicyNotFoundException:
        policy = None
    return {
        "ttl": dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"],
        "recovery": backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"],
        "encryption": table.get("SSEDescription"),
        "class": table.get("TableClassSummary", {}).get("TableClass"),
        "protected": table["DeletionProtectionEnabled"],
        "policy": policy,
    }


def test_a_table_has_the_properties_of_its_template(local_aws: LocalAws) -> None:
    stack = deploy(local_aws, resources(**PROPERTIES), OUTPUTS)
    assert described(local_aws, stack) == {
        "ttl": {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires"},
        "recovery": "ENABLED",
        "encryption": {"Status": "ENABLED", "SSEType": "KMS", "KMSMasterKeyArn": stack.outputs["Key"]},
        "class": "STANDARD_INFREQUENT_ACCESS",
        "protected": True,
        "policy": PROPERTIES["ResourcePolicy"]["PolicyDocument"],  # type: ignore[index]
    }
    dropped = [found for found in local_aws.dropped_properties() if found.stack == stack.name]
    assert [found for found in dropped if found.logical_id == "Table"] == []


def test_a_global_table_has_the_properties_of_its_replica_in_this_region(local_aws: LocalAws) -> None:
    tags = [{"Key": "owner", "Value": "shop"}]
    stack = deploy(local_aws, global_table(**PROPERTIES, Tags=tags), OUTPUTS)
    assert described(local_aws, stack) == {
        "ttl": {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires"},
        "recovery": "ENABLED",
        "encryption": {"Status": "ENABLED", "SSEType": "KMS", "KMSMasterKeyArn": stack.outputs["Key"]},
        "class": "STANDARD_INFREQUENT_ACCESS",
        "protected": True,
        "policy": PROPERTIES["ResourcePolicy"]["PolicyDocument"],  # type: ignore[index]
    }
    dynamodb = local_aws.client("dynamodb")
    assert dynamodb.list_tags_of_resource(ResourceArn=stack.outputs["Arn"])["Tags"] == tags
    table = dynamodb.describe_table(TableName=stack.outputs["Name"])["Table"]
    assert table["StreamSpecification"] == {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
    assert table["LatestStreamArn"] == f"{table['TableArn']}/stream/{table['LatestStreamLabel']}"
    assert not table["LatestStreamLabel"].endswith("Z")
    dynamodb.put_item(TableName=stack.outputs["Name"], Item={"id": {"S": "kept"}})
    found = described(local_aws, stack.update(global_table(), OUTPUTS))
    assert dynamodb.scan(TableName=stack.outputs["Name"])["Items"] == [{"id": {"S": "kept"}}]
    assert (found["ttl"]["TimeToLiveStatus"], found["recovery"]) == ("DISABLED", "DISABLED")
    assert (found["class"], found["protected"], found["policy"]) == ("STANDARD", False, None)


def test_another_view_type_is_another_stream(local_aws: LocalAws) -> None:
    outputs = {**OUTPUTS, "Stream": {"Fn::GetAtt": ["Table", "StreamArn"]}}
    stack = deploy(local_aws, resources(StreamSpecification={"StreamViewType": "KEYS_ONLY"}), outputs)
    first = stack.outputs["Stream"]
    stack = stack.update(resources(StreamSpecification={"StreamViewType": "NEW_IMAGE"}), outputs)
    table = local_aws.client("dynamodb").describe_table(TableName=stack.outputs["Name"])["Table"]
    assert table["StreamSpecification"]["StreamViewType"] == "NEW_IMAGE"
    assert first != stack.outputs["Stream"] == table["LatestStreamArn"]


def test_properties_removed_from_the_template_are_removed(local_aws: LocalAws) -> None:
    stack = deploy(local_aws, resources(**PROPERTIES), OUTPUTS).update(resources(), OUTPUTS)
    found = described(local_aws, stack)
    assert found["ttl"]["TimeToLiveStatus"] == "DISABLED"
    assert found["recovery"] == "DISABLED"
    assert found["encryption"]["Status"] == "DISABLED"
    assert (found["class"], found["protected"], found["policy"]) == ("STANDARD", False, None)


def test_another_time_to_live_attribute_replaces_the_first(local_aws: LocalAws) -> None:
    stack = deploy(local_aws, resources(**PROPERTIES), OUTPUTS)
    other = PROPERTIES | {"TimeToLiveSpecification": {"AttributeName": "until", "Enabled": "true"}}
    stack.update(resources(**other), OUTPUTS)
    assert described(local_aws, stack)["ttl"] == {"TimeToLiveStatus": "ENABLED", "AttributeName": "until"}


def test_a_setting_that_dynamodb_refuses_fails_the_deployment(local_aws: LocalAws) -> None:
    with pytest.raises(DeploymentFailedError, match="TableClass"):
        deploy(local_aws, resources(TableClass="CHEAP"))


def test_a_protected_table_is_not_deleted_with_its_stack(local_aws: LocalAws) -> None:
    stack = deploy(local_aws, resources(DeletionProtectionEnabled=True), OUTPUTS)
    with pytest.raises(DeploymentFailedError, match="has deletion protection"):
        stack.delete()
    assert described(local_aws, stack)["protected"]


def test_an_unprotected_table_is_deleted_with_its_stack(local_aws: LocalAws) -> None:
    stack = deploy(local_aws, resources(), OUTPUTS)
    stack.delete()
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        described(local_aws, stack)


def test_the_emulator_still_drops_properties_of_tables(stock_aws: LocalAws) -> None:
    found = described(stock_aws, deploy(stock_aws, resources(**PROPERTIES), OUTPUTS))
    assert found["ttl"]["TimeToLiveStatus"] == "DISABLED"
    assert found["recovery"] == "DISABLED"
    assert (found["encryption"], found["class"], found["policy"]) == (None, None, None)


def test_the_emulator_still_deletes_protected_tables(stock_aws: LocalAws) -> None:
    deploy(stock_aws, resources(DeletionProtectionEnabled=True)).delete()
