"""The addresses of load balancers, APIs, function URLs and distributions.

Their public names do not resolve to this account. The server has one port for all of them, and distinguishes
them by the Host header.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

_FUNCTION_URL = re.compile(r"[a-z0-9]{32}\.lambda-url\.[a-z0-9-]+\.on\.aws")
_DISTRIBUTION = re.compile(r"[a-z0-9]+\.cloudfront\.net")
_API_ID = re.compile(r"[a-z0-9]+")


def check_server(url: str) -> None:
    """Check where a server of a test is.

    Raises:
        ValueError: It is not on this machine, or the URL says more than where.
    """
    parts = urlsplit(url if isinstance(url, str) else "")
    host = parts.hostname or ""
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
        complete = parts.scheme == "http" and bool(parts.port) and not parts.path.strip("/")
        complete = complete and not (parts.query or parts.fragment or "@" in parts.netloc)
    except ValueError:
        loopback = complete = False
    if not (loopback and complete):
        raise ValueError(
            f"url={url!r}: give the address of an HTTP server on this machine, such as http://127.0.0.1:8080"
        )


@dataclass(frozen=True)
class Address:
    """How to send a request to a load balancer, an API, a function URL or a distribution.

    Attributes:
        url: The URL, with the path if there is one, and without a trailing slash.
        host: The Host header to send.
        ca_file: The certificate to trust.

    Example::

        address = aws.address_of_load_balancer(outputs["DnsName"])
        request = urllib.request.Request(f"{address.url}/photos", headers={"Host": address.host})
    """

    url: str
    host: str
    ca_file: Path


def of_load_balancer(dns_name: str, *, endpoint_url: str, ca_file: Path) -> Address:
    """Return the address of a load balancer.

    Args:
        dns_name: Its `DNSName` attribute.
        endpoint_url: The server's address.
        ca_file: The server's certificate.

    Raises:
        ValueError: It is a URL.
    """
    if "/" in dns_name or not dns_name:
        raise ValueError(
            f"dns_name={dns_name!r}: it must be the DNSName attribute of the load balancer, not a URL"
        )
    return Address(endpoint_url, dns_name, ca_file)


def of_api(api: str, *, endpoint_url: str, ca_file: Path) -> Address:
    """Return the address of an API of API Gateway.

    Args:
        api: Its id, or its URL, `https://ID.execute-api.REGION.amazonaws.com/STAGE`.
        endpoint_url: The server's address.
        ca_file: The server's certificate.

    Raises:
        ValueError: It is neither.
    """
    parts = urlsplit(api) if "://" in api else urlsplit(f"//{api}.execute-api")
    api_id, _, rest = (parts.hostname or "").partition(".")
    if not _API_ID.fullmatch(api_id) or rest.partition(".")[0] != "execute-api":
        raise ValueError(
            f"api={api!r}: it must be the API's id or URL, https://ID.execute-api.REGION.amazonaws.com/STAGE"
        )
    port = urlsplit(endpoint_url).port
    return Address(endpoint_url + parts.path.rstrip("/"), f"{api_id}.execute-api.localhost:{port}", ca_file)


def of_function_url(url: str, *, endpoint_url: str, ca_file: Path) -> Address:
    """Return the address of a function URL.

    Args:
        url: The URL, `https://ID.lambda-url.REGION.on.aws/`, perhaps with a path.
        endpoint_url: The server's address.
        ca_file: The server's certificate.

    Raises:
        ValueError: It is no function URL.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" or not _FUNCTION_URL.fullmatch(parts.netloc):
        raise ValueError(f"url={url!r}: it must be a function URL, https://ID.lambda-url.REGION.on.aws/")
    return Address(endpoint_url + parts.path.rstrip("/"), parts.netloc, ca_file)


def of_distribution(domain_name: str, *, endpoint_url: str, ca_file: Path) -> Address:
    """Return the address of a distribution.

    Args:
        domain_name: Its `DomainName` attribute, `ID.cloudfront.net`.
        endpoint_url: The server's address.
        ca_file: The server's certificate.

    Raises:
        ValueError: It is no name of a distribution.
    """
    if not _DISTRIBUTION.fullmatch(domain_name):
        raise ValueError(
            f"domain_name={domain_name!r}: it must be the DomainName of a distribution, ID.cloudfront.net"
        )
    return Address(endpoint_url, domain_name, ca_file)
