"""A head's choice of windows, as rows of a bag."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from slicebank_store.bags import Bag, BagRows
from slicebank_worker.errors import WindowMissing


def rows_of_windows(bag: Bag | BagRows, names: Sequence[str] | None) -> NDArray[np.intp]:
    """Rows (n) of a bag that belong to the named windows, in the bag's order; all rows where no window is named.

    Raises:
        WindowMissing: the bag has no such window.
    """
    if not names:
        return np.arange(len(bag.features), dtype=np.intp)
    number = {window.name: index for index, window in enumerate(bag.windows)}
    if missing := [name for name in names if name not in number]:
        raise WindowMissing(f"the bag has no window {', '.join(missing)}; it has {', '.join(number)}")
    return np.flatnonzero(np.isin(bag.window_index, [number[name] for name in names]))
