"""What a function from a container image finds where it runs: files, variables, its command."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

from helpers.images import BASE, Images
from helpers.lambda_functions import Functions, Invoked
from localaws import LocalAws
from localaws.engines import namespaces
from localaws.engines.container_images import Image
from localaws.engines.runtime_api import images as engine
from localaws.images.packages import SITE_PACKAGES

pytestmark = [
    pytest.mark.local,
    pytest.mark.skipif(not namespaces.available(), reason="this machine has no namespaces for functions"),
]

# Runs what the event says, so that one function answers many questions.
FILES = {
    "app.py": textwrap.dedent("""
        import os, pathlib, sys
        def handler(event, context):
            names = dict(globals(), context=context)
            exec(event, names)
            return names.get("found")
        def other(event, context):
            return "other"
    """),
    "broken.py": "raise KeyError('no such setting')",
    "run.sh": '#!/bin/sh\nexec /lambda-entrypoint.sh "app.$1"\n',
    "wrap.sh": '#!/bin/sh\nexport WRAPPED=yes\nexec "$@"\n',
    "data.txt": "of the image",
    "installed.py": "",
}
DOCKERFILE = f"""{BASE}
COPY app.py broken.py ${{LAMBDA_TASK_ROOT}}/
COPY run.sh wrap.sh /usr/local/bin/
COPY link /bin/
COPY installed.py /{SITE_PACKAGES}/
COPY data.txt /data/
COPY data.txt /etc/
COPY data.txt /opt/
COPY data.txt /usr/share/localaws/
ENV COLOUR=red SIZE=small
WORKDIR /work
CMD ["app.handler"]
"""


class Deployed(Functions):
    """Functions from one image."""

    def __init__(self, aws: LocalAws, folder: Path) -> None:
        super().__init__(aws)
        self.images = Images(aws, folder)
        (folder / "link").symlink_to("/usr/local/bin/run.sh")
        self.lambda_ = aws.client("lambda")
        self.repository = self.images.repository("environments")
        self.uri = self.images.push(f"{self.repository}:1", self.images.build(FILES, DOCKERFILE))
        self._number = 0

    def function(self, uri: str = "", **settings: Any) -> str:
        """Create a function, and return its name."""
        self._number += 1
        name = f"environment-{self._number}"
        given = {"Role": self.role(), "PackageType": "Image", "Timeout": 10, **settings}
        self.lambda_.create_function(FunctionName=name, Code={"ImageUri": uri or self.uri}, **given)
        return name

    def failure(self, uri: str = "", **settings: Any) -> Invoked:
        """Invoke a new function, which fails."""
        invoked = self.invoke(self.function(uri, **settings), "")
        assert invoked.error == "Unhandled"
        return invoked


@pytest.fixture(scope="module")
def deployed(local_aws: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    return Deployed(local_aws, tmp_path_factory.mktemp("image"))


@pytest.fixture(scope="module")
def name(deployed: Deployed) -> str:
    return deployed.function(Environment={"Variables": {"SIZE": "large"}})


def ask(deployed: Deployed, name: str, expression: str) -> Any:
    """The value of an expression in the function."""
    answer = deployed.invoke(name, f"found = {expression}")
    assert answer.error is None, answer
    return answer.payload


def test_the_files_of_the_image_are_over_those_of_the_machine(deployed: Deployed, name: str) -> None:
    places = ["/data", "/etc", "/opt", "/usr/share/localaws"]
    asked = f"[pathlib.Path(one, 'data.txt').read_text() for one in {places}]"
    assert ask(deployed, name, asked) == ["of the image"] * 4
    # What the machine has there stays.
    assert ask(deployed, name, "pathlib.Path('/etc/passwd').exists() and pathlib.Path('/usr/bin').exists()")
    assert not Path("/data/data.txt").exists()


def test_only_tmp_can_be_written(deployed: Deployed, name: str) -> None:
    asked = """
def written(path):
    try:
        pathlib.Path(path).write_text("x")
    except OSError as error:
        return error.strerror
found = [written(one) for one in ("/var/task/x", "/data/x", "/etc/data.txt", "/opt/x", "/x", "/tmp/x")]
"""
    assert deployed.invoke(name, asked).payload == ["Read-only file system"] * 5 + [None]


def test_variables(deployed: Deployed, name: str) -> None:
    names = [
        "COLOUR",
        "SIZE",
        "LAMBDA_TASK_ROOT",
        "AWS_EXECUTION_ENV",
        "_HANDLER",
        "AWS_LAMBDA_FUNCTION_NAME",
    ]
    assert ask(deployed, name, f"[os.environ[one] for one in {names}]") == [
        *("red", "large", "/var/task", "AWS_Lambda_Image", "app.handler", name)
    ]


def test_the_working_directory_and_the_genuine_client(deployed: Deployed, name: str) -> None:
    assert ask(deployed, name, "[os.getcwd(), 'awslambdaric' in sys.modules, __file__]") == [
        *("/work", True, "/var/task/app.py")
    ]
    assert ask(deployed, name, "context.get_remaining_time_in_millis() > 0")


def test_packages_of_pip_are_before_those_of_the_runtime(deployed: Deployed, name: str) -> None:
    assert ask(deployed, name, "__import__('installed').__file__") == f"/{SITE_PACKAGES}/installed.py"
    places = ("/var/task", f"/{SITE_PACKAGES}", "/var/runtime")
    assert ask(deployed, name, f"[one for one in sys.path if one in {places}]") == list(places)


def test_boto3_has_the_role_of_the_function(deployed: Deployed, name: str) -> None:
    asked = "__import__('boto3').client('sts').get_caller_identity()['Arn']"
    assert "assumed-role/role-" in ask(deployed, name, asked)


@pytest.mark.parametrize(
    ("image_config", "answer"),
    [
        ({"Command": ["app.other"]}, "other"),
        ({"EntryPoint": ["/usr/local/bin/run.sh", "other"]}, "other"),
        ({"EntryPoint": ["/bin/link"], "Command": ["other"]}, "other"),
        ({"EntryPoint": ["run.sh"], "Command": ["other"]}, "other"),
    ],
)
def test_commands_of_the_function(deployed: Deployed, image_config: Any, answer: str) -> None:
    assert deployed.invoke(deployed.function(ImageConfig=image_config), "").payload == answer


def test_a_working_directory_of_the_function(deployed: Deployed) -> None:
    name = deployed.function(ImageConfig={"WorkingDirectory": "/data"})
    assert ask(deployed, name, "os.getcwd()") == "/data"


def test_a_wrapper_script(deployed: Deployed) -> None:
    variables = {"AWS_LAMBDA_EXEC_WRAPPER": "/usr/local/bin/wrap.sh"}
    name = deployed.function(Environment={"Variables": variables})
    assert ask(deployed, name, "os.environ['WRAPPED']") == "yes"


def test_a_version_keeps_its_image(deployed: Deployed) -> None:
    name = deployed.function(Publish=True)
    files = {**FILES, "app.py": "def handler(event, context):\n    return 'new'\n"}
    other = deployed.images.push(f"{deployed.repository}:2", deployed.images.build(files, DOCKERFILE))
    deployed.invoke(name, "found = 1")
    deployed.lambda_.update_function_code(FunctionName=name, ImageUri=other)
    assert deployed.invoke(name, "found = 1").payload == "new"
    assert deployed.invoke(name, "found = 1", qualifier="1").payload == 1


def test_an_error_of_the_handler(deployed: Deployed, name: str) -> None:
    failed = deployed.invoke(name, "raise ValueError('no')")
    assert (failed.payload["errorType"], failed.payload["errorMessage"]) == ("ValueError", "no")
    assert ask(deployed, name, "1") == 1


@pytest.mark.parametrize(
    ("settings", "kind", "said"),
    [
        ({"ImageConfig": {"Command": ["broken.handler"]}}, "KeyError", "no such setting"),
        ({"ImageConfig": {"Command": ["missing.handler"]}}, "Runtime.ImportModuleError", "Unable to import"),
        ({"ImageConfig": {"Command": ["app.missing"]}}, "Runtime.HandlerNotFound", "missing"),
        (
            {"ImageConfig": {"EntryPoint": ["/missing"]}},
            "Runtime.InvalidEntrypoint",
            "bootstrap(s): [/missing]",
        ),
        (
            {"ImageConfig": {"EntryPoint": ["missing"]}},
            "Runtime.InvalidEntrypoint",
            "bootstrap(s): [missing]",
        ),
        (
            {"ImageConfig": {"EntryPoint": ["/data/data.txt"]}},
            *("Runtime.InvalidEntrypoint", "fork/exec /data/data.txt: permission denied"),
        ),
        (
            {"ImageConfig": {"Command": ["app.handler", "more"]}},  # AWS's entrypoint takes one word
            *("Runtime.ExitError", "exit status 142"),
        ),
        (
            {"Architectures": ["arm64"]},
            "Runtime.InvalidEntrypoint",
            "/lambda-entrypoint.sh: exec format error",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_images_that_do_not_start(deployed: Deployed, settings: Any, kind: str, said: str) -> None:
    failed = deployed.failure(**settings).payload
    assert (failed["errorType"], said in failed["errorMessage"]) == (kind, True), failed


def test_an_image_without_any_command(deployed: Deployed) -> None:
    uri = deployed.images.push(f"{deployed.repository}:3", deployed.images.build(FILES, "FROM scratch\n"))
    failed = deployed.failure(uri).payload
    assert "Couldn't find valid bootstrap(s): []" in failed["errorMessage"]


def test_an_image_with_a_runtime_of_its_own(deployed: Deployed) -> None:
    """A program of the image that speaks the Runtime API, without AWS's base image and client."""
    program = """\
#!/var/lang/bin/python3
import os, urllib.request as http
api = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime/invocation"
while True:
    event = http.urlopen(f"{api}/next")
    answer = b'"own ' + event.read().strip(b'"') + b'"'
    url = f"{api}/{event.headers['Lambda-Runtime-Aws-Request-Id']}/response"
    http.urlopen(http.Request(url, answer, method="POST"))
"""
    dockerfile = 'FROM scratch\nCOPY --chmod=755 own.sh /own/\nENTRYPOINT ["/own/own.sh"]\n'
    image = deployed.images.build({"own.sh": program}, dockerfile)
    name = deployed.function(deployed.images.push(f"{deployed.repository}:4", image))
    assert deployed.invoke(name, "runtime").payload == "own runtime"


@pytest.mark.parametrize("program", ["/var/lang/bin/python3", "python"])
def test_the_client_of_the_base_image_as_the_entrypoint(deployed: Deployed, program: str) -> None:
    command = f'ENTRYPOINT ["{program}", "-m", "awslambdaric"]\nCMD ["app.handler"]\n'
    dockerfile = f"{BASE}COPY app.py ./\nCOPY installed.py /{SITE_PACKAGES}/\n{command}"
    image = deployed.images.build(FILES, dockerfile)
    name = deployed.function(deployed.images.push(f"{deployed.repository}:{Path(program).name}", image))
    assert ask(deployed, name, "__import__('installed').__name__") == "installed"


def test_an_image_with_a_system_of_its_own_is_refused(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(engine, "_MOST_FILES", 1)
    for name in ("a", "b"):
        (tmp_path / name).write_text("")
    image = Image(tmp_path, "x86_64", {})
    with pytest.raises(engine.NoEntryPoint, match="the image has 2 files among those of this machine"):
        engine._over(namespaces.FileSystem(tmp_path), image, "/")
