"""VPC origins: distributions reach internal load balancers, if their security groups admit CloudFront.

The emulator stores VPC origins that the API creates, has no such type in CloudFormation, and reaches every
load balancer as if it were on the internet.

Faithful to:
- `AWS::CloudFront::VpcOrigin`, with Ref and attributes. One that a distribution uses is neither changed nor
  deleted.
- The VPC needs an internet gateway. With its first VPC origin it gets the security group
  `CloudFront-VPCOrigins-Service-SG`, which is deleted with the last.
- Requests of a distribution come from that group, and from the prefix list
  `com.amazonaws.global.cloudfront.origin-facing`. 504 if no security group of the load balancer admits either
  of them, as after a connection that times out. An internet-facing load balancer without a VPC origin must
  admit the prefix list or all addresses.
- 502 for an internal load balancer without a VPC origin: its name leads to private addresses.

Not to: TLS between CloudFront and the load balancer, so only HTTP listeners answer; instances and Network
Load Balancers as VPC origins, which answer 502; origins of other accounts; the text for a VPC without an
internet gateway; the time that a deployment takes.

https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-vpc-origins.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-cloudfront-vpcorigin.html
https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/http-504-gateway-timeout.html
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from ministack.core.responses import request_scope
from ministack.services import alb, cloudfront, ec2

from localaws.patching import Created, Properties, around, new_resource
from localaws.services.ec2.admission import Side, may_connect
from localaws.services.ec2.networks import call

Record = dict[str, Any]

SERVICE_GROUP = "CloudFront-VPCOrigins-Service-SG"
PREFIX_LIST = "com.amazonaws.global.cloudfront.origin-facing"


# --- Origins and their security group


def _place(endpoint: str) -> tuple[str, str]:
    """The account and the Region of an endpoint, which the stores of the emulator need."""
    _, _, _, region, account, *_ = endpoint.split(":")
    return account, region


def _vpc(endpoint: str) -> str:
    """The VPC of a load balancer or an instance, in the current scope."""
    found = alb._lbs.get(endpoint) or ec2._instances.get(endpoint.rpartition("/")[2]) or {}
    return str(found.get("VpcId", ""))


def _service_group(vpc: str) -> str | None:
    groups = ec2._security_groups.values()
    return next(
        (one["GroupId"] for one in groups if (one["GroupName"], one["VpcId"]) == (SERVICE_GROUP, vpc)), None
    )


@around(cloudfront, "_check_vpc_origin_endpoint_config")
def _check(stock: Callable[[Any], tuple[Any, Any]], fields: Any) -> tuple[Any, Any]:
    config, error = stock(fields)
    if error is not None:
        return config, error
    with request_scope(*_place(config["Arn"])):
        vpc = _vpc(config["Arn"])
        attached = {to["VpcId"] for one in ec2._internet_gateways.values() for to in one["Attachments"]}
        if vpc not in attached:
            text = f"The VPC {vpc} of the origin has no internet gateway."
            return None, cloudfront._error("InvalidArgument", text, 400)
    return config, None


@around(cloudfront, "_create_vpc_origin")
def _create(stock: Callable[[bytes], Any], body: bytes) -> Any:
    return _with_groups(stock(body))


@around(cloudfront, "_update_vpc_origin")
def _update(stock: Callable[..., Any], vo_id: str, headers: Any, body: bytes) -> Any:
    return _with_groups(stock(vo_id, headers, body))


def _with_groups(answer: Any) -> Any:
    for origin in cloudfront._vpc_origins.values():
        endpoint = origin["VpcOriginEndpointConfig"]["Arn"]
        with request_scope(*_place(endpoint)):
            vpc = _vpc(endpoint)
            if vpc and _service_group(vpc) is None:
                named = {"GroupName": SERVICE_GROUP, "GroupDescription": SERVICE_GROUP}
                call(ec2._create_security_group, {**named, "VpcId": vpc})
    return answer


@around(cloudfront, "_delete_vpc_origin")
def _delete(stock: Callable[..., Any], vo_id: str, headers: Any) -> Any:
    origin = cloudfront._vpc_origins.get(vo_id)
    answer = stock(vo_id, headers)
    if origin is not None and answer[0] == 202:
        endpoint = origin["VpcOriginEndpointConfig"]["Arn"]
        others = [one["VpcOriginEndpointConfig"]["Arn"] for one in cloudfront._vpc_origins.values()]
        with request_scope(*_place(endpoint)):
            group = _service_group(_vpc(endpoint))
            if group and _vpc(endpoint) not in map(_vpc, others):
                del ec2._security_groups[group]
    return answer


# --- CloudFormation

_handlers = new_resource("AWS::CloudFront::VpcOrigin", stack_tags=True)


def _config(root: Element, given: Properties) -> None:
    for name in ("Name", "Arn", "HTTPPort", "HTTPSPort", "OriginProtocolPolicy"):
        default = {"HTTPPort": 80, "HTTPSPort": 443, "OriginProtocolPolicy": "match-viewer"}.get(name, "")
        SubElement(root, name).text = str(given.get(name, default))
    if protocols := given.get("OriginSSLProtocols"):
        listed = SubElement(root, "OriginSslProtocols")
        SubElement(listed, "Quantity").text = str(len(protocols))
        items = SubElement(listed, "Items")
        for one in protocols:
            SubElement(items, "SslProtocol").text = one


def _answered(answer: Any) -> None:
    status, _headers, body = answer
    if status >= 400:
        root = cloudfront._parse_body(body)
        error = cloudfront._find(root, "Error")
        raise ValueError(f"{cloudfront._text(error, 'Code')}: {cloudfront._text(error, 'Message')}")


def _described(origin: Record) -> Created:
    names = ("Id", "Arn", "CreatedTime", "LastModifiedTime", "Status")
    return origin["Id"], {name: origin[name] for name in names}


@_handlers.create
def _create_origin(_logical_id: str, properties: Properties, _stack: str) -> Created:
    request = Element("CreateVpcOriginRequest")
    given = properties["VpcOriginEndpointConfig"]
    _config(SubElement(request, "VpcOriginEndpointConfig"), given)
    tags = SubElement(SubElement(request, "Tags"), "Items")
    for tag in properties.get("Tags") or []:
        element = SubElement(tags, "Tag")
        SubElement(element, "Key").text, SubElement(element, "Value").text = tag["Key"], tag["Value"]
    _answered(cloudfront._create_vpc_origin(tostring(request)))
    made = cloudfront._vpc_origins.values()
    return _described(next(one for one in made if one["VpcOriginEndpointConfig"]["Name"] == given["Name"]))


def _current(physical_id: str) -> dict[str, str]:
    return {"if-match": cloudfront._vpc_origin_etag(cloudfront._vpc_origins[physical_id]["Version"])}


@_handlers.update
def _update_origin(physical_id: str, _old: Properties, new: Properties, _stack: str) -> Created:
    request = Element("VpcOriginEndpointConfig")
    _config(request, new["VpcOriginEndpointConfig"])
    _answered(cloudfront._update_vpc_origin(physical_id, _current(physical_id), tostring(request)))
    origin = cloudfront._vpc_origins[physical_id]
    cloudfront._tags[origin["Arn"]] = [dict(tag) for tag in new.get("Tags") or []]
    return _described(origin)


@_handlers.delete
def _delete_origin(physical_id: str, _properties: Properties) -> None:
    if physical_id in cloudfront._vpc_origins:
        _answered(cloudfront._delete_vpc_origin(physical_id, _current(physical_id)))


# --- Requests of distributions


@around(cloudfront, "_dataplane_origin", after=["cloudfront.cache"])
def _dataplane_origin(stock: Callable[..., Record], origin_el: Any) -> Record:
    origin = stock(origin_el)
    config = cloudfront._find(origin_el, "VpcOriginConfig")
    vpc_origin = (
        cloudfront._vpc_origins.get(cloudfront._text(config, "VpcOriginId")) if config is not None else None
    )
    if vpc_origin is None:
        return origin
    endpoint = vpc_origin["VpcOriginEndpointConfig"]
    return {
        **origin,
        "endpoint": endpoint["Arn"],
        "http_port": endpoint["HTTPPort"],
        "https_port": endpoint["HTTPSPort"],
        "protocol_policy": endpoint["OriginProtocolPolicy"],
        "read_timeout": int(cloudfront._text(config, "OriginReadTimeout", "30")),
    }


@around(cloudfront, "_registered_alb")
def _registered_alb(stock: Callable[[Record], Any], origin: Record) -> Any:
    endpoint = origin.get("endpoint")
    if endpoint is None:
        return stock(origin)
    balancer = alb._lbs.get_scoped(*_place(endpoint), endpoint)
    if balancer is None or balancer.get("Type", "application") != "application":
        raise cloudfront.OriginUnreachable(f"{endpoint} is no Application Load Balancer")
    return balancer


@around(cloudfront, "_fetch_from_alb_origin")
async def _fetch_from_alb_origin(
    stock: Callable[..., Awaitable[Any]],
    lb: Record,
    origin: Record,
    method: str,
    uri: str,
    query_string: str,
    headers: dict[str, str],
    body: bytes,
    viewer_is_https: bool,
    client_ip: str,
    viewer_xff: str,
) -> Any:
    with request_scope(*_place(lb["LoadBalancerArn"])):
        _connect(lb, origin, viewer_is_https)
        return await stock(
            lb, origin, method, uri, query_string, headers, body, viewer_is_https, client_ip, viewer_xff
        )


def _connect(balancer: Record, origin: Record, viewer_is_https: bool) -> None:
    """Check that CloudFront reaches a load balancer.

    Raises:
        OriginUnreachable: Its name leads nowhere.
        OriginTimeout: Its security groups do not admit CloudFront.
    """
    private = "endpoint" in origin
    if balancer.get("Scheme") == "internal" and not private:
        raise cloudfront.OriginUnreachable(f"{balancer['DNSName']} has private addresses only")
    _host, port, _tls = cloudfront._origin_connect_target(origin, viewer_is_https)
    groups = [group] if private and (group := _service_group(balancer["VpcId"])) else []
    source = Side(groups=groups, prefix_list=PREFIX_LIST)
    if not may_connect(source, Side(groups=balancer.get("SecurityGroups") or ()), port):
        raise cloudfront.OriginTimeout(f"no security group of {balancer['DNSName']} admits CloudFront")
