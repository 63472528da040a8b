"""Histograms and moments of HU on a grid: an encoder without weights, a baseline for every other one.

Rows are HU scaled to 0..1 over the `full` window (-1024..3071). Three groups of features, all of the order of 1:

| features | what |
|---|---|
| 41 | histogram of the slice: square root of the fraction of pixels per density bin |
| 3 x 16 | mean, standard deviation and skewness of HU per cell of a 4 x 4 grid |
| 3 sizes x 3 x 54 | local contrast: how evenly some spot of the slice differs from its neighbourhood |

Local contrast compares the mean of a window (12, 18 or 24 mm wide for a field of view of 380 mm) with the means of
eight windows around it. The six that agree best are the neighbourhood: an organ's border may cut off the other two.
A spot counts towards a bin of contrast and a band of neighbourhood density, by how even window and neighbourhood are;
a bin's features are its strongest spot, and the same weighted with the place from left to right and from front to
back. So a lesion shows in the same features wherever it lies, and its place stays readable.
"""

from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slicebank_models.cards import InputKind
from slicebank_models.encoders.family import EncoderFamily
from slicebank_models.encoders.slice_encoder import SliceEncoder

LOW_HU, HIGH_HU = -1024.0, 3071.0  # the `full` window, which the card names

# Upper ends of density bins, HU: wide in air, lung and bone, 15 HU where soft tissue and its lesions differ. Halves,
# so that no whole HU lies on an edge.
EDGES_HU = (
    *(-974.5, -924.5, -874.5, -824.5, -774.5, -724.5, -674.5, -574.5, -424.5, -249.5),
    *(-149.5, -124.5, -99.5, -74.5, -49.5),
    *(-30.5 + 15 * step for step in range(20)),
    *(269.5, 319.5, 399.5, 599.5, 999.5),
)
BINS = len(EDGES_HU) + 1
COARSE = 4
SKEW_NOISE_HU = 12.0  # added to the deviation below skewness, which has no meaning in even air

CELLS = 64  # a row's side in cells of 4 pixels of a 256-pixel row
WINDOWS = ((2, 4), (3, 5), (4, 7))  # side of a window and distance of its neighbours, cells
AGREEING = 6  # of the 8 neighbours
CONTRASTS_HU = (-160.0, -120.0, -80.0, -40.0, 0.0, 40.0, 80.0, 120.0, 160.0)
CONTRAST_WIDTH_HU = 40.0  # a contrast between two bins counts towards both
BANDS_HU = (-2000.0, -300.0, -20.0, 50.0, 85.0, 140.0, 4000.0)  # lung, fat, fluid, muscle, enhancing organ, denser
UNEVEN_NEIGHBOURS_HU = 15.0  # deviation between neighbours that halves a spot's evenness
UNEVEN_WINDOW_HU = 30.0  # the same for pixels inside the window, beyond
PIXEL_NOISE_HU = 20.0  # what a noisy scan has within even tissue

DIM = BINS + 3 * COARSE**2 + 3 * len(WINDOWS) * len(CONTRASTS_HU) * (len(BANDS_HU) - 1)


class _Bins(nn.Module):
    """Bin edges as buffers: they decide the features, so they have a digest like weights."""

    edges: Tensor
    contrasts: Tensor
    bands: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("edges", torch.tensor(EDGES_HU))
        self.register_buffer("contrasts", torch.tensor(CONTRASTS_HU))
        self.register_buffer("bands", torch.tensor(BANDS_HU))


class HuStatisticsEncoder(SliceEncoder):
    """Statistics of one slice; the module's table has the order of features."""

    input_kind: ClassVar[InputKind] = InputKind.HU

    trunk: _Bins

    def __init__(self, *, input_size: int) -> None:
        super().__init__(dim=DIM, input_size=input_size)
        if input_size % CELLS:
            raise ValueError(f"input_size must be a multiple of {CELLS}.")
        self.trunk = _Bins()

    def forward(self, rows: Tensor) -> Tensor:
        """Encodes (B, S, S) float32 rows, HU scaled to 0..1, to (B, dim) float32."""
        hu = rows * (HIGH_HU - LOW_HU) + LOW_HU
        means, squares = (F.avg_pool2d((hu**power).unsqueeze(1), self.input_size // CELLS) for power in (1, 2))
        features = [histogram(hu, self.trunk.edges), coarse_moments(hu)]
        for side, distance in WINDOWS:
            features.append(local_contrasts(means, squares, side, distance, self.trunk.contrasts, self.trunk.bands))
        return torch.cat(features, dim=1)


def histogram(hu: Tensor, edges: Tensor) -> Tensor:
    """Returns 2 sqrt(fraction) per bin, (B, bins), of (B, S, S) HU."""
    batch, bins = len(hu), len(edges) + 1
    row = torch.arange(batch, device=hu.device).view(-1, 1, 1)
    counts = torch.bincount((row * bins + torch.bucketize(hu, edges)).flatten(), minlength=batch * bins)
    return 2.0 * (counts.view(batch, bins) / hu[0].numel()).sqrt()


def coarse_moments(hu: Tensor) -> Tensor:
    """Returns scaled mean, deviation and skewness per cell of a 4 x 4 grid, (B, 48), of (B, S, S) HU."""
    batch, side = len(hu), hu.shape[1] // COARSE
    cells = hu.view(batch, COARSE, side, COARSE, side).transpose(2, 3).reshape(batch, COARSE**2, side * side)
    mean = cells.mean(dim=2)
    centred = cells - mean.unsqueeze(2)
    deviation = centred.square().mean(dim=2).sqrt()
    skewness = centred.pow(3).mean(dim=2) / (deviation + SKEW_NOISE_HU) ** 3
    # Trunk scans average -300 HU with cell deviations of some 250; halves keep this group from drowning the others.
    return 0.5 * torch.cat([(mean + 300.0) / 400.0, deviation / 250.0 - 1.0, skewness.clamp(-4.0, 4.0) / 2.0], dim=1)


def local_contrasts(
    means: Tensor, squares: Tensor, side: int, distance: int, contrasts: Tensor, bands: Tensor
) -> Tensor:
    """Returns the strongest spots per band and contrast, unweighted, by column and by row: (B, 3 * bands * contrasts).

    Args:
        means: (B, 1, cells, cells) mean HU per cell.
        squares: The same of squared HU.
        side: Of windows, cells.
        distance: From a window to its four straight neighbours, cells; the diagonal ones lie as far, rounded.
        contrasts: (n,) centres of the contrast bins, HU.
        bands: (m + 1,) edges of the density bands of neighbourhoods, HU.
    """
    window = F.avg_pool2d(means, side, stride=1)[:, 0]
    window_squares = F.avg_pool2d(squares, side, stride=1)[:, 0]
    inner = slice(distance, window.shape[1] - distance)
    centre = window[:, inner, inner]
    variance = (window_squares[:, inner, inner] - centre**2 - PIXEL_NOISE_HU**2).clamp_min(0.0)
    level, disagreement = _neighbourhood(window, distance)
    evenness = 1.0 / (1.0 + disagreement / UNEVEN_NEIGHBOURS_HU**2) / (1.0 + variance / UNEVEN_WINDOW_HU**2)
    nearness = 1.0 - ((centre - level).unsqueeze(1) - contrasts.view(1, -1, 1, 1)).abs() / CONTRAST_WIDTH_HU
    spots = nearness.clamp_min(0.0) * evenness.unsqueeze(1)  # (B, contrasts, y, x)
    within = [((level >= low) & (level < high)).unsqueeze(1) for low, high in pairwise(bands)]
    banded = torch.cat([spots * band for band in within], dim=1)  # (B, bands * contrasts, y, x)
    ramp = torch.linspace(0.0, 1.0, banded.shape[-1], device=banded.device)
    weighted = (banded, banded * ramp, banded * ramp.unsqueeze(1))
    return 2.0 * torch.cat([values.amax(dim=(2, 3)) for values in weighted], dim=1)


def _neighbourhood(window: Tensor, distance: int) -> tuple[Tensor, Tensor]:
    """Returns mean and variance (HU, HU^2) of the neighbours that agree best, for every window far enough inside."""
    diagonal = max(1, round(0.75 * distance))
    steps = [(-distance, 0), (distance, 0), (0, -distance), (0, distance)]
    steps += [(down * diagonal, across * diagonal) for down in (-1, 1) for across in (-1, 1)]
    last = window.shape[1] - distance
    around = [window[:, distance + y : last + y, distance + x : last + x] for y, x in steps]
    ranked = torch.stack(around, dim=1).sort(dim=1).values  # (B, 8, y, x)
    spread = ranked[:, AGREEING - 1 :] - ranked[:, : len(steps) - AGREEING + 1]
    first = spread.argmin(dim=1, keepdim=True)
    places = first + torch.arange(AGREEING, device=window.device).view(1, -1, 1, 1)
    agreeing = ranked.gather(1, places)
    return agreeing.mean(dim=1), agreeing.var(dim=1, correction=0)


FAMILY = EncoderFamily(("hu_statistics",), lambda card: HuStatisticsEncoder(input_size=card.input_size))
