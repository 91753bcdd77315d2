"""What runs the graphs.

session        a graph under ONNX Runtime
batcher        rows of concurrent requests become batches
padding        items of different lengths in one batch
served_model   a loaded version: its graphs with their sessions and batchers
repository     the models that are served, followed on disk
trial          a new version, tried in a process of its own
tune           how each model runs best on this machine
"""
