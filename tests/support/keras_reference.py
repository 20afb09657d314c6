# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Mini-Xception in Keras, by its published description: writes weights, images and outputs to the folder of `argv[1]`.

A process of its own, since Keras takes its backend from the environment when it is first imported.
"""

import sys
from itertools import count
from pathlib import Path

import keras
import numpy as np
from keras import layers


class Names:
    """Keras's names count the layers of a kind in order of creation."""

    def __init__(self):
        self.counts = {}

    def __call__(self, kind: str) -> str:
        return f"{kind}_{next(self.counts.setdefault(kind, count(1)))}"


def build() -> keras.Model:
    name = Names()

    def norm(x):
        return layers.BatchNormalization(name=name("batch_normalization"))(x)

    def conv(x, channels, size, strides=1, padding="valid", use_bias=False):
        return layers.Conv2D(channels, size, strides=strides, padding=padding, use_bias=use_bias, name=name("conv2d"))(
            x
        )

    def separable(x, channels):
        layer = layers.SeparableConv2D(channels, 3, padding="same", use_bias=False, name=name("separable_conv2d"))
        return layer(x)

    image = keras.Input((64, 64, 1))
    x = layers.ReLU()(norm(conv(image, 8, 3)))
    x = layers.ReLU()(norm(conv(x, 8, 3)))
    outputs = []
    for channels in (16, 32, 64, 128):
        shortcut = norm(conv(x, channels, 1, strides=2, padding="same"))
        x = layers.ReLU()(norm(separable(x, channels)))
        x = norm(separable(x, channels))
        x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
        x = layers.add([x, shortcut])
        outputs.append(x)
    scores = conv(x, 7, 3, padding="same", use_bias=True)
    return keras.Model(image, [layers.GlobalAveragePooling2D()(scores), *outputs[-2:]])


def main(folder: Path) -> None:
    model, generator = build(), np.random.default_rng(0)
    # The variances of norms must be positive, and are as likely as any to be mixed up with the other parameters.
    model.set_weights([generator.uniform(0.1, 0.4, weight.shape).astype("f4") * (
        1 if weight.ndim == 1 else generator.choice([-1, 1], weight.shape)
    ) for weight in model.get_weights()])  # fmt: skip
    model.save(folder / "weights.h5")
    images = generator.uniform(-1, 1, (3, 64, 64, 1)).astype("f4")
    logits, third, last = (np.asarray(value) for value in model.predict(images, verbose=0))
    np.savez(folder / "case.npz", images=images, logits=logits, third=third, last=last)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
