"""Names of databases and users that RDS accepts, by engine."""

import re
from collections.abc import Mapping

from aws_cdk import Token

from cdk_lambda_patterns.data.rds_proxy.reserved_words import MYSQL, POSTGRES

# https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBInstance.html
# https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-rds-dbinstance.html
_FORM = re.compile("[A-Za-z][A-Za-z0-9_]*")
_RESERVED = {"postgres": POSTGRES, "mysql": MYSQL}

# The master user's name is shorter in MySQL than those of other users.
# https://dev.mysql.com/doc/refman/8.4/en/user-names.html
_LONGEST: Mapping[str, Mapping[str, int]] = {
    "postgres": {"database_name": 63, "user": 63, "function_user": 63},
    "mysql": {"database_name": 64, "user": 16, "function_user": 32},
}


def check_new_name(argument: str, name: str, engine: str) -> None:
    """Check the name of a database or a user that is created.

    Args:
        argument: ``"database_name"``, ``"user"`` or ``"function_user"``.
        name: What was given. A token passes.
        engine: ``"postgres"`` or ``"mysql"``.

    Raises:
        ValueError: RDS or the engine refuses it.
    """
    if Token.is_unresolved(name):
        return
    longest = _LONGEST[engine][argument]
    if len(name) > longest or not _FORM.fullmatch(name):
        raise ValueError(
            f"{argument}={name!r}: RDS allows 1 to {longest} letters, digits and underscores with {engine}, "
            "the first one a letter."
        )
    prefixed = engine == "postgres" and argument != "database_name" and name.lower().startswith("pg_")
    if prefixed or name.lower() in _RESERVED[engine]:
        raise ValueError(f"{argument}={name!r} is reserved by RDS or {engine}; choose another name.")


def check_existing_name(argument: str, name: str) -> None:
    """Check the name of an existing user or database: in a policy, ``*`` would mean every user.

    Args:
        argument: ``"database_name"`` or ``"user"``.
        name: What was given. A token passes.

    Raises:
        ValueError: It is empty or has a wildcard.
    """
    if not Token.is_unresolved(name) and (not name or set(name) & set("*?")):
        raise ValueError(f"{argument}={name!r}: give one name, without wildcards.")
