"""What the picture of an architecture shows: its parts with names for people, and what goes between them.

The parts are those of the template. ``docs/pictures.toml`` has, by architecture, what it does not say:

- ``names``: what a part is for, by the path of its construct, where the ids of the constructs do not say it
- ``parties``: who or what outside of the stack takes part, with its icon
- ``edges``: what a party starts, ``[from, to, words, kind]``; or other words for a connection of two parts
- ``groups``: parts that are together, by a title
- ``hidden``: parts that the page does not need
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, cast, get_args

from tasks.pictures.kinds import ENDPOINTS, KINDS, SENDERS, WHEN_CONNECTED, Kind
from tasks.template_facts import TemplateFacts

EdgeKind = Literal["event", "use", "failure", "control"]

_TABLES = ("edges", "groups", "hidden", "names", "parties")
_ARROWS: dict[str, EdgeKind] = {"==>": "event", "-->": "use", "-.->": "control"}
_FAILURES = ("on failure", "undelivered", "dead letters")
# Where a construct's id begins a new word: FailureQueue, pre_traffic, 404Errors.
_WORDS = re.compile(r"[A-Z]+(?![a-z])\d*|[A-Z]?[a-z]+\d*|\d+")
# Words that the service of a part says already, when its id has no others.
_OF_TYPE = re.compile(
    r"^(Http|Rest)?Api$|^(State)?Machine$|^(User)?Pool$|^(Load)?Balancer$"
    r"|^(Alias|Archive|AccessPoint|Broker|Bucket|Bus|Database|Default|DeliveryStream|DeploymentGroup|Distribution"
    r"|FileSystem|Fn|Function|FunctionUrl|Group|Key|Layer|Profile|Proxy|Queue|Resource|Rule|Schedule|Secret"
    r"|StateMachine|Store|Stream|Table|Target|Topic|Url|UserPool|LoadBalancer|LogGroup|ProfilingGroup)$"
)
# What something needs, and what does not start it.
_IDLE = ("AWS::Cognito::UserPool", "AWS::KMS::Key", "AWS::Lambda::LayerVersion")
_SPELLED = {
    "Api": "API",
    "Cpp": "C++",
    "Dynamodb": "DynamoDB",
    "Fifo": "FIFO",
    "Http": "HTTP",
    "Mq": "MQ",
    "Rds": "RDS",
    "Sns": "SNS",
    "Sqs": "SQS",
    "Sts": "STS",
    "Url": "URL",
}


@dataclass(frozen=True)
class Node:
    """A part of a picture. Its id is the path of its construct, or the name of an outside party."""

    id: str
    name: str
    service: str
    icon: str
    group: str = ""


@dataclass(frozen=True)
class Edge:
    """What goes from one part to another, and perhaps back."""

    source: str
    target: str
    words: str
    kind: EdgeKind
    back: str = ""


@dataclass(frozen=True)
class Graph:
    """What a picture shows."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    groups: Mapping[str, str] = field(default_factory=dict)  # icons by title

    def as_json(self) -> str:
        """For the metadata of a picture, and to compare it with another."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))

    def sentences(self) -> Iterator[str]:
        """What the picture says, for those who do not see it."""
        names = {node.id: node.name for node in self.nodes}
        for edge in self.edges:
            said = f" ({edge.words})" if edge.words else ""
            back = f"; back: {edge.back}" if edge.back else ""
            yield f"{names[edge.source]} to {names[edge.target]}{said}{back}."


class _Draft:
    """The parts and connections while they are worked out."""

    def __init__(self, facts: TemplateFacts, declared: Mapping[str, Any]) -> None:
        self.facts, self.declared = facts, declared
        self.of_path: dict[str, str] = {}
        self.nodes: dict[str, Node] = {}
        self.edges: dict[tuple[str, str], Edge] = {}
        self.groups: dict[str, str] = {}

    def kind(self, node: str) -> Kind | None:
        """The kind of a part of the stack; None for an outside party."""
        return KINDS[self.facts.type_of(self.of_path[node])] if node in self.of_path else None

    def connect(self, edge: Edge) -> None:
        """Add a connection; a second one of the same parts adds its words to the first."""
        key = (edge.source, edge.target)
        if key in self.edges:
            first = self.edges[key]
            words = dict.fromkeys(
                [*filter(None, first.words.split(", ")), *filter(None, edge.words.split(", "))]
            )
            kind = "event" if "event" in (first.kind, edge.kind) else first.kind
            edge = replace(first, words=", ".join(words), kind=kind)
        self.edges[key] = edge

    def of(self, resource_type: str) -> Iterator[str]:
        """The parts of a type."""
        return (path for path, one in self.of_path.items() if self.facts.type_of(one) == resource_type)


def graph_of(facts: TemplateFacts, declared: Mapping[str, Any]) -> Graph:
    """What the picture of an architecture shows.

    Args:
        facts: What its template says.
        declared: Its table in ``docs/pictures.toml``.

    Raises:
        LookupError: The table has a path that is no part of the picture, or something else unknown.
    """
    draft = _Draft(facts, declared)
    _add_parts(draft)
    _add_connections(draft)
    _go_through_endpoints(draft)
    _add_declared(draft)
    _add_starters(draft)
    _fold_answers(draft)
    _drop_unconnected(draft)
    _name(draft)
    _group(draft)
    return _in_reading_order(draft)


def _add_parts(draft: _Draft) -> None:
    facts = draft.facts
    for logical_id in facts.drawn():
        path, kind = facts.path(logical_id), KINDS[facts.type_of(logical_id)]
        draft.of_path[path] = logical_id
        draft.nodes[path] = Node(path, "", kind.service, kind.icon)


def _add_connections(draft: _Draft) -> None:
    facts = draft.facts
    for edge in facts.edges():
        kind = "failure" if edge.words in _FAILURES else _ARROWS[edge.arrow]
        source = facts.path(edge.source)
        words = edge.words or (draft.kind(source) or KINDS["AWS::Lambda::Function"]).sends
        draft.connect(Edge(source, facts.path(edge.target), words, kind))
    for number, functions in enumerate(facts.images(), 1):
        image = f"Image {number}"
        draft.nodes[image] = Node(image, f"Container image {number}", "ECR", "AmazonElasticContainerRegistry")
        for function in functions:
            draft.connect(Edge(image, facts.path(function), "image, by its digest", "event"))
    for function in facts.run_by_deployments():
        if function and facts.path(function) in draft.nodes:
            _add_party(draft, "CloudFormation", "AWSCloudFormation")
            draft.connect(Edge("CloudFormation", facts.path(function), "during a deployment", "control"))


def _add_party(draft: _Draft, name: str, icon: str) -> None:
    draft.nodes.setdefault(name, Node(name, name, "", icon))


def _go_through_endpoints(draft: _Draft) -> None:
    """Lead what a function in a network does elsewhere through the VPC endpoint of the service."""
    endpoints = {
        str(draft.facts.resource(draft.of_path[path])["Properties"]["ServiceName"]): path
        for path in draft.of("AWS::EC2::VPCEndpoint")
    }
    for (source, target), edge in list(draft.edges.items()):
        if source not in draft.of_path or target not in draft.of_path or edge.kind != "use":
            continue
        service = ENDPOINTS.get(draft.facts.type_of(draft.of_path[target]), "")
        through = (
            [path for name, path in endpoints.items() if re.search(rf"\.{service}\b", name)]
            if service
            else []
        )
        if through and (source, through[0]) in draft.edges:
            del draft.edges[source, target]
            draft.edges[source, through[0]] = replace(draft.edges[source, through[0]], kind="use")
            draft.connect(replace(edge, source=through[0]))
    for (source, target), edge in list(draft.edges.items()):
        if edge.words == "route":  # of a network: not every function of it needs it
            is_used = any(one == target for one, _ in draft.edges)
            if edge.kind != "use" or not is_used:
                del draft.edges[source, target]
            else:
                draft.edges[source, target] = replace(edge, words="")


def _add_declared(draft: _Draft) -> None:
    if unknown := sorted(draft.declared.keys() - set(_TABLES)):
        raise LookupError(f"{', '.join(unknown)}: there is only {', '.join(_TABLES)}.")
    for name, icon in draft.declared.get("parties", {}).items():
        _add_party(draft, name, icon)
    for path in draft.declared.get("hidden", []):
        _check(draft, path)
        del draft.nodes[path]
        draft.edges = {key: edge for key, edge in draft.edges.items() if path not in key}
    for source, target, words, *kinds in draft.declared.get("edges", []):
        _check(draft, source)
        _check(draft, target)
        before = draft.edges.get((source, target))
        kind = kinds[0] if kinds else before.kind if before else "event"
        if kind not in get_args(EdgeKind):
            raise LookupError(f"{kind!r} is no kind of edge: there is {', '.join(get_args(EdgeKind))}.")
        draft.edges[source, target] = Edge(source, target, words, cast(EdgeKind, kind))


def _check(draft: _Draft, path: str) -> None:
    if path not in draft.nodes:
        raise LookupError(f"{path!r} is no part of the picture; there are {', '.join(draft.nodes)}.")


def _add_starters(draft: _Draft) -> None:
    """Add who starts what nothing in the stack starts, where ``parties`` names no other."""
    for rule in list(draft.of("AWS::Events::Rule")):
        for source in (
            draft.facts.resource(draft.of_path[rule])["Properties"].get("EventPattern", {}).get("source", [])
        ):
            if source in SENDERS and not any(target == rule for _, target in draft.edges):
                name, icon = SENDERS[source]
                _add_party(draft, name, icon)
                draft.connect(Edge(name, rule, "events", "event"))
    started = {
        target
        for (source, target), edge in draft.edges.items()
        if edge.kind != "use" and not (edge.kind == "control" and _is_idle(draft, source))
    }
    used = {target for (_, target), edge in draft.edges.items() if edge.kind == "use"}
    starting = {source for (source, _), edge in draft.edges.items() if edge.kind != "failure"}
    for path in list(draft.of_path):
        kind = draft.kind(path)
        if path not in draft.nodes or not kind or not kind.starter or path in started or path not in starting:
            continue
        is_code = kind.icon == "AWSLambda"
        sends = any(
            edge.kind in ("event", "control") for (source, _), edge in draft.edges.items() if source == path
        )
        written = any(
            target == path and edge.words != "reads"
            for (_, target), edge in draft.edges.items()
            if edge.kind == "use"
        )
        is_front = kind.sends == "request"  # which clients call, also where a part of the stack calls it, too
        if (is_code and path not in used) or (not is_code and sends and (is_front or not written)):
            _add_party(draft, kind.starter.name, kind.starter.icon)
            draft.connect(Edge(kind.starter.name, path, kind.starter.verb, "event"))


def _is_idle(draft: _Draft, path: str) -> bool:
    return path in draft.of_path and draft.facts.type_of(draft.of_path[path]) in _IDLE


def _fold_answers(draft: _Draft) -> None:
    """Make one connection of two: a function reads the object whose event invoked it."""
    for (source, target), edge in list(draft.edges.items()):
        answer = draft.edges.get((target, source))
        if (source, target) in draft.edges and answer and source != target:
            if edge.kind in ("use", "control") and answer.kind == "event":
                continue  # the other one of the two is first
            if "failure" not in (edge.kind, answer.kind):
                draft.edges[source, target] = replace(edge, back=answer.words or "answer")
                del draft.edges[target, source]


def _drop_unconnected(draft: _Draft) -> None:
    connected = {end for key in draft.edges for end in key}
    for path in list(draft.nodes):
        is_part = path in draft.of_path
        if path not in connected and (
            not is_part or draft.facts.type_of(draft.of_path[path]) in WHEN_CONNECTED
        ):
            del draft.nodes[path]


def _name(draft: _Draft) -> None:
    """Give each part the shortest name from the end of its path that no other one of its service has."""
    names = draft.declared.get("names", {})
    for path in names:
        _check(draft, path)
    depths = dict.fromkeys(draft.nodes, 1)
    while True:
        made = {
            path: names.get(path) or node.name or _name_of(path, depths[path])
            for path, node in draft.nodes.items()
        }
        counts = Counter((name, draft.nodes[path].service) for path, name in made.items())
        again = [
            path
            for path, name in made.items()
            if path not in names
            and counts[name, draft.nodes[path].service] > 1
            and depths[path] < path.count("/") + 1
        ]
        if not again:
            break
        for path in again:
            depths[path] += 1
    draft.nodes = {path: replace(node, name=made[path]) for path, node in draft.nodes.items()}


def _name_of(path: str, depth: int) -> str:
    """The name from the last ids of a path that say more than the type of the part."""
    ids = path.split("/")
    while len(ids) > 1 and _OF_TYPE.match(ids[-1]):
        ids.pop()
    words = [word for one in ids[-depth:] for word in _WORDS.findall(one)]
    words = [_SPELLED.get(word.capitalize(), word) for word in words]
    words = [word if word.isupper() or word in _SPELLED.values() else word.lower() for word in words]
    distinct = [word for number, word in enumerate(words) if words[number - 1 : number] != [word]]
    text = " ".join(distinct).replace("dead letter", "dead-letter")
    return f"{text[:1].upper()}{text[1:]}"


def _in_reading_order(draft: _Draft) -> Graph:
    """Follow what goes from part to part, from those that start: what happens at failures comes last."""
    ranks = {"event": 0, "use": 1, "control": 2, "failure": 3}
    left = sorted(draft.edges.values(), key=lambda edge: ranks[edge.kind])
    targets = {edge.target for edge in left if edge.source != edge.target}
    nodes: dict[str, Node] = {}
    edges: list[Edge] = []

    def follow(path: str) -> None:
        if path not in nodes:
            nodes[path] = draft.nodes[path]
            for edge in left:
                if edge.source == path:
                    edges.append(edge)
                    follow(edge.target)

    parties = [path for path in draft.nodes if path not in draft.of_path]
    starting = [path for path in draft.nodes if path not in targets]
    for path in sorted(starting, key=lambda one: one not in parties) + list(draft.nodes):
        follow(path)
    return Graph(tuple(nodes.values()), tuple(edges), draft.groups)


def _group(draft: _Draft) -> None:
    networks = dict.fromkeys(
        network for path in draft.of_path if (network := draft.facts.network_of(draft.of_path[path]))
    )
    for path, logical_id in draft.of_path.items():
        if path in draft.nodes and (network := draft.facts.network_of(logical_id)):
            title = draft.facts.title_of(network)
            title += f" {list(networks).index(network) + 1}" if len(networks) > 1 else ""
            draft.groups[title] = "VirtualprivatecloudVPC"
            draft.nodes[path] = replace(draft.nodes[path], group=title)
    for title, members in draft.declared.get("groups", {}).items():
        draft.groups[title] = _group_icon(title)
        for member in cast(Iterable[str], members):
            _check(draft, member)
            draft.nodes[member] = replace(draft.nodes[member], group=title)


def _group_icon(title: str) -> str:
    icons = {"account": "AWSAccount", "Region": "Region", "VPC": "VirtualprivatecloudVPC"}
    return next((icon for word, icon in icons.items() if word in title), "")
