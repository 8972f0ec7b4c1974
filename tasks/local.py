"""`run.py local`: an embedded AWS, ready for the CDK, for use from another terminal."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from collections.abc import Mapping
from types import FrameType

from localaws import BootstrapError, LocalAws, LocalAwsError
from tasks.cdk import FOR_THIS_MACHINE
from tasks.process import end_with_parent
from tasks.progress import step


def main(arguments: list[str]) -> int:
    """Print what to export, and run until ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(prog="run.py local", description=__doc__)
    parser.add_argument("--region", default="us-east-1", help="the region (default: %(default)s)")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    end_with_parent()
    aws = LocalAws(region=options.region)
    try:
        with aws:
            with step("embedded AWS, ready for the CDK"):
                aws.bootstrap()
            print(exports({**aws.environment, **FOR_THIS_MACHINE}), flush=True)
            _tell("Paste these lines into another terminal: cdk, aws and boto3 there then use this AWS.")
            _tell(f"What it does is logged in {aws.log_file}. ctrl-C ends it with all its processes.")
            aws.wait()
    except KeyboardInterrupt:
        _tell("\nThe embedded AWS has ended.")
    except (BootstrapError, LocalAwsError) as error:
        _tell(f"run.py local: {error}")
        return 1
    return 0


def exports(environment: Mapping[str, str]) -> str:
    """Return lines for a shell that set the variables."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in sorted(environment.items()))


def _tell(sentence: str) -> None:
    """Write for a person to standard error: standard output has only lines for the shell."""
    print(sentence, file=sys.stderr, flush=True)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Treat SIGTERM as ctrl-C, but only once: the clean-up must not be interrupted."""
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
