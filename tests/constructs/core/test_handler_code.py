"""Dependencies of handlers: the right wheels, from hashes, built once, without Docker or a network."""

import base64
import hashlib
import importlib.util
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_lambda as lambda_

from cdk_lambda_patterns import FunctionOptions, HardenedFunction
from cdk_lambda_patterns.core import handler_code, unzipped_size
from tests.templates import Resources, read_templates

MACHINES = ("aarch64", "x86_64")
HANDLER = "def handler(event, context): ...\n"


def make_wheel(folder: Path, tag: str, content: str, size: int = 0) -> Path:
    """Write a wheel of the package ``native`` for one platform tag."""
    files = {
        "native/__init__.py": content.encode(),
        "native/__pycache__/stray.pyc": b"stray",
        "native/data.bin": b"\0" * size,
        "native-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: native\nVersion: 1.0\n",
        "native-1.0.dist-info/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n".encode(),
    }
    record = "".join(f"{name},sha256={_record_hash(data)},{len(data)}\n" for name, data in files.items())
    path = folder / f"native-1.0-{tag}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in {**files, "native-1.0.dist-info/RECORD": record.encode()}.items():
            archive.writestr(name, data)
    return path


def _record_hash(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


class Workshop:
    """A folder of wheels, a handler that requires one of them, and a cache of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.wheels = folder / "wheels"
        self.handler = folder / "handler"
        self.cache = folder / "cache"
        for made in (self.wheels, self.handler / "__pycache__"):
            made.mkdir(parents=True)
        (self.handler / "handler.py").write_text(f"import native\n{HANDLER}")
        (self.handler / "__pycache__" / "handler.pyc").write_bytes(b"stray")
        (self.handler / "requirements.in").write_text("native\n")

    def lock(self, *wheels: Path) -> None:
        """Write the handler's lock file, which takes its wheels from the folder and not from the network."""
        hashes = " ".join(
            f"--hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}" for wheel in wheels
        )
        lock = f"--no-index\n--find-links {self.wheels}\nnative==1.0 {hashes}\n"
        (self.handler / "requirements.txt").write_text(lock)

    def native_wheels(self, python: str = "314") -> list[Path]:
        """One wheel for each processor."""
        tags = [f"cp{python}-cp{python}-manylinux_2_28_{machine}" for machine in MACHINES]
        return [make_wheel(self.wheels, tag, f"TAG = {tag!r}\n") for tag in tags]

    def bundle(self, **options: object) -> Path:
        """Synthesise a function with this handler and return the folder that would be uploaded."""
        for read_once_an_app in (handler_code._packages, handler_code._modules, handler_code._imports):
            read_once_an_app.cache_clear()
        outdir = self.folder / f"cdk.out-{len(list(self.folder.iterdir()))}"
        app = App(outdir=str(outdir), builtin_cloud_formation_validation=False)
        HardenedFunction(
            Stack(app, "Bundled"),
            "F",
            code=self.handler,
            options=FunctionOptions(**options),  # type: ignore[arg-type]
        )
        app.synth()
        template: Resources = read_templates(outdir)["Bundled"]
        key = template.function()["Code"]["S3Key"].removesuffix(".zip")
        return outdir / f"asset.{key}"


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    made = Workshop(tmp_path)
    monkeypatch.setenv(handler_code.CACHE_VARIABLE, str(made.cache))
    monkeypatch.delenv(handler_code.BUNDLING_VARIABLE, raising=False)
    return made


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by its relative name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def without_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide uv, so that pip has to do."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "uv" else find_spec(name))
    monkeypatch.setattr(shutil, "which", lambda name: None)


@pytest.mark.parametrize(
    ("architecture", "machine"),
    [(lambda_.Architecture.ARM_64, "aarch64"), (lambda_.Architecture.X86_64, "x86_64")],
)
def test_the_wheels_are_those_of_the_functions_processor(
    workshop: Workshop, architecture: lambda_.Architecture, machine: str
) -> None:
    workshop.lock(*workshop.native_wheels())
    asset = workshop.bundle(architecture=architecture)
    assert f"manylinux_2_28_{machine}" in (asset / "native" / "__init__.py").read_text()
    assert (asset / "handler.py").is_file()


def test_the_wheels_are_those_of_the_functions_python(workshop: Workshop) -> None:
    workshop.lock(*workshop.native_wheels("314"), *workshop.native_wheels("313"))
    asset = workshop.bundle(runtime=lambda_.Runtime.PYTHON_3_13)
    assert "cp313" in (asset / "native" / "__init__.py").read_text()


def test_the_wheels_for_the_embedded_aws_are_those_of_this_machine(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(handler_code.BUNDLING_VARIABLE, "host")
    here = f"cp{sys.version_info.major}{sys.version_info.minor}"
    wheel = make_wheel(workshop.wheels, f"{here}-none-any", "TAG = 'here'\n")
    workshop.lock(wheel, *workshop.native_wheels())
    assert "here" in (workshop.bundle() / "native" / "__init__.py").read_text()


def test_uv_and_pip_build_the_same_without_strays_and_installer_records(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop.lock(*workshop.native_wheels())
    by_uv = workshop.bundle()
    assert set(content(by_uv)) == {
        "handler.py",
        "requirements.txt",
        "native/__init__.py",
        "native/data.bin",
        "native-1.0.dist-info/METADATA",
        "native-1.0.dist-info/WHEEL",
    }
    monkeypatch.setenv(handler_code.CACHE_VARIABLE, str(workshop.folder / "cache-of-pip"))
    without_uv(monkeypatch)
    by_pip = workshop.bundle()
    assert content(by_pip) == content(by_uv)
    assert by_pip.name == by_uv.name


def test_dependencies_are_built_once_and_then_come_from_the_cache(workshop: Workshop) -> None:
    wheels = workshop.native_wheels()
    workshop.lock(*wheels)
    first = content(workshop.bundle())
    for wheel in wheels:
        wheel.unlink()
    (workshop.handler / "handler.py").write_text(f"import native  # changed\n{HANDLER}")
    again = content(workshop.bundle())
    assert again["handler.py"] != first["handler.py"]
    assert again["native/__init__.py"] == first["native/__init__.py"]


def test_a_changed_lock_file_or_architecture_is_another_asset(workshop: Workshop) -> None:
    wheels = workshop.native_wheels()
    workshop.lock(*wheels)
    names = {workshop.bundle().name, workshop.bundle(architecture=lambda_.Architecture.X86_64).name}
    workshop.lock(*wheels, make_wheel(workshop.wheels, "py3-none-any", "TAG = 'any'\n"))
    names.add(workshop.bundle().name)
    assert len(names) == 3


def _without_hashes(workshop: Workshop) -> None:
    (workshop.handler / "requirements.txt").write_text("native==1.0\n")


def _with_a_wrong_hash(workshop: Workshop) -> None:
    lock = f"--no-index\n--find-links {workshop.wheels}\nnative==1.0 --hash=sha256:{'0' * 64}\n"
    workshop.native_wheels()
    (workshop.handler / "requirements.txt").write_text(lock)


def _without_a_wheel_for_the_function(workshop: Workshop) -> None:
    workshop.lock(*workshop.native_wheels("311"))


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (_without_hashes, "the requirements have no hashes; write the file with"),
        (_with_a_wrong_hash, r"cannot install .*requirements\.txt for Python 3\.14 on aarch64 as wheels"),
        (_without_a_wheel_for_the_function, r"cannot install .*each pinned package has a wheel"),
    ],
)
def test_a_lock_file_that_cannot_be_installed_is_an_error_with_the_reason(
    workshop: Workshop, prepare: Callable[[Workshop], None], message: str
) -> None:
    prepare(workshop)
    with pytest.raises((ValueError, RuntimeError), match=f"(?s){message}"):
        workshop.bundle()
    assert not [path for path in workshop.cache.glob("*") if not path.name.startswith("building-")]


def test_more_than_250_mb_unzipped_are_refused_and_the_largest_packages_named(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unzipped_size, "_MAX_BYTES", 1024 * 1024)
    tag = "cp314-cp314-manylinux_2_28_aarch64"
    workshop.lock(make_wheel(workshop.wheels, tag, "", size=2 * 1024 * 1024))
    with pytest.raises((ValueError, RuntimeError), match=r"2 MB of code: Lambda.*native \(2 MB\)"):
        workshop.bundle()


def test_a_handler_without_requirements_is_deployed_as_it_is(workshop: Workshop) -> None:
    (workshop.handler / "requirements.in").unlink()
    asset = workshop.bundle()
    assert set(content(asset)) == {"handler.py"}


@pytest.fixture
def library(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """A workshop whose handler is a package of a library with a shared module."""
    root = workshop.folder / "lambda_src"
    (root / "shared" / "__pycache__").mkdir(parents=True)
    (root / "shared" / "__pycache__" / "stray.pyc").write_bytes(b"stray")
    (root / "shared" / "__init__.py").touch()
    (root / "shared" / "words.py").write_text("GREETING = 'hello'\n")
    (root / "storage").mkdir()
    workshop.handler = workshop.handler.rename(root / "storage" / "greeter")
    (workshop.handler / "__init__.py").touch()
    monkeypatch.setattr(handler_code, "_places", lambda: (root, root))
    return workshop


SHARED = {"shared/__init__.py", "shared/words.py"}


@pytest.mark.parametrize("locked", [True, False])
def test_a_handler_of_the_library_is_a_package_next_to_the_shared_one_that_it_imports(
    library: Workshop, locked: bool
) -> None:
    (library.handler / "handler.py").write_text(
        "if True:\n    from shared.words import GREETING\n\nfrom .name import NAME\n"
    )
    (library.handler / "name.py").write_text("NAME = 'world'\n")
    if locked:
        library.lock(*library.native_wheels())
    asset = library.bundle()
    assert {name for name in content(asset) if name.startswith("shared/")} == SHARED
    assert (asset / "native").is_dir() is locked
    done = subprocess.run(
        [sys.executable, "-c", "from greeter import handler; print(handler.GREETING, handler.NAME)"],
        cwd=asset,
        capture_output=True,
        check=True,
    )
    assert done.stdout == b"hello world\n"


def test_a_package_that_a_shared_package_imports_is_deployed_too(library: Workshop) -> None:
    root = library.handler.parents[1]
    (root / "notes").mkdir()
    (root / "notes" / "__init__.py").write_text("from shared.words import GREETING\n")
    (library.handler / "handler.py").write_text("import notes\n")
    assert set(content(library.bundle())) >= {"notes/__init__.py", *SHARED}


def test_a_handler_whose_modules_are_imported_is_deployed_too_with_what_it_imports(library: Workshop) -> None:
    other = library.handler.parent / "sync"
    (other / "parts").mkdir(parents=True)
    for package in (other, other / "parts"):
        (package / "__init__.py").touch()
    (other / "work.py").write_text("from shared.words import GREETING\n\nfrom .parts.word import WORD\n")
    (other / "parts" / "word.py").write_text("WORD = 'again'\n")
    (library.handler / "handler.py").write_text("from storage.sync.work import GREETING, WORD\n")
    before = library.bundle()
    code = "from greeter import handler; print(handler.GREETING, handler.WORD)"
    done = subprocess.run([sys.executable, "-c", code], cwd=before, capture_output=True, check=True)
    assert done.stdout == b"hello again\n"
    (other / "parts" / "word.py").write_text("WORD = 'once more'\n")
    assert library.bundle().name != before.name


def test_a_changed_shared_module_is_another_asset_only_for_handlers_that_import_it(library: Workshop) -> None:
    module = library.handler.parents[1] / "shared" / "words.py"

    def names() -> set[str]:
        """The assets of a handler with and without the change."""
        module.write_text("GREETING = 'hello'\n")
        before = library.bundle().name
        module.write_text("GREETING = 'good day'\n")
        return {before, library.bundle().name}

    (library.handler / "handler.py").write_text("import shared.words\n")
    assert len(names()) == 2
    (library.handler / "handler.py").write_text("shared = 'a word that imports nothing'\n")
    assert len(names()) == 1


def test_a_handler_of_the_library_without_requirements_and_shared_modules_is_a_package(
    library: Workshop,
) -> None:
    (library.handler / "handler.py").write_text("")
    assert set(content(library.bundle())) == {"greeter/__init__.py", "greeter/handler.py"}


def test_a_users_own_folder_is_deployed_as_it_is(library: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = library.folder / "elsewhere"
    monkeypatch.setattr(handler_code, "_places", lambda: (elsewhere, elsewhere))
    (library.handler / "requirements.in").unlink()
    (library.handler / "handler.py").write_text(f"from shared.words import GREETING\n{HANDLER}")
    assert set(content(library.bundle())) == {"__init__.py", "handler.py"}


def test_a_handler_that_no_package_brought_is_refused_once_they_are_installed(workshop: Workshop) -> None:
    workshop.lock(*workshop.native_wheels())
    (workshop.handler / "handler.py").rename(workshop.handler / "app.py")
    with pytest.raises((ValueError, RuntimeError), match=r"has no handler\.py, only app\.py, native/"):
        workshop.bundle()


def test_without_uv_and_pip_the_error_names_both(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    workshop.lock(*workshop.native_wheels())
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(RuntimeError, match="neither uv nor pip is installed"):
        workshop.bundle()


def test_a_malformed_choice_of_what_handlers_are_built_for_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(handler_code.BUNDLING_VARIABLE, "Host")
    with pytest.raises(ValueError, match="CDK_LAMBDA_PATTERNS_BUNDLING='Host': give 'host', or leave it out"):
        handler_code.target_for(lambda_.Runtime.PYTHON_3_14, lambda_.Architecture.ARM_64)
