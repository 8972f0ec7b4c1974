"""Answers CloudFormation for a custom resource. Each of the other hooks has a module of its own."""
