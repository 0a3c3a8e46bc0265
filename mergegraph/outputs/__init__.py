"""Decide what each output is: where it goes, what is in its files, what it depends on."""
