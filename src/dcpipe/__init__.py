"""dcpipe: dataset distillation as a workflow."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 (a checkout can be run by any Python, which pip would have refused)
    sys.stderr.write(f"dcpipe: needs Python 3.11 or newer; this is {sys.version.split()[0]}: {sys.executable}\n")
    sys.exit(2)

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dcpipe.api.comparing import compare
    from dcpipe.api.distilled_set import DistilledSet
    from dcpipe.api.distilling import distill
    from dcpipe.api.loading import load
    from dcpipe.api.reading import from_tensors
    from dcpipe.api.scoring import evaluate

__version__ = "0.1.0"
__all__ = ["DistilledSet", "__version__", "compare", "distill", "evaluate", "from_tensors", "load"]

_PLACES = {  # the modules of dcpipe.api
    "DistilledSet": "distilled_set",
    "compare": "comparing",
    "distill": "distilling",
    "evaluate": "scoring",
    "from_tensors": "reading",
    "load": "loading",
}


def __getattr__(name: str) -> object:
    """What the library offers, imported when it is first asked for: a command that needs no torch loads none."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(f"{__name__}.api.{_PLACES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """All that is public."""
    return sorted(__all__)
