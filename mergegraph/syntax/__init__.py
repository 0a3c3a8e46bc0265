"""Parse recipe text into the Syntax."""
