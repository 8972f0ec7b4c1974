"""The environment of a Python function: variables, code, layers and the packages of the runtime.

`process` starts processes in it.

Faithful to: the documented variables, and nothing else of the host's environment; layers merged in their
order, a later one over an earlier one; besides code and layers, only what Lambda's runtime contains (boto3
and its dependencies), so that a missing dependency fails here as in AWS; the file system that
`engines.namespaces` describes.
Not to: the Python version, which is that of the host. Where there are no namespaces (macOS, some containers),
the paths `/var/task`, `/opt` and `/tmp`: they are other folders, which `LAMBDA_TASK_ROOT`, `PATH`, `sys.path`
and `tempfile` lead to; a literal `/tmp` is the host's. Only a program of a layer is found by its literal
path, `/opt/…`, when a handler starts it with `subprocess`. Code is not read-only, and `/tmp` has no limit.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
https://docs.aws.amazon.com/lambda/latest/dg/packaging-layers.html
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import io
import os
import shutil
import sys
import tempfile
import time
import uuid
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ministack.core import lambda_runtime, tls
from ministack.services import lambda_svc

from localaws.engines import namespaces
from localaws.engines.namespaces import FileSystem
from localaws.engines.python_runtime.archives import extract
from localaws.server import endpoint_rules
from localaws.services.lambda_.concurrency import initialization_type

#: The packages of the Python runtime.
RUNTIME_PACKAGES = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six")

#: The variables with the certificates to trust, for the server and for functions.
TRUST = ("AWS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")

# Where the operating system of Lambda's runtimes has its certificates. The CDK's BucketDeployment names them.
_PKI = "/etc/pki/"


@dataclass(frozen=True)
class Places:
    """Where a function finds what it needs, as it sees it.

    Attributes:
        task: The code.
        layers: The merged layers.
        runtime: The packages of the runtime.
        scratch: The folder for temporary files.
        files: Where it sees files of the host that variables name, by their path on the host.
    """

    task: Path
    layers: Path
    runtime: Path
    scratch: Path
    files: Mapping[str, str]

    def import_path(self) -> list[str]:
        """The import path before the standard library: the code, the layers, the runtime's packages."""
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        site = self.layers / "python" / "lib" / version / "site-packages"
        return [str(self.task), str(site), str(self.layers / "python"), str(self.runtime)]


def places(task_root: Path, layers: Path, scratch: Path | None) -> Places:
    """The places of an environment; one that has a folder for its scratch has no file system of its own."""
    if scratch is not None:
        return Places(task_root, layers, packages(), scratch, {})
    return Places(namespaces.TASK, namespaces.LAYERS, namespaces.RUNTIME, Path("/tmp"), _files())  # noqa: S108


def file_system(config: dict[str, Any], task_root: Path, layers: Path) -> FileSystem:
    """The file system of an environment.

    Raises:
        StartRefusedError: A file system of EFS cannot be mounted.
    """
    from localaws.services.efs.mounts import mounts_of  # which are bridges, and are applied first

    mounts = list(mounts_of(config))
    runtime = {str(namespaces.RUNTIME / link.name): link.resolve() for link in packages().iterdir()}
    read_only = {seen: folder for seen, folder, writable in mounts if not writable}
    return FileSystem(
        task_root,
        layers,
        scratch=int((config.get("EphemeralStorage") or {}).get("Size") or namespaces.SCRATCH),
        mounts={seen: folder for seen, folder, writable in mounts if writable},
        files=runtime | {seen: Path(source) for source, seen in _files().items()} | read_only,
    )


@functools.cache
def _files() -> dict[str, str]:
    found = [_data_path(), *_trust().values()] if gateway().keys() & set(TRUST) else [_data_path()]
    return {path: f"{namespaces.HOST}/{number}" for number, path in enumerate(dict.fromkeys(found))}


def variables(config: dict[str, Any], where: Places) -> dict[str, str]:
    """The complete environment of a function's process.

    Raises:
        StartRefusedError: The function's role cannot decrypt its variables.
    """
    # A bridge, and bridges are applied first.
    from localaws.services.lambda_.environment_encryption import require_key
    from localaws.services.xray.daemon import address_of

    require_key(config)
    own: dict[str, str] = (config.get("Environment") or {}).get("Variables") or {}
    logging = config.get("LoggingConfig") or {}
    region = config["FunctionArn"].split(":")[3]
    given = {
        "AWS_DEFAULT_REGION": region,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{config.get('Runtime')}",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(config["MemorySize"]),
        "AWS_LAMBDA_FUNCTION_NAME": config["FunctionName"],
        "AWS_LAMBDA_FUNCTION_VERSION": config["Version"],
        "AWS_LAMBDA_INITIALIZATION_TYPE": initialization_type(config),
        "AWS_LAMBDA_LOG_GROUP_NAME": logging.get("LogGroup") or f"/aws/lambda/{config['FunctionName']}",
        "AWS_LAMBDA_LOG_STREAM_NAME": f"{time.strftime('%Y/%m/%d')}/[{config['Version']}]{uuid.uuid4().hex}",
        "AWS_REGION": region,
        "LAMBDA_RUNTIME_DIR": str(where.runtime),
        "LAMBDA_TASK_ROOT": str(where.task),
        "_HANDLER": config.get("Handler") or "",
        **lambda_runtime.execution_credentials(config),
    }
    if (config.get("TracingConfig") or {}).get("Mode") == "Active":
        given["AWS_XRAY_CONTEXT_MISSING"] = "LOG_ERROR"
        given["AWS_XRAY_DAEMON_ADDRESS"] = address_of(config)
    if logging.get("LogFormat") == "JSON":
        given["AWS_LAMBDA_LOG_FORMAT"] = "JSON"
        given["AWS_LAMBDA_LOG_LEVEL"] = logging.get("ApplicationLogLevel") or "INFO"
    defaults = {
        "LANG": "en_US.UTF-8",
        "LD_LIBRARY_PATH": f"{where.task}:{where.task}/lib:{where.layers}/lib",
        "PATH": _path(where),
        "TZ": ":UTC",
        # The rest is not Lambda's. These two keep the function away from the host's folders,
        "HOME": str(where.scratch / "home"),
        "TMPDIR": str(where.scratch),
        # and these lead its clients to the emulator, also where a call or an account has its own host.
        "AWS_EC2_METADATA_DISABLED": "true",
        lambda_runtime.HOST_PREFIX_ENV: "true",
        "AWS_DATA_PATH": _data_path(),
        **gateway(),
    }
    defaults = {name: where.files.get(value, value) for name, value in defaults.items()}
    # The certificates of Amazon Linux are those of this machine, with the emulator's.
    own = {name: value for name, value in own.items() if name not in TRUST or not value.startswith(_PKI)}
    return defaults | own | given


def _path(where: Places) -> str:
    """The documented one, or the host's where a function sees the folders of the host."""
    if where.task == namespaces.TASK:
        return "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin"
    return f"{os.environ.get('PATH', os.defpath)}:{where.layers}/bin"


def gateway() -> dict[str, str]:
    """The variables with which AWS clients reach the emulator and trust its certificate."""
    scheme = "https" if tls.use_ssl_enabled() else "http"
    found = {"AWS_ENDPOINT_URL": f"{scheme}://127.0.0.1:{os.environ.get('GATEWAY_PORT', '4566')}"}
    if scheme == "https":
        found |= _trust()
    return found


@functools.cache
def _trust() -> dict[str, str]:
    found = {name: os.environ[name] for name in TRUST if name in os.environ}
    tls.trust_gateway_cert(found)  # adds those that are missing
    return found


@functools.cache
def _data_path() -> str:
    folder = Path(tempfile.mkdtemp(prefix="lambda-botocore-"))
    return endpoint_rules.data_path(folder, gateway()["AWS_ENDPOINT_URL"])


def unpack(*archives: bytes) -> Path:
    """A folder with the content of the archives, later ones over earlier ones.

    Environments with the same archives share it: in AWS, functions cannot write there.
    """
    digest = hashlib.sha256(b"".join(hashlib.sha256(archive).digest() for archive in archives))
    folder = Path(tempfile.gettempdir(), "lambda-code", digest.hexdigest()[:32])
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=folder.parent))
        for archive in archives:
            with zipfile.ZipFile(io.BytesIO(archive)) as opened:
                extract(opened, draft)
        try:
            draft.rename(folder)
        except OSError:  # another environment of the function was faster
            shutil.rmtree(draft, ignore_errors=True)
    return folder


def layer_archives(config: dict[str, Any]) -> list[bytes]:
    """The archives of the function's layers, in the order in which they are merged."""
    archives = [lambda_svc._resolve_layer_zip(layer) for layer in config.get("Layers") or []]
    return [archive for archive in archives if archive]


@functools.cache
def packages() -> Path:
    """A folder with links to the packages of the runtime, and to no others."""
    folder = Path(tempfile.mkdtemp(prefix="lambda-runtime-"))
    for name in RUNTIME_PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            continue  # a later boto3 may not depend on all of them (six is a dependency of dateutil)
        origin = Path(spec.origin)
        source = origin.parent if origin.name == "__init__.py" else origin
        (folder / source.name).symlink_to(source)
    return folder
