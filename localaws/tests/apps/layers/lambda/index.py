import common


def handler(event, context):
    return {"greeting": common.greet(event["name"]), "from": common.__file__}
