"""`run.py addresses` prints command lines of curl that work."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from helpers.load_balancers import balanced
from localaws import LocalAws
from tasks import addresses


@pytest.mark.local
def test_each_command_line_of_curl_gets_an_answer(
    empty_aws: LocalAws, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if shutil.which("curl") is None:
        pytest.skip("there is no curl on this machine")
    for name, value in empty_aws.environment.items():
        monkeypatch.setenv(name, value)
    assert addresses.main([]) == 0
    assert capsys.readouterr().out == "There is no load balancer, no API and no function URL.\n"

    balanced(empty_aws)
    client = empty_aws.client("lambda")
    function = client.list_functions()["Functions"][0]
    client.create_function_url_config(FunctionName=function["FunctionName"], AuthType="NONE")
    for action in ("lambda:InvokeFunctionUrl", "lambda:InvokeFunction"):
        client.add_permission(
            FunctionName=function["FunctionName"],
            StatementId=action.partition(":")[2],
            Action=action,
            Principal="*",
            **({"FunctionUrlAuthType": "NONE"} if action.endswith("Url") else {}),
        )
    client.add_permission(
        FunctionName=function["FunctionName"],
        StatementId="api",
        Action="lambda:InvokeFunction",
        Principal="apigateway.amazonaws.com",
    )
    gateway = empty_aws.client("apigatewayv2")
    api = gateway.create_api(Name="shop", ProtocolType="HTTP")["ApiId"]
    integration = gateway.create_integration(
        ApiId=api,
        IntegrationType="AWS_PROXY",
        IntegrationUri=function["FunctionArn"],
        PayloadFormatVersion="2.0",
    )["IntegrationId"]
    gateway.create_route(ApiId=api, RouteKey="$default", Target=f"integrations/{integration}")
    gateway.create_stage(ApiId=api, StageName="$default", AutoDeploy=True)

    assert addresses.main([]) == 0
    names, lines = read(capsys.readouterr().out)
    assert [name.split()[0] for name in names] == ["load", "API", "function"]
    for line in lines:
        done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=False, env={})
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout), line


def read(shown: str) -> tuple[list[str], list[str]]:
    """The names and the command lines."""
    lines = shown.splitlines()
    return lines[::2], lines[1::2]


@pytest.mark.parametrize("endpoint", ["", "https://sqs.us-east-1.amazonaws.com"])
def test_elsewhere_it_says_where_to_run_it(
    endpoint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    assert addresses.main([]) == 1
    assert "start one with `python3 run.py local --shell`" in capsys.readouterr().err


def test_an_embedded_aws_that_has_ended_is_reported_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    variables = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_CA_BUNDLE": "/missing",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert addresses.main([]) == 1
    assert "the embedded AWS of this shell does not answer: " in capsys.readouterr().err
