class OvenError(Exception):
    pass


def handler(event, context):
    if event["flavour"] == "cold":
        raise OvenError("the oven is cold")
    return {"pineapple": event["flavour"] == "hawaii", "toppings": ["cheese", event["flavour"]]}
