"""Finds the statements that pin a session to its connection to the database.

https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy-pinning.html#rds-proxy-pinning.postgres
"""

from __future__ import annotations

import re

#: A longer statement pins in any case.
MAX_TEXT = 16 * 1024

# Text that is not searched: comments, literals, quoted names, bodies of functions.
_OPAQUE = re.compile(
    r"""
      --[^\n]*
    | /\*.*?\*/
    | [eE]'(?:[^'\\]|\\.|'')*'
    | '(?:[^']|'')*'
    | "(?:[^"]|"")*"
    | \$(?P<tag>[A-Za-z_]*)\$.*?\$(?P=tag)\$
    """,
    re.VERBOSE | re.DOTALL,
)

# Starts of statements, by the reason of the pinning.
_COMMANDS = {
    "a SET command": re.compile(r"(SET\b(?!\s+LOCAL\b)|RESET\b)"),
    "a command for prepared statements": re.compile(r"(PREPARE|EXECUTE|DEALLOCATE)\b"),
    "the session state was discarded": re.compile(r"DISCARD\b"),
    "a cursor was declared": re.compile(r"DECLARE\b"),
    "a notification channel is listened to": re.compile(r"(UN)?LISTEN\b"),
    "a library was loaded": re.compile(r"LOAD\b"),
    "a temporary object was created": re.compile(
        r"CREATE\s+(OR\s+REPLACE\s+)?((LOCAL|GLOBAL)\s+)?TEMP(ORARY)?\b"
        r"|(SELECT|WITH)\b.*\bINTO\s+((LOCAL|GLOBAL)\s+)?TEMP(ORARY)?\b",
        re.DOTALL,
    ),
}
# Functions anywhere in the statement, by the reason of the pinning.
_FUNCTIONS = {
    "a sequence was manipulated": re.compile(r"\b(NEXTVAL|SETVAL)\s*\("),
    "a session-level lock was used": re.compile(r"\bPG_(TRY_)?ADVISORY_(LOCK|UNLOCK)(_SHARED|_ALL)?\s*\("),
    "a parameter was set": re.compile(r"\bSET_CONFIG\s*\("),
}


def reason_to_pin(sql: str) -> str | None:
    """The reason why one or more SQL statements pin the session; None if they do not.

    As in RDS Proxy, statements in stored procedures and functions are not found.
    """
    if len(sql.encode()) > MAX_TEXT:
        return "a statement has more than 16 KB of text"
    visible = _OPAQUE.sub(lambda match: '""' if match[0].startswith('"') else " '' ", sql).upper()
    for statement in visible.split(";"):
        for reason, pattern in _COMMANDS.items():
            if pattern.match(statement.lstrip(" \t\r\n('")):
                return reason
    return next((reason for reason, pattern in _FUNCTIONS.items() if pattern.search(visible)), None)
