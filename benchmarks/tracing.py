"""The start of a function with OpenTelemetry, with the X-Ray SDK and without either, and the time of a span.

Each start is a process of its own with the bytecode of all packages, without garbage collection, in turns. It
imports botocore, makes a client of DynamoDB, and traces what that does: as the handler of the architecture
`tracing` does, or as `patch_all()` of the X-Ray SDK does. A span has nothing inside, and is sent.
"""

from __future__ import annotations

import argparse
import compileall
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
HANDLER = ROOT / "lambda_src" / "observability"
_START = "import gc; gc.disable()"
_CLIENT = "import botocore.session; c = botocore.session.get_session().create_client('dynamodb', 'eu-west-1')"
_SPANS = """
import time
began = time.perf_counter()
for _ in range({spans}):
    {span}
print((time.perf_counter() - began) / {spans} * 1e6)
"""
_OTEL = "from tracing.telemetry import make_tracer, of_invocation; tracer = make_tracer()"
_XRAY = "from aws_xray_sdk.core import patch_all, xray_recorder; patch_all()"
#: What starts, and how it makes a span.
VARIANTS = {
    "no tracing": (_CLIENT, "pass"),
    "OpenTelemetry, as the handler": (
        f"{_OTEL}; {_CLIENT}",
        "\n    with tracer.start_as_current_span('s', context=of_invocation()): pass",
    ),
    "aws-xray-sdk": (f"{_XRAY}; {_CLIENT}", "\n    with xray_recorder.in_subsegment('s'): pass"),
}
ENVIRONMENT = {
    "AWS_LAMBDA_FUNCTION_NAME": "f",
    "LAMBDA_TASK_ROOT": "/var/task",
    "AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1:9",
    "_X_AMZN_TRACE_ID": f"Root=1-6b09ff2b-{'a' * 24};Parent={'b' * 16};Sampled=1",
    "PATH": os.environ["PATH"],
}


def main(arguments: list[str] | None = None) -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="run.py bench tracing", description=__doc__, allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=15, help="starts of each (default: 15)")
    parser.add_argument("--spans", type=int, default=5_000, help="spans in each (default: 5,000)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        otel, xray = Path(folder, "otel"), Path(folder, "xray")
        install(otel, "-r", str(HANDLER / "tracing" / "requirements.txt"))
        install(xray, "aws-xray-sdk==2.15.0")
        install(otel, "boto3")
        paths = {name: (xray if "xray" in name else otel) for name in VARIANTS}
        starts: dict[str, list[tuple[float, float]]] = {name: [] for name in VARIANTS}
        for _ in range(options.rounds):
            for name, (code, _span) in VARIANTS.items():
                starts[name].append(started(f"{_START}; {code}", paths[name]))
        print("| | start, ms | processor, ms | more than without | a span, µs |\n|---|---|---|---|---|")
        base = 0.0
        for name, (code, span) in VARIANTS.items():
            elapsed, processor = (statistics.median(one[i] for one in starts[name]) * 1000 for i in (0, 1))
            base = base or processor
            text = run(code + _SPANS.format(spans=options.spans, span=span), paths[name])
            print(
                f"| {name} | {elapsed:.0f} | {processor:.0f} | {processor - base:.0f} | {float(text):.0f} |"
            )
    return 0


def install(folder: Path, *what: str) -> None:
    """Install packages into a folder, with their bytecode."""
    command = [
        str(Path(sys.executable).with_name("uv")),
        "pip",
        "install",
        "-q",
        "--target",
        str(folder),
        *what,
    ]
    subprocess.run(command, check=True)
    compileall.compile_dir(str(folder), quiet=2)


def run(code: str, packages: Path) -> str:
    """Run code in a process of its own; return what it prints."""
    environment = {**ENVIRONMENT, "PYTHONPATH": f"{packages}:{HANDLER}"}
    command = [sys.executable, "-S", "-c", code]
    return subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def started(code: str, packages: Path) -> tuple[float, float]:
    """How long a process took that only starts: elapsed and processor time."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    run(code, packages)
    elapsed, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return elapsed, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    sys.exit(main())
