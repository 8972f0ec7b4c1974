"""Layers from lock files, and functions that are compiled or bring their own bootstrap."""

from __future__ import annotations

import hashlib
import platform
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsii
import pytest
from aws_cdk import App, IPropertyInjector, PropertyInjectors, RemovalPolicy, Stack
from aws_cdk import aws_lambda as lambda_
from aws_cdk.assertions import Annotations, Match, Template

from cdk_lambda_patterns import FunctionOptions, HardenedFunction
from cdk_lambda_patterns.core import handler_code, unzipped_size
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.delivery.layers import CustomRuntimeFunction, DependenciesLayer, compiler

PYTHON_3_13, PYTHON_3_14 = lambda_.Runtime.PYTHON_3_13, lambda_.Runtime.PYTHON_3_14
ARM_64, X86_64 = lambda_.Architecture.ARM_64, lambda_.Architecture.X86_64
INLINE = lambda_.Code.from_inline("def handler(event, context): ...")
CPP = pattern_source("delivery", "layers") / "cpp"


@pytest.fixture
def stack() -> Stack:
    return Stack(
        App(context={"aws:cdk:bundling-stacks": []}, builtin_cloud_formation_validation=False), "Stack"
    )


def folder(path: Path, **files: str) -> Path:
    """Make a folder with these files; `_` stands for the dot in their names."""
    path.mkdir(exist_ok=True)
    for name, text in files.items():
        (path / name.replace("_", ".")).write_text(text)
    return path


def wheel(folder: Path, name: str, pure: bool) -> str:
    """Write a wheel, and return its line in a lock file."""
    tag = "py3-none-any" if pure else "cp314-cp314-manylinux_2_28_aarch64"
    path = folder / f"{name}-1.0-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}/__init__.py", "")
        archive.writestr(
            f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
        )
        info = f"Wheel-Version: 1.0\nRoot-Is-Purelib: {str(pure).lower()}\nTag: {tag}\n"
        archive.writestr(f"{name}-1.0.dist-info/WHEEL", info)
        archive.writestr(f"{name}-1.0.dist-info/RECORD", "")
    return f"{name}==1.0 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


def bundled(tmp_path: Path, make: Callable[[Stack], object]) -> Path:
    """Make something in a stack with bundling, and return the folder of its asset."""
    app = App(outdir=str(tmp_path / "out"), builtin_cloud_formation_validation=False)
    make(Stack(app, "Stack"))
    app.synth()
    return next(path for path in (tmp_path / "out").glob("asset.*") if path.is_dir())


# --- Layers


def test_a_layer_is_for_the_newest_python_on_arm64_and_retained(stack: Stack) -> None:
    DependenciesLayer(stack, "Layer", code=pattern_source("delivery", "layers") / "dependencies")
    resource = {
        "Properties": {
            "CompatibleRuntimes": ["python3.14"],
            "CompatibleArchitectures": ["arm64"],
            "Content": Match.any_value(),
        },
        "DeletionPolicy": "Retain",
        "UpdateReplacePolicy": "Retain",
    }
    Template.from_stack(stack).has_resource("AWS::Lambda::LayerVersion", resource)


@pytest.mark.parametrize(("pure", "message"), [(True, None), (False, "native-1.0 has compiled code")])
def test_packages_are_in_python_and_may_be_shared_without_compiled_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pure: bool, message: str | None
) -> None:
    monkeypatch.setenv(handler_code.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.delenv(handler_code.BUNDLING_VARIABLE, raising=False)
    source = folder(tmp_path / "packages", own_py="WORD = 1", requirements_in="native\n")
    folder(source / "below", requirements_py="WORD = 2")
    line = wheel(source, "native", pure)
    folder(source, requirements_txt=f"--no-index\n--find-links {source}\n{line}")

    def make(stack: Stack) -> None:
        both = [ARM_64, X86_64]
        DependenciesLayer(stack, "Layer", code=source, compatible_architectures=both)

    if message:
        with pytest.raises((ValueError, RuntimeError), match=message):
            bundled(tmp_path, make)
        return
    asset = bundled(tmp_path, make)
    assert {path.name for path in asset.iterdir()} == {"python"}
    modules = {path.relative_to(asset).as_posix() for path in asset.rglob("*.py")}
    assert modules == {"python/native/__init__.py", "python/own.py", "python/below/requirements.py"}
    assert not list((asset / "python").glob("requirements.*"))


def test_layers_that_cannot_be_made_are_refused(stack: Stack, tmp_path: Path) -> None:
    with pytest.raises(NotADirectoryError, match="not a folder"):
        DependenciesLayer(stack, "A", code=tmp_path / "none")
    with pytest.raises(
        ValueError, match=r"no package is listed in requirements\.txt, and there is no module"
    ):
        DependenciesLayer(stack, "B", code=folder(tmp_path / "empty", requirements_txt="# nothing"))
    with pytest.raises(ValueError, match="the requirements have no hashes"):
        DependenciesLayer(stack, "C", code=folder(tmp_path / "unpinned", requirements_txt="boto3"))
    modules = folder(tmp_path / "modules", own_py="")
    with pytest.raises(ValueError, match=r"compatible_runtimes: nodejs24\.x is not Python"):
        DependenciesLayer(stack, "D", code=modules, compatible_runtimes=[lambda_.Runtime.NODEJS_24_X])
    with pytest.raises(ValueError, match="give at least one of each"):
        DependenciesLayer(stack, "E", code=modules, compatible_architectures=[])
    with pytest.raises(ValueError, match=r"^length of description=257: Lambda allows 0 to 256"):
        DependenciesLayer(stack, "F", code=modules, description="d" * 257)


def test_a_layer_for_another_processor_is_refused(stack: Stack, tmp_path: Path) -> None:
    layer = DependenciesLayer(stack, "Layer", code=folder(tmp_path / "modules", own_py=""))
    options = FunctionOptions(layers=[layer], architecture=X86_64)
    with pytest.raises(
        ValueError, match=r"layers\[0\]=Stack/Layer: it is for arm64, and the function runs on x86"
    ):
        HardenedFunction(stack, "Function", code=INLINE, handler="index.handler", options=options)


@pytest.mark.parametrize("zipped", [False, True])
def test_a_function_and_its_layers_have_250_mb_together(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zipped: bool
) -> None:
    monkeypatch.setattr(unzipped_size, "_MAX_BYTES", 3000)
    source = folder(tmp_path / "large", data_bin="x" * 2000)
    if zipped:
        source = Path(shutil.make_archive(str(tmp_path / "large"), "zip", source))
    one, other = (
        lambda_.LayerVersion(stack, name, code=lambda_.Code.from_asset(str(source)))
        for name in ("One", "Other")
    )
    unknown = lambda_.LayerVersion.from_layer_version_arn(
        stack, "Unknown", "arn:aws:lambda:eu-west-1:111122223333:layer:x:1"
    )

    def make(name: str, *layers: lambda_.ILayerVersion) -> None:
        options = FunctionOptions(layers=layers)
        HardenedFunction(stack, name, code=INLINE, handler="index.handler", options=options)

    make("Small", one, unknown)
    with pytest.raises(
        ValueError, match=r"of code: Lambda allows 250 MB unzipped, layers included.*Stack/One"
    ):
        make("Large", one, other)


def test_layers_keep_their_order_although_the_cdk_would_sort_them(stack: Stack) -> None:
    stack.node.set_context("@aws-cdk/aws-lambda:recognizeLayerVersion", True)
    arns = [f"arn:aws:lambda:eu-west-1:111122223333:layer:{name}:1" for name in "zmab"]
    layers = [lambda_.LayerVersion.from_layer_version_arn(stack, arn[-3].upper(), arn) for arn in arns]
    options = FunctionOptions(layers=layers[:3])
    made = HardenedFunction(stack, "Function", code=INLINE, handler="index.handler", options=options)
    made.add_layers(layers[3])
    plain = lambda_.Function(
        stack, "Plain", code=INLINE, handler="index.handler", runtime=PYTHON_3_14, layers=layers
    )
    resources = Template.from_stack(stack).to_json()["Resources"]
    for function, expected in ((made, arns), (plain, sorted(arns))):
        resource = function.node.default_child
        assert isinstance(resource, lambda_.CfnFunction)
        assert resources[stack.get_logical_id(resource)]["Properties"]["Layers"] == expected


@jsii.implements(IPropertyInjector)
class Adds:
    """A property injector that adds a layer to each function."""

    def __init__(self, layer: lambda_.ILayerVersion) -> None:
        self._layer = layer

    @property
    def construct_unique_id(self) -> str:
        return str(lambda_.Function.PROPERTY_INJECTION_ID)

    def inject(self, original_props: Any, *, scope: Any, id: str) -> Any:
        return {**original_props, "layers": [*original_props["layers"], self._layer]}


def test_layers_that_the_app_adds_are_not_lost(stack: Stack) -> None:
    arns = [f"arn:aws:lambda:eu-west-1:111122223333:layer:{name}:1" for name in "ba"]
    given, added = (lambda_.LayerVersion.from_layer_version_arn(stack, arn[-3].upper(), arn) for arn in arns)
    PropertyInjectors.of(stack).add(Adds(added))
    options = FunctionOptions(layers=[given])
    HardenedFunction(stack, "Function", code=INLINE, handler="index.handler", options=options)
    (function,) = Template.from_stack(stack).find_resources("AWS::Lambda::Function").values()
    assert sorted(function["Properties"]["Layers"]) == sorted(arns)
    warnings = Annotations.from_stack(stack).find_warning("*", Match.string_like_regexp("property injector"))
    assert len(warnings) == 1


# --- Custom runtimes


def test_a_custom_runtime_is_amazon_linux_2023_on_arm64(stack: Stack) -> None:
    CustomRuntimeFunction(stack, "Words", code=CPP, removal_policy=RemovalPolicy.DESTROY)
    wanted = {"Runtime": "provided.al2023", "Architectures": ["arm64"], "Handler": "bootstrap"}
    Template.from_stack(stack).has_resource_properties("AWS::Lambda::Function", wanted)


def test_a_folder_with_a_bootstrap_or_a_layer_with_one_is_used_as_it_is(stack: Stack, tmp_path: Path) -> None:
    script = folder(tmp_path / "script", bootstrap="#!/bin/sh\n")
    with pytest.raises(ValueError, match=r"bootstrap: Lambda cannot start it; make it executable"):
        CustomRuntimeFunction(stack, "A", code=script)
    (script / "bootstrap").chmod(0o755)
    CustomRuntimeFunction(stack, "B", code=script)
    empty = folder(tmp_path / "empty", data_txt="")
    with pytest.raises(ValueError, match=r"it has no \.cpp and no bootstrap"):
        CustomRuntimeFunction(stack, "C", code=empty)
    layer = lambda_.LayerVersion(stack, "Runtime", code=lambda_.Code.from_asset(str(script)))
    CustomRuntimeFunction(stack, "D", code=empty, options=FunctionOptions(layers=[layer]))
    CustomRuntimeFunction(stack, "E", code=lambda_.Code.from_asset(str(script)))
    with pytest.raises(ValueError, match=r"runtime=python3\.14: it is not custom"):
        CustomRuntimeFunction(stack, "F", code=script, options=FunctionOptions(runtime=PYTHON_3_14))
    with pytest.raises(NotADirectoryError, match="not a folder"):
        CustomRuntimeFunction(stack, "G", code=tmp_path / "none")


@pytest.mark.full  # compiles it once more
def test_the_same_sources_are_the_same_program_in_every_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the cache has is compared with a new build, for this machine: the other tests need that, too."""
    machine = platform.machine()
    made = compiler.compiled(CPP, machine)
    copy = tmp_path / "another" / "folder"
    shutil.copytree(CPP, copy)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    program = compiler._compile(compiler._compiler(), copy, f"{machine}-linux-{compiler._GLIBC}", scratch)
    assert program.read_bytes() == made.read_bytes()
    assert str(tmp_path).encode() not in program.read_bytes()
    monkeypatch.setattr(compiler, "_compile", None)  # and from now on it comes from the cache
    assert compiler.compiled(copy, machine) == made


def test_the_bootstrap_is_executable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(handler_code.BUNDLING_VARIABLE, "host")
    asset = bundled(tmp_path, lambda stack: CustomRuntimeFunction(stack, "Words", code=CPP))
    assert [path.name for path in asset.iterdir()] == ["bootstrap"]
    assert (asset / "bootstrap").stat().st_mode & 0o111 == 0o111


@pytest.mark.full
@pytest.mark.parametrize(("architecture", "machine"), [(ARM_64, 0xB7), (X86_64, 0x3E)])
def test_the_bootstrap_is_for_the_processor_of_the_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, architecture: lambda_.Architecture, machine: int
) -> None:
    monkeypatch.delenv(handler_code.BUNDLING_VARIABLE, raising=False)
    options = FunctionOptions(architecture=architecture)
    asset = bundled(tmp_path, lambda stack: CustomRuntimeFunction(stack, "F", code=CPP, options=options))
    header = (asset / "bootstrap").read_bytes()[:20]
    assert (header[:4], int.from_bytes(header[18:], "little")) == (b"\x7fELF", machine)


def test_without_a_network_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(handler_code.CACHE_VARIABLE, str(tmp_path / "cache"))
    offline = [sys.executable, "-c", "raise SystemExit('no network')"]
    monkeypatch.setattr(handler_code, "_installer", lambda target: offline)
    with pytest.raises(RuntimeError, match=r"(?s)no network.*once \(100 MB\).*Without a network, copy"):
        compiler.compiled(CPP, "aarch64")


def test_an_error_of_the_compiler_is_shown(tmp_path: Path) -> None:
    broken = folder(tmp_path / "broken", main_cpp="int main() { return nothing; }")
    with pytest.raises(RuntimeError, match=r"(?s)zig c\+\+ -c .*undeclared identifier 'nothing'"):
        compiler.compiled(broken, "aarch64")


def test_a_header_outside_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "common.hpp").write_text("#define CODE 5\n")
    source = '#include "../common.hpp"\nint main() { return CODE; }'
    with pytest.raises(RuntimeError, match="which is outside the folder"):
        compiler.compiled(folder(tmp_path / "outside", main_cpp=source), "aarch64")
