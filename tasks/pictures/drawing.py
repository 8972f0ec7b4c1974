"""Draws graphs as SVG: AWS's icons, laid out from left to right by ELK, the same on every machine.

A picture needs no other file, and has its own background: a page may be light or dark. Its metadata has the
graph that it shows, so that a check need not draw it again.

AWS offers its icons for diagrams of architectures (https://aws.amazon.com/architecture/icons/), and licenses
them elsewhere as CC BY-ND 2.0 (https://github.com/awslabs/aws-icons-for-plantuml): they are drawn unchanged,
also where the ground is dark.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path
from typing import Any

from tasks.errors import TaskError
from tasks.pictures.graph import Edge, Graph, Node

ROOT = Path(__file__).parents[2]
_ICONS = ROOT / "node_modules" / "aws-icons" / "icons"
_GRAPH = re.compile(r"<metadata>(.*?)</metadata>", re.DOTALL)

_ICON, _BADGE, _MARGIN, _TITLE = 48, 20, 16, 44
_NAME, _SMALL = 12.5, 11.0  # font sizes
_LINE = 15  # between two lines of text
_NAME_WIDTH, _WORDS_WIDTH = 100, 84
_WIDTHS = {"ijl.,:;'|!": 0.26, "frt()[]-/* ": 0.34, "mwMW@": 0.88, "ABCDEFGHKNOPQRSUVXYZ": 0.7}

_OPTIONS = {
    "elk.algorithm": "layered",
    "elk.direction": "RIGHT",
    "elk.edgeRouting": "ORTHOGONAL",
    "elk.hierarchyHandling": "INCLUDE_CHILDREN",
    "elk.json.shapeCoords": "ROOT",
    "elk.json.edgeCoords": "ROOT",
    "elk.layered.considerModelOrder.strategy": "NODES_AND_EDGES",
    "elk.layered.edgeLabels.sideSelection": "ALWAYS_UP",
    "elk.layered.nodePlacement.strategy": "BRANDES_KOEPF",
    "elk.layered.nodePlacement.bk.fixedAlignment": "NONE",
    "elk.layered.spacing.nodeNodeBetweenLayers": "8",
    "elk.layered.spacing.edgeNodeBetweenLayers": "8",
    "elk.layered.spacing.edgeEdgeBetweenLayers": "7",
    "elk.layered.thoroughness": "40",
    "elk.spacing.nodeNode": "24",
    "elk.spacing.edgeNode": "16",
    "elk.spacing.edgeEdge": "12",
    "elk.spacing.labelNode": "4",
    "elk.spacing.edgeLabel": "3",
    "elk.padding": f"[top={_MARGIN},left={_MARGIN},bottom={_MARGIN},right={_MARGIN}]",
    "elk.randomSeed": "1",
}
# What a group does not take over from the picture.
_IN_GROUP = {name: value for name, value in _OPTIONS.items() if "spacing" in name or "edgeLabels" in name}
_STYLE = """
svg{--ground:#fff;--text:#16191f;--soft:#545b64;--line:#5b6673;--failure:#b3261e;--box:#8c96a3;--vpc:#8c4fff}
@media(prefers-color-scheme:dark){svg{--ground:#161d26;--text:#f1f3f5;--soft:#b6bec9;--line:#a3adba;--failure:#ff8a80;
--box:#6b7785;--vpc:#b892ff}}
text{font-family:"Amazon Ember","Helvetica Neue",Helvetica,Arial,sans-serif;font-size:11px;fill:var(--soft)}
.name{font-size:12.5px;font-weight:600;fill:var(--text)}
.words{paint-order:stroke;stroke:var(--ground);stroke-width:4px;stroke-linejoin:round}
.title{font-size:12.5px;font-weight:600}
path.edge{fill:none;stroke:var(--line);stroke-width:1.4}
path.event{stroke-width:2}
path.failure{stroke:var(--failure);stroke-dasharray:6 4}
path.control{stroke-dasharray:2 3}
.tip{fill:var(--line)}.failure-tip,text.failure{fill:var(--failure)}
.group{fill:none;stroke:var(--box);stroke-dasharray:5 4}.vpc{stroke:var(--vpc);stroke-dasharray:none}
.ground{fill:var(--ground)}.plate{fill:#fff;stroke:var(--box)}
"""


def draw(pictures: Iterable[tuple[str, Graph]]) -> list[str]:
    """The SVG of each graph, with a title.

    Raises:
        TaskError: ELK did not lay them out.
    """
    given = list(pictures)
    node = shutil.which("node")
    if node is None:
        raise TaskError("There is no node on the PATH: start this by `python3 run.py docs`.")
    done = subprocess.run(
        [node, Path(__file__).with_name("layout.mjs")],
        input=json.dumps([_to_elk(graph) for _, graph in given]),
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=ROOT,
        check=False,
    )
    if done.returncode:
        raise TaskError(f"ELK could not lay out the pictures:\n{done.stderr}")
    return [
        _svg(title, graph, laid) for (title, graph), laid in zip(given, json.loads(done.stdout), strict=True)
    ]


def recorded(svg: str) -> str:
    """The graph that a picture shows, as ``Graph.as_json`` gave it; empty if it has none."""
    found = _GRAPH.search(svg)
    return found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") if found else ""


# -- what ELK is given


def _to_elk(graph: Graph) -> dict[str, Any]:
    boxes: dict[str, dict[str, Any]] = {
        title: {
            "id": f"group {title}",
            "children": [],
            "layoutOptions": {
                **_IN_GROUP,
                "elk.padding": f"[top={_TITLE},left=18,bottom=18,right=18]",
                "elk.nodeSize.constraints": "MINIMUM_SIZE",
                "elk.nodeSize.minimum": f"({_title_width(title)},{_TITLE})",
            },
        }
        for title in graph.groups
    }
    children: list[Any] = list(boxes.values())
    for node in graph.nodes:
        (boxes[node.group]["children"] if node.group else children).append(_to_elk_node(node))
    return {
        "id": "picture",
        "layoutOptions": _OPTIONS,
        "children": children,
        "edges": list(_to_elk_edges(graph)),
    }


def _title_width(title: str) -> float:
    """The room for the icon and the title of a group, in bold."""
    return _BADGE + 24 + _width(title, _NAME) * 1.1


def _to_elk_node(node: Node) -> dict[str, Any]:
    lines = [*_wrap(node.name, _NAME, _NAME_WIDTH), *_wrap(node.service, _SMALL, _NAME_WIDTH)]
    label = {
        "id": f"label {node.id}",
        "text": node.name,
        "width": _widest(lines, _NAME),
        "height": len(lines) * _LINE,
    }
    placement = {"elk.nodeLabels.placement": "OUTSIDE V_BOTTOM H_CENTER"}
    return {"id": node.id, "width": _ICON, "height": _ICON, "labels": [label], "layoutOptions": placement}


def _to_elk_edges(graph: Graph) -> Iterator[dict[str, Any]]:
    for number, edge in enumerate(graph.edges):
        lines = _lines_of(edge)
        label = {
            "id": f"words {number}",
            "text": " ",
            "width": _widest(lines, _SMALL),
            "height": len(lines) * 13,
        }
        # What happens in the ordinary course is straight where the two cannot both be.
        priority = {"event": "10", "use": "5", "failure": "1", "control": "1"}[edge.kind]
        yield {
            "id": f"edge {number}",
            "sources": [edge.source],
            "targets": [edge.target],
            "labels": [label] if lines else [],
            "layoutOptions": {"elk.layered.priority.straightness": priority},
        }


def _lines_of(edge: Edge) -> list[str]:
    back = _wrap(f"\N{LEFTWARDS ARROW} {edge.back}", _SMALL, _WORDS_WIDTH) if edge.back else []
    return [*_wrap(edge.words, _SMALL, _WORDS_WIDTH), *back]


def _width(text: str, size: float) -> float:
    """About how wide a text is; fonts differ, and this is for one of the wider ones."""
    return (
        sum(next((w for some, w in _WIDTHS.items() if letter in some), 0.56) for letter in text) * size * 1.06
    )


def _widest(lines: Iterable[str], size: float) -> float:
    return max((_width(line, size) for line in lines), default=0)


def _wrap(text: str, size: float, width: float) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        if lines and _width(f"{lines[-1]} {word}", size) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


# -- what is drawn


def _svg(title: str, graph: Graph, laid: dict[str, Any]) -> str:
    width, height = round(laid["width"]), round(laid["height"])
    boxes = [child for child in laid["children"] if child["id"].startswith("group ")]
    places = {
        child["id"]: child for child in [*laid["children"], *(c for box in boxes for c in box["children"])]
    }
    icons = dict.fromkeys([*filter(None, graph.groups.values()), *(node.icon for node in graph.nodes)])
    pieces = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-labelledby="title desc">',
        f'<title id="title">{escape(title)}</title>',
        f'<desc id="desc">{escape(" ".join(graph.sentences()))}</desc>',
        f"<metadata>{escape(graph.as_json(), quote=False)}</metadata>",
        f"<style>{_STYLE}</style>",
        "<defs>",
        *(_marker(name) for name in ("tip", "failure-tip")),
        *map(_symbol, icons),
        "</defs>",
        f'<rect class="ground" width="{width}" height="{height}" rx="8"/>',
        *(_box(box, graph) for box in boxes),
    ]
    edges = [(graph.edges[int(edge["id"].split()[1])], edge) for edge in laid["edges"]]
    pieces += [_path(edge, place) for edge, place in edges]
    pieces += [words for edge, place in edges for words in _words(edge, place)]
    pieces += [piece for node in graph.nodes for piece in _node(node, places[node.id])]
    return "\n".join([*pieces, "</svg>", ""])


def _marker(name: str) -> str:
    return (
        f'<marker id="{name}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" '
        'markerUnits="userSpaceOnUse" orient="auto-start-reverse">'
        f'<path class="{name}" d="M0 0L10 5L0 10z"/></marker>'
    )


def _symbol(icon: str) -> str:
    """An icon of AWS, unchanged, for use at several places."""
    found = next(_ICONS.glob(f"*/{icon}.svg"), None)
    if found is None:
        raise TaskError(f"{icon}: aws-icons has no such icon (node_modules/aws-icons/icons).")
    text = re.sub(r"<title>.*?</title>", "", found.read_text("utf-8"))
    box = re.search(r'viewBox="([^"]+)"', text)
    inside = text[text.index(">") + 1 : text.rindex("</svg>")]
    inside = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{icon}-", inside)
    return f'<symbol id="{icon}" viewBox="{box[1] if box else "0 0 64 64"}">{inside}</symbol>'


def _box(box: dict[str, Any], graph: Graph) -> str:
    title = box["id"].removeprefix("group ")
    icon = graph.groups[title]
    x, y, width, height = (round(box[side]) for side in ("x", "y", "width", "height"))
    style = "group vpc" if "Virtualprivatecloud" in icon else "group"
    badge = f'<use href="#{icon}" x="{x}" y="{y}" width="{_BADGE}" height="{_BADGE}"/>' if icon else ""
    text = x + (_BADGE + 6 if icon else 8)
    return (
        f'<rect class="{style}" x="{x}" y="{y}" width="{width}" height="{height}"/>'
        f'{badge}<text class="title" x="{text}" y="{y + 15}">{escape(title)}</text>'
    )


def _path(edge: Edge, place: dict[str, Any]) -> str:
    tip = "failure-tip" if edge.kind == "failure" else "tip"
    start = f' marker-start="url(#{tip})"' if edge.back else ""
    line = " ".join(_rounded(section) for section in place["sections"])
    return f'<path class="edge {edge.kind}" d="{line}"{start} marker-end="url(#{tip})"/>'


def _rounded(section: dict[str, Any]) -> str:
    """The line of an edge with rounded corners."""
    points = [section["startPoint"], *section.get("bendPoints", []), section["endPoint"]]
    line = [(point["x"], point["y"]) for point in points]
    made = f"M{_at(line[0])}"
    for before, corner, after in zip(line, line[1:], line[2:], strict=False):
        radius = min(8.0, _length(before, corner) / 2, _length(corner, after) / 2)
        made += (
            f"L{_at(_towards(corner, before, radius))}Q{_at(corner)} {_at(_towards(corner, after, radius))}"
        )
    return f"{made}L{_at(line[-1])}"


def _at(point: tuple[float, float]) -> str:
    return " ".join(f"{round(value, 1):g}" for value in point)


def _length(one: tuple[float, float], other: tuple[float, float]) -> float:
    return abs(one[0] - other[0]) + abs(one[1] - other[1])  # lines are horizontal or vertical


def _towards(start: tuple[float, float], end: tuple[float, float], distance: float) -> tuple[float, float]:
    part = distance / (_length(start, end) or 1)
    return start[0] + (end[0] - start[0]) * part, start[1] + (end[1] - start[1]) * part


def _words(edge: Edge, place: dict[str, Any]) -> Iterator[str]:
    for label in place.get("labels", []):
        middle = label["x"] + label["width"] / 2
        for number, line in enumerate(_lines_of(edge)):
            yield _text(line, middle, label["y"] + 10 + 13 * number, f"words {edge.kind}")


def _node(node: Node, place: dict[str, Any]) -> Iterator[str]:
    x, y = round(place["x"], 1), round(place["y"], 1)
    if not _is_tile(node.icon):  # made for a light ground
        yield f'<rect class="plate" x="{x:g}" y="{y:g}" width="{_ICON}" height="{_ICON}" rx="6"/>'
        inner = _ICON - 10
        yield f'<use href="#{node.icon}" x="{x + 5:g}" y="{y + 5:g}" width="{inner}" height="{inner}"/>'
    else:
        yield f'<use href="#{node.icon}" x="{x:g}" y="{y:g}" width="{_ICON}" height="{_ICON}"/>'
    names, services = (_wrap(node.name, _NAME, _NAME_WIDTH), _wrap(node.service, _SMALL, _NAME_WIDTH))
    for number, line in enumerate([*names, *services]):
        style = "name" if number < len(names) else "service"
        yield _text(line, x + _ICON / 2, y + _ICON + 4 + 11.5 + _LINE * number, style)


def _is_tile(icon: str) -> bool:
    return (_ICONS / "architecture-service" / f"{icon}.svg").exists()


def _text(line: str, x: float, y: float, style: str) -> str:
    place = f'x="{round(x, 1):g}" y="{round(y, 1):g}"'
    return f'<text class="{style}" text-anchor="middle" {place}>{escape(line)}</text>'
