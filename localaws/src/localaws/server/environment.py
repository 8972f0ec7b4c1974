"""The environment variables of the server, and those for clients."""

from __future__ import annotations

import os
import secrets
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from localaws.server import endpoint_rules

# The variables of the user that the server sees, and so its Lambda functions. It adds its own authority to
# those that SSL_CERT_FILE names.
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SSL_CERT_FILE")
_NO_PROXY = "127.0.0.1,localhost,.localhost"


def server_environment(package: str) -> dict[str, str]:
    """Return the environment of the server, without the user's AWS configuration.

    Args:
        package: The folder in which its Python finds this package.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED_ON or name.startswith("LOCALAWS_")  # settings of bridges
    }
    # Functions in Node.js need `node`, which pip installs in the folder of the interpreter.
    environment["PATH"] = os.pathsep.join(
        [str(Path(sys.executable).parent), environment.get("PATH", os.defpath)]
    )
    inherited = os.environ.get("PYTHONPATH")
    shared = package == str(Path(__file__).parents[2])  # with an environment of its own, it needs no other
    environment["PYTHONPATH"] = os.pathsep.join([package, inherited] if inherited and shared else [package])
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
    """Return the variables for AWS clients, which also override the configuration of the user.

    They are merged into an environment that may have any variables. So they name a configuration file and a
    profile, and give variables that cannot be removed a value without effect.
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
        "AWS_DATA_PATH": endpoint_rules.data_path(
            folder / "botocore", endpoint_url, inherited.get("AWS_DATA_PATH")
        ),
        "AWS_USE_FIPS_ENDPOINT": "false",
        "AWS_USE_DUALSTACK_ENDPOINT": "false",
        "AWS_PAGER": "",
        "CDK_DEFAULT_ACCOUNT": account,
        "CDK_DEFAULT_REGION": region,
        "CDK_DISABLE_CLI_TELEMETRY": "true",
        # Docker would push to the real AWS.
        "CDK_DOCKER": str(_write_docker(folder)),
        "LOCALAWS_IMAGES": str(folder / "images"),
    }
    for name in ("NO_PROXY", "no_proxy"):
        own = inherited.get(name)
        environment[name] = f"{own},{_NO_PROXY}" if own else _NO_PROXY
    # An endpoint for one service, such as AWS_ENDPOINT_URL_S3, takes precedence over the general one.
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


def _write_docker(folder: Path) -> Path:
    """Write the program that builds and pushes image assets: `localaws.images` with this Python."""
    program = folder / "docker"
    if not program.exists():
        code = f"import sys; sys.path.append({str(Path(__file__).parents[2])!r}); "
        code += "from localaws.images.__main__ import main; sys.exit(main())"
        draft = program.with_name(f"docker.{secrets.token_hex(4)}")
        draft.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, "-P", "-c", code])} "$@"\n')
        draft.chmod(0o700)
        draft.rename(program)
    return program


def _with_own_roots(folder: Path, authority: Path, inherited: Mapping[str, str]) -> Path:
    """Add the certificates that the user's Node.js already trusts, for a company's proxy for example."""
    own = inherited.get("NODE_EXTRA_CA_CERTS")
    if not own or not Path(own).is_file():
        return authority
    both = folder / "node-ca.pem"
    both.write_bytes(Path(own).read_bytes() + b"\n" + authority.read_bytes())
    return both
