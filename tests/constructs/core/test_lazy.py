"""A family has the public names of its architectures, and loads one only when a name of it is used."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import import_module

import pytest

from stacks.architecture import Architecture
from stacks.catalogue import ARCHITECTURES
from tasks.synthesis import ROOT


def public_names(module: str) -> set[str]:
    """What a module says it offers; otherwise, the classes that it defines."""
    found = import_module(module)
    if hasattr(found, "__all__"):
        return set(found.__all__)
    return {
        name
        for name, member in inspect.getmembers(found, inspect.isclass)
        if member.__module__ == module and not name.startswith("_")
    }


@pytest.mark.parametrize("row", [row for row in ARCHITECTURES if row.has_construct], ids=lambda row: row.id)
def test_a_family_has_every_public_name_of_its_architectures(row: Architecture) -> None:
    family, name = f"cdk_lambda_patterns.{row.family}", f"cdk_lambda_patterns.{row.family}.{row.module}"
    package, module = import_module(family), import_module(name)
    names = public_names(name)
    assert names <= set(package.__all__)
    assert names <= set(dir(package))
    for public in names:
        assert getattr(package, public) is getattr(module, public)


def test_a_name_that_a_family_does_not_have_is_the_usual_error() -> None:
    with pytest.raises(ImportError, match="cannot import name 'Thumbnailr'"):
        exec("from cdk_lambda_patterns.storage import Thumbnailr")  # noqa: S102 - a misspelt name


@pytest.mark.parametrize(
    ("statement", "loaded"),
    [
        ("import cdk_lambda_patterns", set()),
        ("import cdk_lambda_patterns.storage", set()),
        ("from cdk_lambda_patterns.web import AlbOptions", {"web"}),
        ("from cdk_lambda_patterns.storage import Thumbnailer", {"storage"}),
    ],
)
def test_an_import_loads_only_what_it_names(statement: str, loaded: set[str]) -> None:
    report = "import sys; print(*[name for name in sys.modules if name.count('.') > 1])"
    done = subprocess.run(
        [sys.executable, "-c", f"{statement}; {report}"],
        cwd=ROOT / "constructs",
        capture_output=True,
        text=True,
        check=True,
    )
    modules = [name.split(".") for name in done.stdout.split() if name.startswith("cdk_lambda_patterns.")]
    assert {family for _, family, *_ in modules if family != "core"} == loaded
    assert "metadata_sync" not in {name for _, _, name, *_ in modules}
