"""A web page knows the port at best: neither the server nor the relay of functions does what it sends."""

from __future__ import annotations

import http.client
import json
import re
from pathlib import Path

import pytest

from helpers.processes_of import make_function
from helpers.signing import FORM, Signed, in_chunks, presigned, signed
from localaws import LocalAws
from localaws.server.child import Child
from localaws.server.processes import descendants

pytestmark = pytest.mark.local

_EVIL = {"Origin": "https://evil.example", "Content-Type": "text/plain"}
_CONTROL = [
    ("POST", "/_localaws/reset"),
    ("GET", "/_localaws/dropped"),
    ("POST", "/_ministack/reset"),
    ("POST", "/%5Fministack/reset"),
    ("POST", "/_ministack/config"),
    ("GET", "/_ministack/health"),
    ("GET", "/_ministack/ready"),
    ("GET", "/_localstack/health"),
    ("GET", "/health"),
    ("GET", "/_ministack/sqs/messages"),
    ("GET", "/_ministack/ses/messages"),
    ("GET", "/_ministack/sns/sms-messages"),
    ("GET", "/_ministack/lambda-code/f"),
    ("POST", "/_ministack/rds/iam-auth"),
    ("POST", "/_ministack/eks-auth/1"),
    ("GET", "/latest/meta-data/iam/security-credentials/"),
    ("PUT", "/latest/api/token"),
    ("GET", "/v2/credentials/x"),
]


@pytest.mark.parametrize(("method", "path"), _CONTROL)
def test_control_paths_ask_for_the_secret_of_the_start(local_aws: LocalAws, method: str, path: str) -> None:
    control = Signed(local_aws, method, path)
    assert control.send().status == 403
    assert control.with_header("X-Localaws-Secret", "guessed").send().status == 403
    for headers in ({}, {"Host": "x"}, _EVIL):
        assert control.but(headers=headers).send().status in (400, 403)
    # Not even the owner's signature opens them, nor the name of a public front.
    assert signed(local_aws, "s3", method, path).send().status == 403
    for host in (
        "abcdef01.execute-api.localhost",
        f"{'a' * 32}.lambda-url.us-east-1.on.aws",
        "d1.cloudfront.net",
    ):
        assert control.send(host).status == 403
    if path.startswith("/_localaws"):  # all others are for the application behind a load balancer
        assert control.send("front-1.us-east-1.elb.amazonaws.com").status == 403


def test_a_reset_without_the_secret_deletes_nothing(empty_aws: LocalAws) -> None:
    empty_aws.client("sqs").create_queue(QueueName="jobs")
    for path in ("/_localaws/reset", "/_ministack/reset", "/_ministack/reset?init=1"):
        Signed(empty_aws, "POST", path).send()
    assert len(empty_aws.client("sqs").list_queues()["QueueUrls"]) == 1
    empty_aws.reset()
    assert not empty_aws.client("sqs").list_queues().get("QueueUrls")


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1:1",
        "localhost",
        "127.0.0.1.evil.example",
        "[::1]:{port}",
        "notlocalhost:{port}",
        "amazonaws.com.evil.example",
    ],
)
def test_a_name_that_was_bound_to_this_machine_is_refused(local_aws: LocalAws, host: str) -> None:
    port = local_aws.endpoint_url.rpartition(":")[2]
    body = b"Action=GetCallerIdentity&Version=2011-06-15"
    request = signed(local_aws, "sts", "POST", "/", headers={"Content-Type": FORM}, body=body)
    assert request.send(host.format(port=port)).status == 421
    assert Signed(local_aws, "OPTIONS", "/").send(host.format(port=port)).status == 421


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost.evil.example", "http://127.0.0.1.nip.io"]
)
def test_a_page_of_another_server_is_refused_whatever_it_has(local_aws: LocalAws, origin: str) -> None:
    body = b"Action=GetCallerIdentity&Version=2011-06-15"
    request = signed(local_aws, "sts", "POST", "/", headers={"Content-Type": FORM}, body=body)
    assert request.send().status == 200
    assert request.with_header("Origin", "http://localhost:3000").send().status == 200
    assert request.with_header("Origin", origin).send().status == 403
    assert Signed(local_aws, "OPTIONS", "/", {"Origin": origin}).send().status == 403
    plain = {"Origin": origin, "Content-Type": "text/plain"}
    assert Signed(local_aws, "POST", "/", plain, b'{"UserName": "me"}').send().status == 403
    sign_up = plain | {"X-Amz-Target": "AWSCognitoIdentityProviderService.SignUp"}
    assert Signed(local_aws, "POST", "/", sign_up, b"{}").send().status == 403


def test_a_page_uses_the_url_that_it_was_given(empty_aws: LocalAws) -> None:
    # On AWS, too, S3 asks for no origin: its CORS configuration is for browsers.
    empty_aws.client("s3").create_bucket(Bucket="gallery")
    empty_aws.client("s3").put_object(Bucket="gallery", Key="a", Body=b"x")
    url = presigned(empty_aws, "/gallery/a", expires=60)
    assert url.with_header("Origin", "https://evil.example").send().body == b"x"
    assert Signed(empty_aws, "GET", "/gallery/a", {"Origin": "https://evil.example"}).send().status == 403


def test_a_page_cannot_use_the_relay_of_functions(local_aws: LocalAws) -> None:
    make_function(local_aws, "def handler(e, c): pass", name="any")
    ports = _listening(local_aws._ready.pid) - {local_aws._ready.port}
    assert ports
    call = json.dumps(
        {
            "service": "iam",
            "operation": "CreateUser",
            "region": "us-east-1",
            "credentials": {"accessKeyId": "test", "secretAccessKey": "test"},
            "input": {"UserName": "intruder"},
        }
    )
    for port in ports:
        own = {"Host": f"127.0.0.1:{port}", "Content-Type": "application/json"}
        for headers in (
            {**own, "Content-Type": "text/plain", "Origin": "https://evil.example"},
            own,
            {**own, "Authorization": "Bearer guessed"},
            {**own, "Host": f"evil.example:{port}"},
        ):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("POST", "/", call, headers)
            assert connection.getresponse().status == 403
            connection.close()
    users = local_aws.client("iam").list_users()["Users"]
    assert "intruder" not in [user["UserName"] for user in users]


def test_the_secret_is_in_no_command_line_and_no_file(local_aws: LocalAws) -> None:
    secret = local_aws._options.secret
    child = local_aws._running
    assert isinstance(child, Child)
    for pid in [child.keeper_pid, local_aws._ready.pid, *descendants(local_aws._ready.pid)]:
        for name in ("cmdline", "environ"):
            file = Path(f"/proc/{pid}/{name}")
            if file.exists():
                assert secret.encode() not in file.read_bytes()
    for file in local_aws.log_file.parent.rglob("*"):
        if file.is_file():
            assert secret.encode() not in file.read_bytes()


def test_a_large_upload_arrives_whole(local_aws: LocalAws) -> None:
    local_aws.client("s3").create_bucket(Bucket="large")
    content = bytes(range(256)) * 20_000
    assert in_chunks(local_aws, "/large/a", content, content).send().status == 200
    assert local_aws.client("s3").get_object(Bucket="large", Key="a")["Body"].read() == content * 2


def _listening(pid: int) -> set[int]:
    table = Path(f"/proc/{pid}/net/tcp")
    if not table.exists():
        pytest.skip("only Linux shows listening sockets of a process without a tool")
    own = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}
    rows = [line.split() for line in table.read_text().splitlines()[1:]]
    return {
        int(re.split(":", row[1])[1], 16) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in own
    }
