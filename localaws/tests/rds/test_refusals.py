"""RDS refuses databases, subnet groups and proxies with AWS's error codes, in templates and in requests."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.databases import MASTER, cluster, instance, new_name, parameters
from helpers.deployed_proxies import network, proxy_resources
from helpers.stacks import DeploymentFailedError, Resources, Stack, deploy, ref
from localaws import LocalAws

pytestmark = pytest.mark.local

NAMES = {
    "MasterUsername admin cannot be used as it is a reserved word used by the engine": {
        "MasterUsername": "admin"
    },
    "MasterUsername RdsAdmin cannot be used as it is a reserved word": {"MasterUsername": "RdsAdmin"},
    'MasterUsername pg_dba cannot be used because role names starting with "pg_" are reserved': {
        "MasterUsername": "pg_dba"
    },
    "Invalid master user name": {"MasterUsername": "my-app"},
    "Invalid master user name ": {"MasterUsername": "1app"},
    "Invalid master user name  ": {"MasterUsername": "x" * 64},
    "DBName must begin with a letter and contain only alphanumeric characters": {"DBName": "my-app"},
    "DBName must begin with a letter": {"DBName": "1app"},
    "DBName grant cannot be used.  It is a reserved word for this engine": {"DBName": "grant"},
}


def created(aws: LocalAws, **changed: Any) -> Any:
    """Create an instance by a request."""
    name = new_name("database")
    settings = {"Engine": "postgres", "DBInstanceClass": "db.t4g.micro", **MASTER, **changed}
    return aws.client("rds").create_db_instance(DBInstanceIdentifier=name, **settings)["DBInstance"]


@pytest.mark.parametrize("message", NAMES)
def test_a_name_is_refused(local_aws: LocalAws, message: str) -> None:
    with pytest.raises(ClientError) as raised:
        created(local_aws, **NAMES[message])
    assert raised.value.response["Error"]["Code"] == "InvalidParameterValue"
    assert message.strip() in raised.value.response["Error"]["Message"]


def test_names_are_refused_by_engine(local_aws: LocalAws) -> None:
    with pytest.raises(ClientError, match="Invalid master user name"):
        created(local_aws, Engine="mysql", MasterUsername="x" * 17)
    with pytest.raises(ClientError, match="DBName sys cannot be used"):
        created(local_aws, Engine="mysql", DBName="sys")
    assert created(local_aws, Engine="mysql", MasterUsername="admin")["MasterUsername"] == "admin"


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (instance(MasterUsername="admin"), "MasterUsername admin cannot be used as it is a reserved word"),
        (instance(DBName="my-app"), "DBName must begin with a letter"),
        (cluster(MasterUsername="my-app"), "Invalid master user name"),
        (instance(BackupRetentionPeriod=36), "Invalid backup retention period: 36. Retention period must be"),
        (cluster(DatabaseName="admin"), "DatabaseName admin cannot be used"),
        (
            cluster(ServerlessV2ScalingConfiguration={"MinCapacity": 0.7, "MaxCapacity": 1}),
            "Serverless v2 capacity value 0.7 is not valid. It must be a multiple of 0.5",
        ),
        (
            cluster(ServerlessV2ScalingConfiguration={"MinCapacity": 1, "MaxCapacity": 257}),
            "Serverless v2 capacity value 257.0 is not valid. The valid scaling range",
        ),
    ],
)
def test_a_template_is_refused(local_aws: LocalAws, made: dict[str, Any], reason: str) -> None:
    kind = "DB" if made["Type"].endswith("Instance") else "DBCluster"
    with pytest.raises(DeploymentFailedError, match=reason):
        deploy(local_aws, {"Parameters": parameters(kind), "Database": made})


# --- Networks


@pytest.fixture(scope="module")
def two(local_aws: LocalAws) -> Stack:
    """A VPC with two subnets and their group, and another VPC with a security group."""
    other = {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.9.0.0/16"}}
    group = {
        "Type": "AWS::EC2::SecurityGroup",
        "Properties": {"GroupDescription": "x", "VpcId": ref("Other")},
    }
    resources: Resources = {**network(), "Other": other, "Group": group}
    outputs = {name: ref(name) for name in ("Vpc", "Subnet0", "Subnet1", "Subnets", "Other")}
    outputs["Group"] = {"Fn::GetAtt": ["Group", "GroupId"]}  # type: ignore[dict-item]
    return deploy(local_aws, resources, outputs)


def test_a_subnet_group_needs_two_availability_zones(local_aws: LocalAws, two: Stack) -> None:
    rds, about = local_aws.client("rds"), {"DBSubnetGroupDescription": "test"}
    one = [two.outputs["Subnet0"]]
    for call, name in (
        (rds.create_db_subnet_group, new_name("group")),
        (rds.modify_db_subnet_group, two.outputs["Subnets"]),
    ):
        with pytest.raises(ClientError) as raised:
            call(DBSubnetGroupName=name, SubnetIds=one, **about)
        assert raised.value.response["Error"]["Code"] == "DBSubnetGroupDoesNotCoverEnoughAZs"
        assert "Current AZ coverage: us-east-1a. Add subnets to cover at least 2 AZs." in str(raised.value)
    properties = {**about, "SubnetIds": one}
    with pytest.raises(DeploymentFailedError, match="Current AZ coverage: us-east-1a"):
        deploy(local_aws, {"Group": {"Type": "AWS::RDS::DBSubnetGroup", "Properties": properties}})


def test_a_security_group_of_another_vpc_is_refused(local_aws: LocalAws, two: Stack) -> None:
    subnets, group = two.outputs["Subnets"], two.outputs["Group"]
    message = f"The DB instance is in {two.outputs['Vpc']} and the EC2 security group is in"
    with pytest.raises(ClientError, match=message) as raised:
        created(local_aws, DBSubnetGroupName=subnets, VpcSecurityGroupIds=[group])
    assert raised.value.response["Error"]["Code"] == "InvalidParameterCombination"
    found = created(local_aws, Engine="mysql", DBSubnetGroupName=subnets)["DBInstanceIdentifier"]
    with pytest.raises(ClientError, match=message):
        local_aws.client("rds").modify_db_instance(DBInstanceIdentifier=found, VpcSecurityGroupIds=[group])
    made = instance(DBSubnetGroupName=subnets, VPCSecurityGroups=[group])
    with pytest.raises(DeploymentFailedError, match=message):
        deploy(local_aws, {"Parameters": parameters(), "Database": made})


# --- Versions


def test_a_major_version_gets_a_minor_one_and_keeps_it(local_aws: LocalAws) -> None:
    resources = {"Parameters": parameters(), "Database": instance(Engine="mysql", EngineVersion="8.0")}
    resources["Parameters"]["Properties"]["Family"] = "mysql8.0"
    stack, rds = deploy(local_aws, resources, {"Id": ref("Database")}), local_aws.client("rds")
    name = stack.outputs["Id"]

    def version() -> str:
        found = rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]
        return str(found["EngineVersion"])

    installed = version()
    assert installed.startswith("8.0.")
    upgraded = f"{installed}9"
    rds.modify_db_instance(DBInstanceIdentifier=name, EngineVersion=upgraded, ApplyImmediately=True)
    resources["Database"]["Properties"]["AllocatedStorage"] = "30"
    stack.update(resources)
    assert version() == upgraded
    resources["Database"]["Properties"] |= {"EngineVersion": installed, "AllocatedStorage": "40"}
    with pytest.raises(DeploymentFailedError, match=f"Cannot upgrade mysql from {upgraded} to {installed}"):
        stack.update(resources)
    with pytest.raises(ClientError, match="Cannot upgrade mysql from") as raised:
        rds.modify_db_instance(DBInstanceIdentifier=name, EngineVersion=installed)
    assert raised.value.response["Error"]["Code"] == "InvalidParameterCombination"


# --- Proxies


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"RequireTLS": False}, "Must enable TLS, when IAM Auth is required"),
        ({"VpcSubnetIds": [ref("Subnet0")]}, "must be in at least 2 AZs"),
        (
            {"Auth": [{"SecretArn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:orders"}]},
            "is not complete: its six-character suffix is missing",
        ),
        (
            {"Auth": [{"SecretArn": ref("Secret"), "IAMAuth": "ENABLED"}]},
            r"Unsupported IAM Auth mode ENABLED, need to be in \\[DISABLED, REQUIRED\\]",
        ),
    ],
)
def test_a_proxy_is_refused(local_aws: LocalAws, changed: dict[str, Any], reason: str) -> None:
    with pytest.raises(DeploymentFailedError, match=reason.replace("\\\\", "\\")):
        deploy(local_aws, proxy_resources(name=new_name("proxy"), **changed))


def test_a_proxy_serves_databases_of_its_own_vpc_only(local_aws: LocalAws) -> None:
    resources = proxy_resources(name=new_name("proxy"))
    del resources["Database"]["Properties"]["DBSubnetGroupName"]
    with pytest.raises(DeploymentFailedError, match="The target is in vpc-00000001, and the proxy in"):
        deploy(local_aws, resources)


def test_the_emulator_still_accepts_reserved_names(stock_aws: LocalAws) -> None:
    assert created(stock_aws, MasterUsername="rdsadmin", DBName="my-app")["DBName"] == "my-app"


# --- Identifiers, passwords, engines, storage and deletions

IDENTIFIER = "Identifiers must begin with a letter; must contain only ASCII letters, digits, and hyphens"
CHARACTERS = "Only printable ASCII characters besides"
MADE = [
    *(({"DBInstanceIdentifier": name}, IDENTIFIER) for name in ("a--b", "1a", "a-", "a_b")),
    ({"DBInstanceIdentifier": "x" * 64}, "because it is longer than 63 characters"),
    ({"MasterUserPassword": "x" * 7}, "because it is shorter than 8 characters"),
    ({"MasterUserPassword": "x" * 129}, "because it is longer than 128 characters"),
    ({"MasterUserPassword": "x" * 42, "Engine": "mysql"}, "because it is longer than 41 characters"),
    *(({"MasterUserPassword": f"password{letter}"}, CHARACTERS) for letter in '@/" é'),
    ({"MasterUserPassword": ""}, "The parameter MasterUserPassword must be provided and must not be blank"),
    ({"MasterUsername": ""}, "The parameter MasterUsername must be provided and must not be blank"),
    (
        {"ManageMasterUserPassword": True},
        "MasterUserPassword and ManageMasterUserPassword cannot be combined",
    ),
    ({"Engine": "foo"}, "Invalid DB engine"),
    ({"AllocatedStorage": 19}, "Invalid storage size for engine name postgres and storage type gp2: 19"),
    (
        {"AllocatedStorage": 19, "StorageType": "gp3", "Engine": "mysql"},
        "Invalid storage size for engine name mysql and storage type gp3: 19",
    ),
]


@pytest.mark.parametrize(("changed", "message"), MADE)
def test_an_instance_is_refused(local_aws: LocalAws, changed: dict[str, Any], message: str) -> None:
    settings = {"DBInstanceIdentifier": new_name("database"), "DBInstanceClass": "db.t4g.micro"}
    request = {**settings, "Engine": "postgres", **MASTER, **changed}
    with pytest.raises(ClientError) as raised:
        local_aws.client("rds").create_db_instance(**request)
    code = (
        "Combination" if "AllocatedStorage" in changed or "ManageMasterUserPassword" in changed else "Value"
    )
    assert raised.value.response["Error"]["Code"] == f"InvalidParameter{code}"
    assert message in raised.value.response["Error"]["Message"]
    with pytest.raises(DeploymentFailedError) as failed:
        deploy(local_aws, {"Parameters": parameters(), "Database": instance(**changed)})
    assert message in str(failed.value)


def test_identifiers_are_in_lower_case(local_aws: LocalAws) -> None:
    rds, settings = local_aws.client("rds"), {"DBInstanceClass": "db.t4g.micro", "Engine": "mysql", **MASTER}
    made = rds.create_db_instance(DBInstanceIdentifier="U19", **settings)["DBInstance"]
    assert made["DBInstanceIdentifier"] == "u19"
    with pytest.raises(rds.exceptions.DBInstanceAlreadyExistsFault):
        rds.create_db_instance(DBInstanceIdentifier="u19", **settings)
    properties = {"DBInstanceIdentifier": "U19", **settings}
    taken = {"Type": "AWS::RDS::DBInstance", "Properties": properties}
    with pytest.raises(DeploymentFailedError, match="DB instance already exists"):
        deploy(local_aws, {"Database": taken})
    assert rds.describe_db_instances(DBInstanceIdentifier="U19")["DBInstances"][0]["Engine"] == "mysql"
    properties["DBInstanceIdentifier"] = "U20"
    assert deploy(local_aws, {"Database": taken}, {"Id": ref("Database")}).outputs["Id"] == "u20"


@pytest.mark.parametrize("kind", ["instance", "cluster"])
def test_a_deletion_must_say_whether_there_is_a_final_snapshot(local_aws: LocalAws, kind: str) -> None:
    rds, name = local_aws.client("rds"), new_name("database")
    named = {f"DB{kind.capitalize()}Identifier": name}
    settings = {"DBInstanceClass": "db.t4g.micro"} if kind == "instance" else {}
    engine = "mysql" if kind == "instance" else "aurora-mysql"
    getattr(rds, f"create_db_{kind}")(**named, **settings, **MASTER, Engine=engine)
    delete = getattr(rds, f"delete_db_{kind}")
    for more in ({}, {"SkipFinalSnapshot": True, "FinalDBSnapshotIdentifier": "last"}):
        with pytest.raises(ClientError, match="FinalDBSnapshotIdentifier") as raised:
            delete(**named, **more)
        assert raised.value.response["Error"]["Code"] == "InvalidParameterCombination"
    delete(**named, FinalDBSnapshotIdentifier=f"{name}-last")
