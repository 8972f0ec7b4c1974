def main(event, context):
    print("ran", event.get("job", "nightly"))
