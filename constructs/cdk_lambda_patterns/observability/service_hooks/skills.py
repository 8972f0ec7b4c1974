"""Lex and Alexa → Lambda."""
