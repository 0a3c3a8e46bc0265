"""Tell whether a test can have loops compiled."""

import shutil

from mergegraph.execute.library import COMPILERS


def compiles() -> bool:
    """Tell whether there is a compiler; that a merge says so where there is none is shown apart."""
    return any(map(shutil.which, COMPILERS))
