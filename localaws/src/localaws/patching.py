"""The only place that changes private parts of the emulator, and the check that they are as expected.

The emulator has no plugin API, so a bridge declares which of its private names it changes:

    @around(lambda_svc, "_event_invoke_config")       # called instead; gets what it replaces first
    def _settings(stock, func, qualifier): ...

    @replaces(lambda_svc, "_poll_sqs")                # called instead
    def _poll(): ...

    @resource("AWS::SNS::Topic").create               # around the CloudFormation handler of a type
    def _create_topic(stock, logical_id, properties, stack): ...

    @new_resource("AWS::EC2::EIP", replaced_by=("Domain",)).create    # a type that the emulator lacks
    @action(alb, "DescribeTargetHealth")              # around an API action
    @new_action(sqs, "StartMessageMoveTask")          # an action that the emulator lacks
    recorded_only("AWS::SNS::Topic", "TracingConfig")   # accepted and read, without effect
    @changes(provisioners, "_S3_BUCKET_CONFIGURATIONS")  # returns another value for a constant

Nothing happens when such a module is imported. `apply()` imports every module of `services`, checks all
declarations against the emulator at hand, and then applies them. A name that has gone, or that takes other
parameters than the declared function, ends the start with one report of all differences (`Incompatible`).

Several bridges may go around one name. Each says with `after` which of the others it encloses; bridges of one
module enclose each other in the order of their declarations. Two without an order are an error.
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.metadata
import importlib.util
import inspect
import itertools
import pkgutil
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

#: The release of the emulator that the bridges were written for.
EMULATOR, VERSION = "ministack", "1.5.33"

#: Where the emulator has its handlers of CloudFormation types.
PROVISIONERS, HANDLERS = "ministack.services.cloudformation.provisioners", "_RESOURCE_HANDLERS"
_ROUTER, _APP, _IAM_ACTIONS = "ministack.core.router", "ministack.app", "ministack.core.iam_actions"
# What the services of the emulator call the table of their actions.
_ACTION_TABLES = ("_ACTION_MAP", "_HANDLERS", "_IAM_HANDLERS")
# How many arguments CloudFormation passes to each handler. `update` may take the logical id too.
_ARGUMENTS = {"create": (3,), "update": (4, 5), "delete": (2,)}

F = TypeVar("F", bound=Callable[..., Any])
Module = ModuleType | str
Properties = dict[str, Any]
Created = tuple[str, dict[str, Any]]  # the physical id and the attributes
Handler = Callable[..., Created]
Applies = Callable[[Properties], bool]
Handlers = dict[str, Any]  # the emulator's handlers of a CloudFormation type


class Incompatible(Exception):
    """The emulator is not as the bridges expect; the message lists every difference."""


@dataclass(frozen=True)
class Target:
    """A name in a module of the emulator, or an entry of a table with that name."""

    module: str
    name: str
    key: str | None = None
    verb: str | None = None

    def __str__(self) -> str:
        if self.verb:
            return f"{self.verb} of {self.key}"
        entry = f"[{self.key!r}]" if self.key else ""
        return f"{self.module}.{self.name}{entry}"

    @property
    def holder(self) -> ModuleType:
        """The module, imported late: some read their settings while they are imported."""
        return importlib.import_module(self.module)

    def read(self) -> Any:
        """What the emulator has there; `_ABSENT` if nothing."""
        found: Any = getattr(self.holder, self.name, _ABSENT)
        for part in (self.key, self.verb):
            if part is not None and found is not _ABSENT:
                found = found.get(part, _ABSENT)
        return found

    def write(self, value: Any) -> None:
        """Put something else there."""
        if self.key is None:
            setattr(self.holder, self.name, value)
            return
        table = getattr(self.holder, self.name)
        if self.verb is None:
            table[self.key] = value
            return
        handler = table.setdefault(self.key, {})
        handler[self.verb] = value
        if self.verb == "update":
            handler["update_with_logical_id"] = True


_ABSENT = object()


@dataclass(frozen=True)
class Declaration:
    """One change that a bridge makes.

    Attributes:
        kind: `around`, `replaces`, `new` or `changes`.
        target: What is changed.
        function: What does it.
        after: Modules whose changes of the same target this one encloses, without `localaws.services.`.
        where: The module that declares it, written likewise.
    """

    kind: str
    target: Target
    function: Callable[..., Any]
    after: tuple[str, ...]
    where: str


@dataclass
class Registry:
    """All declarations, and the functions to call at the start and after a reset."""

    declarations: list[Declaration] = field(default_factory=list)
    starts: list[Callable[[], object]] = field(default_factory=list)
    recorded: dict[str, list[tuple[str, Applies]]] = field(default_factory=dict)
    resets: list[Callable[[], object]] = field(default_factory=list)

    def declare(
        self,
        kind: str,
        target: Target,
        function: Callable[..., Any],
        *,
        after: Iterable[str] = (),
        where: str = "",
    ) -> None:
        """Add a declaration, by default of the module that the function is from."""
        where = _short(where or function.__module__)
        self.declarations.append(Declaration(kind, target, function, tuple(after), where))

    def entry(self, target: Target, value: object, where: str) -> None:
        """Add the declaration of an entry of a table that is no function."""
        self.declare("entry", target, lambda: value, where=where)

    def apply(self, only: Collection[str] | None = None) -> None:
        """Check all declarations against the emulator, and apply them.

        Args:
            only: The modules whose declarations are applied; by default all.

        Raises:
            Incompatible: At least one does not fit.
        """
        chains: dict[Target, list[Declaration]] = {}
        for declaration in self.declarations:
            if only is None or declaration.where in only:
                chains.setdefault(declaration.target, []).append(declaration)
        problems, ordered = [], []
        for target, chain in chains.items():
            problems += _problems(target, chain)
            in_order, conflicts = _ordered(chain)
            ordered.append((target, in_order))
            problems += conflicts
        if problems:
            raise Incompatible(_report(problems))
        # First what is new, so that a change of a whole table finds it, whatever its module is called.
        ordered.sort(key=lambda one: one[1][0].kind not in ("new", "entry"))
        for target, chain in ordered:
            value = target.read()
            for declaration in chain:
                value = _changed(value, declaration)
            target.write(value)
        for start in self.starts if only is None else ():
            start()


_registry = Registry()


# -- what bridges declare


def around(module: Module | Sequence[Module], name: str, *, after: Iterable[str] = ()) -> Callable[[F], F]:
    """Declare that a function is called instead of the emulator's, which it gets as first argument.

    Args:
        module: The emulator's module, or each module that has imported the name.
        name: The emulator's function. The declared function must have its parameters, with their names, or
            both `*args` and `**kwargs` in place of those that it only passes on.
        after: The modules of `services` whose functions this one encloses: `"iam.invocations"`.
    """
    return _declaring("around", module, name, after)


def replaces(module: Module | Sequence[Module], name: str) -> Callable[[F], F]:
    """Declare that a function is called instead of the emulator's, which is not needed any more."""
    return _declaring("replaces", module, name, ())


def changes(module: Module | Sequence[Module], name: str) -> Callable[[F], F]:
    """Declare that a constant gets another value: what the function returns for the value of before."""
    return _declaring("changes", module, name, ())


def action(module: ModuleType, name: str, *, after: Iterable[str] = ()) -> Callable[[F], F]:
    """Declare that a function is called instead of an API action, which it gets as first argument."""
    return _declaring("around", module, _action_table(module), after, key=name)


def new_action(module: ModuleType, name: str) -> Callable[[F], F]:
    """Declare an API action that the emulator lacks."""
    return _declaring("new", module, _action_table(module), (), key=name)


def new_service(name: str, *, target_prefix: str) -> Callable[[F], F]:
    """Declare a service that the emulator lacks: a coroutine function that handles its requests.

    Args:
        name: The service in credential scopes and host names.
        target_prefix: What its `X-Amz-Target` headers start with.
    """
    patterns = {
        "target_prefixes": [target_prefix],
        "host_patterns": [rf"{name}\."],
        "credential_scope": name,
    }

    def decorate(handle_request: F) -> F:
        where = handle_request.__module__
        _registry.declare("new", Target(_APP, "SERVICE_HANDLERS", name), handle_request)
        _registry.entry(Target(_ROUTER, "SERVICE_PATTERNS", name), patterns, where)
        _registry.entry(Target(_IAM_ACTIONS, "SERVICE_TO_IAM_NAMESPACE", name), name, where)
        return handle_request

    return decorate


class Resource:
    """The handlers of a CloudFormation type. Each method declares a function, as a decorator.

    Around a handler of the emulator, the function gets that handler as first argument. `update` always gets
    the logical id as its last argument.
    """

    def __init__(self, types: Sequence[str], *, new: bool, after: Iterable[str]) -> None:
        self._types = types
        self._kind = "new" if new else "around"
        self._after = tuple(after)

    def create(self, function: F) -> F:
        """`(logical_id, properties, stack)`, which returns the physical id and the attributes."""
        return self._declare("create", function)

    def update(self, function: F) -> F:
        """`(physical_id, old, new, stack, logical_id)`, which returns the physical id and the attributes."""
        return self._declare("update", function)

    def delete(self, function: F) -> F:
        """`(physical_id, properties)`."""
        return self._declare("delete", function)

    def _declare(self, verb: str, function: F) -> F:
        for type_ in self._types:
            target = Target(PROVISIONERS, HANDLERS, type_, verb)
            _registry.declare(self._kind, target, function, after=self._after)
        return function


def resource(*types: str, after: Iterable[str] = ()) -> Resource:
    """The handlers of types that the emulator has, or that another bridge adds."""
    return Resource(types, new=False, after=after)


def new_resource(type_: str, *, replaced_by: Sequence[str] = (), stack_tags: bool = False) -> Resource:
    """The handlers of a type that the emulator lacks.

    Args:
        type_: The type.
        replaced_by: The properties whose change replaces the resource.
        stack_tags: Whether the stack's tags are added to the resource's property `Tags`.
    """
    where = sys._getframe(1).f_globals["__name__"]
    if replaced_by:
        _registry.entry(Target(PROVISIONERS, "_REPLACING_PROPERTIES", type_), tuple(replaced_by), where)
    if stack_tags:
        _registry.entry(Target(PROVISIONERS, "_STACK_TAG_PROPERTY", type_), ("Tags", "list"), where)
    return Resource((type_,), new=True, after=())


def tagged_by_stack(type_: str) -> None:
    """Declare that resources of a type get the tags of their stack, in the property `Tags`."""
    where = sys._getframe(1).f_globals["__name__"]
    _registry.entry(Target(PROVISIONERS, "_STACK_TAG_PROPERTY", type_), ("Tags", "list"), where)


def recorded_only(type_: str, *paths: str, when: Applies = lambda properties: True) -> None:
    """Declare properties that the handlers of a type read, and that have no effect all the same.

    Args:
        type_: The type.
        paths: The properties, such as `DefaultRouteSettings` or `Target.RetryPolicy`.
        when: Says of the properties of a resource whether this is so.
    """
    _registry.recorded.setdefault(type_, []).extend((path, when) for path in paths)


def declared_as_recorded(type_: str) -> list[tuple[str, Applies]]:
    """What `recorded_only` declares of a type."""
    return _registry.recorded.get(type_, [])


def bridges_of_types() -> dict[str, set[str]]:
    """The modules that add or change the handlers of each CloudFormation type, once they are imported."""
    found: dict[str, set[str]] = {}
    for one in _registry.declarations:
        if one.target.name == HANDLERS and one.target.key:
            found.setdefault(one.target.key, set()).add(one.where)
    return found


def on_start(function: F) -> F:
    """Declare a function that is called once, after everything was applied."""
    _registry.starts.append(function)
    return function


def on_reset(function: F) -> F:
    """Declare a function that is called after the emulator's own reset, to forget what a bridge keeps."""
    _registry.resets.append(function)
    return function


def _declaring(
    kind: str,
    modules: Module | Sequence[Module],
    name: str,
    after: Iterable[str],
    *,
    key: str | None = None,
) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for module in [modules] if isinstance(modules, (ModuleType, str)) else modules:
            where = module if isinstance(module, str) else module.__name__
            _registry.declare(kind, Target(where, name, key), function, after=after)
        return function

    return decorate


def _action_table(module: ModuleType) -> str:
    return next((name for name in _ACTION_TABLES if hasattr(module, name)), _ACTION_TABLES[0])


# -- what the server calls


def apply(only: Collection[str] | None = None) -> None:
    """Find every bridge, check that the emulator is as all of them expect, and apply them.

    Args:
        only: The modules to apply, without `localaws.services.`; by default all.

    Raises:
        Incompatible: It is not.
    """
    if only is not None:
        for name in only:
            importlib.import_module(f"localaws.services.{name}")
        _registry.apply(only)
        return
    modules = discover()
    installed = importlib.metadata.version(EMULATOR)
    if installed != VERSION:
        gone = missing_names(modules)
        if gone:
            raise Incompatible(_report(gone))
    _registry.apply()


def reset() -> None:
    """Let every bridge forget what it keeps."""
    for forget in _registry.resets:
        forget()


def wrap_handlers(wrap: Callable[[str, Handlers], Handlers]) -> None:
    """Put another handler in the place of every CloudFormation handler, also of those that bridges add.

    Args:
        wrap: Called with each type and its handler; returns the handler to use.
    """
    handlers: dict[str, Handlers] = getattr(importlib.import_module(PROVISIONERS), HANDLERS)
    for type_, handler in list(handlers.items()):
        handlers[type_] = wrap(type_, handler)


def discover() -> list[ModuleType]:
    """Import every module below `localaws.services`, and return them."""
    from localaws import services

    return [
        importlib.import_module(found.name)
        for found in pkgutil.walk_packages(services.__path__, f"{services.__name__}.")
    ]


def missing_names(modules: Iterable[ModuleType]) -> list[str]:
    """Each name that a module reads from a module of the emulator, and that is not there.

    `apply` checks the names that bridges change. Of the others some hundred are used; to check them takes a
    second.
    """
    return [
        f"{emulator}.{name} is gone: {_short(module.__name__)} uses it"
        for module in modules
        for emulator, name in sorted(used_names(Path(str(module.__file__)).read_text("utf-8")))
        if not hasattr(importlib.import_module(emulator), name)
    ]


def used_names(source: str) -> Iterator[tuple[str, str]]:
    """The names that a module reads from modules of the emulator, each with that module's name."""
    tree = ast.parse(source)
    modules = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(EMULATOR):
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                if importlib.util.find_spec(str(node.module)) and _is_module(full):
                    modules[alias.asname or alias.name] = full
                else:
                    yield str(node.module), alias.name
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            yield modules[node.value.id], node.attr


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


# -- checking and applying


def _problems(target: Target, chain: list[Declaration]) -> list[str]:
    """What keeps the declarations of one target from being applied."""
    try:
        stock = target.read()
    except ModuleNotFoundError as error:
        return [f"{target} is gone, with the module {error.name}: {_who(chain)} changes it"]
    adding = [one for one in chain if one.kind in ("new", "entry")]
    if adding:
        if stock is not _ABSENT:
            return [f"{target} is there now: {_who(adding)} may not be needed any more"]
        return []
    if stock is _ABSENT:
        return [f"{target} is gone: {_who(chain)} changes it"]
    if target.verb:
        return _wrong_number_of_arguments(target, stock, chain)
    return [
        f"{target}{inspect.signature(stock)} has other parameters than {one.where} expects: "
        f"({', '.join(map(str, _parameters(one)))})"
        for one in chain
        if one.kind != "changes" and not _fits(_parameters(one), _parameters_of(stock))
    ]


def _wrong_number_of_arguments(target: Target, stock: Any, chain: list[Declaration]) -> list[str]:
    parameters = _parameters_of(stock)
    count, expected = len(parameters), _ARGUMENTS[str(target.verb)]
    if count in expected or any(one.kind is inspect.Parameter.VAR_POSITIONAL for one in parameters):
        return []
    return [f"{target} takes {count} arguments, not {expected[0]}: {_who(chain)} changes it"]


def _parameters(declaration: Declaration) -> list[inspect.Parameter]:
    """The parameters that a declared function expects the emulator's function to have."""
    parameters = _parameters_of(declaration.function)
    return parameters[1:] if declaration.kind == "around" else parameters


def _parameters_of(function: Callable[..., Any]) -> list[inspect.Parameter]:
    return [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in inspect.signature(function).parameters.values()
    ]


def _fits(ours: list[inspect.Parameter], theirs: list[inspect.Parameter]) -> bool:
    """Whether a function with our parameters can stand in for one with theirs."""
    kinds = inspect.Parameter
    any_rest = any(one.kind is kinds.VAR_POSITIONAL for one in ours)
    any_keyword = any(one.kind is kinds.VAR_KEYWORD for one in ours)
    mine = [one for one in ours if one.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)]
    others = [one for one in theirs if one.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)]
    # The rest may be passed by position or by name.
    if len(others) < len(mine) or (len(others) > len(mine) and not (any_rest and any_keyword)):
        return False
    for one, other in zip(mine, others, strict=False):
        if one.name != other.name or (other.default is not kinds.empty and one.default is kinds.empty):
            return False
    my_keywords = {one.name for one in ours if one.kind is kinds.KEYWORD_ONLY}
    other_keywords = {one.name for one in theirs if one.kind is kinds.KEYWORD_ONLY}
    return my_keywords <= other_keywords and (any_keyword or my_keywords == other_keywords)


def _ordered(chain: list[Declaration]) -> tuple[list[Declaration], list[str]]:
    """The declarations of one target, innermost first, and each pair of modules without an order."""
    first = [one for one in chain if one.kind != "around"]
    rest = [one for one in chain if one.kind == "around"]
    target = chain[0].target
    conflicts = [
        f"{target}: {one.where} and {other.where} both replace it" for one, other in itertools.pairwise(first)
    ]
    places = {one.where for one in rest}
    encloses = {where: {name for one in rest if one.where == where for name in one.after} for where in places}
    ordered: list[Declaration] = list(first)
    left = sorted(places)
    while left:
        free = [where for where in left if not encloses[where] & (set(left) - {where})]
        if len(free) != 1:
            names = " and ".join(free or left)
            conflicts.append(f"{target}: {names} change it in no order; declare it with after=")
        for where in free or left:
            ordered += [one for one in rest if one.where == where]
        left = [where for where in left if where not in free] if free else []
    return ordered, conflicts


def _changed(stock: Any, declaration: Declaration) -> Any:
    function = declaration.function
    if declaration.kind in ("changes", "entry"):
        return function(stock) if declaration.kind == "changes" else function()
    updates = declaration.target.verb == "update"
    if declaration.kind != "around":
        return _with_logical_id(function) if updates else function
    if updates:
        stock = _with_logical_id(stock)
    # Of the function itself, not of what it calls: the emulator awaits some functions and calls others.
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def enclosing(*args: Any, **kwargs: Any) -> Any:
            return await function(stock, *args, **kwargs)

        return _of_signature(enclosing, stock)

    @functools.wraps(function)
    def calling(*args: Any, **kwargs: Any) -> Any:
        return function(stock, *args, **kwargs)

    return _of_signature(calling, stock)


def _of_signature(function: Callable[..., Any], stock: Callable[..., Any]) -> Callable[..., Any]:
    function.__signature__ = inspect.signature(stock)  # type: ignore[attr-defined]
    return function


def _with_logical_id(update: Callable[..., Any]) -> Callable[..., Any]:
    """An update handler that takes the logical id, whether it needs it or not."""
    if len(_parameters_of(update)) == _ARGUMENTS["update"][-1]:
        return update

    def with_logical_id(
        physical_id: str, old: dict[str, Any], new: dict[str, Any], stack: str, logical_id: str
    ) -> Any:
        return update(physical_id, old, new, stack)

    return with_logical_id


def _who(chain: list[Declaration]) -> str:
    return ", ".join(sorted({one.where for one in chain}))


def _short(module: str) -> str:
    return module.removeprefix("localaws.services.")


def _report(problems: list[str]) -> str:
    installed = importlib.metadata.version(EMULATOR)
    return "\n  ".join(
        [f"{EMULATOR} {installed} is not as the bridges for {EMULATOR} {VERSION} expect:", *problems]
    )
