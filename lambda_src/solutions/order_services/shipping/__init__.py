"""Shipping: one shipment for each order."""
