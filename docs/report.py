"""Take the pictures of docs/report.md: `python -m docs.report` (needs Chromium)."""

from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from analysis import open_results, write_report
from suite.results.write import write_results
from tests.browser import DESKTOP, PHONE, chromium, picture
from tests.rows import a_cluster


def main() -> None:
    """Write a picture of a screen, light, and one of a phone, dark."""
    made_up = a_cluster(
        12,
        recipes={"float32": (1, 1), "float16": (1.02, 2), "dynamic": (3.1, 4), "int8": (4.8, 4)},
        threads=(1, 2, 4, 8, 16),
        cpu_types=("skylake", "zen3"),
        slowest=1.08,
        name="made-up-cluster",
        created="2026-11-26",
    )
    with TemporaryDirectory() as folder:
        write_results(Path(folder) / "results.h5", made_up)
        file = write_report(open_results(folder), Path(folder) / "report.html")
        for name, size, dark in (("desktop", DESKTOP, False), ("phone", PHONE, True)):
            path = Path(__file__).with_name(f"report-{name}.png")
            with chromium(size, dark) as browser:
                browser.get(file.as_uri())
                picture(browser, path, height=1250)
            with Image.open(path) as taken:
                taken.quantize(128).save(path, optimize=True)


if __name__ == "__main__":
    main()
