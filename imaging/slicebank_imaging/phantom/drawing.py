"""One slice of a body, painted from the skin inwards."""

import math

import numpy as np

from slicebank_imaging.phantom.anatomy import Anatomy, Ellipsoid
from slicebank_imaging.phantom.canvas import Canvas, Plane, cut, step
from slicebank_imaging.phantom.spec import PhantomSpec

FAT_HU = -102.0
LUNG_HU = -860.0
MARROW_HU = 190.0
CORTEX_HU = 620.0
VERTEBRA_PERIOD_MM = 34.0
DISC_MM = 8.0
RIB_PERIOD_MM = 26.0
RIB_SLOPE_MM = 62.0  # how far a rib sinks for each radian from the spine to the front


def draw_table(anatomy: Anatomy, spec: PhantomSpec) -> Plane:
    """(rows, columns) HU of air and a curved couch, carbon fibre around foam, just below the back."""
    still = np.zeros(spec.size, dtype=np.float32)
    canvas = Canvas(spec, still, still)
    top = anatomy.depth + 10.0
    canvas.ellipse(0.0, top - 272.0, 330.0, 290.0, 40.0)
    canvas.ellipse(0.0, top - 274.5, 329.0, 290.0, -930.0)
    canvas.ellipse(0.0, top - 284.0, 327.0, 289.0, 40.0)
    canvas.ellipse(0.0, top - 286.5, 326.0, 289.0, -1000.0)
    return canvas.hu


def draw_slice(anatomy: Anatomy, spec: PhantomSpec, z: float, table: Plane) -> Plane:
    """(rows, columns) HU without noise and lesions, at height z in mm, on the couch of `draw_table`."""
    canvas = _deformed_canvas(anatomy, spec, z)
    canvas.hu[...] = table
    _trunk(canvas, anatomy, z)
    _lungs(canvas, anatomy, z)
    _abdomen(canvas, anatomy, z)
    _mediastinum(canvas, anatomy, z)
    _great_vessels(canvas, anatomy, z)
    _spine(canvas, anatomy, z)
    _ribs(canvas, anatomy, z)
    return canvas.hu


def _deformed_canvas(anatomy: Anatomy, spec: PhantomSpec, z: float) -> Canvas:
    axis = spec.first_xy_mm + spec.pixel_mm * np.arange(spec.size)
    shifts = [
        (amplitude * np.sin(number * axis + phase + 0.012 * z)).astype(np.float32)
        for amplitude, number, phase in anatomy.waves
    ]
    return Canvas(spec, shifts[0] + shifts[1], shifts[2] + shifts[3])


def _trunk_scale(z: float) -> float:
    """Width of the trunk relative to the liver: a waist below, shoulders above."""
    return 1.0 - 0.05 * step(-z, 90.0, 180.0) + 0.05 * step(z, 120.0, 220.0)


def _trunk(canvas: Canvas, anatomy: Anatomy, z: float) -> None:
    scale = _trunk_scale(z)
    a, b = anatomy.width * scale, anatomy.depth * scale
    back = 0.55 * anatomy.fat  # fat is thin over the back
    canvas.ellipse(0.0, 0.0, a, b, 10.0)
    canvas.ellipse(0.0, 0.0, a - 2.0, b - 2.0, FAT_HU)
    inner_a, inner_b = a - anatomy.fat, b - 0.5 * (anatomy.fat + back)
    shift = 0.5 * (anatomy.fat - back)
    canvas.ellipse(0.0, shift, inner_a, inner_b, anatomy.muscle_hu)
    wall = 9.0 + 5.0 * step(z, 0.0, 40.0)
    canvas.ellipse(0.0, shift - 4.0, inner_a - wall, inner_b - wall - 6.0, FAT_HU)
    for side in (-1.0, 1.0):  # muscles beside the spine, and psoas below the kidneys' upper poles
        canvas.ellipse(side * 34.0, 84.0 + anatomy.spine_shift, 27.0, 17.0, anatomy.muscle_hu)
        psoas = step(-z, 90.0, 170.0)
        canvas.ellipse(
            side * 36.0, 66.0 + anatomy.spine_shift, 6.0 + 12.0 * psoas, 8.0 + 12.0 * psoas, anatomy.muscle_hu
        )


def _lungs(canvas: Canvas, anatomy: Anatomy, z: float) -> None:
    if not -50.0 < z < 215.0:
        return
    size = step(z, -62.0, 30.0) * cut(max(z, 40.0), 40.0, 178.0)
    if size < 0.05:
        return
    a = (anatomy.width - anatomy.fat - 15.0) * _trunk_scale(z)
    b = anatomy.depth - 0.8 * anatomy.fat - 15.0
    for side in (-1.0, 1.0):
        radius = 0.43 * a * (0.55 + 0.45 * size)
        where, cover = canvas.cover(side * (a - radius), 2.0, radius, b * (0.45 + 0.53 * size))
        dependent = np.float32(0.45) * canvas.y[where]  # blood sinks to the back
        canvas.blend(where, cover * np.float32(step(size, 0.05, 0.3)), LUNG_HU + dependent)
    for vessel in anatomy.vessels:
        _vessel(canvas, vessel.start, vessel.end, vessel.radius, z)


def _vessel(
    canvas: Canvas, start: tuple[float, float, float], end: tuple[float, float, float], radius: float, z: float
) -> None:
    """The cut of a straight tube: a disc when it is steep, a streak when it runs within the slice."""
    rise = end[2] - start[2]
    if abs(rise) < 1e-3:
        return
    part = (z - start[2]) / rise
    if not 0.0 <= part <= 1.0:
        return
    dx, dy = end[0] - start[0], end[1] - start[1]
    x, y = start[0] + part * dx, start[1] + part * dy
    thick = radius * (1.0 - 0.65 * part)
    long = min(thick * math.hypot(1.0, math.hypot(dx, dy) / abs(rise)), 16.0)
    if _in_lung(canvas, x, y):
        canvas.ellipse(x, y, long, thick, 40.0, angle=math.atan2(dy, dx), edge_mm=2.0)


def _in_lung(canvas: Canvas, x: float, y: float) -> bool:
    rows, columns = canvas.box(x, y, 0.0)
    part = canvas.hu[rows, columns]
    return part.size > 0 and float(part[part.shape[0] // 2, part.shape[1] // 2]) < -650.0


def _organ(canvas: Canvas, organ: Ellipsoid, z: float, hu: float | None = None, grow: float = 0.0) -> float:
    """Paint the cut of an organ; the scale of the cut is returned."""
    scale = cut(z, organ.z, organ.radius_z + grow)
    if scale > 0.05:
        radius_x, radius_y = (organ.radius_x + grow) * scale, (organ.radius_y + grow) * scale
        canvas.ellipse(organ.x, organ.y, radius_x, radius_y, organ.hu if hu is None else hu)
    return scale


def _abdomen(canvas: Canvas, anatomy: Anatomy, z: float) -> None:
    for loop in anatomy.bowel:
        if _organ(canvas, loop, z, hu=45.0, grow=2.5) > 0.05:
            _organ(canvas, loop, z)
            if loop.hu > -1000.0:
                _organ(canvas, Ellipsoid(loop.x, loop.y, loop.z, 0.5 * loop.radius_x, 4.0, loop.radius_z, 70.0), z)
    for kidney in (anatomy.right_kidney, anatomy.left_kidney):
        _kidney(canvas, kidney, z)
    _organ(canvas, anatomy.spleen, z)
    _stomach(canvas, anatomy.stomach, z)
    _organ(canvas, anatomy.liver, z)
    _organ(canvas, anatomy.left_lobe, z)
    _liver_vessels(canvas, anatomy, z)


def _kidney(canvas: Canvas, kidney: Ellipsoid, z: float) -> None:
    scale = cut(z, kidney.z, kidney.radius_z)
    if scale <= 0.05:
        return
    inwards = -math.copysign(1.0, kidney.x)
    tilt = 0.5 * inwards
    a, b = kidney.radius_x * scale, kidney.radius_y * scale
    canvas.ellipse(kidney.x, kidney.y, a + 3.0, b + 3.0, FAT_HU, angle=tilt)
    canvas.ellipse(kidney.x, kidney.y, a, b, kidney.hu, angle=tilt)
    canvas.ellipse(kidney.x, kidney.y, 0.72 * a, 0.72 * b, kidney.hu - 35.0, angle=tilt)
    hilum = cut(z, kidney.z, 0.6 * kidney.radius_z)
    canvas.ellipse(kidney.x + inwards * 0.45 * a, kidney.y - 2.0, 0.55 * a * hilum, 0.3 * b * hilum, FAT_HU + 20.0)


def _stomach(canvas: Canvas, stomach: Ellipsoid, z: float) -> None:
    if _organ(canvas, stomach, z, hu=75.0, grow=4.0) <= 0.05:
        return
    scale = cut(z, stomach.z, stomach.radius_z)
    if scale <= 0.05:
        return
    _organ(canvas, stomach, z)
    where, cover = canvas.cover(stomach.x, stomach.y, stomach.radius_x * scale, stomach.radius_y * scale)
    level = stomach.y - 0.35 * stomach.radius_y  # gas stands above the fluid: the patient lies on the back
    above = np.clip((level - canvas.y[where]) / np.float32(1.5) + np.float32(0.5), 0.0, 1.0)
    canvas.blend(where, cover * above, -960.0)


def _liver_vessels(canvas: Canvas, anatomy: Anatomy, z: float) -> None:
    """Portal and hepatic veins: three tubes that drift with height, and a gallbladder below."""
    liver = anatomy.liver
    scale = cut(z, liver.z, liver.radius_z)
    if scale < 0.35:
        return
    for number, (x, y, drift) in enumerate(((0.30, 0.10, 0.5), (-0.05, -0.35, -0.4), (-0.30, 0.30, 0.3))):
        offset = drift * (z - liver.z)
        canvas.ellipse(
            liver.x + x * liver.radius_x + 0.6 * offset,
            liver.y + y * liver.radius_y + offset,
            5.0 - number,
            3.5,
            liver.hu + 38.0,
            angle=0.6 + number,
        )
    gallbladder = Ellipsoid(liver.x + 34.0, liver.y - 34.0, -118.0, 14.0, 16.0, 26.0, 8.0)
    _organ(canvas, gallbladder, z, hu=45.0, grow=1.5)
    _organ(canvas, gallbladder, z)


def _mediastinum(canvas: Canvas, anatomy: Anatomy, z: float) -> None:
    if z < -25.0:
        return
    rise = step(z, -25.0, 10.0)
    canvas.ellipse(4.0, 6.0, 34.0 * rise, 78.0 * rise, FAT_HU + 25.0)
    heart = anatomy.heart
    scale = cut(z, heart.z, heart.radius_z)
    if scale > 0.05:
        canvas.ellipse(heart.x, heart.y, heart.radius_x * scale + 5.0, heart.radius_y * scale + 4.0, FAT_HU, angle=0.5)
        canvas.ellipse(heart.x, heart.y, heart.radius_x * scale, heart.radius_y * scale, heart.hu, angle=0.5)
        blood = anatomy.aorta_hu
        canvas.ellipse(heart.x + 16.0, heart.y - 2.0, 24.0 * scale, 20.0 * scale, blood, angle=0.5)
        canvas.ellipse(heart.x - 24.0, heart.y - 6.0, 20.0 * scale, 24.0 * scale, blood + 8.0)
    if z > 70.0:
        trachea = step(z, 70.0, 95.0)
        canvas.ellipse(0.0, 18.0, 10.5, 10.5, 50.0)
        canvas.ellipse(0.0, 18.0, 9.0 * trachea, 9.0 * trachea, -990.0)
    if 40.0 < z <= 90.0:
        for side in (-1.0, 1.0):
            apart = 8.0 + 0.45 * (90.0 - z)
            canvas.ellipse(side * apart, 20.0, 7.5, 7.5, 50.0)
            canvas.ellipse(side * apart, 20.0, 6.0, 6.0, -985.0)
    if z > 88.0:
        arch = anatomy.aorta_hu
        canvas.ellipse(-14.0, -22.0, 15.0, 15.0, arch)
        canvas.ellipse(-34.0, -6.0, 9.0, 9.0, arch + 15.0)
        canvas.ellipse(14.0, -6.0, 10.0 + 14.0 * step(-abs(z - 118.0), -14.0, 0.0), 11.0, arch, angle=0.7)
    canvas.ellipse(6.0, 36.0 + anatomy.spine_shift, 8.0, 6.0, 42.0)  # oesophagus


def _great_vessels(canvas: Canvas, anatomy: Anatomy, z: float) -> None:
    drift = 10.0 * step(z, -60.0, 40.0)
    back = anatomy.spine_shift
    canvas.ellipse(9.0 + drift, 47.0 - 0.2 * drift + back, 11.5, 11.5, anatomy.aorta_hu)
    if z < 0.0:
        canvas.ellipse(-24.0, 44.0 - 8.0 * step(z, -60.0, 0.0) + back, 13.0, 10.0, anatomy.aorta_hu - 22.0)


def _spine(canvas: Canvas, anatomy: Anatomy, z: float) -> None:
    phase = (z + anatomy.vertebra_phase) % VERTEBRA_PERIOD_MM
    disc = phase < DISC_MM
    back = anatomy.spine_shift
    canvas.ellipse(0.0, 74.0 + back, 22.0, 17.5, 95.0 if disc else CORTEX_HU)
    if not disc:
        canvas.ellipse(0.0, 74.0 + back, 19.5, 15.0, MARROW_HU)
    arch = 0.5 + 0.5 * abs(math.sin(math.pi * phase / VERTEBRA_PERIOD_MM))
    for side in (-1.0, 1.0):
        canvas.ellipse(side * 14.0, 91.0 + back, 10.0, 5.0, 480.0, angle=side * 0.9)
        canvas.ellipse(side * 25.0, 93.0 + back, 13.0 * arch, 3.5, 420.0, angle=side * 0.25)
    canvas.ellipse(0.0, 102.0 + back, 3.5, 9.0 * arch, 450.0)
    canvas.ellipse(0.0, 92.0 + back, 9.5, 8.0, 30.0)


def _ribs(canvas: Canvas, anatomy: Anatomy, z: float) -> None:
    scale = _trunk_scale(z)
    a = (anatomy.width - anatomy.fat - 7.0) * scale
    b = anatomy.depth - 0.75 * anatomy.fat - 8.0
    for number in range(-5, 12):
        root = number * RIB_PERIOD_MM + anatomy.rib_phase + 30.0
        turn = (root - z) / RIB_SLOPE_MM  # angle from the spine at which this rib crosses the slice
        if not 0.25 < turn < (2.55 if root > 40.0 else 1.9):
            continue
        for side in (-1.0, 1.0):
            x, y = side * a * math.sin(turn), b * math.cos(turn)
            along = math.atan2(-b * math.sin(turn), side * a * math.cos(turn))
            canvas.ellipse(x, y, 12.0, 4.6, CORTEX_HU, angle=along)
            canvas.ellipse(x, y, 10.0, 2.8, MARROW_HU + 40.0, angle=along)
    if z > 15.0:
        front = -(anatomy.depth - 0.8 * anatomy.fat - 8.0)
        canvas.ellipse(0.0, front, 19.0, 6.0, 420.0)
        canvas.ellipse(0.0, front, 17.0, 4.0, 150.0)
