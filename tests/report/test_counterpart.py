"""A dataset is one of the papers' by its images, not by its name."""

import repository
from dcpipe.params.library import ParamsLibrary
from dcpipe.params.params_files import InlineParams
from dcpipe.report.counterpart import papers_dataset
from dcpipe.report.published import find_published_numbers


def test_a_dataset_with_all_the_images_of_the_papers_has_their_name() -> None:
    """Of names that nobody listed the params tell."""
    library = ParamsLibrary(repository.ROOT)
    base = {"description": "Mine.", "base": "mnist"}
    others = {
        "my-mnist": base,
        "grey": {**base, "standardise": {"kind": "none"}, "split": {"seed": 7}},
        "pinned": {**base, "source": {"kind": "mnist", "digest": f"sha256:{0:064d}"}},
        "half": {**base, "split": {"train_per_class": 100}},
        "held-out": {**base, "split": {"validation_per_class": 10}},
        "woof": {"description": "Mine.", "base": "imagewoof"},
        "small-woof": {"description": "Mine.", "base": "imagewoof", "source": {"image_size": 64}},
    }
    own = ParamsLibrary(
        repository.ROOT, {"datasets": {name: InlineParams("mine.yaml", tree) for name, tree in others.items()}}
    )
    found = {name: papers_dataset(own, name) for name in others}
    mnist = dict.fromkeys(("my-mnist", "grey", "pinned"), "mnist")
    assert found == {**mnist, "half": "half", "held-out": "held-out", "woof": "imagewoof", "small-woof": "small-woof"}
    shipped = ("cifar10-zca", "cifar100-mtt", "tiny-imagenet-zca", "cifar10-small", "cifar10-jpeg", "digits", "tiny")
    assert [papers_dataset(library, name) for name in shipped] == list(shipped)
    assert {name for name in shipped if find_published_numbers(name, "random", 1)} == set(shipped[:3])
