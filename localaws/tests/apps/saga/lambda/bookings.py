import json
import os

import boto3

table = boto3.resource("dynamodb").Table(os.environ.get("TABLE", "unused"))
kind = os.environ.get("KIND")


def book(event, context):
    if event.get("fail") == kind:
        raise RuntimeError(f"no {kind} for {event['trip']}")
    table.put_item(Item={"trip": event["trip"], "kind": kind})
    return {"booked": kind}


def cancel(event, context):
    table.delete_item(Key={"trip": event["trip"], "kind": kind})


def start(event, context):
    states = boto3.client("stepfunctions")
    started = states.start_execution(stateMachineArn=os.environ["MACHINE"], input=event["body"])
    return {"statusCode": 200, "body": json.dumps({"executionArn": started["executionArn"]})}
