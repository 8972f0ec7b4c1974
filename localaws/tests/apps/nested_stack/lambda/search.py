import os

import boto3
from boto3.dynamodb.conditions import Key

table = boto3.resource("dynamodb").Table(os.environ["TABLE"])


def handler(event, context):
    found = table.query(IndexName="by-topic", KeyConditionExpression=Key("topic").eq(event["topic"]))
    return sorted(item["owner"] for item in found["Items"])
