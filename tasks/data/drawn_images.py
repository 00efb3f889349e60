"""Pictures that FactorGrid draws itself, as a source."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2

from models.images import drawn
from tasks.data.source import Entry, Source


@dataclass
class DrawnReader:
    """Draws a picture when it is read."""

    size: int
    seed: int

    def read(self, entry: Entry) -> bytes:
        """Return a picture as PNG bytes, which is lossless."""
        index = int(entry.location)
        image = drawn.draw_one(index % 2, self.size, drawn.generator(self.seed, index))
        _, data = cv2.imencode(".png", image[:, :, ::-1])
        return data.tobytes()


def draw_images(number: int, size: int, seed: int) -> Source:
    """Return a source of drawn cats and dogs, whose description says that they are drawn.

    Parameters
    ----------
    number : number of pictures; half of them are cats.
    size : pixels per side.
    seed : of the drawing.
    """
    # The stamp changes with the code that draws.
    stamp = hashlib.sha256(Path(drawn.__file__).read_bytes()).hexdigest()[:16]
    entries = [
        Entry(f"drawn/{label}.{index}.png", label, stamp, str(index))
        for index in range(number)
        for label in (drawn.CLASSES[index % 2],)
    ]
    description = f"drawn cats and dogs (seed {seed}; no photographs)"
    return Source(description, f"drawn-{size}-{seed}", entries, {}, DrawnReader(size, seed))
