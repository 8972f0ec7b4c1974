import os

import boto3

table = boto3.resource("dynamodb").Table(os.environ["TABLE"])
kind = os.environ["KIND"]


def book(event, context):
    if event.get("fail") == kind:
        raise RuntimeError(f"no {kind} for {event['trip']}")
    table.put_item(Item={"trip": event["trip"], "kind": kind})
    return {"booked": kind}


def cancel(event, context):
    table.delete_item(Key={"trip": event["trip"], "kind": kind})
