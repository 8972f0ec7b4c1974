"""Which statements change a session so that it must keep its connection to the database.

https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy-pinning.html#rds-proxy-pinning.postgres
"""

from __future__ import annotations

import re

#: A statement with more text pins, whatever it says.
MAX_TEXT = 16 * 1024

# What is no SQL of the statement itself: comments, literals, quoted names, the bodies of functions.
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

# How a statement begins, and what RDS Proxy finds in it.
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
# Functions, wherever in the statement they are called.
_FUNCTIONS = {
    "a sequence was manipulated": re.compile(r"\b(NEXTVAL|SETVAL)\s*\("),
    "a session-level lock was used": re.compile(r"\bPG_(TRY_)?ADVISORY_(LOCK|UNLOCK)(_SHARED|_ALL)?\s*\("),
    "a parameter was set": re.compile(r"\bSET_CONFIG\s*\("),
}


def reason_to_pin(sql: str) -> str | None:
    """Why SQL, one statement or several, pins the session that runs it; None if it does not.

    What stored procedures and functions do is not seen, as in RDS Proxy.
    """
    if len(sql.encode()) > MAX_TEXT:
        return "a statement has more than 16 KB of text"
    visible = _OPAQUE.sub(lambda match: '""' if match[0].startswith('"') else " '' ", sql).upper()
    for statement in visible.split(";"):
        for reason, pattern in _COMMANDS.items():
            if pattern.match(statement.lstrip(" \t\r\n('")):
                return reason
    return next((reason for reason, pattern in _FUNCTIONS.items() if pattern.search(visible)), None)
