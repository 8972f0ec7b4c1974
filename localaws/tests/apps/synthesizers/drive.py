def drive(app):
    """Every way of deployment works."""
    assert app.invoke("CredentialsName") == app.outputs["CredentialsName"]
    assert app.invoke("PrefixedName") == app.outputs["PrefixedName"]
    assert app.outputs["Url"] in app.client("sqs").list_queues()["QueueUrls"]
