"""Where a database is and who connects, from environment variables, checked once when the function starts."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, kw_only=True)
class Login:
    """Where a database is, and who connects.

    Args:
        host: Host name of the proxy, which its certificate must carry.
        port: Its port.
        database: Name of the database in the server.
        user: The user to connect as, with an IAM token instead of a password.
        region: The AWS region of the proxy.
        authorities: File with the certificate authorities to trust.
    """

    host: str
    port: int
    database: str
    user: str
    region: str
    authorities: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], **others: str) -> Self:
        """Read and check the environment variables.

        Args:
            environment: The variables.
            others: What a subclass adds.

        Raises:
            ValueError: One is missing or not allowed; the message says which, and what is allowed.
        """
        port = required(environment, "DB_PORT")
        if not port.isdecimal() or not 1 <= int(port) <= 65_535:
            raise ValueError(f"the environment variable DB_PORT={port!r}: give a number, 1 to 65535")
        return cls(
            host=required(environment, "DB_HOST"),
            port=int(port),
            database=required(environment, "DB_NAME"),
            user=required(environment, "DB_USER"),
            region=required(environment, "AWS_REGION"),
            authorities=trusted_authorities(),
            **others,
        )


def trusted_authorities() -> str:
    """Return the file with the authorities that this machine trusts.

    RDS Proxy presents a certificate of AWS Certificate Manager, whose root every system trusts, so no bundle
    of RDS is needed: https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy.howitworks.html
    Named in full, because the OpenSSL inside psycopg's wheel looks elsewhere (``sslrootcert=system`` finds
    nothing), while Python's own finds the system's; where that is no single file, botocore brings one.
    """
    if file := ssl.get_default_verify_paths().cafile:
        return file
    from botocore.httpsession import DEFAULT_CA_BUNDLE  # rarely needed, and slow to import

    bundle: str = DEFAULT_CA_BUNDLE
    return bundle


def required(environment: Mapping[str, str], variable: str) -> str:
    """Return the value of a variable.

    Raises:
        ValueError: It is missing or empty.
    """
    if not environment.get(variable):
        raise ValueError(f"the environment variable {variable} is missing or empty; set it on the function")
    return environment[variable]
