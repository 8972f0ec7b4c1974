"""`cdk bootstrap` without starting the CLI, which takes about two seconds.

CloudFormation deploys the template of the installed CLI.
"""

from __future__ import annotations

import functools
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
_ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"


class BootstrapError(RuntimeError):
    """The account could not be bootstrapped."""


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


def bootstrap(
    session: boto3.Session, template: str, *, qualifier: str | None = None, trusted_account: str | None = None
) -> None:
    """Deploy the bootstrap template, unless it is deployed.

    Args:
        session: A session with administrator credentials.
        template: The text of the template.
        qualifier: The value of `--qualifier`; each has a stack of its own here.
        trusted_account: The value of `--trust`, with administrators' rights for what it deploys.

    Raises:
        BootstrapError: The stack could not be created.
    """
    name, parameters = TOOLKIT_STACK, dict(_PARAMETERS)
    if qualifier:
        name = f"{TOOLKIT_STACK}-{qualifier}"
        parameters["Qualifier"] = qualifier
    if trusted_account:
        parameters["TrustedAccounts"] = trusted_account
        parameters["CloudFormationExecutionPolicies"] = _ADMINISTRATOR
    cloudformation = session.client("cloudformation")
    if _status(cloudformation, name) == "CREATE_COMPLETE":
        return
    cloudformation.create_stack(
        StackName=name,
        TemplateBody=template,
        Capabilities=["CAPABILITY_NAMED_IAM"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
    )
    deadline = time.monotonic() + _SECONDS
    while (status := _status(cloudformation, name)).endswith("_IN_PROGRESS") and time.monotonic() < deadline:
        time.sleep(0.02)
    if status != "CREATE_COMPLETE":
        raise BootstrapError(f"The stack {name} is {status}, not CREATE_COMPLETE")


def is_toolkit(stack: str) -> bool:
    """Whether a stack is one that `bootstrap` deploys."""
    return stack == TOOLKIT_STACK or stack.startswith(f"{TOOLKIT_STACK}-")


def _status(cloudformation: Any, name: str) -> str:
    try:
        return str(cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])
    except cloudformation.exceptions.ClientError:
        return "absent"
