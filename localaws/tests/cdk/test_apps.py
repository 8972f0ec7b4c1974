"""An app in each form that `deploy` takes, and what is known of it once it is deployed."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from helpers.assemblies import write_assembly
from localaws import CdkError, Deployment, LocalAws, wait_until
from localaws.cdk.apps import Target, synthesise, targets
from localaws.cdk.cli import CommandLine, find_cli
from localaws.cdk.deployment import Outputs, Resource

# A substitute for the CLI: it writes its arguments, and a file with values that it has looked up.
_FAKE = f"""#!{sys.executable}
import os, sys
print(os.getcwd(), *sys.argv[1:])
open("cdk.context.json", "w").write("looked up")
sys.exit(os.environ.get("CODE", 0))
"""


@pytest.fixture
def command(tmp_path: Path) -> CommandLine:
    program = tmp_path / "cdk"
    program.write_text(_FAKE)
    program.chmod(0o755)
    (tmp_path / "node").symlink_to(sys.executable)
    return CommandLine(program, tmp_path / "logs", {"PATH": str(tmp_path)})


def assembly_of(app: Any, command: CommandLine, folder: Path, **context: Any) -> Path:
    return synthesise(app, folder / "out", folder=folder, context=context, command=command)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The folder of an app, with values that were looked up in a real account."""
    folder = tmp_path / "infra"
    folder.mkdir()
    (folder / "cdk.json").write_text('{"app": "python app.py", "context": {"flag": true}}')
    (folder / "cdk.context.json").write_text("of a real account")
    return folder


def test_a_command_is_synthesised_in_its_folder(command: CommandLine, project: Path) -> None:
    assert assembly_of("python app.py", command, project, size=3, name="x") == project / "out"
    log = (project.parent / "logs" / "synth.log").read_text()
    assert log.startswith(f"{project} synth --app python app.py -c size=3 -c name=x --output {project}/out")


def test_what_is_looked_up_here_is_not_kept(command: CommandLine, project: Path) -> None:
    assembly_of("python app.py", command, project)
    assert (project / "cdk.context.json").read_text() == "of a real account"
    (project / "cdk.context.json").unlink()
    assembly_of("python app.py", command, project)
    assert not (project / "cdk.context.json").exists()


def test_the_folder_of_an_app_is_synthesised_as_its_cdk_json_says(
    command: CommandLine, project: Path
) -> None:
    assembly_of("infra", command, project.parent)
    assert (project.parent / "logs" / "synth.log").read_text().startswith(f"{project} synth --output")


def test_a_cloud_assembly_is_taken_as_it_is(command: CommandLine, tmp_path: Path) -> None:
    made = tmp_path / "cdk.out"
    made.mkdir()
    write_assembly(made)
    assert assembly_of("cdk.out", command, tmp_path) == made
    assert assembly_of(made, command, Path("/")) == made
    (tmp_path / "cdk.json").write_text('{"app": "cdk.out"}')
    assert assembly_of(".", command, tmp_path) == made
    with pytest.raises(CdkError, match=r"has no effect here: .* is a synthesised cloud assembly"):
        assembly_of(made, command, tmp_path, size=3)


@pytest.mark.parametrize(
    ("text", "said"), [("{", "is no JSON"), ("[1]", r"must be a JSON object, not \[1\]")]
)
def test_a_malformed_cdk_json_is_refused(command: CommandLine, project: Path, text: str, said: str) -> None:
    (project / "cdk.json").write_text(text)
    with pytest.raises(CdkError, match=said):
        assembly_of("infra", command, project.parent)


class App:
    """What is known of an `aws_cdk.App`."""

    def __init__(self, folder: Path, missing: list[str] = []) -> None:  # noqa: B006 (not changed)
        write_assembly(folder)
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["missing"] = [{"key": key} for key in missing]
        (folder / "manifest.json").write_text(json.dumps(manifest))
        self.directory = folder

    def synth(self) -> App:
        return self


def test_an_app_and_a_function_that_makes_one_are_synthesised_here(
    command: CommandLine, tmp_path: Path
) -> None:
    app = App(tmp_path)
    assert assembly_of(app, command, tmp_path) == tmp_path
    assert assembly_of(lambda: app, command, tmp_path) == tmp_path
    for given in (app, lambda: app):
        with pytest.raises(CdkError, match=r"context=\{'size': 3\} has no effect here"):
            assembly_of(given, command, tmp_path, size=3)


class OlderApp:
    """An `aws_cdk.App` that knows no validation."""

    def __init__(self, *, outdir: str, analytics_reporting: bool, context: dict[str, Any]) -> None:
        self.directory, self.validated = outdir, False
        write_assembly(Path(outdir))

    def synth(self) -> OlderApp:
        return self


class NewerApp(OlderApp):
    """One that does."""

    def __init__(self, *, builtin_cloud_formation_validation: bool = True, **known: Any) -> None:
        super().__init__(**known)
        self.validated = builtin_cloud_formation_validation


@pytest.mark.parametrize(
    ("kind", "asked", "validated"),
    [(OlderApp, None, False), (NewerApp, None, False), (NewerApp, "true", True)],
)
def test_the_slow_validation_of_the_cdk_is_off_unless_it_is_asked_for(
    command: CommandLine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[OlderApp],
    asked: str | None,
    validated: bool,
) -> None:
    monkeypatch.delenv("CDK_VALIDATION", raising=False)
    if asked:
        monkeypatch.setenv("CDK_VALIDATION", asked)
    monkeypatch.setitem(sys.modules, "aws_cdk", SimpleNamespace(App=kind))
    (tmp_path / "out").mkdir()
    made: list[OlderApp] = []
    assembly_of(made.append, command, tmp_path)
    assert [app.validated for app in made] == [validated]


@pytest.mark.parametrize(
    ("app", "said"),
    [
        (lambda folder: Path("nowhere"), "there is no such folder"),
        (lambda folder: ".", "neither an app nor a cloud assembly: it has no cdk.json"),
        (lambda folder: App, "is a class: give an App that was made of it"),
        (lambda folder: lambda scope, name: None, "cannot be called with an App only"),
        (lambda folder: 7, "app=7: give an aws_cdk.App, a function"),
        (lambda folder: lambda: None, "returned None: let it return the App"),
        (lambda folder: App(folder, ["vpc:x"]), "looks up vpc:x, which needs the CDK CLI"),
    ],
)
def test_what_is_no_app_is_refused(
    command: CommandLine, tmp_path: Path, app: Callable[[Path], Any], said: str
) -> None:
    with pytest.raises(CdkError, match=said):
        assembly_of(app(tmp_path), command, tmp_path)


def test_a_cli_that_fails_shows_the_end_of_its_output(tmp_path: Path, command: CommandLine) -> None:
    command._environment["CODE"] = "no such stack"
    with pytest.raises(CdkError, match="`cdk synth` failed with exit code 1") as failed:
        assembly_of("python app.py", command, tmp_path)
    assert "no such stack" in str(failed.value)


@pytest.mark.parametrize("app", ["nowhere", "nope/cdk.out"])
def test_a_folder_that_is_not_there_is_named(tmp_path: Path, command: CommandLine, app: str) -> None:
    command._environment["CODE"] = "not found"
    with pytest.raises(
        CdkError, match=f"there is no folder '{app}', and as a command it failed: `cdk synth`"
    ):
        assembly_of(app, command, tmp_path)


def test_without_node_it_says_what_to_install(tmp_path: Path, command: CommandLine) -> None:
    (tmp_path / "node").unlink()
    with pytest.raises(CdkError, match=r"needs Node.js, .* `pytest-localaws\[node\]`"):
        assembly_of("python app.py", command, tmp_path)


def test_the_cli_of_the_project_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCALAWS_CDK", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    places = {
        "cache": tmp_path / "cache" / "localaws" / "cdk-2.1148.1" / "node_modules" / ".bin" / "cdk",
        "path": tmp_path / "bin" / "cdk",
        "project": tmp_path / "node_modules" / ".bin" / "cdk",
    }
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for program in places.values():
        program.parent.mkdir(parents=True)
        program.touch(mode=0o755)
        assert find_cli(tmp_path / "app" / "infra") == program
    monkeypatch.setenv("LOCALAWS_CDK", str(tmp_path / "none"))
    with pytest.raises(CdkError, match="there is no such program"):
        find_cli()


# --- What was deployed


def resources(*found: Resource) -> Deployment:
    deployment = Deployment({"Orders": {"Name": "orders-1"}}, sessions={}, destroy=lambda: None)
    deployment._resources_of = lambda stack, nested="": iter(found)  # type: ignore[method-assign]
    return deployment


TABLE = Resource("Orders", "TableCD117FA1", "AWS::DynamoDB::Table", "orders-1")
TABLE_ROLE = Resource("Orders", "TableRole12AB34CD", "AWS::IAM::Role", "role-1")
HANDLER = Resource("Orders", "Handler886CB40B", "AWS::Lambda::Function", "orders-handler")


@pytest.mark.parametrize("id", ["Table", "TableCD117FA1", "orders-1"])
def test_a_resource_is_found_by_any_of_its_ids(id: str) -> None:
    assert resources(TABLE, TABLE_ROLE).resource(id) == TABLE


def test_a_resource_that_is_not_there_lists_those_that_are() -> None:
    with pytest.raises(LookupError, match=r"no resource has the id 'Tabel'(.|\n)*TableRole12AB34CD"):
        resources(TABLE, TABLE_ROLE).resource("Tabel")
    with pytest.raises(LookupError, match=r"no resource has the id 'Nope' in Orders; there are: none$"):
        resources(TABLE).function("Nope")
    with pytest.raises(LookupError, match="several resources have the id 'Table'"):
        resources(TABLE, Resource("Other", "Table00000000", "AWS::SQS::Queue", "q")).resource("Table")


@pytest.mark.parametrize(
    "name",
    ["Handler", "orders-handler", "arn:aws:lambda:us-east-1:123456789012:function:orders-handler:live"],
)
def test_a_function_is_found_by_name_id_or_arn(name: str) -> None:
    assert resources(TABLE, HANDLER).function(name) == HANDLER


@pytest.mark.parametrize(
    ("payload", "sent"),
    [((), {}), ((None,), {"Payload": b"null"}), (({"id": 1},), {"Payload": b'{"id": 1}'})],
)
def test_without_an_event_none_is_sent(payload: tuple[object, ...], sent: dict[str, bytes]) -> None:
    class Client:
        def invoke(self, **request: Any) -> dict[str, Any]:
            assert request == {"FunctionName": "orders-handler", "InvocationType": "RequestResponse", **sent}
            return {"Payload": io.BytesIO(b'"done"')}

    deployment = resources(HANDLER)
    deployment.client = lambda service, stack=None: Client()  # type: ignore[method-assign]
    assert deployment.invoke("Handler", *payload) == "done"


def test_an_output_of_two_stacks_is_taken_from_one() -> None:
    outputs = Outputs({"A": {"Url": "1", "Own": "2"}, "B": {"Url": "3"}})
    assert (outputs["Own"], sorted(outputs), len(outputs)) == ("2", ["Own", "Url"], 2)
    with pytest.raises(LookupError, match="A, B have it"):
        outputs["Url"]
    with pytest.raises(KeyError, match="there are: Own, Url"):
        outputs["Nothing"]


def test_waiting_goes_on_until_something_is_true() -> None:
    seen: Iterator[object] = iter(
        [None, [], AssertionError("empty"), KeyError("Item"), absent("NoSuchKey"), "done"]
    )

    def check() -> object:
        found = next(seen)
        if isinstance(found, Exception):
            raise found
        return found

    assert wait_until(check, timeout=30) == "done"
    with pytest.raises(RuntimeError, match="broken"):
        wait_until(lambda: (_ for _ in ()).throw(RuntimeError("broken")))
    with pytest.raises(TimeoutError, match=r"order: not within 0 s; last seen: \[\]"):
        wait_until(list, "order", timeout=0)


def absent(code: str) -> Exception:
    error = Exception(code)
    error.response = {"Error": {"Code": code}}  # type: ignore[attr-defined]
    return error


# --- Where it goes


@pytest.mark.local
def test_every_account_region_and_qualifier_is_bootstrapped(empty_aws: LocalAws, tmp_path: Path) -> None:
    write_assembly(tmp_path, "Near")
    stage = tmp_path / "assembly-Prod"
    stage.mkdir()
    write_assembly(stage, "Far")
    far = json.loads((stage / "manifest.json").read_text())
    role = "arn:aws:iam::210987654321:role/cdk-abc-{}-role-210987654321-eu-west-1"
    far["artifacts"]["Far"]["environment"] = "aws://210987654321/eu-west-1"
    far["artifacts"]["Far"]["properties"] |= {
        "stackName": "Prod-Far",
        "assumeRoleArn": role.format("deploy"),
        "cloudFormationExecutionRoleArn": role.format("cfn-exec"),
        "bootstrapStackVersionSsmParameter": "/cdk-bootstrap/abc/version",
    }
    (stage / "manifest.json").write_text(json.dumps(far))
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    nested = {"type": "cdk:cloud-assembly", "properties": {"directoryName": "assembly-Prod"}}
    manifest["artifacts"]["assembly-Prod"] = nested
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    far_away = Target("210987654321", "eu-west-1", "abc")
    assert targets(tmp_path) == [("Near", Target(None, None)), ("Prod-Far", far_away)]

    deployed = empty_aws.deploy(tmp_path)
    assert set(deployed.stacks) == {"Near", "Prod-Far"}
    assert deployed.client("sts", "Prod-Far").get_caller_identity()["Account"] == "210987654321"
    (handler,) = [one for one in deployed.resources("AWS::Lambda::Function") if one.stack == "Prod-Far"]
    assert deployed.invoke(handler.physical_id, {"only_print": 1}) == {"only_print": 1}
    assert "storing {'only_print': 1}" in deployed.logs(handler.physical_id)
    with pytest.raises(CdkError, match="No stack"):
        empty_aws.deploy(tmp_path, "Nowhere")
    with pytest.raises(CdkError, match="folder='nowhere': there is no folder"):
        empty_aws.deploy("python app.py", folder="nowhere")
    for stack in (5, [], ["Prod", 5]):
        with pytest.raises(CdkError, match="give the name of a stack or a pattern"):
            empty_aws.deploy(tmp_path, stack)  # type: ignore[arg-type]
    with pytest.raises(CdkError, match="the value of a variable must be a str"):
        empty_aws.deploy(tmp_path, environment={"SIZE": 3})  # type: ignore[dict-item]
    with pytest.raises(LookupError, match="no stack 'Nope' was deployed; there are: "):
        deployed.client("s3", "Nope")

    deployed.destroy()
    assert stacks(empty_aws) == []


def stacks(aws: LocalAws) -> list[str]:
    found = aws.client("cloudformation").describe_stacks()["Stacks"]
    return [stack["StackName"] for stack in found if stack["StackName"] != "CDKToolkit"]
