"""What RDS refuses of databases, subnet groups and proxies.

Faithful to: identifiers, which are stored in lower case, and names that are malformed, too long or reserved;
unknown engines; a master password that is missing, malformed or also managed by RDS; storage that is too
small or too large; deletions that say nothing about a final snapshot; the Availability Zones of a subnet
group and a proxy; security groups and proxies in another VPC than the database; capacities of Aurora
Serverless v2; the retention of backups; versions below the installed one; proxies that require IAM without
TLS; secrets without a complete ARN. All through CloudFormation and the API. A database with only a major
version gets a minor one.
Not to: the messages about a secret's ARN, about managed passwords and final snapshots that are given as well,
and about the zones and the VPC of a proxy, which are our own. Names are checked for PostgreSQL and MySQL
only, storage for MariaDB too. RDS publishes no list of reserved words: see `rds.reserved_words`.

https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBInstance.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-rds-dbinstance.html
https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora-serverless-v2.setting-capacity.html
https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy-network-prereqs.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ministack.services import ec2, rds
from ministack.services.cloudformation import provisioners

from localaws.patching import Created, Handler, Properties, action, around, resource
from localaws.services.rds.reserved_words import MYSQL, POSTGRES

Response = tuple[int, dict[str, str], bytes]
Action = Callable[[dict[str, Any]], Response]
Reason = tuple[str, str]  # the code and the message of an error

_NAME = re.compile("[A-Za-z][A-Za-z0-9_]*")
_FAMILIES = {
    "postgres": "postgres",
    "aurora-postgresql": "postgres",
    "mysql": "mysql",
    "aurora-mysql": "mysql",
}
_RESERVED = {"postgres": POSTGRES, "mysql": MYSQL}
_LONGEST_USER = {"postgres": 63, "mysql": 16}
_LONGEST_DATABASE = {"postgres": 63, "mysql": 64}
_LONGEST_PASSWORD = {"postgres": 128, "sqlserver": 128, "oracle": 30, "db2": 255}
_IDENTIFIER = re.compile("[A-Za-z](-?[A-Za-z0-9])*")
_ENGINE = re.compile(
    "aurora-(mysql|postgresql)|mysql|mariadb|postgres|neptune|docdb|db2-(ae|se)|oracle-(ee|se2)(-cdb)?"
    "|custom-oracle-(ee|se2)(-cdb)?|(custom-)?sqlserver-(ee|se|ex|web|dev|dev-ee)"
)
_STORAGE = {  # of PostgreSQL, MySQL and MariaDB, in GiB
    "gp2": (20, 65_536),
    "gp3": (20, 65_536),
    "io1": (100, 65_536),
    "io2": (100, 65_536),
    "standard": (5, 3_072),
}
# What a database is made from, with the master user that it has there.
_ORIGINS = (
    *("DBSnapshotIdentifier", "SnapshotIdentifier", "DBClusterSnapshotIdentifier"),
    *("SourceDBInstanceIdentifier", "SourceDBClusterIdentifier", "SourceDbiResourceId"),
    *("SourceDBInstanceAutomatedBackupsArn", "ReplicationSourceIdentifier", "GlobalClusterIdentifier"),
)
_SECRET = re.compile(r"arn:[^:]+:secretsmanager:[^:]+:\d+:secret:.+-[A-Za-z0-9]{6}")
_NO_SUBNET_GROUP = "vpc-00000000"  # what the emulator records without one; RDS uses the default VPC


# --- Names, networks and capacities


def _identifier(parameter: str, name: str) -> Reason | None:
    about = f"The parameter {parameter} is not a valid identifier"
    if not _IDENTIFIER.fullmatch(name):
        rule = (
            "Identifiers must begin with a letter; must contain only ASCII letters, digits, and hyphens; and "
            "must not end with a hyphen or contain two consecutive hyphens."
        )
        return "InvalidParameterValue", f"{about}. {rule}"
    if len(name) > 63:
        return "InvalidParameterValue", f"{about} because it is longer than 63 characters."
    return None


def _password(password: str, engine: str) -> Reason | None:
    about = "The parameter MasterUserPassword is not a valid password"
    longest = _LONGEST_PASSWORD.get(engine.removeprefix("custom-").split("-")[0], 41)
    if len(password) < 8:
        return "InvalidParameterValue", f"{about} because it is shorter than 8 characters."
    if len(password) > longest:
        return "InvalidParameterValue", f"{about} because it is longer than {longest} characters."
    if not all("!" <= letter <= "~" and letter not in '/@"' for letter in password):
        allowed = "Only printable ASCII characters besides '/', '@', '\"', ' ' may be used."
        return "InvalidParameterValue", f"{about}. {allowed}"
    return None


def _incomplete(kind: str, properties: Properties) -> Reason | None:
    """Why RDS would not create a database: the master user is not given."""
    if kind == "instance" and properties.get("DBClusterIdentifier"):
        return None
    if any(properties.get(name) for name in _ORIGINS):
        return None
    needed = ["MasterUsername"]
    needed += [] if _managed(properties) else ["MasterUserPassword"]
    for name in needed:
        if not properties.get(name):
            about = f"The parameter {name} must be provided and must not be blank."
            return "InvalidParameterValue", about
    return None


def _managed(properties: Properties) -> bool:
    return str(properties.get("ManageMasterUserPassword")).lower() == "true"


def _storage(properties: Properties) -> Reason | None:
    engine, given = str(properties.get("Engine")), properties.get("AllocatedStorage")
    type_ = properties.get("StorageType") or ("io1" if properties.get("Iops") else "gp2")
    if not given or engine not in ("postgres", "mysql", "mariadb") or type_ not in _STORAGE:
        return None
    low, high = _STORAGE[type_]
    if low <= int(given) <= high:
        return None
    about = f"Invalid storage size for engine name {engine} and storage type {type_}: {given}"
    return "InvalidParameterCombination", about


def _user(name: str, family: str) -> Reason | None:
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_USER[family]:
        return "InvalidParameterValue", "Invalid master user name"
    if family == "postgres" and name.lower().startswith("pg_"):
        reason = 'cannot be used because role names starting with "pg_" are reserved by the PostgreSQL engine'
        return "InvalidParameterValue", f"MasterUsername {name} {reason}"
    if name.lower() in _RESERVED[family]:
        reason = "cannot be used as it is a reserved word used by the engine"
        return "InvalidParameterValue", f"MasterUsername {name} {reason}"
    return None


def _database(parameter: str, name: str, family: str) -> Reason | None:
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_DATABASE[family]:
        reason = "must begin with a letter and contain only alphanumeric characters."
        return "InvalidParameterValue", f"{parameter} {reason}"
    if name.lower() in _RESERVED[family]:
        reason = "cannot be used.  It is a reserved word for this engine"
        return "InvalidParameterValue", f"{parameter} {name} {reason}"
    return None


def _capacity(scaling: Mapping[str, Any]) -> Reason | None:
    values = [
        float(scaling[name]) for name in ("MinCapacity", "MaxCapacity") if scaling.get(name) is not None
    ]
    for value in values:
        about = f"Serverless v2 capacity value {value} is not valid."
        if value * 2 % 1:
            return "InvalidParameterValue", f"{about} It must be a multiple of 0.5."
        if not 0 <= value <= 256:
            scale = "The valid scaling range for this cluster is 0.0 to 256.0."
            return "InvalidParameterValue", f"{about} {scale}"
    if values != sorted(values):
        return "InvalidParameterValue", "Serverless v2 minimum capacity must not exceed the maximum capacity."
    return None


def _retention(days: int) -> Reason | None:
    if 0 <= days <= 35:
        return None
    about = f"Invalid backup retention period: {days}. Retention period must be between 0 and 35."
    return "InvalidParameterValue", about


def _vpc(subnet_group: Any) -> str:
    """The VPC of a subnet group, by its name or record."""
    found = subnet_group if isinstance(subnet_group, dict) else rds._subnet_groups.get(subnet_group or "")
    vpc = str((found or {}).get("VpcId") or _NO_SUBNET_GROUP)
    return str(ec2._DEFAULT_VPC_ID) if vpc == _NO_SUBNET_GROUP else vpc


def _networks(subnet_group: Any, groups: Iterable[str]) -> Reason | None:
    vpc = _vpc(subnet_group)
    for group in groups:
        other = (ec2._security_groups.get(group) or {}).get("VpcId", vpc)
        if other != vpc:
            message = (
                "The DB instance and EC2 security group are in different VPCs. The DB instance is in "
                f"{vpc} and the EC2 security group is in {other}"
            )
            return "InvalidParameterCombination", message
    return None


def _zones(subnets: Iterable[str]) -> list[str]:
    records = [ec2._subnets[subnet] for subnet in subnets if subnet in ec2._subnets]
    return sorted({str(record.get("AvailabilityZone")) for record in records})


# --- Instances and clusters


def refused(kind: str, properties: Properties) -> Reason | None:
    """Why RDS would not create a database.

    Args:
        kind: `instance` or `cluster`.
        properties: Those of the template.
    """
    given = f"DB{kind.capitalize()}Identifier"
    if properties.get(given) and (reason := _identifier(given, str(properties[given]))):
        return reason
    engine, password = str(properties.get("Engine") or ""), str(properties.get("MasterUserPassword") or "")
    if engine and not _ENGINE.fullmatch(engine):
        return "InvalidParameterValue", f"Invalid DB engine: {engine}"
    if kind == "instance" and properties.get("DBClusterIdentifier"):
        return None  # its cluster has all of the rest
    if password and _managed(properties):
        about = "MasterUserPassword and ManageMasterUserPassword cannot be combined: remove one"
        return "InvalidParameterCombination", about
    parameter = "DBName" if kind == "instance" else "DatabaseName"
    family = _FAMILIES.get(str(properties.get("Engine")))
    user, database = properties.get("MasterUsername"), properties.get(parameter)
    groups = properties.get("VPCSecurityGroups") or properties.get("VpcSecurityGroupIds") or []
    retention = properties.get("BackupRetentionPeriod") or 0
    return (
        (_user(user, family) if user and family else None)
        or (_database(parameter, database, family) if database and family else None)
        or (_password(password, engine) if password else None)
        or (_storage(properties) if kind == "instance" else None)
        or _capacity(properties.get("ServerlessV2ScalingConfiguration") or {})
        or _retention(int(retention))
        or _networks(properties.get("DBSubnetGroupName"), groups)
    )


def _from_request(p: dict[str, Any]) -> Properties:
    """The properties of a template with the parameters of a request."""
    names = (
        *("Engine", "MasterUsername", "DBName", "DatabaseName", "DBClusterIdentifier"),
        *("DBSubnetGroupName", "BackupRetentionPeriod", "DBInstanceIdentifier", "MasterUserPassword"),
        *("ManageMasterUserPassword", "AllocatedStorage", "StorageType", "Iops", *_ORIGINS),
    )
    capacity = ("MinCapacity", "MaxCapacity")
    scaling = {name: rds._p(p, f"ServerlessV2ScalingConfiguration.{name}") or None for name in capacity}
    return {
        **{name: rds._p(p, name) for name in names},
        "ServerlessV2ScalingConfiguration": scaling,
        "VpcSecurityGroupIds": rds._parse_member_list(p, "VpcSecurityGroupIds"),
    }


def _error(reason: Reason) -> Response:
    code, message = reason
    answer: Response = rds._error(code, message, 400)
    return answer


def _raise(reason: Reason, type_: str, verb: str) -> None:
    raise ValueError(f"{type_} {verb} failed: {reason[0]}: {reason[1]}")


def _older(new: str, installed: str) -> bool:
    """Whether a version is below an installed one; a prefix of it is not."""
    if f"{installed}.".startswith(f"{new}."):
        return False
    numbers = [[int(part) for part in re.findall(r"\d+", version)] for version in (new, installed)]
    return numbers[0] < numbers[1]


def _downgrade(record: Mapping[str, Any], version: str) -> Reason | None:
    installed = str(record.get("EngineVersion") or "")
    if not version or not installed or not _older(version, installed):
        return None
    message = f"Cannot upgrade {record['Engine']} from {installed} to {version}"
    return "InvalidParameterCombination", message


def _minor(engine: str, version: str) -> str:
    """A minor version of a major one, of those that the emulator knows."""
    _status, _headers, body = rds._describe_engine_versions({"Engine": engine})
    known = re.findall("<EngineVersion>([^<]+)</EngineVersion>", body.decode())
    return next((each for each in reversed(known) if each.startswith(f"{version}.")), version)


def _declare(kind: str, type_: str, create: str, modify: str) -> None:
    """Declare the handlers of instances or of clusters, and their actions."""
    enclosed = ["rds.instances", "rds.managed_secrets"]
    handlers, function = resource(type_, after=enclosed), f"_rds_db_{kind}_"
    store = rds._instances if kind == "instance" else rds._clusters

    parameter = f"DB{kind.capitalize()}Identifier"

    def complete(name: str) -> None:
        record = store[name]
        record["EngineVersion"] = _minor(record["Engine"], record["EngineVersion"])

    @handlers.create
    @around(provisioners, f"{function}create", after=enclosed)
    def create_resource(stock: Handler, logical_id: str, props: Properties, stack_name: str) -> Created:
        reason = refused(kind, props) or _incomplete(kind, props)
        _lower(props)
        if not reason and props.get(parameter) in store:
            reason = _EXISTS[kind]
        if reason:
            _raise(reason, type_, "create")
        created = stock(logical_id, props, stack_name)
        complete(created[0])
        return created

    @handlers.update
    @around(provisioners, f"{function}update", after=enclosed)
    def update_resource(
        stock: Handler,
        physical_id: str,
        old_props: Properties,
        new_props: Properties,
        stack_name: str,
        logical_id: str | None = None,
    ) -> Created:
        record = store.get(physical_id) or {}
        installed, version = record.get("EngineVersion", ""), str(new_props.get("EngineVersion") or "")
        reason = refused(kind, new_props) or _downgrade(record, version)
        _lower(new_props)
        if reason:
            _raise(reason, type_, "update")
        updated = stock(physical_id, old_props, new_props, stack_name, logical_id)
        if updated[0] == physical_id and version and f"{installed}.".startswith(f"{version}."):
            store[physical_id]["EngineVersion"] = installed
        complete(updated[0])
        return updated

    @action(rds, create, after=["rds.actions"])
    def create_by_request(stock: Action, p: dict[str, Any]) -> Response:
        settings = _from_request(p)
        if reason := refused(kind, settings) or _incomplete(kind, settings):
            return _error(reason)
        response = stock(p)
        if response[0] < 400:
            complete(rds._p(p, parameter))
        return response

    @action(rds, modify)
    def modify_by_request(stock: Action, p: dict[str, Any]) -> Response:
        record = store.get(rds._p(p, parameter)) or {}
        changed = {**_from_request(p), "DBSubnetGroupName": record.get("DBSubnetGroup"), parameter: None}
        changed["Engine"] = record.get("Engine")
        changed["StorageType"] = changed["StorageType"] or record.get("StorageType")
        reason = _downgrade(record, rds._p(p, "EngineVersion")) or refused(kind, changed)
        return _error(reason) if reason else stock(p)

    @action(rds, f"DeleteDB{kind.capitalize()}", after=["rds.actions"])
    def delete_by_request(stock: Action, p: dict[str, Any]) -> Response:
        record = store.get(rds._p(p, parameter)) or {}
        part = record.get("ReadReplicaSourceDBInstanceIdentifier") or (
            kind == "instance" and record.get("DBClusterIdentifier")
        )
        snapshot, skipped = rds._p(p, "FinalDBSnapshotIdentifier"), rds._p(p, "SkipFinalSnapshot") == "true"
        about = ""
        if snapshot and skipped:
            about = "FinalDBSnapshotIdentifier can not be specified when SkipFinalSnapshot is true."
        elif not snapshot and not skipped and not part:
            about = "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified."
        if record and about and not record.get("DeletionProtection"):
            return _error(("InvalidParameterCombination", about))
        return stock(p)


_EXISTS = {
    "instance": ("DBInstanceAlreadyExists", "DB instance already exists"),
    "cluster": ("DBClusterAlreadyExistsFault", "DB Cluster already exists"),
}


# RDS stores them in lower case.
_LOWER = (
    *("DBInstanceIdentifier", "DBClusterIdentifier", "SnapshotIdentifier"),
    *("DBParameterGroupName", "DBClusterParameterGroupName", "DBParameterGroupIdentifier"),
)


@resource("AWS::RDS::DBParameterGroup").create
@resource("AWS::RDS::DBClusterParameterGroup").create
def _create_group(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    _lower(properties)
    return stock(logical_id, properties, stack)


def _lower(properties: Properties) -> None:
    """Write identifiers in lower case, as RDS and CloudFormation do."""
    for name in _LOWER:
        if properties.get(name):
            properties[name] = str(properties[name]).lower()


@around(rds, "_p")
def _parameter(stock: Callable[..., str], params: dict[str, Any], key: str, default: str = "") -> str:
    """Identifiers in requests are in lower case, except that ARNs stay as they are."""
    value = stock(params, key, default)
    return value.lower() if key.endswith(_LOWER) and value and not value.startswith("arn:") else value


_declare("instance", "AWS::RDS::DBInstance", "CreateDBInstance", "ModifyDBInstance")
_declare("cluster", "AWS::RDS::DBCluster", "CreateDBCluster", "ModifyDBCluster")


# --- Subnet groups


@around(rds, "_create_subnet_group")
@action(rds, "CreateDBSubnetGroup")
def _create_subnet_group(stock: Action, p: dict[str, Any]) -> Response:
    return _covered(stock, p)


@around(rds, "_modify_subnet_group")
@action(rds, "ModifyDBSubnetGroup")
def _modify_subnet_group(stock: Action, p: dict[str, Any]) -> Response:
    return _covered(stock, p)


def _covered(stock: Action, p: dict[str, Any]) -> Response:
    zones = _zones(rds._parse_member_list(p, "SubnetIds"))
    if len(zones) != 1:
        return stock(p)  # none: the emulator refuses unknown subnets
    message = (
        "The DB subnet group doesn't meet Availability Zone (AZ) coverage requirement. Current AZ coverage: "
        f"{zones[0]}. Add subnets to cover at least 2 AZs."
    )
    return _error(("DBSubnetGroupDoesNotCoverEnoughAZs", message))


# --- Proxies


@around(rds, "_create_db_proxy", after=["rds.proxies"])
@action(rds, "CreateDBProxy", after=["rds.proxies"])
def _create_proxy(stock: Action, p: dict[str, Any]) -> Response:
    auth = rds._parse_user_auth_configs(p)
    reason = _login(auth, rds._p(p, "EngineFamily"), tls=rds._p(p, "RequireTLS") == "true")
    zones = _zones(rds._parse_member_list(p, "VpcSubnetIds"))
    if not reason and len(zones) == 1:
        reason = "InvalidSubnet", f"The subnets of a proxy must be in at least 2 AZs. Current AZ: {zones[0]}."
    return _error(reason) if reason else stock(p)


@around(rds, "_modify_db_proxy")
@action(rds, "ModifyDBProxy")
def _modify_proxy(stock: Action, p: dict[str, Any]) -> Response:
    record = rds._get_db_proxy(rds._p(p, "DBProxyName")) or {}
    tls = rds._p(p, "RequireTLS") or str(record.get("RequireTLS", True)).lower()
    auth = rds._parse_user_auth_configs(p) or record.get("Auth", [])
    reason = _login(auth, record.get("EngineFamily", ""), tls=tls == "true")
    return _error(reason) if reason else stock(p)


def _login(auth: Iterable[Mapping[str, Any]], family: str, *, tls: bool) -> Reason | None:
    for entry in auth:
        arn, iam = entry.get("SecretArn"), entry.get("IAMAuth")
        if arn and not _SECRET.fullmatch(arn):
            message = f"The secret ARN {arn} is not complete: its six-character suffix is missing."
            return "InvalidParameterValue", message
        if iam == "ENABLED" and family != "SQLSERVER":
            message = "Unsupported IAM Auth mode ENABLED, need to be in [DISABLED, REQUIRED]"
            return "InvalidParameterValue", message
        if iam == "REQUIRED" and not tls:
            return "InvalidParameterValue", "Must enable TLS, when IAM Auth is required"
    return None


@around(rds, "_register_db_proxy_targets")
@action(rds, "RegisterDBProxyTargets")
def _register_targets(stock: Action, p: dict[str, Any]) -> Response:
    proxy = rds._get_db_proxy(rds._p(p, "DBProxyName")) or {}
    records = [rds._instances.get(name) for name in rds._parse_member_list(p, "DBInstanceIdentifiers")]
    records += [rds._clusters.get(name) for name in rds._parse_member_list(p, "DBClusterIdentifiers")]
    for record in filter(None, records):
        if proxy and _vpc(record.get("DBSubnetGroup")) != proxy["VpcId"]:
            message = (
                f"The target is in {_vpc(record.get('DBSubnetGroup'))}, and the proxy in {proxy['VpcId']}."
            )
            return _error(("InvalidParameterValue", message))
    return stock(p)
