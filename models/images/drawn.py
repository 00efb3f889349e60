"""The default images: cat and dog heads that this module draws, so that no data are needed.

Colour, background, pose, scale, light, noise and occlusion do not depend on the class; only the
shapes do: a cat has pointed ears, slit eyes and whiskers, a dog has hanging ears, a snout and
sometimes a tongue.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

CLASSES = ("cat", "dog")
#: Pixels per side of the drawing, which is then reduced by area average to smooth every edge.
CANVAS = 192

Image = NDArray[np.uint8]
Colour = tuple[int, int, int]


def draw(
    n: int, size: int, seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64], tuple[str, ...]]:
    """Draw pictures of alternating classes.

    Parameters
    ----------
    n : number of pictures; half of them are cats.
    size : pixels per side.
    seed : picture i depends only on the seed and i, so that a larger n does not change the first
        pictures.

    Returns
    -------
    images : uint8 (n, size, size, 3), RGB.
    labels : int64 (n,), indices into the classes.
    classes : ``("cat", "dog")``.
    """
    images = np.empty((n, size, size, 3), dtype=np.uint8)
    for index in range(n):
        images[index] = draw_one(index % 2, size, generator(seed, index))
    return images, np.arange(n, dtype=np.int64) % 2, CLASSES


def generator(seed: int, index: int) -> np.random.Generator:
    """Return the random generator of one picture, independent of all other pictures."""
    return np.random.default_rng([seed, index])


def draw_one(label: int, size: int, rng: np.random.Generator) -> Image:
    """Draw one picture, uint8 (size, size, 3), of class 0 (cat) or 1 (dog)."""
    canvas = _background(rng)
    fur = _colour(rng)
    head = np.zeros_like(canvas)
    mask = np.zeros(canvas.shape[:2], dtype=np.uint8)
    (_cat if label == 0 else _dog)(head, mask, fur, rng)
    canvas = _place(canvas, head, mask, rng)
    _occlude(canvas, rng)
    small = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)
    return _light_and_noise(small, rng)


def _colour(rng: np.random.Generator) -> Colour:
    red, green, blue = rng.integers(30, 226, size=3)
    return int(red), int(green), int(blue)


def _shade(colour: Colour, by: float) -> Colour:
    red, green, blue = (int(np.clip(channel * by, 0, 255)) for channel in colour)
    return red, green, blue


def _background(rng: np.random.Generator) -> Image:
    """Draw a gradient of two colours, with ellipses, lines and triangles of any colour on it."""
    first, second = (np.array(_colour(rng), dtype=np.float32) for _ in range(2))
    angle = rng.uniform(0, 2 * np.pi)
    rows, columns = np.mgrid[0:CANVAS, 0:CANVAS].astype(np.float32) / CANVAS - 0.5
    blend = (rows * np.sin(angle) + columns * np.cos(angle) + 0.7) / 1.4
    mixed = first + blend[..., None] * (second - first)
    canvas = np.asarray(mixed.clip(0, 255), dtype=np.uint8)
    for _ in range(int(rng.integers(2, 9))):
        _clutter(canvas, rng)
    return canvas


def _clutter(canvas: Image, rng: np.random.Generator) -> None:
    """Draw one ellipse, line or triangle."""
    x, y = (int(v) for v in rng.integers(0, CANVAS, size=2))
    reach = int(rng.integers(8, 40))
    match int(rng.integers(3)):
        case 0:
            angle = float(rng.uniform(0, 360))
            cv2.ellipse(
                canvas, (x, y), (reach, reach // 2), angle, 0, 360, _colour(rng), -1, cv2.LINE_AA
            )
        case 1:
            end = tuple(int(v) for v in rng.integers(0, CANVAS, size=2))
            cv2.line(canvas, (x, y), end, _colour(rng), int(rng.integers(1, 9)), cv2.LINE_AA)
        case _:
            points = rng.integers(-reach, reach, size=(3, 2)) + np.array([x, y])
            cv2.fillPoly(canvas, [points.astype(np.int32)], _colour(rng), cv2.LINE_AA)


def _ellipse(
    head: Image,
    mask: Image,
    centre: tuple[float, float],
    axes: tuple[float, float],
    angle: float,
    colour: Colour,
) -> None:
    place = (round(centre[0]), round(centre[1]))
    reach = (max(1, round(axes[0])), max(1, round(axes[1])))
    cv2.ellipse(head, place, reach, angle, 0, 360, colour, -1, cv2.LINE_AA)
    cv2.ellipse(mask, place, reach, angle, 0, 360, 255, -1, cv2.LINE_AA)


def _polygon(head: Image, mask: Image, points: list[tuple[float, float]], colour: Colour) -> None:
    corners = [np.array(points).round().astype(np.int32)]
    cv2.fillPoly(head, corners, colour, cv2.LINE_AA)
    cv2.fillPoly(mask, corners, 255, cv2.LINE_AA)


def _cat(head: Image, mask: Image, fur: Colour, rng: np.random.Generator) -> None:
    """Draw a wide head with pointed ears, slit eyes, a small nose and whiskers, in the middle."""
    c, wide, high = CANVAS / 2, rng.uniform(40, 48), rng.uniform(34, 42)
    tip, spread = rng.uniform(58, 70), rng.uniform(28, 40)
    for side in (-1, 1):
        outer = [
            (c + side * wide * 0.95, c - 8),
            (c + side * spread, c - tip),
            (c + side * 8, c - high * 0.8),
        ]
        inner = [
            (c + side * wide * 0.8, c - 14),
            (c + side * spread, c - tip + 10),
            (c + side * 16, c - high * 0.8),
        ]
        _polygon(head, mask, outer, _shade(fur, 0.85))
        _polygon(head, mask, inner, _shade(fur, 1.2))
    _ellipse(head, mask, (c, c), (wide, high), 0, fur)
    _stripes(head, fur, rng)
    _eyes(head, mask, rng, slit=True)
    nose = c + rng.uniform(8, 13)
    _polygon(head, mask, [(c - 5, nose), (c + 5, nose), (c, nose + 6)], (205, 120, 130))
    _mouth(head, c, nose + 6, fur)
    for side in (-1, 1):
        for tilt in (-6, 0, 6):
            start = (round(c + side * 14), round(nose + 4 + tilt / 2))
            end = (round(c + side * (wide + 16)), round(nose + tilt * 2))
            cv2.line(head, start, end, (235, 235, 235), 1, cv2.LINE_AA)
            cv2.line(mask, start, end, 255, 1, cv2.LINE_AA)


def _dog(head: Image, mask: Image, fur: Colour, rng: np.random.Generator) -> None:
    """Draw a long head, hanging ears, round eyes, a snout with a big nose, sometimes a tongue."""
    c, wide, high = CANVAS / 2, rng.uniform(34, 42), rng.uniform(42, 50)
    _ellipse(head, mask, (c, c), (wide, high), 0, fur)
    _stripes(head, fur, rng)
    drop, lean = rng.uniform(26, 36), rng.uniform(8, 24)
    for side in (-1, 1):
        ear = (c + side * (wide + 2), c - high * 0.35 + drop * 0.4)
        _ellipse(head, mask, ear, (rng.uniform(11, 15), drop), -side * lean, _shade(fur, 0.7))
    _eyes(head, mask, rng, slit=False)
    snout = c + rng.uniform(18, 24)
    if rng.integers(2):
        _ellipse(head, mask, (c, snout + 24), (7, 13), 0, (225, 95, 115))
    _ellipse(head, mask, (c, snout), (wide * 0.58, 19), 0, _shade(fur, 1.25))
    _ellipse(head, mask, (c, snout - 8), (9, 6.5), 0, (30, 25, 25))
    _mouth(head, c, snout, fur)


def _stripes(head: Image, fur: Colour, rng: np.random.Generator) -> None:
    """Draw markings that both classes can have: none, a patch, or stripes on the forehead."""
    c = round(CANVAS / 2)
    match int(rng.integers(3)):
        case 0:
            side = int(rng.choice([-1, 1]))
            cv2.ellipse(
                head, (c + side * 18, c - 8), (14, 17), 0, 0, 360, _shade(fur, 0.6), -1, cv2.LINE_AA
            )
        case 1:
            for shift in (-10, 0, 10):
                cv2.line(
                    head, (c + shift, c - 32), (c + shift, c - 18), _shade(fur, 0.6), 3, cv2.LINE_AA
                )
        case _:
            return


def _eyes(head: Image, mask: Image, rng: np.random.Generator, *, slit: bool) -> None:
    c, apart, up = CANVAS / 2, rng.uniform(15, 20), rng.uniform(6, 12)
    iris = _shade(_colour(rng), 1.2)
    for side in (-1, 1):
        eye = (c + side * apart, c - up)
        _ellipse(head, mask, eye, (8, 6.5) if slit else (7, 7), 0, iris)
        _ellipse(head, mask, eye, (1.8, 6) if slit else (4, 4), 0, (10, 10, 10))


def _mouth(head: Image, x: float, y: float, fur: Colour) -> None:
    for side in (-1, 1):
        place = (round(x + side * 6), round(y))
        cv2.ellipse(head, place, (6, 6), 0, 20, 160, _shade(fur, 0.4), 2, cv2.LINE_AA)


def _place(canvas: Image, head: Image, mask: Image, rng: np.random.Generator) -> Image:
    """Rotate, scale, shear and move the head onto the background."""
    scale = rng.uniform(0.5, 1.15)
    turn = cv2.getRotationMatrix2D((CANVAS / 2, CANVAS / 2), rng.uniform(-40, 40), scale)
    turn[:, 2] += rng.uniform(-32, 32, size=2)
    turn[0, :2] += turn[1, :2] * rng.uniform(-0.2, 0.2)
    if rng.integers(2):
        head, mask = head[:, ::-1], mask[:, ::-1]
    size = (CANVAS, CANVAS)
    head = cv2.warpAffine(np.ascontiguousarray(head), turn, size, flags=cv2.INTER_LINEAR)
    alpha = cv2.warpAffine(np.ascontiguousarray(mask), turn, size, flags=cv2.INTER_LINEAR)
    share = alpha[..., None].astype(np.float32) / 255
    return np.asarray(canvas * (1 - share) + head * share, dtype=np.uint8)


def _occlude(canvas: Image, rng: np.random.Generator) -> None:
    """Draw up to three shapes in front of the head."""
    for _ in range(int(rng.integers(0, 4))):
        _clutter(canvas, rng)


def _light_and_noise(image: Image, rng: np.random.Generator) -> Image:
    """Change contrast and brightness, and add the noise of a small sensor."""
    contrast, light = rng.uniform(0.5, 1.1), rng.uniform(-35, 35)
    noise = rng.normal(0, rng.uniform(4, 22), size=image.shape)
    lit = (image - 128.0) * contrast + 128 + light + noise
    return np.asarray(lit.clip(0, 255), dtype=np.uint8)
