"""REST API with a Cognito authorizer → a service that stores the notes of each user in DynamoDB."""
