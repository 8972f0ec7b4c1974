"""Finds a stack with the user's own AWS configuration, or says in a sentence why it cannot."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

from scenarios.framework import DeployedStack, StackNotFound
from stacks.catalogue import ARCHITECTURES
from tasks.errors import TaskError

_HOW = "see `aws configure`, or set AWS_PROFILE and AWS_REGION"


def find_stack(
    name: str, tell: Callable[[str], None] = lambda _: None, out: Path = Path("out")
) -> DeployedStack:
    """Look a stack up in the account and region of the user's AWS configuration.

    Args:
        name: Name of the stack.
        tell: Called with each line of a scenario's story.
        out: Folder for the results of a scenario.

    Raises:
        TaskError: It cannot be found; the message says why and what to do.
    """
    try:
        # boto3 reads AWS_DEFAULT_REGION only, unlike the CDK and the AWS CLI. A profile may not be there.
        session = boto3.Session(region_name=os.environ.get("AWS_REGION") or None)
        return DeployedStack.find(name, session, tell=tell, out=out)
    except NoCredentialsError as error:
        raise TaskError(f"No AWS credentials were found: {_HOW}.") from error
    except NoRegionError as error:
        raise TaskError(f"No AWS region is set: {_HOW}.") from error
    except StackNotFound as error:
        known = name if any(row.id == name for row in ARCHITECTURES) else "ID"
        raise TaskError(
            f"There is no usable {error}. Deploy it with `python3 run.py deploy {known}`: the stack has the "
            "id of its architecture as its name, after the `stack-prefix` of the context if there is one."
        ) from error
    except ClientError as error:
        raise TaskError(f"AWS refused to describe the stack {name}: {error}") from error
    # A profile that is not there, an expired login, no network, a malformed variable or endpoint, a program
    # for credentials that does not run.
    except (BotoCoreError, ValueError, OSError) as error:
        raise TaskError(f"AWS could not be asked for the stack {name}: {error} ({_HOW}).") from error
