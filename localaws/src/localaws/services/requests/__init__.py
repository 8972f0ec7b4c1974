"""Requests that every service refuses."""
