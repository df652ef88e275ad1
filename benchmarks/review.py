"""How long the review page takes for a key, with ten thousand groups: from the key to the next painted frame.

python benchmarks/review.py [GROUPS]
"""

import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from browser import browser, page_at, settled
from imkin.catalogue import Database
from imkin.review import shown
from imkin.server.review.app import serving
from reviewing import made_session

KEYS = {
    "j": 60,
    "k": 60,
    "End": 5,
    "Home": 5,
    "ArrowRight": 30,
    "Enter": 60,
    "a": 30,
    "d": 30,
    "u": 20,
    "+": 10,
    "0": 5,
}

# The key is handled, and the frame that shows its effect is painted, when a task runs that the frame queued.
MEASURE = """
async (key) => {
  const before = performance.now();
  document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  const handled = performance.now();
  await new Promise((resolve) => requestAnimationFrame(() => {
    const channel = new MessageChannel();
    channel.port1.onmessage = resolve;
    channel.port2.postMessage(0);
  }));
  return [handled - before, performance.now() - before];
}
"""


def main(groups):
    with Database(None) as database:
        started = time.process_time()
        session = made_session(database, groups)
        print(f"{groups:,} groups grouped in {time.process_time() - started:.2f} s of processor")
        started = time.process_time()
        shown.overview(session)
        print(f"told in {time.process_time() - started:.2f} s of processor")
        with browser() as opened, serving(session) as address, page_at(opened, address) as page:
            settled(page)
            print(f"{'key':<12}{'times':>6}{'handled, median':>18}{'painted, median':>18}{'95 %':>8}{'most':>8}  (ms)")
            for key, times in KEYS.items():
                rows = [page.evaluate(MEASURE, key) for _ in range(times)]
                handled, painted = ([row[at] for row in rows] for at in (0, 1))
                high = sorted(painted)[int(0.95 * (times - 1))]
                print(
                    f"{key:<12}{times:>6}{statistics.median(handled):>18.1f}{statistics.median(painted):>18.1f}"
                    f"{high:>8.1f}{max(painted):>8.1f}"
                )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
