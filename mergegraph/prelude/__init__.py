"""The methods users know, written in the language itself."""
