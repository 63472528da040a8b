"""Files of folders that came from elsewhere: plain ones inside the folder, and nothing that a link leads to beyond it."""

from pathlib import Path


def plain_file(folder: Path, name: str) -> Path | None:
    """Returns a regular file of a folder; None where there is none by this name.

    A link counts where it stays inside the folder, or leads to the `blobs` beside `snapshots`, as the cache of the
    hub's library has it. Devices, pipes and what lies elsewhere do not.

    Args:
        folder: Where to look.
        name: Relative path of the file, `/` between its parts.
    """
    path = folder / name
    try:
        real = path.resolve(strict=True)
        allowed = [folder.resolve(strict=True)]
    except (OSError, RuntimeError):  # a loop of links is a RuntimeError before Python 3.13
        return None
    if folder.parent.name == "snapshots":
        allowed.append(folder.resolve(strict=True).parent.parent / "blobs")
    inside = any(real.is_relative_to(root) for root in allowed)
    return path if inside and real.is_file() else None
