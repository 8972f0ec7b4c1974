def drive(app):
    """A new version is shifted to."""
    assert app.invoke("AliasArn") == "one"
    app.deploy(context={"release": "two"})
    assert app.invoke("AliasArn") == "two"
    (deployment,) = app.client("codedeploy").list_deployments()["deployments"]
    found = app.client("codedeploy").get_deployment(deploymentId=deployment)["deploymentInfo"]
    assert (found["status"], found["deploymentConfigName"]) == (
        "Succeeded",
        "CodeDeployDefault.LambdaCanary10Percent5Minutes",
    )
