"""The proxy to connect to and the user, read from environment variables, checked when a function starts."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, kw_only=True)
class Login:
    """A proxy, a database behind it, and the user to connect as.

    Args:
        host: Host name of the proxy, which its certificate must be for.
        port: Port of the proxy.
        database: Name of the database.
        user: The user to connect as, with an IAM token instead of a password.
        region: The AWS region of the proxy.
        authorities: File with the certificates of the authorities to trust.
    """

    host: str
    port: int
    database: str
    user: str
    region: str
    authorities: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read and check the environment variables.

        Args:
            environment: The variables.

        Raises:
            ValueError: One is missing or not allowed; the message names it and says what is allowed.
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
        )


def trusted_authorities() -> str:
    """Return the file of certificate authorities that this system trusts.

    RDS Proxy presents a certificate from AWS Certificate Manager, whose root every system trusts, so the RDS
    certificate bundle is not needed:
    https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy.howitworks.html
    The file must be named, because the OpenSSL in psycopg's wheel searches other directories than the
    system's (``sslrootcert=system`` finds nothing). Where the system has no single file, botocore has one.
    """
    if file := ssl.get_default_verify_paths().cafile:
        return file
    from botocore.httpsession import DEFAULT_CA_BUNDLE  # rarely needed, slow to import

    bundle: str = DEFAULT_CA_BUNDLE
    return bundle


def required(environment: Mapping[str, str], variable: str) -> str:
    """Return the value of an environment variable.

    Raises:
        ValueError: It is missing or empty.
    """
    if not environment.get(variable):
        raise ValueError(f"the environment variable {variable} is missing or empty; set it on the function")
    return environment[variable]
