"""Vocabularies: which token has which row in which model, and what the output has."""
