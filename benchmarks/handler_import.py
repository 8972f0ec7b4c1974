"""Start of the thumbnailer's function: importing its handler, against making its three clients with boto3.

Each is measured in a fresh interpreter, from its first import on, without collecting garbage; they take
turns. CPU time counts, which a busy machine disturbs little; the time on the clock is there too.
"""

import argparse
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HANDLER = Path(__file__).parents[1] / "lambda_src" / "storage" / "thumbnailer"
TARGET = 1.15

_CLIENTS = """
import gc
gc.disable()
import boto3
clients = [boto3.client(name) for name in ("s3", "dynamodb", "sqs")]
"""
_FIRST_PICTURE = "import thumbnailer.handler, thumbnailer.pictures"
_PACKAGES = ("PIL", "aws_lambda_powertools", "jmespath", "typing_extensions")

_PROGRAM = """
import time
cpu, wall = time.process_time(), time.perf_counter()
{work}
cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
print('{{"cpu": %f, "wall": %f}}' % (cpu, wall))
"""

_ENVIRONMENT = {
    "AWS_REGION": "eu-central-1",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "DESTINATION_BUCKET": "thumbnails",
    "TABLE_NAME": "metadata",
    "FAILURE_QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/123456789012/failures",
    "SIZES": "128,256,512",
    "OUTPUT_FORMAT": "webp",
    "OUTPUT_PREFIX": "",
    "QUALITY": "80",
    "BACKGROUND": "#ffffff",
    "MAX_OBJECT_SIZE": "67108864",
    "MAX_PIXELS": "64000000",
    "INCOMPLETE_JPEG": "false",
    "POWERTOOLS_SERVICE_NAME": "thumbnailer",
}


def main(argv: list[str] | None = None) -> int:
    """Measure and print a table with the ratios to bare clients."""
    parser = argparse.ArgumentParser(
        prog="run.py bench handler_import", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--rounds", type=int, default=15, help="starts of each (default: 15)")
    rounds = parser.parse_args(argv).rounds
    with tempfile.TemporaryDirectory() as folder:
        compiled, bare = Path(folder) / "compiled", Path(folder) / "bare"
        _copy_handler(compiled)
        _copy_handler(bare)
        _copy_packages(bare)
        starts = {
            "clients of boto3": (_CLIENTS, compiled, True),
            "the handler": ("import thumbnailer.handler", compiled, True),
            "… and what its first picture loads": (_FIRST_PICTURE, compiled, True),
            "… with no bytecode, as it is deployed": (_FIRST_PICTURE, bare, False),
        }
        times: dict[str, list[dict[str, float]]] = {name: [] for name in starts}
        for number in range(rounds + 1):
            for name, start in starts.items():
                seconds = _seconds(*start)
                if number:  # the first round writes the bytecode
                    times[name].append(seconds)
    _print(times, rounds)
    return 0


def _seconds(work: str, folder: Path, writes_bytecode: bool) -> dict[str, float]:
    """Return how long a start takes in an interpreter of its own."""
    environment = {**os.environ, **_ENVIRONMENT, "PYTHONPATH": str(folder)}
    environment["PYTHONDONTWRITEBYTECODE"] = "" if writes_bytecode else "1"
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(work=work)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    seconds: dict[str, float] = json.loads(done.stdout)
    return seconds


def _copy_handler(folder: Path) -> None:
    """Copy the handler's package and the shared one to a place where their bytecode may be written."""
    without = shutil.ignore_patterns("__pycache__", "*.pyc")
    for package in (HANDLER, HANDLER.parents[1] / "shared"):
        shutil.copytree(package, folder / package.name, ignore=without)


def _copy_packages(folder: Path) -> None:
    """The handler's packages as bundling leaves them: source and libraries, no bytecode."""
    without = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in _PACKAGES:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        origin = Path(spec.origin)
        if origin.name != "__init__.py":
            shutil.copy(origin, folder)
            continue
        shutil.copytree(origin.parent, folder / name, ignore=without)
        libraries = origin.parent.parent / "pillow.libs"
        if name == "PIL" and libraries.exists():
            shutil.copytree(libraries, folder / libraries.name)


def _print(times: dict[str, list[dict[str, float]]], rounds: int) -> None:
    print(f"medians of {rounds} interleaved starts\n")
    print("| start | ms of CPU | to the clients | target | ms on the clock | to the clients |")
    print("|---|---|---|---|---|---|")
    base = times["clients of boto3"]
    for name, measured in times.items():
        cells = [name]
        for clock in ("cpu", "wall"):
            milliseconds = statistics.median(one[clock] for one in measured) * 1000
            pairs = zip(measured, base, strict=True)
            ratio = statistics.median(one[clock] / other[clock] for one, other in pairs)
            cells += [f"{milliseconds:.0f}", f"{ratio:.2f}"]
            if clock == "cpu":
                wanted = f"{'met' if ratio <= TARGET else 'MISSED'}: {TARGET:.2f}"
                cells.append(wanted if name == "the handler" else "")
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    sys.exit(main())
