"""The program that `CDK_DOCKER` names: the commands of the CDK CLI for an image asset."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from localaws import LocalAws
from localaws.images.__main__ import main

Docker = Callable[..., tuple[int, str, str]]


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Docker:
    (tmp_path / "app.py").write_text("")
    (tmp_path / "Dockerfile").write_text("FROM scratch\nARG A\nCOPY app.py /\nENV A=$A\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOCALAWS_IMAGES", str(tmp_path / "store"))
    monkeypatch.setenv("PATH", "/nowhere")

    def run(*words: str, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        code = main(words)
        return code, *capsys.readouterr()

    return run


_LOCAL = "cdkasset-abc"
_BUILD = ("build", "--build-arg", "A=1", "--tag", _LOCAL, "--platform", "linux/arm64", ".")


@pytest.mark.local
def test_an_asset_is_built_and_pushed(
    docker: Docker, local_aws: LocalAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_CA_BUNDLE"):
        monkeypatch.setenv(name, local_aws.environment[name])
    ecr = local_aws.client("ecr")
    uri = ecr.create_repository(repositoryName="program")["repository"]["repositoryUri"]
    assert docker("inspect", _LOCAL)[:2] == (1, "[]\n")
    assert docker(*_BUILD)[0] == 0
    shown = json.loads(docker("--config", "folder", "inspect", _LOCAL)[1])[0]
    assert (shown["Architecture"], shown["Config"]) == ("arm64", {"Env": ["A=1"]})
    docker("tag", _LOCAL, f"{uri}:1")
    assert docker("images", "--format", "x", "--filter", "reference=*/*:1")[1] == f"{uri}:1\n"
    assert "not logged in" in docker("push", f"{uri}:1")[2]
    token = ecr.get_authorization_token()["authorizationData"][0]
    password = base64.b64decode(token["authorizationToken"]).decode().partition(":")[2]
    docker("login", "--username", "AWS", "--password-stdin", token["proxyEndpoint"], stdin=password)
    assert docker("push", f"{uri}:1")[0] == 0
    (found,) = ecr.describe_images(repositoryName="program")["imageDetails"]
    assert (found["imageTags"], found["imageDigest"]) == (["1"], shown["Id"])
    assert "name unknown: repository name not known" in _pushed_to(docker, uri.replace("program", "none"))
    docker("login", "--username", "AWS", "--password-stdin", token["proxyEndpoint"], stdin="wrong")
    assert "HTTP 401: " in docker("push", f"{uri}:1")[2]
    docker("logout", token["proxyEndpoint"])
    assert "not logged in" in docker("push", f"{uri}:1")[2]


def _pushed_to(docker: Docker, uri: str) -> str:
    docker("tag", _LOCAL, f"{uri}:1")
    return docker("push", f"{uri}:1")[2]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "--rm", "x"), "no container can run"),
        ((), "no command: here are build"),
        (("tag", "x", "y"), "no such image: x"),
        (("push", "x"), "no such image: x"),
        (("build", "--file", "Other", "."), "there is no Other"),
        (("build", "--output=type=tar", "."), "give type=docker"),
        (("build", "--secret", "id=x,src=y", "."), "--secret and --build-context are not supported here"),
        (("build", "--target", "x", "."), "--target x: there is no such stage"),
        (("build", "--platform", "linux/riscv64", "."), "Lambda runs linux/amd64 and linux/arm64"),
    ],
)
def test_refused(docker: Docker, words: tuple[str, ...], said: str) -> None:
    code, _, error = docker(*words)
    assert (code, said in error) == (1, True), error


def test_what_it_cannot_do_is_done_by_docker(
    docker: Docker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$@" > said\nexit 7\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    assert docker("run", "--rm", "x")[0] == 7
    assert (tmp_path / "said").read_text() == "run --rm x\n"
    (tmp_path / "Dockerfile").write_text("FROM debian\n")
    assert docker("build", "--tag", "cdk-123", ".")[0] == 7
    # The image of an asset would be Docker's, and could not be pushed from here.
    assert "debian cannot be fetched here" in docker("build", "--tag", _LOCAL, ".")[2]


def test_without_an_embedded_aws(docker: Docker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCALAWS_IMAGES")
    assert docker("inspect", "x")[0] == 2
