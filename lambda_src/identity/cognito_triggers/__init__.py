"""The handlers of `cognito-triggers`: who may sign up, and what a user's profile and tokens contain."""
