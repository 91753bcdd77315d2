"""Quartet: an inference microservice with its models packaged in."""

__version__ = "0.1.0"
