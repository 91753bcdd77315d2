"""What the bench tells a competitor's server."""

from argparse import ArgumentParser

MAX_BATCH = 64


def port() -> int:
    parser = ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    number: int = parser.parse_args().port
    return number
