"""`cdk bootstrap` without starting the CLI, which takes about two seconds.

CloudFormation deploys the template of the installed CLI.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import boto3

TOOLKIT_STACK = "CDKToolkit"
_TEMPLATE = Path("lib", "api", "bootstrap", "bootstrap-template.yaml")
_SECONDS = 60

# The parameters of `cdk bootstrap` without options.
_PARAMETERS = {"FileAssetsBucketKmsKeyId": "AWS_MANAGED_KEY"}


class BootstrapError(RuntimeError):
    """The account could not be bootstrapped."""


def find_cli() -> Path:
    """Return the CDK CLI on the PATH.

    Raises:
        BootstrapError: There is none.
    """
    found = shutil.which("cdk")
    if not found:
        raise BootstrapError("bootstrap(): there is no `cdk` on the PATH; pass cdk=, the path of the CDK CLI")
    return Path(found)


@functools.cache
def template_of(cdk: Path) -> str:
    """Return the bootstrap template of a CDK CLI.

    Args:
        cdk: The CLI's executable.

    Raises:
        BootstrapError: It is not a CDK CLI.
    """
    template = cdk.resolve().parent.parent / _TEMPLATE  # npm links node_modules/.bin/cdk to aws-cdk/bin/cdk
    if template.is_file():
        return template.read_text("utf-8")
    try:
        shown = subprocess.run(
            [cdk, "bootstrap", "--show-template"],
            capture_output=True,
            text=True,
            check=True,
            timeout=_SECONDS,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise BootstrapError(f"cdk={str(cdk)!r} did not print its bootstrap template: {error}") from error
    return shown.stdout


def bootstrap(session: boto3.Session, template: str) -> None:
    """Deploy the bootstrap template, unless it is deployed.

    Args:
        session: A session with administrator credentials.
        template: The text of the template.

    Raises:
        BootstrapError: The stack could not be created.
    """
    cloudformation = session.client("cloudformation")
    if _status(cloudformation) == "CREATE_COMPLETE":
        return
    cloudformation.create_stack(
        StackName=TOOLKIT_STACK,
        TemplateBody=template,
        Capabilities=["CAPABILITY_NAMED_IAM"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in _PARAMETERS.items()],
    )
    deadline = time.monotonic() + _SECONDS
    while (status := _status(cloudformation)).endswith("_IN_PROGRESS") and time.monotonic() < deadline:
        time.sleep(0.02)
    if status != "CREATE_COMPLETE":
        raise BootstrapError(f"The stack {TOOLKIT_STACK} is {status}, not CREATE_COMPLETE")


def _status(cloudformation: Any) -> str:
    try:
        return str(cloudformation.describe_stacks(StackName=TOOLKIT_STACK)["Stacks"][0]["StackStatus"])
    except cloudformation.exceptions.ClientError:
        return "absent"
