"""Tiny models for tests, made once a session: `python -m tests.models FOLDER`."""

import sys
from pathlib import Path


def make(folder: Path) -> None:
    """Write `tiny` and `dense.keras`, `tiny.tflite`, SavedModels with and without signature."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((16, 16, 3), name="image"),
            keras.layers.Conv2D(8, 3, activation="relu"),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.save(folder / "tiny.keras")
    model.export(folder / "exported", verbose=False)
    keras.Sequential([keras.Input((16,)), keras.layers.Dense(10)]).save(folder / "dense.keras")

    class Traced(tf.Module):
        """Has been called, and so has a traced function, but no signature."""

        def __init__(self) -> None:
            super().__init__()
            self.weights = tf.Variable(tf.random.stateless_normal((48, 10), (1, 2)))

        @tf.function
        def __call__(self, x):
            return tf.nn.softmax(tf.reshape(x, (-1, 48)) @ self.weights)

    traced = Traced()
    traced(tf.zeros((1, 4, 4, 3)))
    tf.saved_model.save(traced, folder / "no_signature")
    tf.saved_model.save(Traced(), folder / "untraced")

    class Around(tf.Module):
        """A module around a Keras model, which the converter alone turns into NaN."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        @tf.function(input_signature=[tf.TensorSpec((None, 16, 16, 3), tf.float32)])
        def __call__(self, x):
            return self.model(x, training=False)

    tf.saved_model.save(Around(), folder / "around_keras")

    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "exported"))
    (folder / "tiny.tflite").write_bytes(converter.convert())


if __name__ == "__main__":
    make(Path(sys.argv[1]))
