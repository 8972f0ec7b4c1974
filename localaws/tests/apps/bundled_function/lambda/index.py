import inflection


def handler(event, context):
    return {"title": inflection.titleize(event["text"]), "from": inflection.__file__}
