"""Changes of the emulator are declared, checked at the start, ordered, and made only by `patching`."""

from __future__ import annotations

import ast
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from localaws import patching
from localaws.patching import Incompatible, Registry, Target

SOURCE = Path(patching.__file__).parent


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A module with what bridges change."""
    module = types.ModuleType("emulator")
    module.greet = lambda name, loud=False: f"hello {name}"  # type: ignore[attr-defined]
    module._ACTION_MAP = {"Greet": module.greet}  # type: ignore[attr-defined]
    module.LIMITS = {"names": 1}  # type: ignore[attr-defined]
    module._RESOURCE_HANDLERS = {  # type: ignore[attr-defined]
        "AWS::X::Y": {
            "create": lambda logical_id, props, stack_name: ("y", {"stack": stack_name}),
            "update": lambda physical_id, old, new, stack_name: (physical_id, new),
            "delete": lambda physical_id, props: None,
        }
    }
    monkeypatch.setitem(sys.modules, "emulator", module)
    monkeypatch.setattr(patching, "PROVISIONERS", "emulator")
    return module


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Declarations without those of the bridges."""
    registry = Registry()
    monkeypatch.setattr(patching, "_registry", registry)
    return registry


def declared_by(module: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, as if it were from that bridge."""
    function.__module__ = f"localaws.services.{module}"
    return function


def politely(stock: Callable[..., str], name: str, loud: bool = False) -> str:
    """Greet with a title."""
    return stock(f"Dr {name}", loud)


def twice(stock: Callable[..., str], name: str, *args: Any, **more: Any) -> str:
    """Greet two times."""
    return f"{stock(name, *args, **more)}, {stock(name, *args, **more)}"


def test_a_function_is_called_around_the_emulators(emulator: Any, registry: Registry) -> None:
    patching.around(emulator, "greet")(politely)
    assert emulator.greet("Ann") == "hello Ann"
    registry.apply()
    assert emulator.greet("Ann") == "hello Dr Ann"


def test_a_coroutine_function_stays_one(emulator: Any, registry: Registry) -> None:
    async def answer(question: str) -> str:
        return question

    async def around(stock: Callable[..., Any], question: str) -> str:
        return f"{await stock(question)}!"

    emulator.answer = answer
    patching.around(emulator, "answer")(around)
    registry.apply()
    coroutine = emulator.answer("why")
    with pytest.raises(StopIteration, match="why!"):
        coroutine.send(None)


def test_several_bridges_enclose_each_other_as_they_say(emulator: Any, registry: Registry) -> None:
    patching.around(emulator, "greet", after=["b.titles"])(declared_by("a.echo", twice))
    patching.around(emulator, "greet")(declared_by("b.titles", politely))
    registry.apply()
    assert emulator.greet("Ann") == "hello Dr Ann, hello Dr Ann"


def test_a_replacement_is_enclosed_by_the_others(emulator: Any, registry: Registry) -> None:
    patching.around(emulator, "greet")(declared_by("a.titles", politely))
    patching.replaces(emulator, "greet")(declared_by("b.new", lambda name, loud=False: f"hi {name}"))
    registry.apply()
    assert emulator.greet("Ann") == "hi Dr Ann"


def test_actions_constants_and_resources(emulator: Any, registry: Registry) -> None:
    patching.action(emulator, "Greet")(politely)
    patching.new_action(emulator, "Leave")(lambda name: f"bye {name}")
    patching.changes(emulator, "LIMITS")(lambda stock: stock | {"names": 2})

    def create(stock: Any, logical_id: str, properties: Any, stack: str) -> Any:
        physical_id, attributes = stock(logical_id, properties, stack)
        return physical_id, {**attributes, "logical_id": logical_id}

    def update(stock: Any, physical_id: str, old: Any, new: Any, stack: str, logical_id: str) -> Any:
        return logical_id, stock(physical_id, old, new, stack, logical_id)[1]

    patching.resource("AWS::X::Y").create(create)
    patching.resource("AWS::X::Y").update(update)
    patching.new_resource("AWS::X::Z").create(lambda logical_id, properties, stack: ("z", {}))
    registry.apply()
    assert emulator._ACTION_MAP["Greet"]("Ann") == "hello Dr Ann"
    assert emulator._ACTION_MAP["Leave"]("Ann") == "bye Ann"
    assert emulator.LIMITS == {"names": 2}
    handlers = emulator._RESOURCE_HANDLERS
    assert handlers["AWS::X::Y"]["create"]("Logical", {}, "s") == (
        "y",
        {"stack": "s", "logical_id": "Logical"},
    )
    assert handlers["AWS::X::Y"]["update"]("y", {}, {"a": 1}, "s", "Logical") == ("Logical", {"a": 1})
    assert handlers["AWS::X::Y"]["update_with_logical_id"] is True
    assert handlers["AWS::X::Z"]["create"]("Logical", {}, "s") == ("z", {})


def test_all_differences_are_in_one_report_and_nothing_is_changed(emulator: Any, registry: Registry) -> None:
    stock = emulator.greet
    patching.around(emulator, "greet")(declared_by("a.fits", politely))
    patching.around(emulator, "farewell")(declared_by("a.gone", politely))
    patching.replaces("emulator.parts", "greet")(declared_by("a.module", lambda: None))
    patching.action(emulator, "Leave")(declared_by("a.action", politely))
    patching.new_action(emulator, "Greet")(declared_by("a.there", lambda name: name))
    patching.resource("AWS::X::Q").create(declared_by("a.type", politely))
    del emulator._RESOURCE_HANDLERS["AWS::X::Y"]["delete"]
    patching.resource("AWS::X::Y").delete(declared_by("a.verb", politely))
    emulator._RESOURCE_HANDLERS["AWS::X::Y"]["create"] = lambda one: None
    patching.resource("AWS::X::Y").create(declared_by("a.number", politely))
    with pytest.raises(Incompatible) as raised:
        registry.apply()
    assert str(raised.value).splitlines() == [
        "ministack 1.5.33 is not as the bridges for ministack 1.5.33 expect:",
        "  emulator.farewell is gone: a.gone changes it",
        "  emulator.parts.greet is gone, with the module emulator.parts: a.module changes it",
        "  emulator._ACTION_MAP['Leave'] is gone: a.action changes it",
        "  emulator._ACTION_MAP['Greet'] is there now: a.there may not be needed any more",
        "  create of AWS::X::Q is gone: a.type changes it",
        "  delete of AWS::X::Y is gone: a.verb changes it",
        "  create of AWS::X::Y takes 1 arguments, not 3: a.number changes it",
    ]
    assert emulator.greet is stock


@pytest.mark.parametrize(
    "stock",
    [
        lambda name: name,
        lambda loud=False, name="": name,
        lambda name, loud=False, more=None: name,
        lambda person, loud=False: person,
        lambda name, *, loud=False: name,
    ],
)
def test_other_parameters_are_found(emulator: Any, registry: Registry, stock: Callable[..., str]) -> None:
    emulator.greet = stock
    patching.around(emulator, "greet")(declared_by("a.titles", politely))
    with pytest.raises(Incompatible, match=r"emulator.greet\(.* has other parameters than a.titles expects"):
        registry.apply()


def test_parameters_that_are_only_passed_on_may_change(emulator: Any, registry: Registry) -> None:
    emulator.greet = lambda name, more, *, loud=False: f"{more} {name}"
    patching.around(emulator, "greet")(twice)
    registry.apply()
    assert emulator.greet("Ann", "hi", loud=True) == "hi Ann, hi Ann"


def test_parameters_that_are_passed_on_only_by_position_are_refused(
    emulator: Any, registry: Registry
) -> None:
    def by_position(stock: Callable[..., str], name: str, *args: Any) -> str:
        return stock(name, *args)

    patching.around(emulator, "greet")(declared_by("a.echo", by_position))
    with pytest.raises(Incompatible, match="has other parameters"):
        registry.apply()


def test_two_bridges_without_an_order_are_refused(emulator: Any, registry: Registry) -> None:
    patching.around(emulator, "greet")(declared_by("a.echo", twice))
    patching.around(emulator, "greet")(declared_by("b.titles", politely))
    with pytest.raises(Incompatible, match=r"a\.echo and b\.titles change it in no order"):
        registry.apply()


def test_two_replacements_are_refused(emulator: Any, registry: Registry) -> None:
    for module in ("a.one", "b.other"):
        patching.replaces(emulator, "greet")(declared_by(module, lambda name, loud=False: name))
    with pytest.raises(Incompatible, match=r"emulator\.greet: a\.one and b\.other both replace it"):
        registry.apply()


def test_after_the_start_and_a_reset_the_declared_functions_are_called(registry: Registry) -> None:
    called: list[str] = []
    patching.on_start(lambda: called.append("start"))
    patching.on_reset(lambda: called.append("reset"))
    registry.apply()
    patching.reset()
    assert called == ["start", "reset"]


# --- The bridges


def test_every_name_that_bridges_use_exists() -> None:
    """In a process of its own: importing the emulator here would change this one."""
    program = "from localaws import patching; print(patching.missing_names(patching.discover()))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert ran.stdout == "[]\n", ran.stderr


def test_a_name_that_has_gone_is_reported() -> None:
    source = "from ministack.services import sns\nfrom ministack.core.responses import gone\nsns._nothing()\n"
    assert sorted(patching.used_names(source)) == [
        ("ministack.core.responses", "gone"),
        ("ministack.services.sns", "_nothing"),
    ]


def test_the_server_does_not_start_on_an_emulator_that_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from localaws import LocalAws, LocalAwsError

    (tmp_path / "sitecustomize.py").write_text(
        "import os\n"
        "if 'LOCALAWS_RENAMES' in os.environ:\n"
        "    from ministack.services import sns\n"
        "    del sns._fanout\n"
        "    sns._deliver_to_sqs = lambda endpoint, envelope: None\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("LOCALAWS_RENAMES", "1")
    with pytest.raises(LocalAwsError) as raised, LocalAws():
        pass
    message = str(raised.value)
    assert "ministack.services.sns._fanout is gone: sns.topics changes it" in message
    assert "sns._deliver_to_sqs(endpoint, envelope) has other parameters than sns.topics expects" in message


def test_only_patching_changes_the_emulator() -> None:
    files = [file for file in SOURCE.rglob("*.py") if file.name != "patching.py"]
    assert len(files) > 60
    assert [line for file in files for line in changes_in(file.read_text("utf-8"))] == []


@pytest.mark.parametrize(
    "statement",
    [
        "sns._fanout = print",
        "a, sns._fanout = (1, 2)",
        "sns.LIMIT += 1",
        "del sns._fanout",
        "setattr(sns, '_fanout', print)",
        "sns._ACTION_MAP['Publish'] = print",
        "sns._ACTION_MAP |= {}",
        "sns._ACTION_MAP.update(Publish=print)",
        "provisioners._RESOURCE_HANDLERS['AWS::SNS::Topic']['create'] = print",
        "_RESOURCE_HANDLERS['AWS::SNS::Topic'] = {}",
    ],
)
def test_a_change_elsewhere_is_found(statement: str) -> None:
    imports = (
        "from ministack.services import sns\n"
        "from ministack.services.cloudformation import provisioners\n"
        "from ministack.services.cloudformation.provisioners import _RESOURCE_HANDLERS\n"
    )
    assert changes_in(f"{imports}{statement}\n") == [statement]


def test_changing_the_records_of_resources_is_no_change_of_the_emulator() -> None:
    source = "from ministack.services import sns\nsns._topics[arn]['attributes'] = {}\n"
    assert changes_in(source) == []


_CHANGING_METHODS = ("update", "setdefault", "pop", "clear", "append", "extend", "insert")


def changes_in(source: str) -> list[str]:
    """Each statement that sets a name of the emulator, or an entry of a table that is a constant of it."""
    tree = ast.parse(source)
    modules, constants = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ministack"):
            names = {alias.asname or alias.name for alias in node.names}
            constants |= {name for name in names if name.lstrip("_").isupper()}
            modules |= names - constants

    def is_name(target: ast.expr) -> bool:
        return (
            isinstance(target, ast.Attribute)
            and isinstance(target.value, ast.Name)
            and target.value.id in modules
        )

    def is_table(value: ast.expr) -> bool:
        while isinstance(value, ast.Subscript):
            value = value.value
        if isinstance(value, ast.Name):
            return value.id in constants
        return isinstance(value, ast.Attribute) and is_name(value) and value.attr.lstrip("_").isupper()

    def is_changed(target: ast.expr) -> bool:
        if isinstance(target, ast.Tuple | ast.List):
            return any(is_changed(element) for element in target.elts)
        return is_name(target) or (isinstance(target, ast.Subscript) and is_table(target))

    found = []
    for node in ast.walk(tree):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign | ast.Delete):
            targets = node.targets
        elif isinstance(node, ast.AugAssign | ast.AnnAssign):
            targets = [node.target]
        changed = any(is_changed(target) for target in targets)
        if isinstance(node, ast.Call):
            changed = isinstance(node.func, ast.Name) and node.func.id in ("setattr", "delattr")
            if isinstance(node.func, ast.Attribute) and node.func.attr in _CHANGING_METHODS:
                changed = is_table(node.func.value)
        if changed:
            found.append(ast.unparse(node))
    return found


def test_targets_are_readable() -> None:
    assert str(Target("m", "f")) == "m.f"
    assert str(Target("m", "TABLE", "key")) == "m.TABLE['key']"
    assert str(Target("m", "TABLE", "AWS::X::Y", "create")) == "create of AWS::X::Y"
