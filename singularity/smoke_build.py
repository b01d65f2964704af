"""Convert a model of one layer: what an image that builds artifacts must be able to do."""

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter


def main() -> None:
    """Convert it and compare."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    content = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    x = np.arange(4, dtype=np.float32).reshape(1, 4)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(found, model(x), rtol=1e-4, atol=1e-5)
    print("TensorFlow converts:", found.ravel())


if __name__ == "__main__":
    main()
