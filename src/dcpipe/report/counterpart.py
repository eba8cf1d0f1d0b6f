"""Which of the papers' datasets a dataset is, whatever its name: the one with the same images, all of them."""

from dcpipe.errors import UserError
from dcpipe.params.library import ParamsLibrary
from dcpipe.params.strict_yaml import Value
from dcpipe.report.published import paper_datasets


def papers_dataset(library: ParamsLibrary, dataset: str) -> str:
    """The name under which papers' numbers stand: that of the shipped dataset with the same source and split.

    Standardisation, whitening and network may be others. A dataset without a counterpart keeps its name, for which
    nothing is printed.
    """
    if dataset in paper_datasets():
        return dataset
    shipped = ParamsLibrary(library.root)  # which files the own library has read is asked elsewhere
    own = _image_params(library, dataset)
    return next((name for name in sorted(paper_datasets()) if _image_params(shipped, name) == own), dataset)


def _image_params(library: ParamsLibrary, dataset: str) -> dict[str, Value] | None:
    """The params that say which images a dataset has; None if there is no such dataset here."""
    try:
        leaves = library.dataset(dataset)[0].leaves
    except UserError:
        return None
    stated = [key for key in leaves if key.startswith(("source.", "split."))]
    return {key: leaves[key].value for key in stated if key not in {"source.digest", "split.seed"}}
