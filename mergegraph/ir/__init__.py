"""The graph both levels share: interned nodes and their types."""
