"""A proxy shares its connections to a real PostgreSQL among clients."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import errors, pq

from helpers.lambda_functions import eventually
from helpers.rds_proxies import PASSWORD, Proxied, server_pid

pytestmark = pytest.mark.local


@pytest.fixture
def table(proxy: Proxied) -> str:
    """An empty table."""
    with proxy.connect() as client:
        client.execute("drop table if exists t; create table t (id int primary key, n int default 0)")
    return "t"


# --- Sharing


def test_many_clients_share_few_connections(proxy: Proxied) -> None:
    clients = [proxy.connect() for _ in range(10)]
    pids = {server_pid(client) for client in clients for _ in range(3)}
    assert len(pids) <= 4
    assert proxy.measure()["ClientConnections"] == 10
    assert proxy.measure()["DatabaseConnectionsCurrentlyBorrowed"] == 0


def test_a_transaction_keeps_its_connection_and_gives_it_back_at_its_end(proxy: Proxied) -> None:
    one, other = proxy.connect(), proxy.connect()
    proxy.set(max_connections=1, borrow_timeout=1)
    with one.transaction():
        pid = server_pid(one)
        assert proxy.measure()["DatabaseConnectionsCurrentlyInTransaction"] == 1
        with pytest.raises(errors.ConnectionException):
            other.execute("select 1")
        assert server_pid(one) == pid
    assert server_pid(proxy.connect()) == pid


def test_a_failed_transaction_keeps_its_connection_until_it_is_rolled_back(proxy: Proxied) -> None:
    client = proxy.connect()
    client.execute("begin")
    with pytest.raises(errors.DivisionByZero):
        client.execute("select 1 / 0")
    assert proxy.measure()["DatabaseConnectionsCurrentlyBorrowed"] == 1
    client.execute("rollback")
    assert proxy.measure()["DatabaseConnectionsCurrentlyBorrowed"] == 0


def test_an_open_transaction_of_a_client_is_rolled_back(proxy: Proxied, table: str) -> None:
    client = proxy.connect()
    client.execute("begin")
    client.execute("insert into t (id) values (1)")
    client.close()
    with proxy.connect() as other:
        assert other.execute("select count(*) from t").fetchone() == (0,)
    eventually(lambda: proxy.measure()["DatabaseConnectionsCurrentlyBorrowed"] == 0)


def test_hundreds_of_clients_at_once_are_served_by_a_database_with_twenty_connections(
    proxy: Proxied, table: str
) -> None:
    proxy.set(max_connections=16, borrow_timeout=30)
    count, together = 300, threading.Barrier(300)

    def work(number: int) -> None:
        with proxy.connect() as client:
            together.wait()  # all are connected at the same time
            for row in range(3):
                with client.transaction():
                    client.execute("insert into t values (%s, %s)", (3 * number + row, number))

    with ThreadPoolExecutor(count) as clients:
        list(clients.map(work, range(count)))
    with proxy.connect() as client:
        assert client.execute("select count(*), count(distinct n) from t").fetchone() == (900, count)
    assert proxy.measure()["DatabaseConnections"] <= 16


def test_without_the_proxy_that_database_refuses_them(proxy: Proxied) -> None:
    address = f"host={proxy.server.socket.parent.absolute()} user=app password={PASSWORD} dbname=app"
    # Three of the twenty are reserved for superusers.
    clients = [psycopg.connect(address) for _ in range(17)]
    with pytest.raises(psycopg.OperationalError, match="remaining connection slots are reserved"):
        psycopg.connect(address)
    for client in clients:
        client.close()


def test_connections_of_other_kinds_make_room(proxy: Proxied) -> None:
    proxy.set(max_connections=2, borrow_timeout=5)
    for name in ("one", "two", "three", "four"):
        with proxy.connect(application_name=name) as client:
            assert client.execute("show application_name").fetchone() == (name,)
    assert proxy.measure()["DatabaseConnections"] <= 2


# --- Protocol


def test_rows_larger_than_any_buffer_arrive_whole(proxy: Proxied) -> None:
    with proxy.connect() as client:
        rows = client.execute("select repeat('x', 100000) from generate_series(1, 50)").fetchall()
        assert [len(row[0]) for row in rows] == [100000] * 50


def test_data_are_copied_in_and_out(proxy: Proxied, table: str) -> None:
    with proxy.connect() as client:
        for statement, parameters in (("copy t from stdin", None), ("copy t (id) from stdin", None)):
            first = 0 if "(id)" not in statement else 1000
            with client.cursor() as cursor, cursor.copy(statement, parameters) as copy:
                for row in range(first, first + 1000):
                    copy.write_row((row, row) if not first else (row,))
        with (
            client.cursor() as cursor,
            cursor.copy("copy (select * from t where id < %s) to stdout", (5,)) as copy,
        ):
            assert len(list(copy.rows())) == 5
        assert client.execute("select count(*) from t").fetchone() == (2000,)
    assert proxy.measure()["DatabaseConnectionsCurrentlyBorrowed"] == 0


def test_a_refused_copy_does_not_affect_later_statements(proxy: Proxied, table: str) -> None:
    def copy_nonsense() -> None:
        with client.cursor() as cursor, cursor.copy("copy t from stdin") as copy:
            for _ in range(10000):
                copy.write("x\tx\n")

    with proxy.connect() as client:
        with pytest.raises(errors.InvalidTextRepresentation):
            copy_nonsense()
        assert client.execute("select count(*) from t").fetchone() == (0,)
    assert proxy.measure()["DatabaseConnectionsCurrentlyBorrowed"] == 0


def test_a_pipeline_is_answered_in_order(proxy: Proxied, table: str) -> None:
    with proxy.connect() as client, client.pipeline():
        cursors = [client.execute("select %s", (number,)) for number in range(50)]
        assert [cursor.fetchone() for cursor in cursors] == [(number,) for number in range(50)]
    assert proxy.measure()["DatabaseConnectionsCurrentlyBorrowed"] == 0


def test_an_unnamed_statement_is_the_clients_own_whichever_connection_it_gets(proxy: Proxied) -> None:
    proxy.set(max_connections=1)
    one, other = proxy.connect().pgconn, proxy.connect().pgconn
    one.prepare(b"", b"select 'one', $1::text")
    other.prepare(b"", b"select 'other', $1::text")
    for client, name in ((one, b"one"), (other, b"other"), (one, b"one")):
        result = client.exec_prepared(b"", [b"x"])
        assert result.status == pq.ExecStatus.TUPLES_OK
        assert (result.get_value(0, 0), result.get_value(0, 1)) == (name, b"x")
    assert proxy.measure()["DatabaseConnectionsCurrentlySessionPinned"] == 0


def test_psql_is_a_client_too(proxy: Proxied) -> None:
    psql = shutil.which("psql")
    if psql is None:
        pytest.skip("there is no psql on this machine")
    how = f"host={proxy.address} user=app dbname=app sslmode=verify-full sslrootcert={proxy.ca}"
    ran = subprocess.run(
        [psql, how, "-At", "-c", "select 6 * 7"],
        env={"PGPASSWORD": "a-token"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.stdout, ran.stderr) == ("42\n", "")


def test_a_request_to_cancel_is_ignored(proxy: Proxied) -> None:
    client = proxy.connect()
    threading.Timer(0.1, client.cancel_safe).start()
    assert client.execute("select 1 from pg_sleep(0.4)").fetchone() == (1,)


# --- Pinning


@pytest.mark.parametrize(
    "statement", ["set statement_timeout = 5000", "create temp table x (n int)", "listen channel"]
)
def test_a_changed_session_keeps_its_connection_to_its_end(proxy: Proxied, statement: str) -> None:
    client = proxy.connect()
    client.execute(statement)
    pid = server_pid(client)
    for _ in range(3):
        assert server_pid(proxy.connect()) != pid
        assert server_pid(client) == pid
    assert proxy.measure()["DatabaseConnectionsCurrentlySessionPinned"] == 1
    assert len(proxy.account.logged) == 1
    assert "was pinned" in proxy.account.logged[0]
    client.close()
    eventually(lambda: proxy.measure()["DatabaseConnectionsCurrentlySessionPinned"] == 0)
    row = proxy.connect().execute("show statement_timeout").fetchone()
    assert row == ("0",)


def test_a_named_prepared_statement_pins(proxy: Proxied) -> None:
    client = proxy.connect(prepare_threshold=0)
    client.execute("select %s", (1,))
    assert proxy.measure()["DatabaseConnectionsCurrentlySessionPinned"] == 1
    assert "prepared statement" in proxy.account.logged[0]


def test_transactions_with_parameters_and_local_settings_do_not_pin(proxy: Proxied, table: str) -> None:
    client = proxy.connect()
    for number in range(10):
        with client.transaction():
            client.execute("set local statement_timeout = '5s'")
            client.execute("insert into t values (%s, %s)", (number, 1))
    assert proxy.measure()["DatabaseConnectionsCurrentlySessionPinned"] == 0
    assert proxy.account.logged == []


def test_a_pin_that_was_short_is_still_published(proxy: Proxied) -> None:
    with proxy.connect() as client:
        client.execute("set x.y = 1")
    published = eventually(lambda: proxy.account.published)
    assert published[0]["ClientConnections"] == 0
    assert published[0]["DatabaseConnectionsCurrentlySessionPinned"] == 1


# --- Limits


def test_a_client_beyond_its_borrow_timeout_gets_the_documented_error(proxy: Proxied) -> None:
    holder, waiting = proxy.connect(), proxy.connect()
    proxy.set(max_connections=1, borrow_timeout=1)  # after the logins, which borrow a connection as well
    with holder.transaction():
        holder.execute("select 1")
        began = time.monotonic()
        with pytest.raises(
            errors.ConnectionException, match="Timed-out waiting to acquire database connection"
        ):
            waiting.execute("select 1")
        assert time.monotonic() - began > 0.9
    assert waiting.broken
    proxy.set(borrow_timeout=10)
    assert proxy.connect().execute("select 1").fetchone() == (1,)


def test_a_client_within_its_borrow_timeout_is_served_in_turn(proxy: Proxied) -> None:
    proxy.set(max_connections=1)
    holder, served = proxy.connect(), {}

    def wait(number: int) -> None:
        with proxy.connect() as client:
            served[number] = client.execute("select clock_timestamp()").fetchone()

    with holder.transaction():
        holder.execute("select 1")
        threads = []
        for number in range(5):
            threads.append(threading.Thread(target=wait, args=(number,)))
            threads[-1].start()
            eventually(lambda: proxy.proxy._pool.queue_length == len(threads))
    for thread in threads:
        thread.join()
    assert sorted(served, key=lambda number: served[number] or ()) == list(range(5))


def test_a_proxy_that_may_have_more_than_the_database_takes_waits_instead_of_failing(proxy: Proxied) -> None:
    proxy.set(max_connections=30, borrow_timeout=20)
    together = threading.Barrier(25)

    def work(_number: int) -> None:
        with proxy.connect() as client:
            together.wait()
            client.execute("select pg_sleep(0.05)")

    with ThreadPoolExecutor(25) as clients:
        list(clients.map(work, range(25)))


def test_an_idle_client_is_closed_also_in_a_transaction(proxy: Proxied) -> None:
    idle, open_, busy = proxy.connect(), proxy.connect(), proxy.connect()
    open_.execute("begin")
    with ThreadPoolExecutor(1) as pool, locked(proxy) as blocked:
        working = pool.submit(busy.execute, "select pg_advisory_lock(1)")
        eventually(blocked)
        proxy.set(idle_timeout=0.5)
        eventually(lambda: proxy.measure()["ClientConnections"] == 1)
    assert working.result().rowcount == 1
    for client in (idle, open_):
        with pytest.raises(psycopg.OperationalError):
            client.execute("select 1")
    assert proxy.measure()["DatabaseConnectionsCurrentlyInTransaction"] == 0


@contextmanager
def locked(proxy: Proxied) -> Iterator[Callable[[], bool]]:
    """Hold the advisory lock 1; yields whether a session waits for it."""
    with psycopg.connect(f"host={proxy.server.socket.parent} user=app password={PASSWORD} dbname=app") as own:
        own.execute("select pg_advisory_lock(1)")

        def is_waited_for() -> bool:
            return own.execute("select 1 from pg_locks where not granted").fetchone() is not None

        yield is_waited_for


def test_each_new_connection_runs_the_initialization_query(proxy: Proxied) -> None:
    proxy.set(init_query="set statement_timeout = '7s'; set lock_timeout = '3s'")
    with proxy.connect() as client:
        assert client.execute("show statement_timeout").fetchone() == ("7s",)
        assert client.execute("show lock_timeout").fetchone() == ("3s",)
    assert proxy.measure()["DatabaseConnectionsCurrentlySessionPinned"] == 0


# --- Failover


def stop_database(proxy: Proxied, *, crash: bool = False) -> None:
    """Stop the database, and wait until the proxy has lost its connections: a request before that is lost."""
    proxy.server.stop(crash=crash)
    eventually(lambda: proxy.measure()["DatabaseConnections"] == 0)


def test_an_idle_client_does_not_notice_a_restart_of_the_database(proxy: Proxied) -> None:
    client = proxy.connect()
    before = server_pid(client)
    stop_database(proxy)
    proxy.start()
    assert server_pid(client) != before


def test_a_request_during_the_outage_waits_for_the_database(proxy: Proxied) -> None:
    client = proxy.connect()
    client.execute("select 1")
    stop_database(proxy, crash=True)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.execute, "select 1")
        eventually(lambda: proxy.proxy._pool.queue_length == 1)
        proxy.start()
        assert waiting.result().fetchone() == (1,)


def test_a_new_client_can_log_in_during_an_outage_and_waits(proxy: Proxied) -> None:
    proxy.connect().execute("select 1")
    stop_database(proxy)
    client = proxy.connect()
    threading.Timer(0.3, proxy.start).start()
    assert client.execute("select 1").fetchone() == (1,)


def test_an_outage_longer_than_the_borrow_timeout_is_an_error(proxy: Proxied) -> None:
    proxy.set(borrow_timeout=1)
    client = proxy.connect()
    stop_database(proxy)
    try:
        with pytest.raises(errors.ConnectionException, match="Timed-out"):
            client.execute("select 1")
    finally:
        proxy.start()


@pytest.mark.parametrize("crash", [False, True])
def test_a_transaction_ends_with_the_database_and_nothing_of_it_stays(
    proxy: Proxied, table: str, crash: bool
) -> None:
    client = proxy.connect()
    client.execute("begin")
    client.execute("insert into t (id) values (1)")
    proxy.server.stop(crash=crash)
    proxy.start()
    with pytest.raises(psycopg.OperationalError):
        client.execute("commit")
    assert client.broken
    with proxy.connect() as other:
        assert other.execute("select count(*) from t").fetchone() == (0,)


def test_a_pinned_client_ends_with_the_database(proxy: Proxied) -> None:
    client = proxy.connect()
    client.execute("set x.y = 1")
    proxy.server.stop()
    proxy.start()
    with pytest.raises(psycopg.OperationalError):
        client.execute("select 1")


def test_restarts_under_load_lose_no_committed_write_and_double_none(proxy: Proxied, table: str) -> None:
    """Clients that retry by the id of the request get each write once."""
    proxy.set(max_connections=8)
    acknowledged: list[int] = []
    stop = threading.Event()

    def write(worker: int) -> None:
        client, number = proxy.connect(), worker
        while not stop.is_set():
            try:
                with client.transaction():
                    inserted = client.execute(
                        "insert into t (id, n) values (%s, 1) on conflict (id) do nothing", (number,)
                    )
                    if inserted.rowcount:
                        client.execute("update counter set n = n + 1 where id = %s", (worker,))
            except psycopg.OperationalError:
                client.close()
                client = proxy.connect()
                continue
            acknowledged.append(number)
            number += 20

    def go_on() -> None:
        """Wait for some more writes."""
        before = len(acknowledged)
        eventually(lambda: len(acknowledged) >= before + 20)

    with proxy.connect() as setup:
        setup.execute("drop table if exists counter; create table counter (id int primary key, n int)")
        setup.execute("insert into counter select g, 0 from generate_series(0, 19) g")
    with ThreadPoolExecutor(20) as clients:
        writers = [clients.submit(write, worker) for worker in range(20)]
        for crash in (True, False, True):
            go_on()
            proxy.server.stop(crash=crash)
            time.sleep(0.1)  # writers may meet the outage; whether they do changes nothing
            proxy.start()
        go_on()
        stop.set()
        for writer in writers:
            writer.result()
    with proxy.connect() as client:
        rows = {row[0] for row in client.execute("select id from t").fetchall()}
        counted = client.execute("select sum(n) from counter").fetchone()
    assert set(acknowledged) <= rows
    assert counted == (len(rows),)
