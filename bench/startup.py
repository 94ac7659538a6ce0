"""How long the command takes to answer: median of several runs, beside a bare Python."""

import statistics
import subprocess
import sys
import time

RUNS = 9


def seconds(*command: str) -> float:
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        subprocess.run(command, capture_output=True, check=True)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def main() -> None:
    bare = seconds(sys.executable, "-c", "pass")
    for words in (("--help",), ("readers", "--json"), ("settings", "--json")):
        taken = seconds(sys.executable, "-m", "coread", *words)
        sys.stdout.write(f"coread {' '.join(words):20s} {taken * 1000:6.0f} ms   (bare Python {bare * 1000:.0f} ms)\n")


if __name__ == "__main__":
    main()
