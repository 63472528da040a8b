"""The body of one phantom: shapes in mm and tissues in HU, drawn once from the seed."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Ellipsoid:
    """An axis-parallel ellipsoid: centre and half-axes in mm, LPS; tissue in HU."""

    x: float
    y: float
    z: float
    radius_x: float
    radius_y: float
    radius_z: float
    hu: float


@dataclass(frozen=True, slots=True)
class Vessel:
    """A lung vessel: a straight, tapering tube from the hilum outwards, mm."""

    start: tuple[float, float, float]
    end: tuple[float, float, float]
    radius: float


@dataclass(frozen=True, slots=True)
class Anatomy:
    """One body. Half-axes of the trunk are those of the skin at the liver; waves deform it smoothly.

    Attributes:
        width: Half-axis of the trunk from side to side, mm.
        depth: Half-axis of the trunk from front to back, mm.
        fat: Thickness of the subcutaneous fat at the side, mm.
        waves: (4, 3) amplitude in mm, wave number in 1/mm and phase of the deformation.
        spine_shift: How far spine and great vessels lie in front of their usual place, mm (negative), in a thin trunk.
        bowel: Loops of bowel; a loop of -1000 HU holds gas.
    """

    width: float
    depth: float
    fat: float
    muscle_hu: float
    waves: NDArray[np.float64]
    liver: Ellipsoid
    left_lobe: Ellipsoid
    spleen: Ellipsoid
    stomach: Ellipsoid
    right_kidney: Ellipsoid
    left_kidney: Ellipsoid
    heart: Ellipsoid
    aorta_hu: float
    spine_shift: float
    vertebra_phase: float
    rib_phase: float
    bowel: tuple[Ellipsoid, ...]
    vessels: tuple[Vessel, ...]


def draw_anatomy(seed: int) -> Anatomy:
    """Draw a body; the same seed gives the same body."""
    rng = np.random.Generator(np.random.PCG64([seed, 0xB0D7]))

    def around(value: float, spread: float) -> float:
        return value + spread * float(rng.uniform(-1.0, 1.0))

    width, depth, fat = around(160.0, 10.0), around(114.0, 8.0), around(15.0, 7.0)
    scale = width / 160.0
    contrast = around(1.0, 0.2)  # how far the contrast agent has reached the organs
    waves = np.stack(
        [rng.uniform(0.8, 2.6, 4), 2 * math.pi / rng.uniform(90.0, 180.0, 4), rng.uniform(0, 2 * math.pi, 4)], axis=1
    )
    liver = Ellipsoid(
        around(-62.0, 5.0) * scale, around(-8.0, 5.0), -74.0, 80.0 * scale, 74.0, 74.0, 58.0 + 48.0 * contrast
    )
    kidney_hu = 40.0 + 130.0 * contrast
    return Anatomy(
        width=width,
        depth=depth,
        fat=fat,
        muscle_hu=around(58.0, 5.0),
        waves=waves,
        liver=liver,
        left_lobe=Ellipsoid(around(5.0, 8.0), -48.0, -58.0, 62.0, 34.0, 46.0, liver.hu),
        spleen=Ellipsoid(
            around(98.0, 4.0) * scale, around(38.0, 5.0), around(-58.0, 8.0), 32.0, 44.0, 50.0, 50.0 + 65.0 * contrast
        ),
        stomach=Ellipsoid(around(62.0, 8.0), -36.0, around(-48.0, 8.0), 44.0, 38.0, 46.0, around(22.0, 8.0)),
        right_kidney=Ellipsoid(around(-62.0, 4.0), 52.0, around(-142.0, 8.0), 29.0, 30.0, 54.0, kidney_hu),
        left_kidney=Ellipsoid(around(64.0, 4.0), 54.0, around(-128.0, 8.0), 28.0, 31.0, 56.0, kidney_hu),
        heart=Ellipsoid(around(22.0, 5.0), around(-28.0, 4.0), around(46.0, 6.0), 62.0, 52.0, 58.0, 110.0),
        aorta_hu=60.0 + 95.0 * contrast,
        spine_shift=min(0.0, depth - 0.55 * fat - 116.0),
        vertebra_phase=float(rng.uniform(0.0, 34.0)),
        rib_phase=float(rng.uniform(0.0, 26.0)),
        bowel=_draw_bowel(rng, width - fat - 36.0, depth - fat - 24.0),
        vessels=tuple(vessel for side in (-1.0, 1.0) for vessel in _draw_vessels(rng, side)),
    )


def _draw_bowel(rng: np.random.Generator, width: float, depth: float) -> tuple[Ellipsoid, ...]:
    """Loops in the front two thirds of a cavity with these half-axes, mm."""
    loops = []
    for _ in range(74):
        distance, turn = math.sqrt(rng.random()), rng.uniform(0.0, 2 * math.pi)
        x, y = width * distance * math.cos(turn), min(depth * distance * math.sin(turn), 34.0) - 6.0
        radius = rng.uniform(11.0, 19.0)
        gas = rng.random() < 0.22
        loops.append(
            Ellipsoid(
                x,
                y,
                float(rng.uniform(-330.0, -96.0)),
                float(radius * rng.uniform(0.9, 1.4)),
                float(radius),
                float(radius * rng.uniform(1.0, 2.2)),
                -1000.0 if gas else float(rng.uniform(15.0, 60.0)),
            )
        )
    return tuple(loops)


def _draw_vessels(rng: np.random.Generator, side: float) -> list[Vessel]:
    """First-order branches run from the hilum to the pleura; each carries twigs that leave it on the way."""
    vessels = []
    for _ in range(34):
        start = (side * float(rng.uniform(38.0, 52.0)), float(rng.uniform(4.0, 24.0)), float(rng.uniform(15.0, 90.0)))
        turn, height = rng.uniform(-2.0, 2.0), rng.uniform(-85.0, 75.0)
        end = (
            side * (44.0 + 66.0 * math.cos(turn)),
            12.0 + 76.0 * math.sin(turn),
            start[2] + float(height),
        )
        radius = float(rng.uniform(2.4, 4.4))
        vessels.append(Vessel(start, end, radius))
        for _ in range(4):
            part = rng.uniform(0.25, 0.85)
            fork = tuple(a + part * (b - a) for a, b in zip(start, end, strict=True))
            twig = tuple(float(value + rng.uniform(-36.0, 36.0)) for value in fork)
            vessels.append(Vessel((fork[0], fork[1], fork[2]), (twig[0], twig[1], twig[2]), 0.6 * radius))
    return vessels
