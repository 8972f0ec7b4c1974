"""The AWS CLI never reaches the real AWS from `run.py local`, whichever version it is."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tasks.aws_cli import describe, write_wrapper


def make_aws(folder: Path, does: str) -> Path:
    """A stand-in for the AWS CLI."""
    folder.mkdir(exist_ok=True)
    program = folder / "aws"
    program.write_text(f"#!/bin/sh\n{does}\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize(
    ("version", "ignores"),
    [
        ("aws-cli/1.45.11 Python/3.11.7 Linux/6.1 botocore/1.43.11", "SQS, RDS, DocumentDB and Neptune"),
        ("aws-cli/1.22.34 Python/3.10.12 Linux/5.15 botocore/1.23.34", "every service"),
        ("aws-cli/2.9.19 Python/3.11.2 Linux/6.1 source/x86_64.debian.12", "every service"),
        ("aws-cli/2.13.0 Python/3.11.4 Linux/6.1 exe/x86_64.debian.12", ""),
        ("aws-cli/2.31.4 Python/3.13.7 Linux/6.1 exe/x86_64.debian.12", ""),
    ],
)
def test_a_version_that_ignores_the_endpoint_is_named(version: str, ignores: str, tmp_path: Path) -> None:
    said = describe(str(make_aws(tmp_path, f"echo {version}")))
    if ignores:
        assert f"ignores AWS_ENDPOINT_URL for {ignores} and would call the real AWS" in said
        assert version.split()[0].removeprefix("aws-cli/") in said
        assert "--endpoint-url" in said
    else:
        assert said == ""


def test_without_a_cli_it_says_how_to_get_one() -> None:
    assert "There is no AWS CLI on the PATH. `uv tool install awscli`" in describe(None)


def test_a_cli_that_does_not_run_is_reported(tmp_path: Path) -> None:
    assert "does not run" in describe(str(make_aws(tmp_path, "exit 127")))  # a shim of a missing version


def test_the_wrapper_gives_the_endpoint_to_the_next_cli_on_the_path(tmp_path: Path) -> None:
    wrapper = write_wrapper(tmp_path / "first")
    make_aws(tmp_path / "my programs", 'printf "<%s>" "$@"; exit 9')
    done = subprocess.run(
        ["aws", "sqs", "send-message", "--message-body", "two  words *"],
        env={
            "PATH": f"{wrapper}:{tmp_path / 'my programs'}:/usr/bin:/bin",
            "AWS_ENDPOINT_URL": "https://here",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 9
    assert done.stdout == "<--endpoint-url><https://here><sqs><send-message><--message-body><two  words *>"


def test_a_shell_in_a_shell_finds_the_cli_too(tmp_path: Path) -> None:
    inner, outer = write_wrapper(tmp_path / "inner"), write_wrapper(tmp_path / "outer")
    make_aws(tmp_path / "programs", "echo the real one")
    done = subprocess.run(
        ["aws", "s3", "ls"],
        env={
            "PATH": f"{inner}:{outer}:{tmp_path / 'programs'}:/usr/bin:/bin",
            "AWS_ENDPOINT_URL": "https://here",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    )
    assert done.stdout == "the real one\n"


def test_the_wrapper_without_a_cli_says_how_to_get_one(tmp_path: Path) -> None:
    wrapper = write_wrapper(tmp_path)
    (tmp_path / "dirname").symlink_to("/usr/bin/dirname")
    done = subprocess.run(
        ["aws", "s3", "ls"], env={"PATH": str(wrapper)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 127
    assert "uv tool install awscli" in done.stderr
