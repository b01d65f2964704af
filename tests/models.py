"""Tiny models for tests, made once a session: `python -m tests.models FOLDER`."""

import sys
from pathlib import Path


def make(folder: Path) -> None:
    """Write `tiny` and `dense.keras`, .tflite files, SavedModels with and without signature."""
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

    calibration = tf.random.stateless_uniform((4, 1, 16, 16, 3), (3, 4))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image] for image in calibration)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    (folder / "tiny_int8.tflite").write_bytes(converter.convert())

    image = keras.Input((96, 96, 3), batch_size=1)
    features = keras.layers.Conv2D(32, 3, activation="relu")(image)
    features = keras.layers.Conv2D(64, 3, strides=2, activation="relu")(features)
    features = keras.layers.GlobalAveragePooling2D()(features)
    slower = keras.Model(image, keras.layers.Dense(10, activation="softmax")(features))
    slower.export(folder / "slower", verbose=False)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "slower"))
    (folder / "slower.tflite").write_bytes(converter.convert())

    @tf.function(input_signature=[tf.TensorSpec((1, 8), tf.float32)])
    def looped(x):
        _, y = tf.while_loop(lambda n, _: n < 5, lambda n, y: (n + 1, y @ square), (0, x))
        return {"y": y}

    square = tf.random.stateless_normal((8, 8), (5, 6))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([looped.get_concrete_function()])
    (folder / "looped.tflite").write_bytes(converter.convert())


if __name__ == "__main__":
    make(Path(sys.argv[1]))
