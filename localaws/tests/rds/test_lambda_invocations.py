"""A PostgreSQL of RDS invokes functions with the role of its feature Lambda."""

from __future__ import annotations

import base64
import contextlib
import json
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from botocore.exceptions import ClientError
from psycopg import errors

from helpers.databases import Database, cluster, deploy_instance, instance_resources, new_name, parameters
from helpers.lambda_functions import Functions, Hold, zipped
from helpers.stacks import DeploymentFailedError, deploy, session_of
from localaws import LocalAws
from localaws.services.rds import lambda_invocations

pytestmark = pytest.mark.local

ECHO = """
def handler(event, context):
    if event == "fail":
        raise ValueError("it's broken")
    print("got", event)
    return {"event": event, "version": context.function_version}
"""
INVOKE = "lambda:InvokeFunction"
RDS = "rds.amazonaws.com"
_SELECT = "SELECT * FROM aws_lambda.invoke"
CREATE = "CREATE EXTENSION IF NOT EXISTS aws_lambda CASCADE"


@dataclass
class Invoking:
    """A database, its role and a function with an alias `live`."""

    functions: Functions
    database: Database
    function: str
    role: str

    @property
    def arn(self) -> str:
        """The function's ARN."""
        return self.functions.arn("lambda", f"function:{self.function}")

    def invoke(self, arguments: str, *values: Any, **login: Any) -> tuple[Any, ...]:
        """The row that an invocation returns."""
        with self.database.connect(**login) as client:
            row = client.execute(f"{_SELECT}({arguments})".encode(), values).fetchone()
        assert row
        return row

    def failure(self, arguments: str, *values: Any, **login: Any) -> tuple[str, str, str]:
        """Message, detail and hint of an invocation that fails."""
        with pytest.raises(psycopg.Error) as caught:
            self.invoke(arguments, *values, **login)
        said = caught.value.diag
        return said.message_primary or "", said.message_detail or "", said.message_hint or ""


@pytest.fixture(scope="module")
def invoking(local_aws: LocalAws) -> Invoking:
    """A database that all tests share."""
    functions = Functions(local_aws)
    function = functions.make(ECHO)
    client = local_aws.client("lambda")
    client.publish_version(FunctionName=function)
    client.create_alias(FunctionName=function, Name="live", FunctionVersion="1")
    arn = functions.arn("lambda", f"function:{function}")
    role = functions.role((INVOKE, arn), (INVOKE, f"{arn}:*"), service=RDS)
    database = deploy_instance(local_aws, AssociatedRoles=[{"RoleArn": role, "FeatureName": "Lambda"}])[1]
    database.run(CREATE)
    return Invoking(functions, database, function, role)


# --- The extension


def test_the_extensions_have_the_versions_and_signatures_of_rds(invoking: Invoking) -> None:
    found = (
        "select string_agg(extname || ' ' || extversion, ', ' order by extname) from pg_extension "
        "where extname like 'aws%'"
    )
    assert invoking.database.value(found) == "aws_commons 1.2, aws_lambda 1.0"
    assert invoking.database.value("select count(*) from pg_proc where proname = 'invoke'") == 4


@pytest.mark.parametrize(
    "arguments",
    [
        "%(arn)s, %(event)s::json",
        "%(name)s, %(event)s::json, %(region)s, 'RequestResponse', 'None', NULL, NULL",
        "%(partial)s, %(event)s::jsonb",
        "aws_commons.create_lambda_function_arn(%(name)s, %(region)s), %(event)s::json",
        "aws_commons.create_lambda_function_arn(%(arn)s), %(event)s::jsonb, 'RequestResponse', 'None', NULL",
    ],
)
def test_a_function_gets_the_payload_and_its_answer_is_the_result(invoking: Invoking, arguments: str) -> None:
    event = {"a": "it's\n\\ Größe \"x\" 'y' %", "b": [1, None]}
    aws = invoking.functions.aws
    names = {
        "arn": invoking.arn,
        "name": invoking.function,
        "region": aws.region,
        "partial": f"{aws.account}:function:{invoking.function}",
        "event": json.dumps(event),
    }
    with invoking.database.connect() as client:
        row = client.execute(f"{_SELECT}({arguments})".encode(), names).fetchone()
    assert row == (200, {"event": event, "version": "$LATEST"}, "$LATEST", None)


def test_log_and_qualifier_are_those_of_the_invocation(invoking: Invoking) -> None:
    status, payload, version, log = invoking.invoke(
        "%s, '1'::jsonb, invocation_type => 'RequestResponse', log_type => 'Tail', qualifier => 'live'",
        invoking.arn,
    )
    assert (status, payload, version) == (200, {"event": 1, "version": "1"}, "1")
    assert "got 1" in base64.b64decode(log).decode()


def test_an_event_and_a_dry_run_return_no_payload(invoking: Invoking) -> None:
    for type_, status in (("Event", 202), ("DryRun", 204)):
        row = invoking.invoke("%s, '2'::json, invocation_type => %s", invoking.arn, type_)
        assert row[:2] == (status, None)


def test_what_was_invoked_stays_invoked_after_a_rollback(invoking: Invoking, hold: Hold) -> None:
    name = invoking.functions.make(hold.source + "def handler(event, context): hold()")
    arn = invoking.functions.arn("lambda", f"function:{name}")
    _allow(invoking, arn)
    with invoking.database.connect(autocommit=False) as client:
        client.execute("SELECT aws_lambda.invoke(%s, '1'::json, invocation_type => 'Event')", (arn,))
        client.rollback()
    hold.wait()
    hold.release()


def _allow(invoking: Invoking, arn: str) -> None:
    statement = {"Effect": "Allow", "Action": INVOKE, "Resource": arn}
    invoking.functions.aws.client("iam").put_role_policy(
        RoleName=invoking.role.rpartition("/")[2],
        PolicyName=arn.rpartition(":")[2],
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statement}),
    )


# --- Errors


def test_errors_are_those_that_aws_documents(invoking: Invoking) -> None:
    message, detail, _ = invoking.failure("%s, '\"fail\"'::json", invoking.arn)
    assert message == "lambda invocation failed"
    assert detail.startswith(f'"{invoking.arn}" returned error "Unhandled", details: "{{')
    assert "it's broken" in detail
    missing = f"{invoking.arn}-2"
    message, detail, _ = invoking.failure("%s, '1'::json", missing)
    assert message == "invoke API failed"
    assert detail.startswith("AWS Lambda client returned 'User: ")
    assert f"is not authorized to perform: lambda:InvokeFunction on resource: {missing}" in detail
    _allow(invoking, missing)
    assert invoking.failure("%s, '1'::json", missing)[1] == (
        f"AWS Lambda client returned 'Function not found: {missing}'."
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("%s, '1'::json, invocation_type => 'event'", "invalid invocation_type"),
        ("%s, '1'::json, log_type => 'tail'", "invalid log_type"),
        ("%s, '1'::json, region => 'eu-west-3'", "conflicting region"),
        ("%s || ':live', '1'::json, qualifier => '1'", "conflicting qualifier"),
        ("%s || '!', '1'::json", "invalid function_name"),
        ("%s, NULL::json", "payload must not be null"),
    ],
)
def test_arguments_that_contradict_each_other_are_refused(
    invoking: Invoking, arguments: str, message: str
) -> None:
    assert invoking.failure(arguments, invoking.arn)[0] == message


def test_more_than_six_megabytes_are_refused(invoking: Invoking) -> None:
    message, detail, _ = invoking.failure("%s, to_json(repeat('x', 6 * 1024 * 1024))", invoking.arn)
    assert (message, "6291456" in detail) == ("invoke API failed", True)


def test_another_user_needs_usage_of_the_schema_and_execute(invoking: Invoking) -> None:
    invoking.database.run("create role caller login password 'x'")
    login = {"user": "caller", "password": "x"}
    refused = [invoking.failure("%s, '1'::json", invoking.arn, **login)[0]]
    invoking.database.run("GRANT USAGE ON SCHEMA aws_lambda TO caller")
    refused.append(invoking.failure("%s, '1'::json", invoking.arn, **login)[0])
    assert refused == ["permission denied for schema aws_lambda", "permission denied for function invoke"]
    invoking.database.run("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA aws_lambda TO caller")
    assert invoking.invoke("%s, '1'::json", invoking.arn, **login)[0] == 200
    with invoking.database.connect(**login) as client, pytest.raises(errors.InsufficientPrivilege):
        client.execute("SELECT aws_lambda._invoke('{}')")


@pytest.mark.parametrize(
    ("given", "milliseconds"),
    [("10", 10), ("0", 1), ("1000000", 900_000), ("soon", 3000), ("", 3000)],
)
def test_the_time_out_is_that_of_the_parameter_group(given: str, milliseconds: int) -> None:
    assert lambda_invocations.timeout({"aws_lambda.request_timeout_ms": given}) == milliseconds
    assert lambda_invocations.timeout({}) == 3000


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("aws_lambda.request_timeout_ms", "0", "allowed values are: 1-900000"),
        ("aws_lambda.request_timeout_ms", "abc", "allowed values are: 1-900000"),
        ("aws_lambda.connect_timeout_ms", "900001", "allowed values are: 1-900000"),
        ("rds.custom_dns_resolution", "7", "allowed values are: 0,1"),
        ("aws_lambda.nope", "1", "Could not find parameter with name: aws_lambda.nope"),
    ],
)
def test_a_parameter_that_rds_does_not_allow_is_refused(
    local_aws: LocalAws, name: str, value: str, said: str
) -> None:
    rds, group = local_aws.client("rds"), "checked"
    with contextlib.suppress(rds.exceptions.DBParameterGroupAlreadyExistsFault):
        rds.create_db_parameter_group(
            DBParameterGroupName=group, DBParameterGroupFamily="postgres17", Description="d"
        )
    changed = [{"ParameterName": name, "ParameterValue": value, "ApplyMethod": "immediate"}]
    with pytest.raises(ClientError, match=rf"InvalidParameterValue.*{said}"):
        rds.modify_db_parameter_group(DBParameterGroupName=group, Parameters=changed)
    changed[0] |= {"ParameterName": "aws_lambda.request_timeout_ms", "ParameterValue": "900000"}
    rds.modify_db_parameter_group(DBParameterGroupName=group, Parameters=changed)


def test_a_time_out_ends_the_statement_and_not_the_function(local_aws: LocalAws, hold: Hold) -> None:
    functions = Functions(local_aws)
    name = functions.make(hold.source + "def handler(event, context): hold(); hold()")
    role = functions.role((INVOKE, functions.arn("lambda", f"function:{name}")), service=RDS)
    resources = instance_resources(AssociatedRoles=[{"RoleArn": role, "FeatureName": "Lambda"}])
    resources["Parameters"] = parameters(**{"max_connections": "20", "aws_lambda.request_timeout_ms": "10"})
    stack = deploy(local_aws, resources, {"Address": _at("Address"), "Port": _at("Port")})
    database = Database(local_aws, stack.outputs["Address"], int(stack.outputs["Port"]), "")
    database.run(CREATE)
    call = Invoking(functions, database, name, role)
    assert call.failure("%s, '1'::json", name)[:2] == (
        "invoke API failed",
        "AWS Lambda client returned 'Timeout was reached'.",
    )
    hold.release()
    hold.wait(3)  # `released` and the marks of both: the function went on
    with database.connect() as client:
        client.execute("SET statement_timeout = 1")
        with pytest.raises(errors.QueryCanceled):
            client.execute("SELECT aws_lambda.invoke(%s, '1'::json), pg_sleep(60)", (name,))


def _at(name: str) -> dict[str, list[str]]:
    return {"Fn::GetAtt": ["Database", f"Endpoint.{name}"]}


# --- The role


def test_without_its_role_a_database_invokes_nothing(invoking: Invoking) -> None:
    rds, name = invoking.functions.aws.client("rds"), invoking.database.id
    which = {"DBInstanceIdentifier": name, "RoleArn": invoking.role, "FeatureName": "Lambda"}
    assert _roles(invoking) == [{"RoleArn": invoking.role, "FeatureName": "Lambda", "Status": "ACTIVE"}]
    rds.remove_role_from_db_instance(**which)
    assert _roles(invoking) == []
    message, _, hint = invoking.failure("%s, '1'::json", invoking.arn)
    assert "credentials" in message
    assert '"Lambda"' in hint
    assert _refused(rds.remove_role_from_db_instance, **which) == ("DBInstanceRoleNotFound", 404)
    rds.add_role_to_db_instance(**which)
    assert _refused(rds.add_role_to_db_instance, **which) == ("DBInstanceRoleAlreadyExists", 400)
    assert invoking.invoke("%s, '1'::json", invoking.arn)[0] == 200


def _roles(invoking: Invoking) -> Any:
    described = invoking.functions.aws.client("rds").describe_db_instances(
        DBInstanceIdentifier=invoking.database.id
    )
    return described["DBInstances"][0]["AssociatedRoles"]


def _refused(act: Any, **arguments: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        act(**arguments)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def test_a_role_that_rds_may_not_assume_is_refused(invoking: Invoking) -> None:
    add = invoking.functions.aws.client("rds").add_role_to_db_instance
    which = {"DBInstanceIdentifier": invoking.database.id, "FeatureName": "s3Import"}
    for role in (invoking.functions.role(), f"{invoking.role}-2"):
        assert _refused(add, **which, RoleArn=role) == ("InvalidParameterValue", 400)
    unknown = {**which, "FeatureName": "lambda"}
    assert _refused(add, **unknown, RoleArn=invoking.role) == ("InvalidParameterValue", 400)
    missing = {**which, "DBInstanceIdentifier": "missing"}
    assert _refused(add, **missing, RoleArn=invoking.role) == ("DBInstanceNotFound", 404)
    with pytest.raises(DeploymentFailedError, match="AWS Role Integration"):
        deploy_instance(
            invoking.functions.aws,
            AssociatedRoles=[{"RoleArn": invoking.functions.role(), "FeatureName": "Lambda"}],
        )


def test_the_caller_needs_permission_to_pass_the_role(invoking: Invoking) -> None:
    which = {
        "DBInstanceIdentifier": invoking.database.id,
        "FeatureName": "s3Export",
        "RoleArn": invoking.role,
    }
    caller = session_of(invoking.functions.aws, ("rds:*", "*")).client("rds")
    assert _refused(caller.add_role_to_db_instance, **which) == ("AccessDenied", 403)
    allowed = session_of(invoking.functions.aws, ("rds:*", "*"), ("iam:PassRole", invoking.role))
    allowed.client("rds").add_role_to_db_instance(**which)
    allowed.client("rds").remove_role_from_db_instance(**which)


def test_the_source_of_the_trust_policy_is_the_database(invoking: Invoking) -> None:
    iam, name = invoking.functions.aws.client("iam"), invoking.role.rpartition("/")[2]
    policy = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]

    def trust(database: str) -> None:
        source = invoking.functions.arn("rds", f"db:{database}")
        conditions = {
            "ArnLike": {"aws:SourceArn": source},
            "StringEquals": {"aws:SourceAccount": invoking.functions.aws.account},
        }
        document = {**policy, "Statement": [{**policy["Statement"][0], "Condition": conditions}]}
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(document))

    trust("another")
    assert "credentials" in invoking.failure("%s, '1'::json", invoking.arn)[0]
    trust(invoking.database.id)
    assert invoking.invoke("%s, '1'::json", invoking.arn)[0] == 200


def test_a_function_of_another_account_needs_its_own_policy_too(invoking: Invoking) -> None:
    aws = invoking.functions.aws
    client = aws.session_of("111122223333").client("lambda")
    iam = aws.session_of("111122223333").client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": trust})
    role = iam.create_role(RoleName=new_name("role"), AssumeRolePolicyDocument=document)["Role"]["Arn"]
    arn = client.create_function(
        FunctionName="theirs",
        Role=role,
        Code={"ZipFile": zipped({"index.py": ECHO})},
        Runtime="python3.13",
        Handler="index.handler",
    )["FunctionArn"]
    _allow(invoking, arn)
    assert invoking.failure("%s, '1'::json", arn)[0] == "invoke API failed"
    client.add_permission(
        FunctionName="theirs", StatementId="database", Action=INVOKE, Principal=invoking.role
    )
    assert invoking.invoke("%s, '1'::json", arn)[:2] == (200, {"event": 1, "version": "$LATEST"})
    assert "Cross-account log access" in invoking.failure("%s, '1'::json, log_type => 'Tail'", arn)[1]


def test_the_roles_of_a_cluster_are_changed_by_the_template_and_the_api(invoking: Invoking) -> None:
    aws, functions = invoking.functions.aws, invoking.functions
    roles = [functions.role(service=RDS) for _ in range(7)]

    def described() -> list[tuple[str, str]]:
        answer = aws.client("rds").describe_db_clusters(DBClusterIdentifier=stack.outputs["Id"])
        found = answer["DBClusters"][0]["AssociatedRoles"]
        return [(each["RoleArn"], each.get("FeatureName", "")) for each in found]

    def resources(*associated: dict[str, str]) -> Any:
        made = cluster(Engine="aurora-mysql", AssociatedRoles=list(associated))
        del made["Properties"]["DBClusterParameterGroupName"]
        return {"Cluster": made}

    stack = deploy(aws, resources({"RoleArn": roles[0]}), {"Id": {"Ref": "Cluster"}})
    assert described() == [(roles[0], "")]
    stack.update(resources({"RoleArn": roles[1]}, {"RoleArn": roles[2]}), {"Id": {"Ref": "Cluster"}})
    assert described() == [(roles[1], ""), (roles[2], "")]
    add = aws.client("rds").add_role_to_db_cluster
    which = {"DBClusterIdentifier": stack.outputs["Id"]}
    assert _refused(add, **which, RoleArn=roles[1]) == ("DBClusterRoleAlreadyExists", 400)
    for role in roles[3:6]:
        add(**which, RoleArn=role)
    assert _refused(add, **which, RoleArn=roles[6]) == ("DBClusterRoleQuotaExceeded", 400)
    aws.client("rds").remove_role_from_db_cluster(**which, RoleArn=roles[1])
    assert len(described()) == 4
    gone = aws.client("rds").remove_role_from_db_cluster
    assert _refused(gone, **which, RoleArn=roles[1]) == ("DBClusterRoleNotFound", 404)
