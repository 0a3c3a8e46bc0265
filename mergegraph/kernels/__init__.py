"""Compute tiles with torch."""
