"""Compute tiles: with torch (`tables`) or in C (`native`). What both need is in modules that load no torch."""
