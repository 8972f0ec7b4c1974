"""Events of load balancers as AWS documents them."""

from __future__ import annotations

from tests.handlers.records import TARGET_GROUP, Event

# https://docs.aws.amazon.com/lambda/latest/dg/services-alb.html
DOCUMENTED_FOR_LAMBDA: Event = {
    "requestContext": {"elb": {"targetGroupArn": TARGET_GROUP}},
    "httpMethod": "GET",
    "path": "/lambda",
    "queryStringParameters": {"query": "1234ABCD"},
    "headers": {
        "accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,image/apng,*/*;q=0.8",
        "accept-encoding": "gzip",
        "accept-language": "en-US,en;q=0.9",
        "connection": "keep-alive",
        "host": "lambda-alb-123578498.us-east-2.elb.amazonaws.com",
        "upgrade-insecure-requests": "1",
        "user-agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/71.0.3578.98",
        "x-amzn-trace-id": "Root=1-5c536348-3d683b8b04734faae651f476",
        "x-forwarded-for": "72.12.164.125",
        "x-forwarded-port": "80",
        "x-forwarded-proto": "http",
        "x-imforwards": "20",
    },
    "body": "",
    "isBase64Encoded": False,
}

# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html
DOCUMENTED_FOR_ELB: Event = {
    "requestContext": {"elb": {"targetGroupArn": TARGET_GROUP}},
    "httpMethod": "GET",
    "path": "/",
    "queryStringParameters": {"myKey": "val2"},
    "headers": {
        "accept": "text/html,application/xhtml+xml",
        "accept-language": "en-US,en;q=0.8",
        "content-type": "text/plain",
        "cookie": "name2=value2",
        "host": "lambda-846800462-us-east-2.elb.amazonaws.com",
        "user-agent": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_11_6)",
        "x-amzn-trace-id": "Root=1-5bdb40ca-556d8b0c50dc66f0511bf520",
        "x-forwarded-for": "72.21.198.66",
        "x-forwarded-port": "443",
        "x-forwarded-proto": "https",
    },
    "isBase64Encoded": False,
    "body": "request_body",
}
DOCUMENTED_MULTI_VALUE: Event = {
    "requestContext": {"elb": {"targetGroupArn": TARGET_GROUP}},
    "httpMethod": "GET",
    "path": "/",
    "multiValueQueryStringParameters": {"myKey": ["val1", "val2"]},
    "multiValueHeaders": {
        "cookie": ["name1=value1", "name2=value2"],
        "host": ["lambda-846800462-us-east-2.elb.amazonaws.com"],
        "x-amzn-trace-id": ["Root=1-5bdb40ca-556d8b0c50dc66f0511bf520"],
        "x-forwarded-for": ["72.21.198.66"],
        "x-forwarded-port": ["443"],
        "x-forwarded-proto": ["https"],
    },
    "isBase64Encoded": False,
    "body": "",
}
DOCUMENTED_HEALTH_CHECK: Event = {
    "requestContext": {"elb": {"targetGroupArn": TARGET_GROUP}},
    "httpMethod": "GET",
    "path": "/",
    "queryStringParameters": {},
    "headers": {"user-agent": "ELB-HealthChecker/2.0"},
    "body": "",
    "isBase64Encoded": False,
}
DOCUMENTED = {
    "the Lambda guide's": DOCUMENTED_FOR_LAMBDA,
    "the ELB guide's": DOCUMENTED_FOR_ELB,
    "the ELB guide's with multi-value headers": DOCUMENTED_MULTI_VALUE,
    "the ELB guide's health check": DOCUMENTED_HEALTH_CHECK,
}
