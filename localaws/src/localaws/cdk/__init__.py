"""CDK apps on the embedded AWS: the CDK CLI, the app in its forms, and what was deployed."""
