"""RDS Proxy: latency and errors of concurrent callers, through the pool and directly, in one run.

A real PostgreSQL on the embedded AWS, with 20 connections, and the handler's SQL. Each caller holds its own
connection, as an execution environment does, and makes ten bookings. For each number of callers, the pool and
direct connections take turns. Callers are threads of one process, so the start of functions is not measured.
TLS and login are part of the first booking. The numbers show how the two behave under load, not how long AWS
takes.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from localaws import LocalAws
from tasks.demo import deploy

_USER = "app"
_CALLERS = (1, 10, 100, 300)
_BOOKINGS = 10

_BOOK = (
    "INSERT INTO accounts (name, balance) VALUES (%s, 1) "
    "ON CONFLICT (name) DO UPDATE SET balance = accounts.balance + 1 RETURNING balance"
)
_NOTE = "INSERT INTO bookings (request_id, account, amount, balance) VALUES (%s, %s, 1, %s)"


@dataclass
class Result:
    """What the callers measured.

    Args:
        first: Seconds of each caller's first booking, including the login.
        later: Seconds of the others.
        failed: How many bookings failed.
        reasons: The reasons of the failures.
    """

    first: list[float] = field(default_factory=list)
    later: list[float] = field(default_factory=list)
    failed: int = 0
    reasons: set[str] = field(default_factory=set)


Connection = psycopg.Connection[tuple[Any, ...]]
Connect = Callable[[], Connection]


def main(arguments: list[str] | None = None) -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="run.py bench rds_proxy", description=__doc__, allow_abbrev=False)
    parser.add_argument("--callers", type=int, nargs="+", default=list(_CALLERS), help="how many at once")
    callers = parser.parse_args(arguments).callers
    with tempfile.TemporaryDirectory() as folder, LocalAws() as aws:
        outputs = deploy("rds-proxy", aws, Path(folder))
        # The first cold start.
        event = {"request_id": uuid.uuid4().hex, "account": "benchmark", "amount": 0}
        aws.client("lambda").invoke(FunctionName=outputs["FunctionName"], Payload=json.dumps(event))
        ways = {"through RDS Proxy": _through_proxy(aws, outputs), "direct": _direct(aws, outputs)}
        print("| callers | way | bookings | failed | first, median ms | later, median ms | later, p99 ms |")
        print("|---|---|---|---|---|---|---|")
        reasons: set[str] = set()
        for count in callers:
            for way, connect in ways.items():
                _reboot(aws, outputs["DatabaseIdentifier"])  # closes all connections
                result = measure(connect, count)
                reasons |= result.reasons
                _print_row(count, way, result)
        for reason in sorted(reasons):
            print(f"\nfailed with: {reason}")
    return 0


def _through_proxy(aws: LocalAws, outputs: Mapping[str, str]) -> Connect:
    """Connect as the function does: a new token for each connection, and verified TLS."""
    host, client = outputs["ProxyEndpoint"], aws.client("rds")

    def connect() -> Connection:
        token = client.generate_db_auth_token(DBHostname=host, Port=5432, DBUsername=_USER)
        return _connect(aws, host, 5432, token)

    return connect


def _direct(aws: LocalAws, outputs: Mapping[str, str]) -> Connect:
    """Connect to the database itself, with its password."""
    rds = aws.client("rds")
    proxy = rds.describe_db_proxies(DBProxyName=outputs["ProxyName"])["DBProxies"][0]
    secret = aws.client("secretsmanager").get_secret_value(SecretId=proxy["Auth"][0]["SecretArn"])
    login = json.loads(secret["SecretString"])
    instances = rds.describe_db_instances(DBInstanceIdentifier=outputs["DatabaseIdentifier"])
    endpoint = instances["DBInstances"][0]["Endpoint"]
    return lambda: _connect(aws, endpoint["Address"], endpoint["Port"], login["password"], login["username"])


def _connect(aws: LocalAws, host: str, port: int, password: str, user: str = _USER) -> Connection:
    return psycopg.connect(
        host=host,
        port=port,
        user=user,
        password=password,
        dbname="app",
        sslmode="verify-full",
        sslrootcert=aws.environment["AWS_CA_BUNDLE"],
        connect_timeout=60,
        autocommit=True,
        cursor_factory=psycopg.ClientCursor,
    )


def measure(connect: Connect, callers: int) -> Result:
    """Let this many callers book at the same time, each with its own connection."""
    result, start, lock = Result(), threading.Barrier(callers), threading.Lock()

    def call(_: int) -> None:
        start.wait()
        seconds, reason = _book_repeatedly(connect)
        with lock:
            result.first += seconds[:1]
            result.later += seconds[1:]
            result.failed += _BOOKINGS - len(seconds)
            if reason:
                result.reasons.add(reason)

    with ThreadPoolExecutor(callers) as pool:
        list(pool.map(call, range(callers)))
    return result


def _book_repeatedly(connect: Connect) -> tuple[list[float], str]:
    """Return the seconds of each booking that succeeded, and the reason of the first failure."""
    seconds: list[float] = []
    account = uuid.uuid4().hex
    try:
        started = time.perf_counter()
        with connect() as connection:
            for _ in range(_BOOKINGS):
                with connection.transaction():
                    row = connection.execute(_BOOK, (account,)).fetchone()
                    assert row is not None
                    connection.execute(_NOTE, (uuid.uuid4().hex, account, row[0]))
                seconds.append(time.perf_counter() - started)
                started = time.perf_counter()
    except psycopg.OperationalError as error:
        return seconds, str(error).strip().rpartition("FATAL:")[2].strip()
    return seconds, ""


def _reboot(aws: LocalAws, instance: str) -> None:
    rds = aws.client("rds")
    rds.reboot_db_instance(DBInstanceIdentifier=instance)
    rds.get_waiter("db_instance_available").wait(
        DBInstanceIdentifier=instance, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )


def _print_row(callers: int, way: str, result: Result) -> None:
    total = len(result.first) + len(result.later) + result.failed
    chosen = (_quantile(result.first, 0.5), _quantile(result.later, 0.5), _quantile(result.later, 0.99))
    first, later, slow = (f"{seconds * 1000:,.1f}" for seconds in chosen)
    print(f"| {callers} | {way} | {total} | {result.failed} | {first} | {later} | {slow} |", flush=True)


def _quantile(seconds: list[float], share: float) -> float:
    return sorted(seconds)[int(share * len(seconds))] if seconds else float("nan")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
