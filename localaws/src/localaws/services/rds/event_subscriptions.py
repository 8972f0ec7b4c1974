"""Event subscriptions: which events of RDS are published to which topic.

    CreateEventSubscription, AWS::RDS::EventSubscription -> policy of the topic asked -> first message

Faithful to: what AWS refuses of a subscription, with its error codes: a name that exists or is too long, more
than 20 in a Region, an unknown source type or category, sources without a source type, a source that is blank
or does not exist (of what is not emulated, none does), a topic that is FIFO or does not exist, and one whose
policy does not allow `events.rds.amazonaws.com`, as SNS's default policy does. Sources are stored in lower
case. The first message is no JSON: it says that RDS will attempt to send notifications. The status becomes
`no-permission` or `topic-not-exist` when that is found at an event, and `active` again. `Ref` is the name.
Another topic replaces the resource.
Not to: `aws:SourceArn` when the subscription is made: AWS does not document it, so any ARN of this
account that the policy names passes, and each event asks for its own (see `rds.events`). The key policy of an
encrypted topic is not evaluated. The statuses `creating`, `modifying` and `deleting` are over at once. The
messages of errors are our own.

https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateEventSubscription.html
https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_EventSubscription.html
https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_Events.GrantingPermissions.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-rds-eventsubscription.html
https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/CHAP_Limits.html
"""

from __future__ import annotations

import itertools
import json
import re
import time
from typing import Any

from ministack.core.responses import AccountRegionScopedDict, get_account_id, get_region
from ministack.services import rds, sns
from ministack.services.cloudformation import provisioners

from localaws.patching import Created, Properties, new_action, new_resource, on_reset
from localaws.refusals import Parameters, Refusal, refuses
from localaws.services.iam.invocations import in_account_of, service_may_deliver
from localaws.services.rds.event_categories import CATEGORIES, unknown_source_type

Record = dict[str, Any]
Response = tuple[int, dict[str, str], bytes]

PRINCIPAL = "events.rds.amazonaws.com"
SUBJECT = "RDS Notification Message"
_TYPE = "AWS::RDS::EventSubscription"
_MOST, _LONGEST_NAME = 20, 254
# The stores of the sources that are emulated; of the other types, there is none.
_SOURCES = {
    "db-instance": rds._instances,
    "db-cluster": rds._clusters,
    "db-snapshot": rds._snapshots,
    "db-cluster-snapshot": rds._db_cluster_snapshots,
    "db-parameter-group": rds._param_groups,
    "db-proxy": rds._db_proxies,
}

#: The subscriptions of an account and Region, by name.
subscriptions: Any = AccountRegionScopedDict()

on_reset(subscriptions.clear)


class _Refused(Exception):
    """RDS refuses the request.

    Args:
        code: The code of the error.
        message: Its message.
        status: Its HTTP status.
    """

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.answer: Response = rds._error(code, rds._esc(message), status)


# --- Checks


def _checked(record: Record) -> Record:
    """Return a record with what RDS would store, or raise what it refuses."""
    source_type, ids = record["SourceType"], record["SourceIdsList"]
    if source_type and source_type not in CATEGORIES:
        raise _Refused("InvalidParameterValue", unknown_source_type(source_type))
    if ids and not source_type:
        raise _Refused("InvalidParameterCombination", "SourceIds needs SourceType.")
    allowed = CATEGORIES[source_type] if source_type else itertools.chain(*CATEGORIES.values())
    known = set(allowed)
    for category in record["EventCategoriesList"]:
        if category not in known and source_type != "zero-etl":
            text = f"The event category {category} does not exist for {source_type or 'any source type'}."
            raise _Refused("SubscriptionCategoryNotFound", text, 404)
    record["SourceIdsList"] = [_stored(source_type, source) for source in ids]
    return record


def _stored(source_type: str, source: str) -> str:
    """Return an identifier as it is stored: RDS asks for no more of proxies than what CreateDBProxy says."""
    name = source if source_type == "db-proxy" else source.lower()
    if name not in _SOURCES.get(source_type, ()):
        raise _Refused("SourceNotFound", f"The source {source} of type {source_type} was not found.", 404)
    return name


@refuses("rds", "CreateEventSubscription", "AddSourceIdentifierToSubscription")
def _blank(parameters: Parameters) -> Refusal | None:
    given = [*(parameters.get("SourceIds") or ()), parameters.get("SourceIdentifier", "given")]
    if all(given):
        return None
    return Refusal("InvalidParameterValue", "A source identifier must begin with a letter; one is blank.")


def _check_topic(topic: str) -> None:
    service, region = [*topic.split(":"), *[""] * 4][2:4]
    if service != "sns" or region != get_region() or topic.endswith(".fifo"):
        text = f"The topic {topic} is not the ARN of a standard topic in this Region."
        raise _Refused("SNSInvalidTopic", text)
    if not topic_exists(topic):
        raise _Refused("SNSTopicArnNotFound", f"The topic {topic} does not exist.", 404)
    if not any(may_publish(topic, arn) for arn in (_arn("es", "*"), *_sources_in_policy(topic))):
        raise _Refused("SNSNoAuthorization", f"RDS is not authorized to publish to the topic {topic}.")


def topic_exists(topic: str) -> bool:
    """Whether a topic exists, also one of another account."""
    with in_account_of(topic):
        return sns._topic_by_arn_any_scope(topic) is not None


def may_publish(topic: str, source_arn: str) -> bool:
    """Whether the policy of a topic lets RDS publish for a resource of this account."""
    account = get_account_id()
    return service_may_deliver(topic, PRINCIPAL, source_arn, account, owner=account)


def _sources_in_policy(topic: str) -> list[str]:
    with in_account_of(topic):
        policy = sns._topic_by_arn_any_scope(topic)["attributes"].get("Policy") or ""
    return re.findall(rf'"(arn:[^":]*:rds:[^":]*:(?:{get_account_id()}|\*):[^"]*)"', policy)


def _arn(kind: str, name: str) -> str:
    return f"arn:aws:rds:{get_region()}:{get_account_id()}:{kind}:{name}"


def publish(topic: str, message: str, attributes: Properties | None = None) -> None:
    """Publish as RDS does."""
    typed = {name: {"DataType": "String", "StringValue": value} for name, value in (attributes or {}).items()}
    with in_account_of(topic):
        sns.publish_internal(topic, message, SUBJECT, message_attributes=typed)


# --- The API


def _create(p: Properties) -> Response:
    name, topic = rds._p(p, "SubscriptionName"), rds._p(p, "SnsTopicArn")
    if not 0 < len(name) <= _LONGEST_NAME:
        text = f"The parameter SubscriptionName must have 1 to {_LONGEST_NAME} characters."
        raise _Refused("InvalidParameterValue", text)
    if name in subscriptions:
        raise _Refused("SubscriptionAlreadyExist", f"The subscription {name} already exists.")
    if len(subscriptions) >= _MOST:
        raise _Refused("EventSubscriptionQuotaExceeded", f"There are {_MOST} event subscriptions.")
    record = _checked(
        {
            "CustomerAwsId": get_account_id(),
            "CustSubscriptionId": name,
            "SnsTopicArn": topic,
            "Status": "active",
            "SubscriptionCreationTime": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()),
            "SourceType": rds._p(p, "SourceType"),
            "SourceIdsList": rds._parse_member_list(p, "SourceIds"),
            "EventCategoriesList": rds._parse_member_list(p, "EventCategories"),
            "Enabled": rds._p(p, "Enabled", "true") == "true",
            "EventSubscriptionArn": _arn("es", name),
        }
    )
    _check_topic(topic)
    subscriptions[name] = record
    if tags := rds._parse_tags(p):
        rds._tags[record["EventSubscriptionArn"]] = tags
    _announce(record)
    return _answer("CreateEventSubscription", record)


def _announce(record: Record) -> None:
    kind = record["SourceType"] or "all"
    publish(
        record["SnsTopicArn"],
        "This is a message to notify that RDS will attempt to send you event notifications of type "
        f"{kind} to the topic {record['SnsTopicArn']}.",
    )


def _modify(p: Properties) -> Response:
    record = _found(p)
    changed = dict(record)
    for name in ("SnsTopicArn", "SourceType"):
        changed[name] = rds._p(p, name) or record[name]
    changed["EventCategoriesList"] = (
        rds._parse_member_list(p, "EventCategories") or record["EventCategoriesList"]
    )
    changed["Enabled"] = rds._p(p, "Enabled", json.dumps(record["Enabled"])) == "true"
    _checked(changed)
    if changed["SnsTopicArn"] != record["SnsTopicArn"]:
        _check_topic(changed["SnsTopicArn"])
        _announce(changed)
        changed["Status"] = "active"
    record.update(changed)
    return _answer("ModifyEventSubscription", record)


def _delete(p: Properties) -> Response:
    record = _found(p)
    del subscriptions[record["CustSubscriptionId"]]
    rds._tags.pop(record["EventSubscriptionArn"], None)
    return _answer("DeleteEventSubscription", record | {"Status": "deleting"})


def _add_source(p: Properties) -> Response:
    record, source = _found(p), rds._p(p, "SourceIdentifier")
    (source,) = _checked(record | {"SourceIdsList": [source]})["SourceIdsList"]
    if source not in record["SourceIdsList"]:
        record["SourceIdsList"] = [*record["SourceIdsList"], source]
    return _answer("AddSourceIdentifierToSubscription", record)


def _remove_source(p: Properties) -> Response:
    record, source = _found(p), rds._p(p, "SourceIdentifier")
    source = source if record["SourceType"] == "db-proxy" else source.lower()
    if source not in record["SourceIdsList"]:
        raise _Refused("SourceNotFound", f"The subscription has no source {source}.", 404)
    record["SourceIdsList"] = [one for one in record["SourceIdsList"] if one != source]
    return _answer("RemoveSourceIdentifierFromSubscription", record)


def _describe(p: Properties) -> Response:
    every = [_found(p)] if rds._p(p, "SubscriptionName") else sorted(subscriptions.values(), key=_name)
    limit, marker = int(rds._p(p, "MaxRecords") or 100), rds._p(p, "Marker")
    if not 20 <= limit <= 100:
        text = f"Invalid value {limit} for MaxRecords. Must be between 20 and 100"
        raise _Refused("InvalidParameterValue", text)
    page = [one for one in every if _name(one) > marker][:limit]
    more = f"<Marker>{_name(page[-1])}</Marker>" if page and page[-1] is not every[-1] else ""
    listed = f"<EventSubscriptionsList>{''.join(map(_xml, page))}</EventSubscriptionsList>"
    name = "DescribeEventSubscriptions"
    answer: Response = rds._xml(200, f"{name}Response", f"<{name}Result>{listed}{more}</{name}Result>")
    return answer


def _name(record: Record) -> str:
    return str(record["CustSubscriptionId"])


def _found(p: Properties) -> Record:
    name = rds._p(p, "SubscriptionName")
    record: Record | None = subscriptions.get(name)
    if record is None:
        raise _Refused("SubscriptionNotFound", f"The subscription {name} does not exist.", 404)
    return record


def _answer(action: str, record: Record) -> Response:
    result: Response = rds._xml(200, f"{action}Response", f"<{action}Result>{_xml(record)}</{action}Result>")
    return result


def _xml(record: Record) -> str:
    def written(name: str, value: Any) -> str:
        if isinstance(value, list):
            member = {"SourceIdsList": "SourceId", "EventCategoriesList": "EventCategory"}[name]
            text = "".join(f"<{member}>{rds._esc(one)}</{member}>" for one in value)
        else:
            text = json.dumps(value) if isinstance(value, bool) else rds._esc(value)
        return f"<{name}>{text}</{name}>" if value != "" else ""

    return "<EventSubscription>" + "".join(map(written, record, record.values())) + "</EventSubscription>"


def _declare(name: str, function: Any) -> None:
    @new_action(rds, name)
    def act(p: Properties) -> Response:
        try:
            answer: Response = function(p)
        except _Refused as refused:
            return refused.answer
        return answer


_declare("CreateEventSubscription", _create)
_declare("ModifyEventSubscription", _modify)
_declare("DeleteEventSubscription", _delete)
_declare("AddSourceIdentifierToSubscription", _add_source)
_declare("RemoveSourceIdentifierFromSubscription", _remove_source)
_declare("DescribeEventSubscriptions", _describe)


# --- CloudFormation


_resource = new_resource(_TYPE, replaced_by=("SubscriptionName", "SnsTopicArn"), stack_tags=True)


@_resource.create
def _create_resource(logical_id: str, properties: Properties, stack: str) -> Created:
    name = properties.get("SubscriptionName") or provisioners._physical_name(
        stack, logical_id, max_len=_LONGEST_NAME
    )
    names = ("SnsTopicArn", "SourceType", "SourceIds", "EventCategories", "Enabled")
    request = {given: properties.get(given) for given in names}
    _call(_create, {**request, "SubscriptionName": name}, "create")
    _tag(name, properties, {})
    return name, {}


@_resource.update
def _update_resource(physical_id: str, old: Properties, new: Properties, _stack: str) -> Created:
    record = subscriptions[physical_id]
    changed = {
        "SourceType": new.get("SourceType") or "",
        "SourceIdsList": list(new.get("SourceIds") or []),
        "EventCategoriesList": list(new.get("EventCategories") or []),
        "Enabled": str(new.get("Enabled", True)).lower() == "true",
    }
    _call(lambda _p: changed.update(_checked({**record, **changed})), {}, "update")
    record.update(changed)
    _tag(physical_id, new, old)
    return physical_id, {}


@_resource.delete
def _delete_resource(physical_id: str, _properties: Properties) -> None:
    if physical_id in subscriptions:
        _call(_delete, {"SubscriptionName": physical_id}, "delete")


def _call(action: Any, request: Properties, verb: str) -> None:
    try:
        action(provisioners._ec_query(request))
    except _Refused as refused:
        raise ValueError(f"{_TYPE} {verb} failed: {refused}") from None


def _tag(name: str, new: Properties, old: Properties) -> None:
    provisioners._rds_sync_tags(subscriptions[name]["EventSubscriptionArn"], old, new, _TYPE)
