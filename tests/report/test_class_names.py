"""Names of classes: as many as the dataset has, in the order of the labels, or none."""

import repository
from dcpipe.params.library import ParamsLibrary
from dcpipe.params.params_files import available_names
from dcpipe.report.class_names import class_names, published_names
from dcpipe.workflow.graph import Graph

DIGITS = {"digits", "mnist", "svhn"}  # their labels are their names
BY_CARD = {"folder"}
UNNAMED = {"tiny-imagenet", "imagenet-1k"}  # known by wnids alone


def test_every_published_dataset_has_a_name_for_each_class_or_none() -> None:
    library = ParamsLibrary(repository.ROOT)
    for name in available_names(repository.ROOT, "datasets"):
        dataset = library.dataset(name)[1]
        names, kind = published_names(dataset), dataset.source.kind
        is_named = kind not in DIGITS | BY_CARD and not {name, kind} & UNNAMED
        assert len(names) == (dataset.facts.classes if is_named else 0), name
        assert len(set(names)) == len(names)


def test_places_in_the_list_are_the_publishers() -> None:
    library = ParamsLibrary(repository.ROOT)
    cifar10, cifar100, meow = (published_names(library.dataset(n)[1]) for n in ("cifar10-zca", "cifar100", "imagemeow"))
    assert (cifar10[2], cifar10[7]) == ("bird", "horse")
    assert list(cifar100) == sorted(cifar100)
    assert (meow[0], meow[5], meow[9]) == ("tabby", "lion", "lynx")


def test_a_card_goes_before_the_table() -> None:
    job = Graph(repository.ROOT).make_job("data", dataset="cifar10")
    assert class_names(job, {"facts": {"classes": ["robin", "wren"]}}) == ("robin", "wren")
    assert class_names(job, {"facts": {}})[0] == class_names(job, None)[0] == "airplane"
