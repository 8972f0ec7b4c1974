"""IAM tokens for a database: the signer of botocore, its RDS client, and Signature Version 4 written out.

Each is measured in a fresh interpreter, from the start to the first token and without garbage collection;
they take turns. All of them import psycopg first, as the function does. CPU time counts, which a busy machine
disturbs little.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

LAMBDA_SRC = Path(__file__).parents[1] / "lambda_src"

_HOST = "orders.proxy-abc.eu-west-1.rds.amazonaws.com"

_SIGNER = f"""
from shared.iam_token import make_token
from shared.login import Login
login = Login(host="{_HOST}", port=5432, database="app", user="app_owner", region="eu-west-1", authorities="")
make = lambda: make_token(login)
"""

_CLIENT = f"""
import botocore.session
rds = botocore.session.get_session().create_client("rds", region_name="eu-west-1")
make = lambda: rds.generate_db_auth_token(DBHostname="{_HOST}", Port=5432, DBUsername="app_owner")
"""

# The signature only: what no implementation of it can do without.
_WRITTEN_OUT = f"""
import hashlib, hmac, os
from datetime import UTC, datetime
from urllib.parse import quote, urlencode
from shared.login import Login
def make():
    now, host = datetime.now(UTC), "{_HOST}:5432"
    scope = [f"{{now:%Y%m%d}}", "eu-west-1", "rds-db", "aws4_request"]
    fields = {{
        "Action": "connect", "DBUser": "app_owner", "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": "/".join([os.environ["AWS_ACCESS_KEY_ID"], *scope]),
        "X-Amz-Date": f"{{now:%Y%m%dT%H%M%SZ}}", "X-Amz-Expires": "900", "X-Amz-SignedHeaders": "host",
        "X-Amz-Security-Token": os.environ["AWS_SESSION_TOKEN"],
    }}
    query = urlencode(sorted(fields.items()), safe="-_.~", quote_via=quote)
    request = "\\n".join(["GET", "/", query, f"host:{{host}}", "", "host", hashlib.sha256(b"").hexdigest()])
    hashed = hashlib.sha256(request.encode()).hexdigest()
    key = ("AWS4" + os.environ["AWS_SECRET_ACCESS_KEY"]).encode()
    for part in [*scope, "\\n".join(["AWS4-HMAC-SHA256", fields["X-Amz-Date"], "/".join(scope), hashed])]:
        key = hmac.digest(key, part.encode(), "sha256")
    return f"{{host}}/?{{query}}&X-Amz-Signature={{key.hex()}}"
"""

_WAYS = {
    "botocore's signer": _SIGNER,
    "botocore's RDS client": _CLIENT,
    "signature written out": _WRITTEN_OUT,
    "psycopg only, no token": "make = lambda: None\n",
}

_MEASURE = """
import json, time
make()
start, began = time.process_time(), time.perf_counter()
for _ in range(200):
    make()
print(json.dumps([start * 1000, (time.perf_counter() - began) / 200 * 1e6]))
"""

_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_SESSION_TOKEN": "t" * 400,
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "PYTHONPATH": str(LAMBDA_SRC),
}


def main(argv: list[str] | None = None) -> int:
    """Measure and print a table with the ratios to botocore's signer."""
    parser = argparse.ArgumentParser(prog="run.py bench iam_token", description=__doc__, allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=15, help="starts of each (default: 15)")
    rounds = parser.parse_args(argv).rounds
    measured: dict[str, list[tuple[float, float]]] = {way: [] for way in _WAYS}
    for number in range(rounds + 1):
        for way, setup in _WAYS.items():
            milliseconds, microseconds = _start(setup)
            if number:  # the first round writes the bytecode
                measured[way].append((milliseconds, microseconds))
    print(f"medians of {rounds} interleaved starts\n")
    print("| way to a token | ms of CPU to the first token | ratio | µs for each further one |")
    print("|---|---|---|---|")
    base = measured["botocore's signer"]
    for way, pairs in measured.items():
        ratio = statistics.median(own[0] / signer[0] for own, signer in zip(pairs, base, strict=True))
        start, call = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(f"| {way} | {start:.0f} | {ratio:.2f} | {call:.0f} |")
    return 0


def _start(setup: str) -> tuple[float, float]:
    program = f"import gc\ngc.disable()\nimport psycopg\n{setup}{_MEASURE}"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **_ENVIRONMENT},
        capture_output=True,
        text=True,
        check=True,
    )
    milliseconds, microseconds = json.loads(done.stdout)
    return milliseconds, microseconds


if __name__ == "__main__":
    sys.exit(main())
