"""What AWS lists as pinning a PostgreSQL session pins it, and nothing else does."""

from __future__ import annotations

import pytest

from localaws.engines.rds_proxy.pinning import MAX_TEXT, reason_to_pin

# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy-pinning.html#rds-proxy-pinning.postgres
PINNING = [
    "set statement_timeout = 1000",
    "SET SESSION TIME ZONE 'UTC'",
    "  set\ttimezone to 'UTC'",
    "reset all",
    "/* a comment */ set x.y = 1",
    "-- a comment\nset x.y = 1",
    "begin; set x.y = 1; commit",
    "select 1;set x.y = 1",
    "select set_config('x.y', '1', false)",
    "prepare p as select 1",
    "execute p",
    "deallocate all",
    "discard all",
    "declare c cursor for select 1",
    "listen channel",
    "unlisten *",
    "load 'auto_explain'",
    "create temp table t (n int)",
    "CREATE TEMPORARY SEQUENCE s",
    "create or replace temp view v as select 1",
    "create local temporary table t (n int)",
    "select 1 as n into temp t",
    "with a as (select 1) select * into temporary t from a",
    "select nextval('s')",
    "insert into t values (setval ('s', 1))",
    "select pg_advisory_lock(1)",
    "select pg_try_advisory_lock_shared(1)",
    "select pg_advisory_unlock_all()",
    "select '" + "x" * MAX_TEXT + "'",
]
NOT_PINNING = [
    "",
    "select 1",
    "begin",
    "commit",
    "begin isolation level serializable",
    "set local statement_timeout = 1000",
    "SET  LOCAL lock_timeout = '1s'",
    "insert into settings (set, reset) values (1, 2)",
    "update t set n = 1",
    "insert into t values ('set x = 1; discard all')",
    "insert into t values ('it''s; listen a')",
    r"insert into t values (E'\'; set x = 1')",
    'select 1 as "nextval("',
    "select $$ set x = 1; listen a $$",
    "select $body$ ; set x = 1 $body$",
    "select 1 /* ; set x = 1 */",
    "select 1 -- ; set x = 1",
    "select pg_advisory_xact_lock(1)",
    "select pg_try_advisory_xact_lock_shared(1)",
    "insert into t (id) values (default) returning id",
    "call a_procedure()",
    "create table temperature (n int)",
    "notify channel, 'x'",
    "select '" + "x" * (MAX_TEXT - 100) + "'",
]


@pytest.mark.parametrize("sql", PINNING)
def test_statements_that_change_the_session_pin(sql: str) -> None:
    assert reason_to_pin(sql)


@pytest.mark.parametrize("sql", NOT_PINNING)
def test_statements_that_do_not_change_the_session_do_not_pin(sql: str) -> None:
    assert reason_to_pin(sql) is None
