"""AWS CodeDeploy for Lambda."""
