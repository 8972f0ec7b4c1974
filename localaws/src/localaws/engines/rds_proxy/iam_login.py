"""How a proxy logs in to the database with IAM: as roles that have `rds_iam`, without a password of theirs.

RDS checks the proxy's token with a PAM module, which this PostgreSQL does not have. So the proxy, whose own
role has been checked by then, gives the database role a random password.

https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.DBAccounts.html
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from pathlib import Path

from localaws.engines.postgres.connection import Connection, DatabaseError
from localaws.engines.postgres.server import SUPERUSER

_OPEN = """
do $do$ begin
    if exists (
        select from pg_auth_members m
        where m.roleid = 'rds_iam'::regrole and m.member = (select oid from pg_roles where rolname = {role})
    ) then
        execute format('alter role %I password %L', {role}, {password});
    else
        raise exception 'PAM authentication failed for user "%"', {role} using errcode = '28000';
    end if;
end $do$"""


class IamLogins:
    """The logins of one proxy."""

    def __init__(self) -> None:
        self._passwords: dict[str, str] = {}
        self._one_at_a_time = asyncio.Lock()

    async def open(
        self, socket: Path, role: str, database: str, options: Mapping[str, str] | None = None
    ) -> Connection:
        """Connect to a database as a role.

        Raises:
            DatabaseError: The role does not exist, or was not granted `rds_iam`.
        """
        try:
            return await Connection.open(socket, role, await self._password(socket, role), database, options)
        except DatabaseError as error:
            if error.code != "28P01":
                raise
        self._passwords.pop(role, None)  # another proxy has set one, or the role is a new one
        return await Connection.open(socket, role, await self._password(socket, role), database, options)

    async def _password(self, socket: Path, role: str) -> str:
        async with self._one_at_a_time:
            if role not in self._passwords:
                password = secrets.token_hex(16)
                quoted = "'" + role.replace("'", "''") + "'"
                connection = await Connection.open(socket, SUPERUSER, "", "postgres")
                try:
                    await connection.query(_OPEN.format(role=quoted, password=f"'{password}'"))
                finally:
                    connection.close()
                self._passwords[role] = password
            return self._passwords[role]
