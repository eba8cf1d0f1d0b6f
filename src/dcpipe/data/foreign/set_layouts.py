"""Which layout a path has, and its sets: all of `tensor_layouts` and `image_layouts`, and releases of dcpipe."""

from pathlib import Path

from dcpipe.data.foreign import image_layouts, tensor_layouts
from dcpipe.data.foreign.foreign_set import ForeignFiles
from dcpipe.errors import UserError

RELEASE = "set.safetensors"  # in a released folder
LAYOUTS = (
    "images_best.pt with labels_best.pt (MTT, DATM), res_*.pt (DC), .npz, .safetensors, a folder of images per class, "
    "a Hugging Face folder, or a release of dcpipe"
)


def read_sets(path: Path) -> ForeignFiles:
    """The sets at a path: a file, or a folder of one layout. Nothing in a file is run.

    Raises: UserError naming the file and what is wrong with it.
    """
    if not path.exists():
        raise UserError("this file or folder does not exist", where=str(path), remedy=f"pass {LAYOUTS}")
    return _read_folder(path) if path.is_dir() else _read_file(path)


def _read_file(path: Path) -> ForeignFiles:
    if path.suffix in {".pt", ".pth"}:
        return (
            tensor_layouts.read_mtt(path)
            if tensor_layouts.IMAGES.fullmatch(path.name)
            else tensor_layouts.read_dc(path)
        )
    readers = {".npz": tensor_layouts.read_npz, ".safetensors": tensor_layouts.read_safetensors}
    if path.suffix not in readers:
        raise UserError("is in no layout that is known here", where=str(path), remedy=f"pass {LAYOUTS}")
    return readers[path.suffix](path)


def _read_folder(path: Path) -> ForeignFiles:
    if (path / RELEASE).is_file():
        return tensor_layouts.read_safetensors(path / RELEASE)
    if image_layouts.is_huggingface(path):
        return image_layouts.read_huggingface(path)
    best, single = path / "images_best.pt", _files(path)
    if best.is_file():
        return tensor_layouts.read_mtt(best)
    images = [one for one in single if tensor_layouts.IMAGES.fullmatch(one.name)]
    candidates = images or [one for one in single if one.suffix in {".pt", ".pth", ".npz", ".safetensors"}]
    if len(candidates) == 1:
        return _read_file(candidates[0])
    if len(candidates) > 1:
        names = ", ".join(one.name for one in candidates[:3])
        raise UserError(f"holds several sets ({names}, ...)", where=str(path), remedy="pass the file of one")
    if any(one.is_dir() for one in path.iterdir()):
        return image_layouts.read_folder(path)
    raise UserError("holds no set", where=str(path), remedy=f"pass {LAYOUTS}")


def _files(path: Path) -> list[Path]:
    return sorted(one for one in path.iterdir() if one.is_file())
