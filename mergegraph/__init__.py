"""MergeGraph: a compiler for model merges."""

__version__ = "0.1.0"
