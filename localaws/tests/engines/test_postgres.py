"""A PostgreSQL server from the wheel, for any user and with any PATH."""

from __future__ import annotations

import pwd
from pathlib import Path

import psycopg
import pytest

from localaws.engines.postgres.server import temporary_server


def test_a_server_needs_no_program_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As root it runs as another user that exists, where the wheel's own code runs `useradd`."""
    monkeypatch.setenv("PATH", str(tmp_path))
    users = pwd.getpwall()
    with temporary_server() as server:
        folder = server.socket.parents[2]
        with psycopg.connect(server.get_uri(), autocommit=True) as admin:
            admin.execute("create database app")
        with psycopg.connect(server.get_uri("app")) as connection:
            assert connection.execute("select current_database()").fetchone() == ("app",)
        assert folder.is_dir()
    assert pwd.getpwall() == users
    assert not server.running
    assert not folder.exists()
