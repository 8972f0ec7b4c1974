"""Images that are built: layers, files, configuration, and the same digest for the same input."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import pytest

from localaws.engines import container_images
from localaws.images.build import Build
from localaws.images.dockerfile import BuildError
from localaws.images.layers import digest
from localaws.images.store import Store

_BASE = "FROM public.ecr.aws/lambda/python:3.14\n"


class Folder:
    """A build context, and the store of its images."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "context"
        self.store = Store(folder / "store")
        self.path.mkdir()

    def write(self, files: dict[str, str]) -> None:
        """Write files."""
        for name, text in files.items():
            file = self.path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            file.chmod(0o644)

    def build(self, dockerfile: str, **options: Any) -> str:
        """Build, and return the digest of the manifest."""
        self.write({"Dockerfile": dockerfile})
        return Build(self.path, self.store, **options).run()

    def config(self, image: str) -> dict[str, Any]:
        """The configuration of an image."""
        manifest = json.loads(self.store.blob(image))
        return dict(json.loads(self.store.blob(manifest["config"]["digest"])))

    def layers(self, image: str) -> list[list[str]]:
        """The paths in each layer."""
        found = []
        for layer in json.loads(self.store.blob(image))["layers"]:
            with tarfile.open(fileobj=io.BytesIO(self.store.blob(layer["digest"]))) as archive:
                found.append(archive.getnames())
        return found


@pytest.fixture(autouse=True)
def _unpacked_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(container_images, "_unpacked", {})


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_layers_and_configuration(folder: Folder) -> None:
    folder.write(
        {"app.py": "", "lib/x.py": "", "README.md": "", ".dockerignore": "*.md\nDockerfile\n.dockerignore"}
    )
    image = folder.build(
        f"{_BASE}WORKDIR sub\nCOPY lib ${{LAMBDA_TASK_ROOT}}/lib\nCOPY . /var/task/\nENV A=1\nLABEL a=b\n"
        'EXPOSE 80\nUSER 1000\nCMD ["app.handler"]\n',
        platform="linux/arm64",
    )
    assert folder.layers(image)[1:] == [
        ["var/task/sub"],
        ["var/task/lib", "var/task/lib/x.py"],
        ["var/task/app.py", "var/task/lib", "var/task/lib/x.py"],
    ]
    config = folder.config(image)
    assert (config["architecture"], config["os"]) == ("arm64", "linux")
    settings = config["config"]
    assert settings["Cmd"] == ["app.handler"]
    assert settings["Entrypoint"] == ["/lambda-entrypoint.sh"]
    assert settings["WorkingDir"] == "/var/task/sub"
    assert {"A=1", "LAMBDA_TASK_ROOT=/var/task"} <= set(settings["Env"])
    assert (settings["User"], settings["Labels"], settings["ExposedPorts"]) == (
        "1000",
        {"a": "b"},
        {"80/tcp": {}},
    )


def test_the_same_input_has_the_same_digest(folder: Folder, tmp_path: Path) -> None:
    dockerfile = f"{_BASE}COPY app.py /var/task/\nCOPY other.py /var/task/\n"
    folder.write({"app.py": "1", "other.py": "1"})
    first = folder.build(dockerfile)
    (tmp_path / "other").mkdir()
    other = Folder(tmp_path / "other")
    other.write({"other.py": "1", "app.py": "1"})
    assert other.build(dockerfile) == first
    other.write({"other.py": "2"})
    second = other.build(dockerfile)
    before, after = (
        json.loads(one.store.blob(image))["layers"] for one, image in ((folder, first), (other, second))
    )
    assert [one == two for one, two in zip(before, after, strict=True)] == [True, True, False]


def test_digests_are_those_of_the_blobs(folder: Folder) -> None:
    folder.write({"app.py": "1"})
    image = folder.build(f"{_BASE}COPY app.py /var/task/\n")
    manifest = json.loads(folder.store.blob(image))
    for one in (manifest["config"], *manifest["layers"]):
        data = folder.store.blob(one["digest"])
        assert (digest(data), len(data)) == (one["digest"], one["size"])


def test_stages_arguments_and_targets(folder: Folder) -> None:
    folder.write({"a.txt": "a"})
    dockerfile = (
        "ARG TAG=3.14\nFROM public.ecr.aws/lambda/python:${TAG} AS one\n"
        "ARG NAME=x\nCOPY a.txt /build/$NAME.txt\n"
        "FROM scratch AS two\nCOPY --from=one --chown=5:6 --chmod=600 /build /out\nENV N=${NAME:-none}\n"
        "FROM two\nENV M=2\n"
    )
    image = folder.build(dockerfile, arguments={"NAME": "y"})
    assert folder.layers(image) == [["out", "out/y.txt"]]
    assert folder.config(image)["config"]["Env"] == ["N=none", "M=2"]  # each stage has its own ARG
    with tarfile.open(
        fileobj=io.BytesIO(folder.store.blob(json.loads(folder.store.blob(image))["layers"][0]["digest"]))
    ) as archive:
        member = archive.getmember("out/y.txt")
    assert (member.uid, member.gid, member.mode, member.mtime) == (5, 6, 0o600, 0)
    assert folder.layers(folder.build(dockerfile, target="one"))[1] == ["build", "build/x.txt"]
    with pytest.raises(BuildError, match="--target three: there is no such stage; there are: one, two"):
        folder.build(dockerfile, target="three")


@pytest.mark.parametrize("target", ["Base", "base", "0"])
def test_a_target_by_name_in_any_case_or_by_number(folder: Folder, target: str) -> None:
    image = folder.build("FROM scratch AS Base\nENV A=1\nFROM bAse AS last\nENV B=2\n", target=target)
    assert folder.config(image)["config"]["Env"] == ["A=1"]


@pytest.mark.parametrize("rules", ["./secret", "/secret/", "\ufeffsecret", "*\n!./a.txt", "x/../secret"])
def test_files_that_are_left_out(folder: Folder, rules: str) -> None:
    folder.write({"a.txt": "", "secret": "", ".dockerignore": f"{rules}\n.dockerignore\nDockerfile\n"})
    assert folder.layers(folder.build("FROM scratch\nCOPY . /x\n")) == [["x", "x/a.txt"]]


@pytest.mark.parametrize("value", ["commit abc by Jo", "it's", "x AWS_REGION=mars", '"', "$HOME", ""])
def test_the_value_of_an_argument_is_one_word(folder: Folder, value: str) -> None:
    folder.write({"a.txt": ""})
    image = folder.build(
        "ARG ONE=1 OTHER='2 3'\nFROM scratch\nARG INFO\nARG OTHER\nARG COPIED=$INFO\n"
        "ENV A=$INFO B=\"$COPIED\"\nENV C $INFO\nENV D='$INFO' E=$OTHER\n"
        "LABEL a=$INFO\nUSER $INFO\nWORKDIR /my $INFO\n",
        arguments={"INFO": value},
    )
    settings = folder.config(image)["config"]
    assert settings["Env"] == [f"A={value}", f"B={value}", f"C={value}", "D=$INFO", "E=2 3"]
    assert (settings["Labels"], settings["User"]) == ({"a": value}, value)
    assert settings["WorkingDir"] == f"/my {value}"


def test_an_entrypoint_of_its_own_drops_the_command_of_the_base(folder: Folder) -> None:
    image = folder.build('FROM scratch AS a\nCMD ["x"]\nFROM a\nENTRYPOINT ["y"]\nCMD z\n')
    assert folder.config(image)["config"]["Cmd"] == ["/bin/sh", "-c", "z"]
    assert (
        "Cmd"
        not in folder.config(folder.build('FROM scratch AS a\nCMD ["x"]\nFROM a\nENTRYPOINT ["y"]\n'))[
            "config"
        ]
    )


def test_links_and_permissions_stay(folder: Folder) -> None:
    folder.write({"run.sh": "#!/bin/sh\n"})
    (folder.path / "run.sh").chmod(0o755)
    (folder.path / "link").symlink_to("run.sh")
    image = folder.build("FROM scratch\nCOPY run.sh link /bin/\n")
    unpacked = container_images.unpack(
        image, manifest := json.loads(folder.store.blob(image)), _blobs(folder.store, manifest)
    )
    assert (unpacked.root / "bin/link").readlink() == Path("run.sh")
    assert (unpacked.root / "bin/run.sh").stat().st_mode & 0o777 == 0o755


def test_packages_are_installed_once(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    def install(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        seen.append(command)
        into = Path(command[command.index("--target") + 1], "six.py")
        into.parent.mkdir()
        into.write_text("")
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", install)
    folder.write({"lock.txt": "six==1.17.0"})
    dockerfile = (
        f"{_BASE}COPY lock.txt .\nRUN python3 -m pip install --no-cache-dir --no-deps -r lock.txt{{}}\n"
    )
    images = [folder.build(dockerfile.format(more)) for more in ("", "", " --target /opt/python")]
    assert len(seen) == 2
    assert {"--no-deps", "--only-binary", ":all:"} <= set(seen[0])
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    assert [folder.layers(image)[-1][-1] for image in images] == [
        f"var/lang/lib/{version}/site-packages/six.py",
        f"var/lang/lib/{version}/site-packages/six.py",
        "opt/python/six.py",
    ]


def test_an_installation_that_fails_says_why(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess([], 1, "", "No matching distribution found")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(
        BuildError, match=r"(?s)line 2: RUN .*: no wheels of these .*No matching distribution"
    ):
        folder.build(f"{_BASE}RUN pip install six\n")


# --- Unpacking


def _blobs(store: Store, manifest: dict[str, Any]) -> dict[str, bytes]:
    return {one["digest"]: store.blob(one["digest"]) for one in (manifest["config"], *manifest["layers"])}


def _layer(files: dict[str, str | None], links: dict[str, str] | None = None) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text or "")
            archive.addfile(info, io.BytesIO((text or "").encode()))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return raw.getvalue()


def _unpack(*layers: bytes, **config: Any) -> container_images.Image:
    data = json.dumps({"os": "linux", "architecture": "amd64", **config}).encode()
    blobs = {digest(one): one for one in (data, *layers)}
    manifest = {"config": {"digest": digest(data)}, "layers": [{"digest": digest(one)} for one in layers]}
    return container_images.unpack(digest(json.dumps(manifest).encode()), manifest, blobs)


def test_whiteouts() -> None:
    below = _layer({"a/x": "1", "a/y": "1", "b/x": "1", "c": "1"})
    above = _layer({"a/.wh.x": None, "b/.wh..wh..opq": None, "b/z": "2", ".wh.c": None})
    root = _unpack(below, above).root
    assert sorted(str(one.relative_to(root)) for one in root.rglob("*") if one.is_file()) == ["a/y", "b/z"]


def test_a_file_over_a_folder_and_a_link_over_a_file() -> None:
    root = _unpack(_layer({"a/x": "1", "b": "1"}), _layer({"a": "2"}, {"b": "a"})).root
    assert (root / "a").read_text() == (root / "b").read_text() == "2"


@pytest.mark.parametrize("config", [{"os": "windows"}, {"architecture": "riscv64"}])
def test_platforms_that_lambda_has_not(config: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="is no platform of Lambda"):
        _unpack(**config)
