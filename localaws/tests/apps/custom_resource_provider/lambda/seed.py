import boto3


def on_event(event, context):
    properties = event["ResourceProperties"]
    table = boto3.resource("dynamodb").Table(properties["TableName"])
    items = {} if event["RequestType"] == "Delete" else properties["Items"]
    old = event.get("OldResourceProperties", properties)["Items"]
    for id in set(old) - set(items):
        table.delete_item(Key={"id": id})
    for id, value in items.items():
        table.put_item(Item={"id": id, "value": value})
    physical_id = event.get("PhysicalResourceId", "seed-of-" + properties["TableName"])
    return {"PhysicalResourceId": physical_id, "Data": {"Count": len(items)}}
