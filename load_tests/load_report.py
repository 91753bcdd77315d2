"""A Locust run as a picture and a table: python -m load_tests.load_report PREFIX, which was its --csv."""

import argparse
import csv
from pathlib import Path

from load_tests.report import table

COLUMNS = {
    "Name": "request",
    "Request Count": "answers",
    "Failure Count": "failures",
    "Requests/s": "per second",
    "50%": "p50 ms",
    "99%": "p99 ms",
    "Max Response Time": "max ms",
}


def rows_of(prefix: Path) -> list[dict[str, object]]:
    """Of each kind of request, the sum last."""
    with prefix.with_name(f"{prefix.name}_stats.csv").open(newline="") as file:
        found = [
            {COLUMNS[name]: value for name, value in row.items() if name in COLUMNS} for row in csv.DictReader(file)
        ]
    return [{name: text if name == "request" else float(text or 0) for name, text in row.items()} for row in found]


def draw(prefix: Path) -> Path:
    """Users, rate and latency over time."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with prefix.with_name(f"{prefix.name}_stats_history.csv").open(newline="") as file:
        history = [row for row in csv.DictReader(file) if row["Name"] == "Aggregated"]
    start = float(history[0]["Timestamp"])
    seconds = [float(row["Timestamp"]) - start for row in history]
    figure, (load, latency) = pyplot.subplots(2, 1, sharex=True, figsize=(8, 5), layout="constrained")
    load.plot(seconds, [float(row["User Count"]) for row in history], label="users")
    load.plot(seconds, [float(row["Requests/s"]) for row in history], label="answers a second")
    load.plot(seconds, [float(row["Failures/s"]) for row in history], label="failures a second")
    for share in ("50%", "99%"):
        latency.plot(
            seconds, [float(row[share]) if row[share] != "N/A" else 0.0 for row in history], label=f"{share} within"
        )
    latency.set(xlabel="seconds", ylabel="ms")
    for axes in (load, latency):
        axes.legend(loc="upper left")
        axes.grid(alpha=0.3)
    picture = prefix.with_suffix(".png")
    figure.savefig(picture, dpi=110)
    pyplot.close(figure)
    return picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prefix", type=Path)
    prefix = parser.parse_args().prefix
    print(table(rows_of(prefix)))
    print(f"\n{draw(prefix)}")


if __name__ == "__main__":
    main()
