"""What runs the graphs.

session        a graph under ONNX Runtime
fixed_shapes   on a GPU: batches of few shapes
device         what a GPU's errors mean, and when nothing may run beside a capture
device_memory  how the sessions of a process share a GPU's memory
batcher        rows of concurrent requests become batches
cascade        rows that a second graph answers
padding        items of different lengths in one batch
loaded_model   a version in memory: its graphs with their sessions and batchers
served_model   a version that is served, in memory or not
residents      which models are in memory
repository     the models that are served, followed on disk
unloaded       the models that an operator has unloaded
trial          a new version, tried in a process of its own
precision      in which precision a model runs
profile        how each model is run on this machine
tune           what of that is fastest
"""
