"""Whether a candidate may be served: everything that was served must be as good with it."""
