"""A service that stores notes in DynamoDB, behind any of the fronts that send HTTP requests to a function."""
