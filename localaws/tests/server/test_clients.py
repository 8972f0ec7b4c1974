"""Clients work whatever the configuration of the user, and nothing else trusts the server."""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.loaders
import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, SSLError

from helpers.processes_of import invoke, make_function
from localaws import LocalAws
from localaws.cdk.cli import find_cli
from localaws.server.__main__ import share_models
from localaws.server.credentials import root_secret
from localaws.server.endpoint_rules import SERVICES, Loader

pytestmark = pytest.mark.local

# Every way that is known to lead a client astray.
_HOSTILE = {
    "AWS_PROFILE": "nobody-wrote-it",
    "AWS_DEFAULT_PROFILE": "nobody-wrote-it",
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "another",
    "AWS_SESSION_TOKEN": "stale",
    "AWS_REGION": "eu-central-1",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_ENDPOINT_URL": "https://192.0.2.1",
    "AWS_ENDPOINT_URL_STS": "https://192.0.2.1",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
    "AWS_USE_FIPS_ENDPOINT": "true",
    "AWS_USE_DUALSTACK_ENDPOINT": "true",
    "AWS_CA_BUNDLE": "/nonexistent/ca.pem",
    "REQUESTS_CA_BUNDLE": "/nonexistent/ca.pem",
    "HTTPS_PROXY": "http://192.0.2.1:3128",
    "https_proxy": "http://192.0.2.1:3128",
}
_CONFIG = """
[default]
region = eu-west-1
role_arn = arn:aws:iam::999999999999:role/admin
source_profile = default
endpoint_url = https://192.0.2.1
retry_mode = nonsense
ca_bundle = /nonexistent/ca.pem
s3 =
    addressing_style = virtual
"""


def _mislead(folder: Path, environment: pytest.MonkeyPatch) -> None:
    """Point the environment and the configuration of the user elsewhere."""
    (folder / ".aws").mkdir(exist_ok=True)
    (folder / ".aws" / "config").write_text(_CONFIG)
    environment.setenv("HOME", str(folder))
    for name in ("NO_PROXY", "no_proxy", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        environment.delenv(name, raising=False)
    for name, value in _HOSTILE.items():
        environment.setenv(name, value)


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user whose environment and configuration point elsewhere."""
    _mislead(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def started_by_hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """An embedded AWS that this user has started."""
    aws = LocalAws(region="us-west-2")
    with pytest.MonkeyPatch.context() as environment:
        _mislead(tmp_path_factory.mktemp("user"), environment)
        aws.start()
    yield aws
    aws.stop()


@pytest.mark.usefixtures("hostile")
def test_the_session_is_not_touched_by_the_user_s_configuration(started_by_hostile: LocalAws) -> None:
    aws = started_by_hostile
    assert aws.session.region_name == "us-west-2"
    assert aws.session.client("sts").get_caller_identity()["Account"] == "123456789012"
    location: Any = {"LocationConstraint": "us-west-2"}
    aws.client("s3").create_bucket(Bucket="photos", CreateBucketConfiguration=location)
    aws.session.resource("s3").Object("photos", "a b+ü").put(Body=b"x")
    assert aws.client("s3").list_objects_v2(Bucket="photos")["KeyCount"] == 1


@pytest.mark.usefixtures("hostile")
def test_the_environment_overrules_the_user_s_configuration(started_by_hostile: LocalAws) -> None:
    script = """
import boto3, json
session = boto3.Session()
identity = session.client("sts").get_caller_identity()
s3 = session.client("s3")
s3.create_bucket(Bucket="by-script", CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
s3.put_object(Bucket="by-script", Key="a b", Body=b"x")
print(json.dumps([identity["Account"], session.region_name, session.get_credentials().token]))
"""
    aws = started_by_hostile
    shell = {**os.environ, **aws.environment}
    ran = subprocess.run([sys.executable, "-c", script], env=shell, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == [aws.account, "us-west-2", None]
    assert aws.client("s3").list_objects_v2(Bucket="by-script")["KeyCount"] == 1


@pytest.mark.usefixtures("hostile")
def test_the_environment_overrules_it_for_the_cdk_cli_too(
    started_by_hostile: LocalAws, tmp_path: Path
) -> None:
    aws = started_by_hostile
    ran = subprocess.run(
        [find_cli(), "bootstrap", f"aws://{aws.account}/{aws.region}", "--no-notices", "--ci"],
        env={**os.environ, **aws.environment},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert aws.client("cloudformation").describe_stacks()["Stacks"][0]["StackName"] == "CDKToolkit"


def test_the_environment_is_enough_by_itself(local_aws: LocalAws) -> None:
    script = "import boto3; print(boto3.client('sts').get_caller_identity()['Account'])"
    ran = subprocess.run(
        [sys.executable, "-c", script], env=dict(local_aws.environment), capture_output=True, text=True
    )
    assert ran.stdout.strip() == local_aws.account, ran.stderr


def test_node_keeps_the_certificates_that_it_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "company.pem"
    own.write_text("-----COMPANY-----")
    monkeypatch.setenv("NODE_EXTRA_CA_CERTS", str(own))
    with LocalAws() as aws:
        text = Path(aws.environment["NODE_EXTRA_CA_CERTS"]).read_text()
        assert "-----COMPANY-----" in text
        assert aws.ca_file.read_text() in text


def test_clients_trust_the_server_only_with_its_certificate(
    local_aws: LocalAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    client = boto3.client(
        "sts",
        endpoint_url=local_aws.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}),
    )
    with pytest.raises(SSLError):
        client.get_caller_identity()


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "abc123.execute-api.localhost", "web.alb.localhost"]
)
def test_the_certificate_is_for_every_name_that_is_served(local_aws: LocalAws, host: str) -> None:
    context = ssl.create_default_context(cafile=str(local_aws.ca_file))
    context.verify_flags |= ssl.VERIFY_X509_STRICT  # what Python 3.13 does by default
    port = int(local_aws.endpoint_url.rpartition(":")[2])
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        context.wrap_socket(plain, server_hostname=host),
    ):
        pass


def test_the_files_are_for_their_owner_only(local_aws: LocalAws) -> None:
    folder = local_aws.log_file.parent
    # For the PostgreSQL of root, which runs as another user, the folder is searchable and no more.
    assert folder.stat().st_mode & 0o066 == 0
    for name in ("key.pem", "server.log"):
        assert (folder / name).stat().st_mode & 0o077 == 0


def test_a_client_is_made_once_and_another_one_is_cheap(local_aws: LocalAws) -> None:
    assert local_aws.client("dynamodb") is local_aws.client("dynamodb")
    local_aws.session.client("s3")  # loads the service's model
    ours = [_cpu_seconds(lambda: local_aws.session.client("s3")) for _ in range(3)]
    fresh = [
        _cpu_seconds(lambda: boto3.Session(region_name="us-east-1").client("s3", verify=False))
        for _ in range(3)
    ]
    assert min(ours) < min(fresh) / 2


def _cpu_seconds(action: Callable[[], object]) -> float:
    began = time.process_time()
    action()
    return time.process_time() - began


def test_a_user_without_a_policy_is_denied(empty_aws: LocalAws) -> None:
    key = _user(empty_aws, "reader")
    with pytest.raises(ClientError, match="AccessDenied"):
        _s3(empty_aws, key).list_buckets()
    statement = {"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*"}
    empty_aws.client("iam").put_user_policy(
        UserName="reader",
        PolicyName="list",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )
    assert _s3(empty_aws, key).list_buckets()["Buckets"] == []


def test_iam_can_be_switched_off() -> None:
    with LocalAws(iam=False) as aws:
        assert _s3(aws, _user(aws, "reader")).list_buckets()["Buckets"] == []


def _user(aws: LocalAws, name: str) -> dict[str, str]:
    aws.client("iam").create_user(UserName=name)
    key: dict[str, str] = aws.client("iam").create_access_key(UserName=name)["AccessKey"]
    return key


def _s3(aws: LocalAws, key: dict[str, str]) -> Any:
    return aws.session.client(
        "s3", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"]
    )


_CONTROL = """
import boto3
from botocore.exceptions import ClientError
def handler(event, context):
    try:
        boto3.client("s3control").get_public_access_block(AccountId="123456789012")
    except ClientError as error:  # an answer: the emulator has no such call
        return error.response["ResponseMetadata"]["HTTPStatusCode"]
"""


def test_no_client_puts_the_account_before_the_host(local_aws: LocalAws) -> None:
    with pytest.raises(ClientError):  # an answer, not `EndpointConnectionError`
        local_aws.client("s3control").get_public_access_block(AccountId=local_aws.account)
    script = f"{_CONTROL}\nprint(handler(None, None))"
    shell = {"PATH": os.environ["PATH"], **local_aws.environment}
    ran = subprocess.run([sys.executable, "-c", script], env=shell, capture_output=True, text=True)
    assert int(ran.stdout) >= 400, ran.stderr
    make_function(local_aws, _CONTROL, name="control")
    assert invoke(local_aws, "control") >= 400


def test_all_services_that_do_are_known() -> None:
    """Except for buckets and access points, whose names clients can put into the path."""
    loader = botocore.loaders.Loader()
    found = {
        service
        for service in loader.list_available_services("endpoint-rule-set-1")
        if re.search(r"\}\.\{url#", json.dumps(loader.load_service_model(service, "endpoint-rule-set-1")))
    }
    assert found == {"s3", *SERVICES}
    ours = Loader()
    for service in SERVICES:
        assert "}.{url#" not in json.dumps(ours.load_service_model(service, "endpoint-rule-set-1"))


_CALLS_HOME = """
import boto3, json, os
def handler(event, context):
    identity = boto3.client("sts").get_caller_identity()["Arn"]
    try:
        boto3.client("s3").list_buckets()
        listed = "allowed"
    except Exception as error:
        listed = type(error).__name__ + str(error)
    return {"identity": identity, "listed": listed, "environment": dict(os.environ)}
"""


def test_a_function_inside_calls_aws_with_the_session_of_its_role(empty_aws: LocalAws) -> None:
    make_function(empty_aws, _CALLS_HOME, name="calls-home")
    answer = invoke(empty_aws, "calls-home")
    assert answer["identity"].startswith(f"arn:aws:sts::{empty_aws.account}:assumed-role/role-calls-home/")
    assert "AccessDenied" in answer["listed"]


def test_a_function_sees_nothing_of_the_user_s_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPANY_SECRET", "42")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the user's own")
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    for bridges in (True, False):
        with LocalAws(bridges=bridges) as aws:
            make_function(aws, _CALLS_HOME)
            environment = invoke(aws)["environment"]
            assert "COMPANY_SECRET" not in environment
            assert environment["AWS_SECRET_ACCESS_KEY"] not in (
                "the user's own",
                root_secret(aws._options.secret, aws.account),
            )
            assert str(Path.cwd()) not in environment.get("PYTHONPATH", "")
            # Of its own: in its own /tmp, or else in the state folder.
            home = Path(environment["HOME"])
            assert str(home) == "/tmp/home" or home.is_relative_to(aws.log_file.parent)  # noqa: S108


def test_sessions_in_the_server_read_the_model_of_a_service_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(botocore.session, "create_loader", botocore.session.create_loader)
    share_models()
    first, second = (botocore.session.get_session().get_component("data_loader") for _ in range(2))
    assert first is second
