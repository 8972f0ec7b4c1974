"""RDS Proxy: a proxy for PostgreSQL that speaks PostgreSQL's protocol.

`engines.rds_proxy` has sessions, pool and pinning, and `rds.proxy_control` has IAM, secrets, metrics and log.

`Endpoint` is an address of the loopback network instead of a name. Each proxy listens at its own address on
port 5432, as in AWS, so that a function needs only the attribute. Where there is only one loopback address
(macOS), the first proxy has it, and a second one fails to deploy with the command that adds an address. The
certificate is for the address and issued by the authority of the embedded AWS, which functions trust like the
certificates of their system (`sslrootcert=system`).

Faithful to: the operations of the API; changes take effect immediately. DescribeDBProxyTargets returns
whether the proxy can reach the database and has credentials for it. `rds.proxy_resources` has the
CloudFormation types.
Not to: other engine families than POSTGRESQL, which are only recorded. Security groups are not evaluated.

https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ministack.services import rds

from localaws.engines.postgres.endpoint import Client, Endpoint
from localaws.engines.rds_proxy.proxy import Proxy
from localaws.patching import action, around, on_reset
from localaws.services.rds import loop
from localaws.services.rds.databases import listen
from localaws.services.rds.proxy_control import AccountControl

Record = dict[str, Any]
Response = tuple[int, dict[str, str], bytes]
Action = Callable[[dict[str, Any]], Response]

_PORT = 5432

#: Proxies and their endpoints, by their ARNs.
_proxies: dict[str, Proxy] = {}
_endpoints: dict[str, Endpoint] = {}


@on_reset
def _reset() -> None:
    for proxy in _proxies.values():
        loop.at_once(proxy.close)
    for endpoint in _endpoints.values():
        loop.at_once(endpoint.close)
    _proxies.clear()
    _endpoints.clear()


# --- Starting and stopping


def _open(proxy_arn: str, endpoint: Record) -> None:
    """Let a proxy listen at an address of its own, and set it in the record of the endpoint."""
    proxy = _proxies.get(proxy_arn)
    if proxy is None:
        return

    async def serve(client: Client) -> None:
        await proxy.serve(client, listening.address, listening.port)

    listening = listen(endpoint["Endpoint"], _PORT, serve)
    _endpoints[endpoint["DBProxyEndpointArn"]] = listening
    endpoint["Endpoint"] = listening.address


def _close(endpoint: Record) -> None:
    listening = _endpoints.pop(endpoint["DBProxyEndpointArn"], None)
    if listening:
        loop.at_once(listening.close)


@around(rds, "_create_db_proxy")
@action(rds, "CreateDBProxy")
def _create_proxy(stock: Action, p: dict[str, Any]) -> Response:
    response = stock(p)
    name = rds._p(p, "DBProxyName")
    record = rds._db_proxies.get(name)
    if response[0] < 400 and record["EngineFamily"] == "POSTGRESQL":
        proxy = _proxies[record["DBProxyArn"]] = Proxy(AccountControl(record))
        loop.run(proxy.open())
        try:
            _open(record["DBProxyArn"], rds._db_proxy_endpoints[name])
        except Exception:
            _end(record)
            rds._db_proxies.pop(name)
            rds._db_proxy_endpoints.pop(name)
            raise
        record["Endpoint"] = rds._db_proxy_endpoints[name]["Endpoint"]
    return response


def _end(record: Record) -> None:
    proxy = _proxies.pop(record["DBProxyArn"], None)
    if proxy:
        loop.at_once(proxy.close)


@around(rds, "_delete_db_proxy")
@action(rds, "DeleteDBProxy")
def _delete_proxy(stock: Action, p: dict[str, Any]) -> Response:
    record = rds._get_db_proxy(rds._p(p, "DBProxyName"))
    endpoints = [
        endpoint
        for endpoint in rds._db_proxy_endpoints.values()
        if record and endpoint["DBProxyName"] == record["DBProxyName"]
    ]
    response = stock(p)
    if response[0] < 400:
        for endpoint in endpoints:
            _close(endpoint)
        _end(record)
    return response


@around(rds, "_create_db_proxy_endpoint")
@action(rds, "CreateDBProxyEndpoint")
def _create_endpoint(stock: Action, p: dict[str, Any]) -> Response:
    response = stock(p)
    if response[0] < 400:
        proxy = rds._get_db_proxy(rds._p(p, "DBProxyName"))
        name = rds._p(p, "DBProxyEndpointName")
        try:
            _open(proxy["DBProxyArn"], rds._db_proxy_endpoints[name])
        except Exception:
            rds._db_proxy_endpoints.pop(name)
            raise
    return response


@around(rds, "_delete_db_proxy_endpoint")
@action(rds, "DeleteDBProxyEndpoint")
def _delete_endpoint(stock: Action, p: dict[str, Any]) -> Response:
    record = rds._db_proxy_endpoints.get(rds._p(p, "DBProxyEndpointName"))
    response = stock(p)
    if response[0] < 400:
        _close(record)
    return response


@around(rds, "_db_proxy_target_view")
def _describe_target(stock: Callable[[Record], Record], target: Record) -> Record:
    """The description of a target, with its health."""
    found = stock(target)
    record = next((each for each in rds._db_proxies.values() if target in each["Targets"]), None)
    if record is None or record["DBProxyArn"] not in _proxies:
        return found
    control = AccountControl(record)
    if control.settings().socket is None:
        found["TargetHealth"] = {"State": "UNAVAILABLE", "Reason": "UNREACHABLE"}
    elif not control.has_credentials():
        description = "Proxy does not have any registered credentials"
        found["TargetHealth"] = {
            "State": "UNAVAILABLE",
            "Reason": "AUTH_FAILURE",
            "Description": description,
        }
    return found
