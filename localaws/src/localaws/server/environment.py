"""Environment variables: the ones the server gets, and the ones it hands out."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

# All that the server's process, and so a Lambda function in it, sees of the user's own environment.
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_NO_PROXY = "127.0.0.1,localhost,.localhost"


def server_environment() -> dict[str, str]:
    """Return the environment in which the server starts: nothing of the user's AWS configuration."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED_ON or name.startswith("LOCALAWS_")  # the bridges' own settings
    }
    # Handlers in Node need `node`, which pip puts beside the interpreter.
    environment["PATH"] = os.pathsep.join(
        [str(Path(sys.executable).parent), environment.get("PATH", os.defpath)]
    )
    root = str(Path(__file__).parents[2])
    inherited = os.environ.get("PYTHONPATH")
    environment["PYTHONPATH"] = os.pathsep.join([root, inherited] if inherited else [root])
    return environment


def client_environment(
    *,
    folder: Path,
    endpoint_url: str,
    authority: Path,
    access_key_id: str,
    secret_access_key: str,
    account: str,
    region: str,
    inherited: Mapping[str, str] = os.environ,
) -> dict[str, str]:
    """Return what any AWS client needs, and what keeps the user's own configuration from interfering.

    The variables are laid over an environment that may hold anything: so they name an own configuration
    file and profile, and set what could not be unset.
    """
    _write_profile(folder, endpoint_url, authority, access_key_id, secret_access_key, region)
    environment = {
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_ACCESS_KEY_ID": access_key_id,
        "AWS_SECRET_ACCESS_KEY": secret_access_key,
        "AWS_SESSION_TOKEN": "",
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_PROFILE": "default",
        "AWS_DEFAULT_PROFILE": "default",
        "AWS_CONFIG_FILE": str(folder / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "credentials"),
        "AWS_CA_BUNDLE": str(authority),
        "NODE_EXTRA_CA_CERTS": str(_with_own_roots(folder, authority, inherited)),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false",
        "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
        "AWS_USE_FIPS_ENDPOINT": "false",
        "AWS_USE_DUALSTACK_ENDPOINT": "false",
        "AWS_PAGER": "",
        "CDK_DEFAULT_ACCOUNT": account,
        "CDK_DEFAULT_REGION": region,
        "CDK_DISABLE_CLI_TELEMETRY": "true",
    }
    for name in ("NO_PROXY", "no_proxy"):
        own = inherited.get(name)
        environment[name] = f"{own},{_NO_PROXY}" if own else _NO_PROXY
    # An endpoint for one service, such as AWS_ENDPOINT_URL_S3, would win over the general one.
    environment |= {name: endpoint_url for name in inherited if name.startswith("AWS_ENDPOINT_URL_")}
    return environment


def _write_profile(
    folder: Path, endpoint_url: str, authority: Path, access_key_id: str, secret_access_key: str, region: str
) -> None:
    (folder / "config").write_text(
        f"[default]\nregion = {region}\nendpoint_url = {endpoint_url}\nca_bundle = {authority}\n"
    )
    credentials = folder / "credentials"
    credentials.touch(mode=0o600)
    credentials.write_text(
        f"[default]\naws_access_key_id = {access_key_id}\naws_secret_access_key = {secret_access_key}\n"
    )


def _with_own_roots(folder: Path, authority: Path, inherited: Mapping[str, str]) -> Path:
    """Keep the certificates that the user's Node already needs, for a company's proxy say."""
    own = inherited.get("NODE_EXTRA_CA_CERTS")
    if not own or not Path(own).is_file():
        return authority
    both = folder / "node-ca.pem"
    both.write_bytes(Path(own).read_bytes() + b"\n" + authority.read_bytes())
    return both
