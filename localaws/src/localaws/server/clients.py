"""boto3 sessions that reach only the embedded AWS, whatever the configuration of the user."""

from __future__ import annotations

import functools
import os
from typing import Any

import boto3
import botocore.config
import botocore.configprovider
import botocore.loaders
import botocore.session

from localaws.server import endpoint_rules


@functools.cache
def _shared_loader() -> botocore.loaders.Loader:
    """One per process: it caches service models, which take most of the time to create a client."""
    return endpoint_rules.Loader()


class _IsolatedSession(botocore.session.Session):
    """A botocore session that reads no AWS_* variable, no profile and no configuration file."""

    def __init__(self, endpoint_url: str, authority: str) -> None:
        nothing = {
            name: (None, None, default, convert)
            for name, (_, _, default, convert) in self.SESSION_VARIABLES.items()
        }
        for name in ("config_file", "credentials_file"):
            nothing[name] = (None, None, os.devnull, None)
        super().__init__(session_vars=nothing)
        self._endpoint_url = endpoint_url
        self.set_config_variable("ca_bundle", authority)
        self.register_component("data_loader", _shared_loader())
        self.set_default_client_config(
            botocore.config.Config(
                inject_host_prefix=False,  # `sync-127.0.0.1` does not resolve
                s3={"addressing_style": "path"},
                proxies={"https": ""},  # loopback never goes through the user's proxy
                max_pool_connections=50,
            )
        )

    def create_client(self, *args: Any, **kwargs: Any) -> Any:
        # boto3 passes keyword arguments, and None for those that its caller omitted.
        kwargs["endpoint_url"] = kwargs.get("endpoint_url") or self._endpoint_url
        return super().create_client(*args, **kwargs)


def make_session(
    endpoint_url: str, authority: str, access_key_id: str, secret_access_key: str, region: str
) -> boto3.Session:
    """Return a session whose clients need no other arguments."""
    session = _IsolatedSession(endpoint_url, authority)
    return boto3.Session(
        aws_access_key_id=access_key_id,
        aws_secret_access_key=secret_access_key,
        region_name=region,
        botocore_session=session,
    )
