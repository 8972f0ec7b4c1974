"""The provider of `code-signing`: a custom resource that signs code while a stack is deployed."""
