"""RDS Proxy: a proxy for PostgreSQL is really there, and speaks PostgreSQL's protocol.

What it does, and does not do, is in `localaws.rds_proxy` (sessions, pool, pinning) and `rds_proxy_control`
(IAM, secrets, metrics, log).

`Endpoint` is an address of the loopback network instead of a name, and every proxy listens at its own on port
5432, as it does in AWS: a function needs nothing but the attribute. Where there is one loopback address only
(macOS), the first proxy has it, and a second one fails to deploy with the command that adds an address. The
certificate is for the address, and from the embedded AWS's authority, which functions trust as they trust the
system's certificates (`sslrootcert=system`).

Faithful to: the API's operations; a change has effect at once. DescribeDBProxyTargets tells whether the proxy
can reach the database and has credentials for it. `rds_proxy_resources` has the types of CloudFormation.
Not to: an EngineFamily other than POSTGRESQL, which is a record alone. Security groups are not asked.

https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ministack.services import rds

from localaws import services as bridges
from localaws.engines.postgres.endpoint import Client, Endpoint
from localaws.engines.rds_proxy.proxy import Proxy
from localaws.services.rds import loop as rds_loop
from localaws.services.rds.databases import listen
from localaws.services.rds.proxy_control import AccountControl

Record = dict[str, Any]
Response = tuple[int, dict[str, str], bytes]
Action = Callable[[dict[str, Any]], Response]

_PORT = 5432

#: By the ARNs of the proxy and of its endpoint.
_proxies: dict[str, Proxy] = {}
_endpoints: dict[str, Endpoint] = {}


def install() -> None:
    """Run what the emulator only keeps in its books."""
    for name, wrap in {
        "create_db_proxy": _running,
        "create_db_proxy_endpoint": _opening,
        "delete_db_proxy": _ending,
        "delete_db_proxy_endpoint": _closing,
    }.items():
        wrapped = wrap(getattr(rds, f"_{name}"))
        setattr(rds, f"_{name}", wrapped)
        action = "".join(part.upper() if part == "db" else part.title() for part in name.split("_"))
        rds._ACTION_MAP[action] = wrapped
    rds._db_proxy_target_view = _with_health(rds._db_proxy_target_view)
    bridges.reset_hooks.append(_reset)


def _reset() -> None:
    for proxy in _proxies.values():
        rds_loop.at_once(proxy.close)
    for endpoint in _endpoints.values():
        rds_loop.at_once(endpoint.close)
    _proxies.clear()
    _endpoints.clear()


# --- What runs


def _open(proxy_arn: str, endpoint: Record) -> None:
    """Let a proxy listen at an address of its own, and note it in the endpoint's record."""
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
        rds_loop.at_once(listening.close)


def _running(action: Action) -> Action:
    def create_proxy(parameters: dict[str, Any]) -> Response:
        if rds._p(parameters, "DefaultAuthScheme") == "IAM_AUTH":
            return _refused("DefaultAuthScheme=IAM_AUTH is not emulated: give Auth with a secret.")
        response = action(parameters)
        name = rds._p(parameters, "DBProxyName")
        record = rds._db_proxies.get(name)
        if response[0] < 400 and record["EngineFamily"] == "POSTGRESQL":
            proxy = _proxies[record["DBProxyArn"]] = Proxy(AccountControl(record))
            rds_loop.run(proxy.open())
            try:
                _open(record["DBProxyArn"], rds._db_proxy_endpoints[name])
            except Exception:
                _end(record)
                rds._db_proxies.pop(name)
                rds._db_proxy_endpoints.pop(name)
                raise
            record["Endpoint"] = rds._db_proxy_endpoints[name]["Endpoint"]
        return response

    return create_proxy


def _refused(reason: str) -> Response:
    answer: Response = rds._error("InvalidParameterCombination", reason, 400)
    return answer


def _end(record: Record) -> None:
    proxy = _proxies.pop(record["DBProxyArn"], None)
    if proxy:
        rds_loop.at_once(proxy.close)


def _ending(action: Action) -> Action:
    def delete_proxy(parameters: dict[str, Any]) -> Response:
        record = rds._get_db_proxy(rds._p(parameters, "DBProxyName"))
        endpoints = [
            endpoint
            for endpoint in rds._db_proxy_endpoints.values()
            if record and endpoint["DBProxyName"] == record["DBProxyName"]
        ]
        response = action(parameters)
        if response[0] < 400:
            for endpoint in endpoints:
                _close(endpoint)
            _end(record)
        return response

    return delete_proxy


def _opening(action: Action) -> Action:
    def create_endpoint(parameters: dict[str, Any]) -> Response:
        response = action(parameters)
        if response[0] < 400:
            proxy = rds._get_db_proxy(rds._p(parameters, "DBProxyName"))
            name = rds._p(parameters, "DBProxyEndpointName")
            try:
                _open(proxy["DBProxyArn"], rds._db_proxy_endpoints[name])
            except Exception:
                rds._db_proxy_endpoints.pop(name)
                raise
        return response

    return create_endpoint


def _closing(action: Action) -> Action:
    def delete_endpoint(parameters: dict[str, Any]) -> Response:
        record = rds._db_proxy_endpoints.get(rds._p(parameters, "DBProxyEndpointName"))
        response = action(parameters)
        if response[0] < 400:
            _close(record)
        return response

    return delete_endpoint


def _with_health(view: Callable[[Record], Record]) -> Callable[[Record], Record]:
    """The description of a target, with what a proxy would find there."""

    def described(target: Record) -> Record:
        found = view(target)
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

    return described
