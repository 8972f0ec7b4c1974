"""What DynamoDB refuses of tables, and of update and key condition expressions.

The emulator checks items and most of the requests itself.

Faithful to: at most 20 global and 5 local secondary indexes, 100 projected attributes together and 50 tags;
an index has capacity exactly if its table has; projections and streams are complete; a stream is enabled
once, and its view type stays; a section and a path
occur once in an update expression; a key condition compares the sort key with `=`, `<`, `<=`, `>`, `>=`,
BETWEEN or begins_with, and is joined with AND; a filter of a query has no key; an entry of a batch or
transaction is one operation.
Not to: the words about streams, projected attributes and tags.

https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateTable.html
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.UpdateExpressions.html
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Query.KeyConditionExpressions.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ministack.services import dynamodb

from localaws.refusals import Parameters, Refusal, refuses

_ABOUT = "One or more parameter values were invalid: "
_MOST_GLOBAL, _MOST_LOCAL, _MOST_PROJECTED, _MOST_TAGS = 20, 5, 100, 50
_SECTION = re.compile(r"(?<![\w#:.])(SET|REMOVE|ADD|DELETE)(?=\s)", re.IGNORECASE)
_FORBIDDEN_IN_KEYS = re.compile(
    r"<>|(?<![\w#:.])(OR|NOT|IN|contains|size|attribute_\w+)(?![\w#:.])", re.IGNORECASE
)
_NAME = re.compile(r"(?<![\w:#.-])[#A-Za-z_][\w#.-]*")


def _invalid(text: str) -> Refusal:
    return Refusal("ValidationException", text)


# --- Tables


@refuses("dynamodb", "CreateTable")
def _table(table: Parameters) -> Refusal | None:
    return next((_invalid(text) for text in _of_table(table)), None)


def _of_table(table: Parameters) -> Iterator[str]:
    for name, most in (("GlobalSecondaryIndex", _MOST_GLOBAL), ("LocalSecondaryIndex", _MOST_LOCAL)):
        indexes = table.get(f"{name}es")
        if indexes is not None and not indexes:
            yield f"{_ABOUT}List of {name}es is empty"
        if len(indexes or []) > most:
            yield f"{_ABOUT}{name} count exceeds the per-table limit of {most}"
    on_demand = table.get("BillingMode") == "PAY_PER_REQUEST"
    for index in table.get("GlobalSecondaryIndexes") or []:
        name, capacity = index.get("IndexName"), index.get("ProvisionedThroughput")
        if on_demand and capacity:
            about = "should not be specified for index"
            yield f"{_ABOUT}ProvisionedThroughput {about}: {name} when BillingMode is PAY_PER_REQUEST"
        if not on_demand and not capacity:
            yield f"{_ABOUT}ProvisionedThroughput must be specified for index: {name}"
    projected = 0
    for index in [*(table.get("GlobalSecondaryIndexes") or []), *(table.get("LocalSecondaryIndexes") or [])]:
        projection = index.get("Projection") or {}
        kind, attributes = projection.get("ProjectionType"), projection.get("NonKeyAttributes")
        projected += len(attributes or [])
        if kind is None:
            yield f"{_ABOUT}Unknown ProjectionType: null"
        elif kind != "INCLUDE" and attributes is not None:
            yield f"{_ABOUT}ProjectionType is {kind}, but NonKeyAttributes is specified"
        elif kind == "INCLUDE" and not attributes:
            yield f"{_ABOUT}ProjectionType is INCLUDE, but NonKeyAttributes is not specified"
    if projected > _MOST_PROJECTED:
        yield f"{_ABOUT}The indexes project {projected} attributes; the limit is {_MOST_PROJECTED}"
    stream = table.get("StreamSpecification") or {}
    if str(stream.get("StreamEnabled")).lower() == "true" and not stream.get("StreamViewType"):
        yield f"{_ABOUT}StreamViewType must be specified when StreamEnabled is true"
    if len(table.get("Tags") or []) > _MOST_TAGS:
        yield f"{_ABOUT}Too many tags: a table can have at most {_MOST_TAGS}"


@refuses("dynamodb", "UpdateTable")
def _stream(request: Parameters) -> Refusal | None:
    stream = request.get("StreamSpecification")
    table = dynamodb._tables.get(str(request.get("TableName")).rpartition("/")[2])
    if not stream or table is None:
        return None
    has_one = bool((table.get("StreamSpecification") or {}).get("StreamEnabled"))
    view, name = stream.get("StreamViewType"), table["TableName"]
    if stream.get("StreamEnabled"):
        if has_one:
            return _invalid(f"Table already has an enabled stream: TableName: {name}")
        if not view:
            return _invalid(f"{_ABOUT}StreamViewType must be specified when StreamEnabled is true")
    elif not has_one:
        return _invalid(f"Table has no stream that could be disabled: TableName: {name}")
    elif view:
        return _invalid(f"{_ABOUT}StreamViewType must not be specified when StreamEnabled is false")
    return None


# --- Expressions


@refuses("dynamodb", "UpdateItem")
def _update(request: Parameters) -> Refusal | None:
    return _of_update(request)


@refuses("dynamodb", "TransactWriteItems")
def _transaction(request: Parameters) -> Refusal | None:
    for item in request.get("TransactItems") or []:
        given = [name for name in ("Put", "Update", "Delete", "ConditionCheck") if item.get(name)]
        if len(given) > 1:
            text = "TransactItems can only contain one of Check, Put, Update or Delete"
            return _invalid(text)
        if given == ["ConditionCheck"] and not item["ConditionCheck"].get("ConditionExpression"):
            return _invalid("The expression can not be empty;")
        if given == ["Update"] and (found := _of_update(item["Update"])):
            return found
    return None


@refuses("dynamodb", "BatchWriteItem")
def _batch(request: Parameters) -> Refusal | None:
    for entry in (one for entries in (request.get("RequestItems") or {}).values() for one in entries):
        if entry.get("PutRequest") and entry.get("DeleteRequest"):
            text = "Supplied AttributeValue has more than one datatypes set, must contain exactly one"
            return _invalid(f"{text} of the supported datatypes: PutRequest, DeleteRequest")
    return None


def _of_update(request: Parameters) -> Refusal | None:
    expression = request.get("UpdateExpression")
    if not isinstance(expression, str):
        return None
    names: Mapping[str, str] = request.get("ExpressionAttributeNames") or {}
    sections = _SECTION.split(expression)
    seen: set[str] = set()
    paths: list[str] = []
    for keyword, body in zip(sections[1::2], sections[2::2], strict=True):
        keyword = keyword.upper()
        if keyword in seen:
            text = f'The "{keyword}" section can only be used once in an update expression;'
            return _invalid(f"Invalid UpdateExpression: {text}")
        seen.add(keyword)
        for action in _split(body):
            if keyword == "SET" and "=" not in action:
                token = (action.split() or ["<EOF>"])[-1]
                text = f'Syntax error; token: "<EOF>", near: "{token}"'
                return _invalid(f"Invalid UpdateExpression: {text}")
            path = action.partition("=")[0] if keyword == "SET" else (action.split() or [""])[0]
            paths.append(".".join(names.get(part, part) for part in path.strip().split(".")))
    twice = next((path for path in paths if paths.count(path) > 1), None)
    if twice is None:
        return None
    both = f"path one: [{twice}], path two: [{twice}]"
    text = "Two document paths overlap with each other; must remove or rewrite one of these paths;"
    return _invalid(f"Invalid UpdateExpression: {text} {both}")


def _split(body: str) -> list[str]:
    """The actions of a section, between commas that are in no function."""
    parts, depth = [""], 0
    for letter in body:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


@refuses("dynamodb", "Query")
def _query(request: Parameters) -> Refusal | None:
    names: Mapping[str, str] = request.get("ExpressionAttributeNames") or {}
    found = _FORBIDDEN_IN_KEYS.search(str(request.get("KeyConditionExpression") or ""))
    if found:
        operator = found[0]
        return _invalid(
            f"Invalid KeyConditionExpression: Invalid operator used in KeyConditionExpression: {operator}"
        )
    schema = _key_schema(request)
    keys = {str(key["AttributeName"]) for key in schema}
    for name in _NAME.findall(str(request.get("FilterExpression") or "")):
        if name.startswith("#"):
            name = names.get(name, name)
        if name in keys:
            text = "Filter Expression can only contain non-primary key attributes: Primary key attribute:"
            return _invalid(f"{text} {name}")
    return None


def _key_schema(request: Parameters) -> list[dict[str, Any]]:
    """The keys of the table or index that is queried."""
    name = str(request.get("TableName")).rpartition("/")[2]
    table = dynamodb._tables.get(name) or {}
    wanted = request.get("IndexName")
    if not wanted:
        found: list[dict[str, Any]] = table.get("KeySchema") or []
        return found
    indexes = [*(table.get("GlobalSecondaryIndexes") or []), *(table.get("LocalSecondaryIndexes") or [])]
    return next((index["KeySchema"] for index in indexes if index["IndexName"] == wanted), [])
