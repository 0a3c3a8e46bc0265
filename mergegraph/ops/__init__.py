"""Operations: one declaration a file. A file in this folder is found and registered by being there."""

from importlib import import_module
from pkgutil import iter_modules

from mergegraph.ops.declaration import OPS, Locality, Op, Parameter, op

for _module in sorted(found.name for found in iter_modules(__path__)):
    import_module(f"{__name__}.{_module}")

__all__ = ["OPS", "Locality", "Op", "Parameter", "op"]
