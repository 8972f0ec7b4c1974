"""Requests and answers of S3 Control: XML, by botocore's model of the service.

The model says what each element is, so that neither direction has a list of names of its own.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_AWS_S3_Control.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape
from ministack.services import s3

from localaws import constraints

SERVICE = "s3control"
_NAMESPACE = "https://awss3control.amazonaws.com/doc/2018-08-20/"

Values = dict[str, Any]


class Malformed(Exception):
    """A request is not as the model has it; the message says where."""


def operation(name: str) -> OperationModel:
    """The model of an operation."""
    return constraints.model_of(SERVICE).operation_model(name)


def input_of(name: str) -> StructureShape:
    """The parameters of an operation; each has at least the account."""
    shape = operation(name).input_shape
    assert shape is not None
    return shape


def parsed(name: str, body: bytes, given: Mapping[str, Any]) -> Values:
    """The parameters of a request.

    Args:
        name: The operation.
        body: The document, if the request has one.
        given: The parameters from its path, query and headers.

    Raises:
        Malformed: The body is no such document, a required member is missing, or a value is not allowed.
    """
    shape = input_of(name)
    try:
        values: Values = _read(shape, s3.fromstring(body)) if body.strip() else {}
    except (ElementTree.ParseError, ValueError) as error:
        raise Malformed(f"The XML you provided was not well-formed or did not validate: {error}") from None
    values.update(given)
    problems = [f"'{path}' is required" for path in _missing(shape, values, "")]
    problems += constraints.violations(SERVICE, name, values)
    if problems:
        raise Malformed(constraints.described(problems))
    return values


def _read(shape: Shape, element: ElementTree.Element) -> Any:
    children = list(_tagged(element))
    if isinstance(shape, StructureShape):
        found = dict(children)
        return {
            member: _read(inner, found[tag])
            for member, inner in shape.members.items()
            if (tag := inner.serialization.get("name", member)) in found
        }
    if isinstance(shape, ListShape):
        return [_read(shape.member, child) for _tag, child in children]
    if isinstance(shape, MapShape):
        entries = [dict(_tagged(child)) for _tag, child in children]
        return {entry["key"].text or "": entry["value"].text or "" for entry in entries}
    text = element.text or ""
    if shape.type_name in ("integer", "long"):
        return int(text)
    if shape.type_name == "boolean":
        return text == "true"
    if shape.type_name == "timestamp":
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return text


def _tagged(element: ElementTree.Element) -> Iterator[tuple[str, ElementTree.Element]]:
    for child in element:
        yield child.tag.rpartition("}")[2], child


def _missing(shape: Shape, value: Any, path: str) -> Iterator[str]:
    """The required members that are missing."""
    if isinstance(shape, ListShape):
        for number, one in enumerate(value, 1):
            yield from _missing(shape.member, one, f"{path}.{number}")
    elif isinstance(shape, StructureShape):
        for member, inner in shape.members.items():
            below = f"{path}.{member}".lstrip(".")
            if member in value:
                yield from _missing(inner, value[member], below)
            elif member in shape.required_members:
                yield below


def written(name: str, values: Mapping[str, Any]) -> bytes:
    """The document that answers an operation."""
    root = ElementTree.Element(f"{name}Result", xmlns=_NAMESPACE)
    if shape := operation(name).output_shape:
        _write(shape, root, values)
    document: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return document


def _write(shape: Shape, element: ElementTree.Element, value: Any) -> None:
    if isinstance(shape, StructureShape):
        for member, inner in shape.members.items():
            if value.get(member) is not None:
                tag = inner.serialization.get("name", member)
                _write(inner, ElementTree.SubElement(element, tag), value[member])
    elif isinstance(shape, ListShape):
        for one in value:
            tag = shape.member.serialization.get("name", "member")
            _write(shape.member, ElementTree.SubElement(element, tag), one)
    elif isinstance(shape, MapShape):
        for key, one in value.items():
            entry = ElementTree.SubElement(element, "entry")
            ElementTree.SubElement(entry, "key").text = key
            ElementTree.SubElement(entry, "value").text = one
    elif isinstance(value, datetime):
        element.text = value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    else:
        element.text = str(value).lower() if isinstance(value, bool) else str(value)
