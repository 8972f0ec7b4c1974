"""Which room of the house may import which, read from the sources."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stacks.catalogue import ARCHITECTURES

LIBRARY = "cdk_lambda_patterns"
# The packages of handlers are below these names: `storage.thumbnailer`.
FAMILIES = tuple(sorted({architecture.family for architecture in ARCHITECTURES}))

# What each room may import of ours, in addition to itself. A name with a dot allows what is in that module.
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "app.py": ("stacks",),
    "run.py": ("stacks.catalogue", "tasks"),
    "stacks": (LIBRARY,),
    f"constructs/{LIBRARY}": (),
    "scenarios": (),
    "localaws/src/localaws": (),
    "localaws/tests": ("localaws",),
    "tasks": ("stacks.catalogue", "scenarios", "localaws"),
    # Run as programs, and imported by none.
    "benchmarks": (LIBRARY, "stacks", "scenarios", "localaws", "tasks", *FAMILIES),
}
# The packages in lambda_src that several handlers import.
COMMON = ("notes", "shared")
# A handler that does the work of another one: it imports its modules, and not its handler.
REPEATS = {
    "lambda_src.messaging.mq_consumer": "messaging.sqs_consumer",
    "lambda_src.storage.batch_operation": "storage.metadata_sync",
}
OURS = {
    "app",
    "run",
    "stacks",
    LIBRARY,
    "scenarios",
    "localaws",
    "tasks",
    "benchmarks",
    "tests",
    "lambda_src",
    *COMMON,
    "helpers",
    *FAMILIES,
}

# What runs before anything is installed.
BEFORE_SET_UP = (
    *(
        "run.py",
        "stacks/__init__.py",
        "stacks/architecture.py",
        "stacks/catalogue.py",
        "tasks/__init__.py",
        *("tasks/commands.py", "tasks/console.py", "tasks/environment.py"),
    ),
    *("tasks/errors.py", "tasks/locking.py", "tasks/process.py", "tasks/progress.py", "tasks/list.py"),
)


@dataclass(frozen=True)
class Import:
    """A module's name in an import statement, and where that is."""

    file: Path
    line: int
    module: str

    def starts_with(self, name: str) -> bool:
        """Whether it is `name` or something inside it."""
        return self.module == name or self.module.startswith(f"{name}.")

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.module}"


def imports(root: Path, file: Path, *, only_at_start: bool = False) -> Iterator[Import]:
    """Each import in a file; with `only_at_start`, those that run when the module is imported."""
    shown = file.relative_to(root)
    package = list(shown.parent.parts)
    for node in _statements(ast.parse(file.read_text("utf-8")), only_at_start=only_at_start):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(shown, node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:  # `from stacks import catalogue` opens stacks.catalogue
                yield Import(shown, node.lineno, f"{source}.{alias.name}")


def _statements(node: ast.AST, *, only_at_start: bool) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):  # most of a tree, and none of its imports
            continue
        if only_at_start and (
            isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) or _is_for_types(child)
        ):
            continue
        yield child
        yield from _statements(child, only_at_start=only_at_start)


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def sources(root: Path, room: str) -> list[Path]:
    """The Python files of a room."""
    path = root / room
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


def wrong_arrows(root: Path) -> list[str]:
    """Each import that points where its room may not."""
    wrong = []
    for room, others in MAY_IMPORT.items():
        # `tests` in localaws/tests is not what it would import under that name.
        itself = "helpers" if room == "localaws/tests" else room.rpartition("/")[2].removesuffix(".py")
        for file in sources(root, room):
            wrong += [
                f"{found}; {room} may import of ours: {', '.join((itself, *others))}"
                for found in imports(root, file)
                if found.module.partition(".")[0] in OURS
                and not any(found.starts_with(allowed) for allowed in (itself, *others))
            ]
    for file in sources(root, "lambda_src"):
        wrong += [
            f"{found}; a handler may import only the modules of its folder, of lambda_src/shared and /notes"
            for found in imports(root, file)
            if found.module.partition(".")[0] in OURS - _common_for(file.relative_to(root))
            and not found.starts_with(_package_of(file, root))
            and not _is_repeated(found, _package_of(file, root))
        ]
    return wrong


def _common_for(file: Path) -> set[str]:
    """The common packages that a file in lambda_src may import: `shared` imports no other."""
    return {"shared"} if file.parts[1] in COMMON else set(COMMON)


def _package_of(file: Path, root: Path) -> str:
    """The package of a handler, or a common one, as relative imports name it."""
    room, family, *rest = file.relative_to(root).parts
    return f"{room}.{family}" if family in COMMON else f"{room}.{family}.{rest[0]}"


def _is_repeated(found: Import, package: str) -> bool:
    """Whether a handler may import this of the handler whose work it repeats."""
    other = REPEATS.get(package)
    return other is not None and found.starts_with(other) and not found.starts_with(f"{other}.handler")


def beyond_the_requirements(root: Path) -> list[str]:
    """Each import of the library that its wheel does not require."""
    allowed = (*sys.stdlib_module_names, "aws_cdk", "constructs", "jsii", LIBRARY)
    return [
        f"{found}; the wheel requires only aws-cdk-lib and constructs"
        for file in sources(root, f"constructs/{LIBRARY}")
        for found in imports(root, file)
        if found.module.partition(".")[0] not in allowed
    ]


def beyond_the_standard_library(root: Path) -> list[str]:
    """Each import of what run.py is made of that is not there on a fresh machine."""
    ours = {
        Path(file).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
        for file in BEFORE_SET_UP
    }
    return [
        f"{found}; this runs before anything is installed"
        for file in BEFORE_SET_UP
        for found in imports(root, root / file, only_at_start=True)
        if found.module.partition(".")[0] not in sys.stdlib_module_names
        and not any(found.starts_with(name) for name in ours - {"stacks", "tasks"})
    ]
