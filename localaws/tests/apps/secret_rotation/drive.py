def drive(app):
    """The password is generated and rotated."""
    secrets, arn = app.client("secretsmanager"), app.outputs["SecretArn"]
    described = secrets.describe_secret(SecretId=arn)
    assert described["RotationEnabled"]
    assert described["RotationRules"]["ScheduleExpression"] == "rate(7 days)"
    before = app.invoke("ReaderName")
    assert before["username"] == "app"
    secrets.rotate_secret(SecretId=arn)
    app.wait_until(lambda: app.invoke("ReaderName")["password"] != before["password"])
    assert app.invoke("ReaderName")["username"] == "app"
