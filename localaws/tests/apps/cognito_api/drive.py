def drive(app):
    """Only a user who signed in may call."""
    cognito, client = app.client("cognito-idp"), app.outputs["ClientId"]
    login = {"USERNAME": "ada@example.com", "PASSWORD": "Correct0Horse0"}
    cognito.sign_up(ClientId=client, Username=login["USERNAME"], Password=login["PASSWORD"])
    cognito.confirm_sign_up(ClientId=client, Username=login["USERNAME"], ConfirmationCode="123456")
    started = cognito.initiate_auth(ClientId=client, AuthFlow="USER_PASSWORD_AUTH", AuthParameters=login)
    token = started["AuthenticationResult"]["IdToken"]
    rest = next(value for key, value in app.outputs.items() if key.startswith("RestEndpoint"))
    assert app.request("GET", f"{rest}me").status == 401
    assert app.request("GET", f"{rest}me", headers={"Authorization": token}).json() == {
        "email": "ada@example.com"
    }
    bearer = {"Authorization": f"Bearer {token}"}
    assert app.request("GET", f"{app.outputs['HttpUrl']}me").status == 401
    assert app.request("GET", f"{app.outputs['HttpUrl']}me", headers=bearer).json() == {
        "email": "ada@example.com"
    }
