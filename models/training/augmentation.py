"""Random changes of the training images, as layers of the network that is trained.

They run inside the compiled step, for a whole batch at once, or for the images that are in memory
at once. The seeds of their generators are variables of the network, so that a checkpoint has them.
The network that is evaluated and saved does not have these layers.
"""

from typing import Any

import keras
from keras import ops

from models.errors import SpecError
from models.spec import TrainingSpec

#: Of light augmentation, at most: shift (share of the side), zoom (share).
LIGHT_SHIFT, LIGHT_ZOOM = 0.1, 0.1
#: Of strong augmentation, at most: shift (share of the side), zoom (share), rotation (radians),
#: change of brightness (share of the range), of contrast and of saturation (shares).
SHIFT, ZOOM, ROTATION = 0.125, 0.2, 0.26
BRIGHTNESS, CONTRAST, SATURATION = 0.15, 0.25, 0.3
#: The area of an erased rectangle (share of the image), and its largest ratio of sides.
ERASED_AREA, ERASED_RATIO = (0.02, 0.33), 3.3


def with_augmentation(network: Any, training: TrainingSpec, seed: int) -> Any:
    """Return a network that changes images at random before it passes them on to this network.

    Both networks share their weights. If images are mixed, it takes [images, targets] and returns
    [logits, targets].

    Parameters
    ----------
    network : takes images (B, H, W, 3), 0 to 255, and returns logits.
    training : its `augment`, `erase`, `mixup` and `cutmix`.
    seed : of the random generators.

    Raises
    ------
    SpecError
        If the level of `augment` is unknown.
    """
    inputs = keras.Input(network.input_shape[1:])
    x = inputs
    for layer in _layers_of_level(training, seed):
        x = layer(x)
    if training.erase:
        x = RandomErase(training.erase, seed + 3)(x)
    if mixes(training):
        targets = keras.Input(network.output_shape[1:])
        x, mixed = Mix(training.mixup, training.cutmix, seed + 4)([x, targets])
        return keras.Model([inputs, targets], [network(x), mixed])
    return network if x is inputs else keras.Model(inputs, network(x))


def mixes(training: TrainingSpec) -> bool:
    """Whether the training mixes images."""
    return bool(training.mixup or training.cutmix)


def _layers_of_level(training: TrainingSpec, seed: int) -> list[Any]:
    match training.augment:
        case False:
            return []
        case "flip":
            return [keras.layers.RandomFlip("horizontal", seed=seed)]
        case True:
            return [LightAugmentation(seed)]
        case "strong":
            return [StrongAugmentation(seed)]
    raise SpecError(
        f"augment {training.augment!r}: not none, flip, light or strong; use one of them"
    )


class _RandomLayer(keras.layers.Layer):  # type: ignore[misc] # Keras ships no types
    """A layer with a random generator, which computes in float32 under every precision policy."""

    def __init__(self, seed: int) -> None:
        super().__init__(dtype="float32")
        self.generator = keras.random.SeedGenerator(seed)

    def compute_output_spec(self, inputs: Any, **_: Any) -> Any:
        """Return the shapes of the inputs: a layer changes values, and no shape."""
        return keras.tree.map_structure(
            lambda tensor: keras.KerasTensor(tensor.shape, "float32"), inputs
        )

    def uniform(self, shape: tuple[int, ...], low: float, high: float) -> Any:
        """Return random numbers between two limits."""
        return keras.random.uniform(shape, low, high, seed=self.generator)

    def sign(self, count: int) -> Any:
        """Return -1 or 1 at random, (count,)."""
        return ops.where(self.uniform((count,), -1.0, 1.0) < 0, -1.0, 1.0)


class LightAugmentation(_RandomLayer):
    """Flip, shift and zoom each image in one interpolation.

    Without rotation, rows and columns are interpolated apart: by two products of matrices, which
    cost less than interpolating each pixel.
    """

    def call(self, images: Any) -> Any:
        """Return changed images, float32 (B, H, W, 3), 0 to 255."""
        count, height, width, channels = (int(size) for size in images.shape)
        images = ops.cast(images, "float32")
        zoom = self.uniform((count,), 1 - LIGHT_ZOOM, 1 + LIGHT_ZOOM)
        flip = self.sign(count)
        down = self.uniform((count,), -LIGHT_SHIFT, LIGHT_SHIFT)
        right = self.uniform((count,), -LIGHT_SHIFT, LIGHT_SHIFT)
        rows, columns = (
            interpolation(height, zoom, height * down),
            interpolation(width, zoom * flip, width * right),
        )
        moved = ops.matmul(rows, ops.reshape(images, (count, height, width * channels)))
        moved = ops.transpose(ops.reshape(moved, (count, height, width, channels)), (0, 2, 1, 3))
        moved = ops.matmul(columns, ops.reshape(moved, (count, width, height * channels)))
        return ops.transpose(ops.reshape(moved, (count, width, height, channels)), (0, 2, 1, 3))


def interpolation(size: int, scale: Any, shift: Any) -> Any:
    """Return matrices that move rows of pixels, by linear interpolation between two of them.

    Beyond the border the pixels are mirrored.

    Parameters
    ----------
    size : S, the number of pixels.
    scale, shift : (B,); pixel i of the answer is at ``middle + scale * (i - middle) + shift``.

    Returns
    -------
    float32 (B, S, S); row i of a matrix has the shares of the pixels that pixel i is made of.
    """
    pixels, middle = ops.arange(size, dtype="float32"), (size - 1) / 2
    source = middle + scale[:, None] * (pixels - middle) + shift[:, None]
    # The image and its mirror image repeat every 2 S pixels; pixel i covers i - 0.5 to i + 0.5.
    source = ops.mod(source + 0.5, 2.0 * size)
    source = ops.clip(ops.minimum(source, 2.0 * size - source) - 0.5, 0.0, size - 1.0)
    return ops.maximum(0.0, 1 - ops.abs(source[:, :, None] - pixels))


class StrongAugmentation(_RandomLayer):
    """Flip, shift, zoom and rotate each image in one interpolation, and change its colours."""

    def call(self, images: Any) -> Any:
        """Return changed images, float32 (B, H, W, 3), 0 to 255."""
        count, height, width = (int(size) for size in images.shape[:3])
        zoom = self.uniform((count,), 1 - ZOOM, 1 + ZOOM)
        angle = self.uniform((count,), -ROTATION, ROTATION)
        flip = self.sign(count)
        middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
        right = middle_x + width * self.uniform((count,), -SHIFT, SHIFT)
        down = middle_y + height * self.uniform((count,), -SHIFT, SHIFT)
        cos, sin = zoom * ops.cos(angle), zoom * ops.sin(angle)
        # Where the pixel (x, y) of the answer comes from: a turn around the middle, then a shift.
        rows = [cos * flip, -sin, right - cos * flip * middle_x + sin * middle_y]
        rows += [sin * flip, cos, down - sin * flip * middle_x - cos * middle_y]
        zero = ops.zeros_like(cos)
        moves = ops.stack([*rows, zero, zero], axis=1)
        return self._colours(
            ops.image.affine_transform(images, moves, fill_mode="reflect", data_format=LAST)
        )

    def _colours(self, images: Any) -> Any:
        one_per_image = (int(images.shape[0]), 1, 1, 1)
        saturation = self.uniform(one_per_image, 1 - SATURATION, 1 + SATURATION)
        contrast = self.uniform(one_per_image, 1 - CONTRAST, 1 + CONTRAST)
        brightness = self.uniform(one_per_image, -255 * BRIGHTNESS, 255 * BRIGHTNESS)
        grey = ops.mean(images, axis=3, keepdims=True)
        images = grey + saturation * (images - grey)
        mean = ops.mean(images, axis=(1, 2, 3), keepdims=True)
        return ops.clip(mean + contrast * (images - mean) + brightness, 0, 255)


#: The layout of images, (B, H, W, C), under every setting of Keras.
LAST = "channels_last"


class RandomErase(_RandomLayer):
    """Give a random rectangle of some images the mean colour of the image.

    References
    ----------
    Zhong, Z. et al. (2017), Random Erasing Data Augmentation, arXiv:1708.04896 (which fills the
    rectangle with noise).
    """

    def __init__(self, share: float, seed: int) -> None:
        super().__init__(seed)
        self.share = share

    def call(self, images: Any) -> Any:
        """Return the images, some with a uniform rectangle."""
        count = int(images.shape[0])
        area = self.uniform((count,), *ERASED_AREA)
        ratio = ops.exp(self.uniform((count,), -1.0, 1.0) * ops.log(ERASED_RATIO))
        chosen = self.uniform((count,), 0.0, 1.0) < self.share
        sides = ops.sqrt(area * ratio), ops.sqrt(area / ratio)
        centres = (self.uniform((count,), 0.0, 1.0), self.uniform((count,), 0.0, 1.0))
        inside = _rectangles(images.shape[1:3], centres, sides)
        inside = ops.logical_and(inside, chosen[:, None, None, None])
        return ops.where(inside, ops.mean(images, axis=(1, 2), keepdims=True), images)


class Mix(_RandomLayer):
    """Mix each image, and its target, with another one of the batch: mixup and CutMix.

    The other image is the one at the same place from the end of the batch. With both settings, each
    batch is mixed in one of the two ways, at random.

    References
    ----------
    Zhang, H. et al. (2017), mixup, arXiv:1710.09412. Yun, S. et al. (2019), CutMix,
    arXiv:1905.04899.
    """

    def __init__(self, mixup: float, cutmix: float, seed: int) -> None:
        super().__init__(seed)
        self.mixup, self.cutmix = mixup, cutmix

    def call(self, inputs: Any) -> Any:
        """Return mixed [images, targets] of the same shapes."""
        images, targets = inputs
        count = int(images.shape[0])
        others = ops.flip(images, axis=0)
        kept, shares = [], []
        if self.mixup:
            share = keras.random.beta((count,), self.mixup, self.mixup, seed=self.generator)
            shares.append(share)
            kept.append(ops.broadcast_to(share[:, None, None, None], (*images.shape[:3], 1)))
        if self.cutmix:
            share = keras.random.beta((count,), self.cutmix, self.cutmix, seed=self.generator)
            side = ops.sqrt(1 - share)
            centres = (self.uniform((count,), 0.0, 1.0), self.uniform((count,), 0.0, 1.0))
            outside = ops.logical_not(_rectangles(images.shape[1:3], centres, (side, side)))
            kept.append(ops.cast(outside, "float32"))
            # The part of the rectangle that lies inside the image counts.
            shares.append(ops.mean(kept[-1], axis=(1, 2, 3)))
        weight, share = kept[-1], shares[-1]
        if len(kept) > 1:
            first = self.uniform((), 0.0, 1.0) < 1 / 2
            weight, share = ops.where(first, kept[0], weight), ops.where(first, shares[0], share)
        share = share[:, None]
        mixed = share * targets + (1 - share) * ops.flip(targets, axis=0)
        return [weight * images + (1 - weight) * others, mixed]


def _rectangles(size: tuple[int, int], centres: tuple[Any, Any], sides: tuple[Any, Any]) -> Any:
    """Return which pixels lie in a rectangle of each image, bool (B, H, W, 1).

    Parameters
    ----------
    size : height and width, pixels.
    centres, sides : of the rectangles, vertical and horizontal, (B,), shares of the image.
    """
    inside = []
    for pixels, centre, side in zip(size, centres, sides, strict=True):
        place = (ops.arange(pixels, dtype="float32") + 0.5) / pixels
        inside.append(ops.abs(place[None] - centre[:, None]) < side[:, None] / 2)
    rows, columns = inside
    return ops.logical_and(rows[:, :, None], columns[:, None, :])[..., None]
