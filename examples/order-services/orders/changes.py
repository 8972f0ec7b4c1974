"""The stream of the orders: a new order starts its workflow, once: the id is the name of the execution."""

import json
import os
from contextlib import suppress

import boto3

client = boto3.client("stepfunctions")


def handler(event, context):
    for record in event["Records"]:
        if record["eventName"] == "INSERT":
            item = record["dynamodb"]["NewImage"]
            order = {"order": item["order"]["S"], "product": item["product"]["S"]}
            order["quantity"] = int(item["quantity"]["N"])
            with suppress(client.exceptions.ExecutionAlreadyExists):  # the record was delivered before
                client.start_execution(
                    stateMachineArn=os.environ["WORKFLOW"], name=order["order"], input=json.dumps(order)
                )
