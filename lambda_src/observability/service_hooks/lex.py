"""Fulfils intents of a Lex bot."""
