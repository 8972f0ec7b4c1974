"""CloudFormation custom resource → answering function → your function."""
