"""Recipes written in Python: what `import mergegraph` gives."""
