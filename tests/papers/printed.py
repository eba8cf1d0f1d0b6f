"""What the papers and their public code say of each printed row, typed by hand from them and from nothing here.

Nothing in this file is read from params/ or from the package. Sources, by the names that the tables below give:

MTT      arXiv:2203.11932, its authors' commands in the readme of dc_benchmark's methods/tm
FTD 7    arXiv:2211.11004, table 7 (docs/parameters.png of its public code)
MCT      arXiv:2406.19827, "Implementation Details", the paragraph on M, and table 3
SATM 11  the SATM paper, table 11, and "Truncated Step Study" for its 10,000 iterations
DC, DM   arXiv:2006.05929 and 2110.04181, the settings of their public code
GM       arXiv:2208.00311, sections 4.1 to 4.4 and footnote 5
"""

from typing import NamedTuple

C10, C100, TINY = "cifar10", "cifar100", "tiny-imagenet"
Cell = tuple[str, int]


class Students(NamedTuple):
    """One line of a table of trajectory matching; `variant` is the dataset as that line prepares it."""

    variant: str
    inner_steps: int  # N, syn_steps
    span: int  # M, expert_epochs
    starts: int  # max_start_epoch
    batch: int | None  # batch_syn; None: the whole set
    image_rate: float  # lr_img
    step_rate: float  # lr_lr
    step_size: float  # lr_teacher


MTT: dict[Cell, Students] = {
    (C10, 1): Students("cifar10-zca", 50, 2, 2, None, 100, 1e-7, 0.01),
    (C10, 10): Students("cifar10-zca", 30, 2, 20, None, 100, 1e-5, 0.001),
    (C10, 50): Students("cifar10", 30, 2, 40, None, 1000, 1e-5, 0.001),
    (C100, 1): Students("cifar100-zca", 20, 3, 20, None, 1000, 1e-5, 0.01),
    (C100, 10): Students("cifar100-mtt", 20, 2, 20, None, 1000, 1e-5, 0.01),
    (C100, 50): Students("cifar100-zca", 80, 2, 40, 125, 1000, 1e-5, 0.01),
    (TINY, 1): Students("tiny-imagenet", 10, 2, 10, None, 10000, 1e-4, 0.01),
    (TINY, 10): Students("tiny-imagenet", 20, 2, 40, 200, 10000, 1e-4, 0.01),
    (TINY, 50): Students("tiny-imagenet", 20, 2, 40, 300, 10000, 1e-4, 0.01),
}

FTD: dict[Cell, Students] = {
    (C10, 1): Students("cifar10-zca", 50, 2, 2, None, 100, 1e-7, 0.01),
    (C10, 10): Students("cifar10-zca", 30, 2, 20, None, 100, 1e-5, 0.001),
    (C10, 50): Students("cifar10-zca", 30, 2, 40, None, 1000, 1e-5, 0.01),
    (C100, 1): Students("cifar100-zca", 40, 3, 20, None, 1000, 1e-5, 0.01),
    (C100, 10): Students("cifar100-zca", 20, 2, 40, None, 1000, 1e-5, 0.01),
    (C100, 50): Students("cifar100-zca", 80, 2, 40, 1000, 1000, 1e-5, 0.01),
    (TINY, 1): Students("tiny-imagenet", 30, 2, 10, None, 10000, 1e-4, 0.01),
    (TINY, 10): Students("tiny-imagenet", 20, 2, 40, 500, 10000, 1e-4, 0.01),
}

FTD_ALPHA: dict[Cell, float] = {  # table 7, alpha; the radius is 0.01 everywhere
    (C10, 1): 0.3,
    (C10, 10): 0.3,
    (C10, 50): 1.0,
    (C100, 1): 1.0,
    (C100, 10): 1.0,
    (C100, 50): 1.0,
    (TINY, 1): 1.0,
    (TINY, 10): 1.0,
}

FTD_DECAY: dict[Cell, float] = {  # table 7, the decay of the average of images
    (C10, 1): 0.9999,
    (C10, 10): 0.9995,
    (C10, 50): 0.999,
    (C100, 1): 0.9995,
    (C100, 10): 0.9995,
    (C100, 50): 0.999,
    (TINY, 1): 0.999,
    (TINY, 10): 0.999,
}

# N is 50 and M is 5, 6, 6 on CIFAR-10 (the cells of table 3 that are table 1's); all else is MTT's, whitened everywhere
MCT: dict[Cell, Students] = {
    (C10, 1): Students("cifar10-zca", 50, 5, 2, None, 100, 1e-7, 0.01),
    (C10, 10): Students("cifar10-zca", 50, 6, 20, None, 100, 1e-5, 0.001),
    (C10, 50): Students("cifar10-zca", 50, 6, 40, None, 1000, 1e-5, 0.001),
    (C100, 1): Students("cifar100-zca", 20, 3, 20, None, 1000, 1e-5, 0.01),
    (C100, 10): Students("cifar100-zca", 20, 2, 20, None, 1000, 1e-5, 0.01),
    (C100, 50): Students("cifar100-zca", 80, 2, 40, 125, 1000, 1e-5, 0.01),
    (TINY, 1): Students("tiny-imagenet-zca", 10, 2, 10, None, 10000, 1e-4, 0.01),
    (TINY, 10): Students("tiny-imagenet-zca", 20, 2, 40, 200, 10000, 1e-4, 0.01),
    (TINY, 50): Students("tiny-imagenet-zca", 20, 2, 40, 300, 10000, 1e-4, 0.01),
}
MCT_WAYPOINTS = {C10: [6, 25], C100: [15, 30], TINY: [15, 30]}

# the step size's rate is printed as 1 and read as that multiple of MTT's; its initial value is in no table (0.01 here)
SATM: dict[Cell, Students] = {
    (C10, 1): Students("cifar10-zca", 50, 2, 2, None, 1000, 1e-7, 0.01),
    (C10, 10): Students("cifar10-zca", 30, 2, 20, None, 50, 1e-5, 0.01),
    (C10, 50): Students("cifar10-zca", 30, 2, 40, None, 100, 1e-5, 0.01),
    (C100, 1): Students("cifar100-zca", 40, 3, 20, None, 500, 1e-5, 0.01),
    (C100, 10): Students("cifar100-zca", 20, 2, 20, 500, 1000, 1e-5, 0.01),
    (C100, 50): Students("cifar100-zca", 80, 2, 40, 500, 1000, 1e-5, 0.01),
    (TINY, 1): Students("tiny-imagenet-zca", 30, 2, 10, None, 1000, 1e-4, 0.01),  # a batch of 200: the whole set
    (TINY, 10): Students("tiny-imagenet-zca", 20, 2, 40, 200, 10000, 1e-4, 0.01),
}

TRAJECTORY_TABLES = {
    "mtt": MTT,
    "mtt-robust": {cell: line for cell, line in MTT.items() if cell[0] != TINY},
    "pp": {cell: line for cell, line in MTT.items() if cell[0] != TINY},
    "ftd": FTD,
    "ftd-no-ema": {cell: FTD[cell] for cell in ((C100, 10), (C100, 50), (TINY, 1), (TINY, 10))},
    "mct": MCT,
    "satm": SATM,
    "satm-fi": SATM,
}
ITERATIONS = {"satm": 10_000, "satm-fi": 10_000}  # 5,000 for the others


class Gradients(NamedTuple):
    """How DC and its followers match gradients in a cell; `epochs` None: a network is not trained."""

    updates: int
    epochs: int | None
    image_rate: float
    initial: str
    augmentation: str
    levels: str
    angle: float
    magnitude: tuple[str, float] | None


LOOPS: dict[int, tuple[int, int | None]] = {1: (1, None), 10: (10, 50), 50: (50, 10)}  # DC code, T and Z
TO_50 = {("mnist", 1), ("mnist", 10), ("mnist", 50), ("svhn", 1), ("svhn", 10), ("svhn", 50)}
TO_50 |= {("fashion-mnist", 1), ("fashion-mnist", 10), ("fashion-mnist", 50), (C10, 1), (C10, 10), (C10, 50)}
TO_10 = {cell for cell in TO_50 if cell[1] != 50}
GM_3 = TO_50 | {(C100, 1), (C100, 10)}  # GM, table 3
GM_3_OA = {cell for cell in GM_3 if cell[1] != 1}
MAIN = {(C10, 1), (C10, 10), (C10, 50), (C100, 1), (C100, 10), (C100, 50)}

GRADIENT_CELLS: dict[str, set[Cell]] = {
    "dc": GM_3 | {(TINY, 1)},
    "dsa": MAIN,
    "gm-m": GM_3,
    "gm-md": GM_3 | {(TINY, 1)},
    "gm-mdo": GM_3_OA,
    "gm-mda": GM_3_OA,
    "gm-o": {(C10, 10)},
    "gm-inter": TO_10,
    "gm-interleaved": TO_10,
    "gm-m-euclidean": {("svhn", 1)},
    "gm-m-squared": {("svhn", 1)},
    "gm-m-mean-squared": {("svhn", 1)},
    "gm-m-angle-squared": {("svhn", 1)},
    "gm-m-angle-mean-squared": {("svhn", 1)},
}
LEVELS = {"dc": "intra-class", "dsa": "intra-class", "gm-o": "intra-class"}
LEVELS |= {"gm-inter": "inter-class", "gm-interleaved": "interleaved"}  # all others: multi-level
DISTANCES: dict[str, tuple[float, tuple[str, float] | None]] = {  # weights of the angle and of a magnitude
    "gm-md": (1.0, ("euclidean", 1.0)),
    "gm-mdo": (1.0, ("euclidean", 1.0)),
    "gm-mda": (1.0, ("euclidean", 1.0)),
    "gm-m-euclidean": (0.0, ("euclidean", 1.0)),
    "gm-m-squared": (0.0, ("squared", 1.0)),
    "gm-m-mean-squared": (0.0, ("mean-squared", 100.0)),
    "gm-m-angle-squared": (1.0, ("squared", 1.0)),
    "gm-m-angle-mean-squared": (1.0, ("mean-squared", 100.0)),
}
FULL_DSA = "color_crop_cutout_flip_scale_rotate"


def gradients(method: str, dataset: str, ipc: int) -> Gradients:
    """A cell of DC, DSA or GM; gm-mdo, gm-mda and gm-o train networks in ways of their own (epochs None)."""
    updates, epochs = LOOPS[ipc]
    angle, magnitude = DISTANCES.get(method, (1.0, None))
    if magnitude == ("euclidean", 1.0) and angle == 1.0 and (dataset, ipc) == (C10, 50):
        magnitude = ("euclidean", 0.1)  # GM, footnote 5
    own_training = method in {"gm-mdo", "gm-mda", "gm-o"}
    initial, augmentation = ("real", FULL_DSA) if method == "dsa" else ("noise", "none")
    levels = LEVELS.get(method, "multi-level")
    return Gradients(updates, None if own_training else epochs, 0.1, initial, augmentation, levels, angle, magnitude)


SCHEDULE = [50, 40, 30, 20, 10, 10, 10, 10, 10, 10, 5]  # GM, equation 12: of gm-mda; the last one goes on

DM_CELLS = MAIN | {(TINY, 1), (TINY, 10), (TINY, 50)}


class Test(NamedTuple):
    """How a number is made: E, networks on each of so many sets, and how they are trained."""

    epochs: int
    networks: int
    sets: int
    rate: float | None  # None: the set's own step size
    augmentation: str
    selection: str


DC_ON_MNIST = "one-of-crop-scale-rotate"  # DC code, its own augmentation for MNIST; 1,000 epochs with it
TESTS = {  # by preset; every one with batches of 256, momentum 0.9, weight decay 5e-4, a tenth of the rate at last
    "dc": Test(300, 20, 5, 0.01, "none", "last"),
    "dsa": Test(1000, 20, 5, 0.01, FULL_DSA, "last"),
    "gm": Test(300, 50, 2, 0.01, "none", "last"),
    "mtt": Test(1000, 5, 1, None, FULL_DSA, "curve"),
}
TESTED_AS = {  # all gm-*: gm; all of trajectory matching: mtt
    "dc": "dc",
    "herding": "dc",
    "cafe": "dc",
    "dsa": "dsa",
    "dm": "dsa",
    "cafe-dsa": "dsa",
}
RANDOM = {  # a preset that two papers test in two ways
    "random-cifar10-ipc10": ("dc", "26.0 ± 1.2"),  # GM, table 3
    "random-cifar10-ipc10-mtt-curve": ("mtt", "31.0 ± 0.5"),  # MCT, table 1
}

NETWORKS = {  # of the seeds' main tables
    "mnist": "convnet3",
    "fashion-mnist": "convnet3",
    "svhn": "convnet3",
    C10: "convnet3",
    C100: "convnet3",
    TINY: "convnet4",
    "imagenette": "convnet5",
    "imagewoof": "convnet5",
    "imagefruit": "convnet5",
    "imagemeow": "convnet5",
}

NUMBERS = {  # how many numbers each table prints
    "ftd-1": 62,
    "ftd-2": 20,
    "ftd-3": 16,
    "ftd-4": 12,
    "ftd-figure-4": 5,
    "mct-1": 62,
    "mct-2": 10,
    "mct-3": 15,
    "satm-9": 32,
    "gm-1": 32,
    "gm-2": 7,
    "gm-3": 93,
    "gm-4": 36,
    "gm-section-4.4": 1,
    "gm-section-4.5": 2,
}
MCT_2 = {  # MCT, table 2: experts, and without and with continuous sampling; start range 0 to 5
    1: ("54.8 ± 0.2", "56.2 ± 0.3"),
    5: ("60.6 ± 0.2", "61.3 ± 0.5"),
    10: ("61.5 ± 0.3", "61.8 ± 0.6"),
    20: ("62.3 ± 0.3", "62.8 ± 0.3"),
    50: ("62.1 ± 0.4", "62.8 ± 0.2"),
}
MCT_3 = {  # MCT, table 3: M, and the accuracy at 1, 10 and 50 images per class
    3: ("46.7", "62.3", "70.0"),
    4: ("47.1", "62.6", "71.4"),
    5: ("48.5", "65.0", "71.8"),
    6: ("48.0", "66.0", "72.3"),
    7: ("45.6", "65.2", "71.8"),
}
FTD_3 = {  # FTD, table 3: sets of CIFAR-10 at 50 images per class on other networks
    "resnet18": {"dc": "20.8 ± 1.0", "cafe": "25.3 ± 0.9", "mtt": "61.9 ± 0.7", "ftd": "65.7 ± 0.3"},
    "vgg11": {"dc": "38.8 ± 1.1", "cafe": "40.5 ± 0.8", "mtt": "55.4 ± 0.8", "ftd": "58.4 ± 1.6"},
    "alexnet": {"dc": "28.7 ± 0.7", "cafe": "34.0 ± 0.6", "mtt": "48.2 ± 1.0", "ftd": "53.8 ± 0.9"},
}
GM_4 = {  # GM, table 4: MNIST at one image per class, made with one network (row) and tested on another (column)
    "mlp": ("67.3 ± 1.1", "71.2 ± 1.6", "70.5 ± 8.5", "45.1 ± 12.4", "46.9 ± 4.2", "83.2 ± 2.1"),
    "convnet3": ("72.7 ± 1.6", "91.9 ± 0.4", "84.1 ± 2.2", "84.1 ± 2.4", "84.3 ± 1.5", "90.4 ± 0.4"),
    "lenet": ("62.8 ± 1.6", "87.2 ± 0.7", "81.8 ± 1.9", "80.8 ± 3.6", "75.1 ± 2.5", "88.1 ± 1.1"),
    "alexnet": ("61.3 ± 1.6", "87.6 ± 0.8", "81.4 ± 2.5", "81.2 ± 3.3", "77.7 ± 2.1", "87.9 ± 1.0"),
    "vgg11": ("63.8 ± 2.3", "89.3 ± 0.7", "82.4 ± 2.4", "82.5 ± 2.8", "81.1 ± 2.2", "89.4 ± 0.8"),
    "resnet18": ("62.2 ± 1.8", "82.3 ± 2.3", "80.4 ± 3.2", "80.1 ± 2.5", "75.7 ± 3.2", "87.4 ± 1.0"),
}
