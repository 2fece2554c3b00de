"""The gate: is this one photograph of a fundus, how good is it, and why not. Needs NumPy, OpenCV and ONNX Runtime."""
