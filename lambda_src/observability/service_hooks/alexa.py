"""Answers requests of an Alexa skill."""
