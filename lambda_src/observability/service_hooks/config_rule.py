"""Evaluates resources for an AWS Config rule."""
