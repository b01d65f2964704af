"""Artifacts: .tflite files, built once, checked, and stored by the hash of all that made them."""
