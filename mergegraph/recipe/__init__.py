"""Resolve the Syntax into the Recipe graph: names bound, types checked, methods expanded."""
