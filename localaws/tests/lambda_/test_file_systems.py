"""Each environment has a file system of its own: the code, the layers, and a `/tmp` of its size."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import tempfile
import uuid
import zipfile
from pathlib import Path
from typing import Any

import pytest

from helpers.lambda_functions import Functions, Invoked, eventually
from localaws.engines import namespaces

pytestmark = [
    pytest.mark.local,
    pytest.mark.skipif(not namespaces.available(), reason="this machine has no namespaces for functions"),
]

# Runs what the event says, so that one function answers many questions.
RUN = """
import os, subprocess, sys
def handler(event, context):
    names = dict(globals())
    exec(event, names)
    return names.get("found")
"""


@pytest.fixture(scope="module")
def run(module_functions: Functions) -> str:
    return module_functions.make(RUN, Timeout=2)


@pytest.fixture(scope="module")
def module_functions(local_aws: Any) -> Functions:
    return Functions(local_aws)


def test_code_and_layers_are_where_they_are_in_aws_and_cannot_be_written(functions: Functions) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("greeting.txt", "hello")
        program = zipfile.ZipInfo("bin/greet")
        program.external_attr = 0o755 << 16
        opened.writestr(program, "#!/var/lang/bin/python3\nprint(open('/opt/greeting.txt').read())\n")
    layer = functions.aws.client("lambda").publish_layer_version(
        LayerName="greeting", Content={"ZipFile": archive.getvalue()}
    )["LayerVersionArn"]
    asked = """
def fails(path):
    try:
        open(path, "w")
    except OSError as error:
        return error.strerror
found = [
    __import__("index").__file__, os.getcwd(), sys.executable, os.environ["LAMBDA_TASK_ROOT"],
    subprocess.check_output("greet", text=True), os.listdir("/mnt"), os.listdir("/tmp"),
    sorted({fails(path) for path in ("/var/task/x", "/opt/x", "/x", "/var/runtime/x", "/mnt/x")}),
]
"""
    found = functions.invoke(functions.make(RUN, Layers=[layer]), asked).payload
    assert found[:4] == ["/var/task/index.py", "/var/task", "/var/lang/bin/python3", "/var/task"]
    assert found[4:7] == ["hello\n", [], []]
    assert found[7] == ["Read-only file system"]


def test_environments_have_a_tmp_of_their_own_that_outlives_their_process(
    functions: Functions, run: str
) -> None:
    functions.invoke(run, "open('/tmp/note', 'w').write('kept')")
    assert functions.invoke(run, "found = open('/tmp/note').read()").payload == "kept"
    assert functions.invoke(functions.make(RUN), "found = os.listdir('/tmp')").payload == []
    # https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html: after a failure, Lambda
    # "doesn't clear the /tmp directory content prior to the next init phase".
    assert functions.invoke(run, "os._exit(7)").error == "Unhandled"
    assert functions.invoke(run, "found = os.listdir('/tmp')").payload == ["note"]
    assert functions.invoke(run, "import time; time.sleep(60)").payload["errorType"] == "Sandbox.Timedout"
    assert functions.invoke(run, "found = os.listdir('/tmp')").payload == ["note"]
    functions.aws.client("lambda").update_function_configuration(FunctionName=run, MemorySize=256)
    assert functions.invoke(run, "found = os.listdir('/tmp')").payload == []


def test_tmp_has_the_configured_size(functions: Functions) -> None:
    asked = """
import shutil
found = [shutil.disk_usage("/tmp").total >> 20]
try:
    os.truncate(os.open("/tmp/large", os.O_CREAT | os.O_RDWR), 0)
    os.posix_fallocate(os.open("/tmp/large", os.O_RDWR), 0, (found[0] + 1) << 20)
except OSError as error:
    found.append(error.strerror)
"""
    full = "No space left on device"
    assert functions.invoke(functions.make(RUN), asked).payload == [512, full]
    larger = functions.make(RUN, EphemeralStorage={"Size": 1024})
    assert functions.invoke(larger, asked).payload == [1024, full]


def test_modules_are_compiled_although_their_folder_can_only_be_read(functions: Functions) -> None:
    lambda_ = functions.aws.client("lambda")
    name = functions.make(f"{RUN}# {uuid.uuid4()}")  # no other function has the same code
    asked = """
folder = "/var/task/__pycache__"
found = [one.stat().st_mtime_ns for one in os.scandir(folder)] if os.path.isdir(folder) else []
"""
    found = []
    for size in (128, 256, 512):
        lambda_.update_function_configuration(FunctionName=name, MemorySize=size)
        found.append(functions.invoke(name, asked).payload)
    assert found[0] == []  # the function cannot write there: the server compiles them for the next one
    assert len(found[1]) == 1
    assert found[2] == found[1]


@pytest.mark.skipif(os.geteuid() != 0, reason="others have no rights to lose")
def test_it_needs_no_rights(tmp_path: Path) -> None:
    """As a user who may not mount, who gets a user namespace."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        system = namespaces.FileSystem(Path(folder), Path(folder), scratch=1).command("/usr/bin/id", "-u")
        dropped = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]
        ran = subprocess.run([*dropped, *system], capture_output=True, text=True, check=True)
    assert ran.stdout == "0\n"


def test_folders_are_mounted_and_processes_join(tmp_path: Path) -> None:
    (shared := tmp_path / "shared").mkdir()
    system = namespaces.FileSystem(tmp_path, tmp_path, mounts={"/mnt/data": shared})
    first = subprocess.Popen(
        system.command("/bin/sh", "-c", "echo 1 > /tmp/one; echo x > /mnt/data/x; echo ready; read line"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    joined = namespaces.Joined()
    try:
        assert first.stdout
        assert first.stdout.readline() == b"ready\n"
        joined.keep(first.pid)
        assert (shared / "x").read_text() == "x\n"
    finally:
        first.communicate()
    second = subprocess.run(
        system.command("/bin/sh", "-c", "cat /tmp/one /mnt/data/x", joined=joined.descriptors),
        pass_fds=joined.descriptors,
        capture_output=True,
        check=True,
    )
    joined.close()
    assert second.stdout == b"1\nx\n"


def test_an_environment_ends_with_all_its_processes(functions: Functions) -> None:
    """After a timeout, an exit, a failed initialization, and the end of the function."""
    spawn = """
sleep = "import time, sys; open(sys.argv[1], 'w').close(); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-S", "-c", sleep, "/tmp/up"], start_new_session=True)
while not os.path.exists("/tmp/up"): pass
print("child", os.stat("/proc/self/ns/mnt").st_ino, flush=True)
"""

    def spawned(found: Invoked) -> int:
        """How many processes are in the environment of an invocation that has started one."""
        (mounts,) = re.findall(r"child (\d+)", found.log)
        return _mounts().count(mounts)

    name = functions.make(RUN, Timeout=1)
    first = functions.invoke(name, spawn)
    assert spawned(first) == 2
    assert functions.invoke(name, "import time; time.sleep(9)").error
    assert spawned(first) == 0
    for ended in (
        functions.invoke(name, f"os.remove('/tmp/up'){spawn}os._exit(1)"),
        functions.invoke(functions.make(f"import os, subprocess, sys{spawn}os._exit(1)")),
    ):
        assert ended.error
        assert spawned(ended) == 0
    last = functions.invoke(name, f"os.remove('/tmp/up'){spawn}")
    assert spawned(last) == 2
    functions.aws.client("lambda").delete_function(FunctionName=name)
    eventually(lambda: spawned(last) == 0)


def _mounts() -> list[str]:
    """The mount namespace of each process."""
    found = []
    for path in Path("/proc").glob("[0-9]*/ns/mnt"):
        with contextlib.suppress(OSError):
            found.append(str(path.stat().st_ino))
    return found


def test_a_function_cannot_change_what_it_sees(functions: Functions) -> None:
    asked = """
import ctypes
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
shown = subprocess.check_output(["cat", "/proc/self/status"], text=True)
child = dict(line.split(":", 1) for line in shown.splitlines())
remounted = ctypes.CDLL(None).mount(None, b"/var/task", None, ctypes.c_ulong(32 | 4096), None)
open_files = [f"/proc/self/fd/{one}" for one in range(3, 100)]
folders = [os.path.realpath(one) for one in open_files if os.path.isdir(one)]
found = [
    [int(one["CapEff"], 16) >> 5 for one in (status, child)], status["NoNewPrivs"].strip(), remounted,
    folders, os.environ["PATH"],
]
"""
    path = "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin"
    assert functions.invoke(functions.make(RUN), asked).payload == [[0, 0], "1", -1, [], path]


def test_links_in_layers_are_links(functions: Functions) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("lib/libx.so.1", "library")
        link = zipfile.ZipInfo("lib/libx.so")
        link.external_attr = 0o120777 << 16
        opened.writestr(link, "libx.so.1")
    layer = functions.aws.client("lambda").publish_layer_version(
        LayerName="links", Content={"ZipFile": archive.getvalue()}
    )["LayerVersionArn"]
    asked = 'found = [os.readlink("/opt/lib/libx.so"), open("/opt/lib/libx.so").read()]'
    assert functions.invoke(functions.make(RUN, Layers=[layer]), asked).payload == ["libx.so.1", "library"]
