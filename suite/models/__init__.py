"""Where models come from: found and described without TensorFlow, loaded with it."""
