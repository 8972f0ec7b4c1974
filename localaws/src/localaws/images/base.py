"""What stands for AWS's base images of Python: this machine's Python, with their variables and entrypoint.

https://docs.aws.amazon.com/lambda/latest/dg/python-image.html
https://github.com/aws/aws-lambda-base-images
"""

from __future__ import annotations

import re
from typing import Any

from localaws.images.layers import FOLDER, Tree, text_file

NAME = "public.ecr.aws/lambda/python"
_KNOWN = re.compile(
    r"(?:public\.ecr\.aws/lambda/python|amazon/aws-lambda-python)(?::[\w.-]+)?(?:@sha256:[0-9a-f]{64})?"
)

ENTRYPOINT = "/lambda-entrypoint.sh"
# As in AWS's image, whose emulator also starts where no Runtime API is.
_SCRIPT = """#!/bin/sh
if [ $# -ne 1 ]; then
  echo "entrypoint requires the handler name to be the first argument" 1>&2
  exit 142
fi
export _HANDLER="$1"
exec $AWS_LAMBDA_EXEC_WRAPPER /var/lang/bin/python3 -S -s -X utf8 /var/runtime/bootstrap.py
"""


def is_known(image: str) -> bool:
    """Whether it is a base image that this machine's Python stands for."""
    return _KNOWN.fullmatch(image) is not None


def files() -> Tree:
    """The files of the base."""
    return {
        ENTRYPOINT.lstrip("/"): text_file(_SCRIPT, 0o755),
        **dict.fromkeys(("opt", "var/lang", "var/runtime", "var/task"), FOLDER),
    }


def config() -> dict[str, Any]:
    """The configuration of AWS's image."""
    return {
        "Env": [
            "LANG=en_US.UTF-8",
            "TZ=:/etc/localtime",
            "PATH=/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
            "LD_LIBRARY_PATH=/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib"
            ":/opt/lib",
            "LAMBDA_TASK_ROOT=/var/task",
            "LAMBDA_RUNTIME_DIR=/var/runtime",
        ],
        "WorkingDir": "/var/task",
        "Entrypoint": [ENTRYPOINT],
    }
