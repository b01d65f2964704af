"""Write what optimisations do: `python docs/optimizations.py RUN > docs/optimizations.md`."""

import json
import sys
from pathlib import Path
from typing import Any

from analysis import open_results, to_json
from analysis.table import half_width, latency
from suite.models.spec import FineTune
from suite.results.read import read_results

TEXT = """\
# Optimisations

What pruning, shared values, low-rank factors, ternary weights and quantization do to a small CNN
for handwritten digits: {parameters:,} parameters in twenty layers, trained on 7,500 digits, scored
on {examples:,} others, and trained on for {epochs} epochs after each step of an optimisation. All
of this page is written by

```sh
litesweep run jobs/examples/optimizations.toml --out runs/optimizations
python docs/optimizations.py runs/optimizations > docs/optimizations.md
```

{table}
- `top-1`: test digits that the artifact gets right. The unoptimised float model: {reference:.2f} %.
  One digit is {step:.2f} points, and the standard error of such a share {error:.2f} points.
- What is optimised is trained on, which the unoptimised model is not: a point more than it is a
  point of training, not of the optimisation.
- `agreement`: test digits of which it says what the unoptimised float model says.
- `file`, `gzip`: the `.tflite`, and the same under gzip -6.
- `encoded`: the optimised float weights under the encoder below; in brackets, how many times
  smaller than the {weights:.0f} KiB of the plain numbers. What was converted are the weights as
  decoded from it.
- `latency`: one digit, one thread; median of the trials' medians, ± half its 95 % interval.
- `× faster`: over the unoptimised model of the same quantization.

## What is faster, and what is not

XNNPACK's dense kernels multiply by zeros and by shared values as by any others: pruning, clustering
and ternary weights are there to make the file smaller where it is stored or sent, and not to make
it faster. Low-rank factors mean fewer multiplications, but in twice as many layers: whether that is
faster depends on how small the layers are.

The converter folds each BatchNormalization into the convolution in front of it, a factor for each
output channel: zeros stay zeros in the `.tflite`, shared values do not stay shared. That is why
clustering shows under `encoded` more than under `gzip`.

## How they are done

- `prune@S`: the share S of each kernel, its smallest weights, is masked; the mask grows by a cubic
  schedule over the first third of the training (Zhu & Gupta, arXiv 1710.01878).
- `cluster@K`: k-means of each kernel from K evenly spaced values; then these are trained, each by
  the sum of its weights' gradients (Han et al., arXiv 1510.00149).
- `deep-compression`: `prune@0.7`, then `cluster@16`, then the encoder (the same).
- `low-rank@R`: a convolution of k × k becomes one of k × k with few outputs and one of 1 × 1, a
  dense layer two, with the share R of the weights, by singular value decomposition (Zhang et al.,
  arXiv 1505.06798). A layer whose kernel has a side under 16 is left.
- `ternary`: each kernel but the first and the last has three values, of which two are trained, and
  the weights in full precision behind them (Zhu et al., arXiv 1612.01064; the threshold is that of
  Li & Liu, arXiv 1605.04711).

What is zero when a step begins stays zero. The encoder stores, for each array, the distances
between weights that are left and their places in a table of values, both in Huffman codes, or the
plain numbers where those are smaller; it decodes to the last bit.

A new optimisation is a file in `suite/optimizations` with a `make`, and a line in `names.py`.

## Beside the literature

- Deep compression: 35× (AlexNet) and 49× (VGG-16) without loss of accuracy (arXiv 1510.00149);
  here {deep}.
  There, most weights are in dense layers, of which over 90 % are pruned; here all are in
  convolutions of 16 channels, 70 % are pruned, and BatchNormalization's numbers stay in float32.
- Trained ternary quantization: nearly 16×, and 0.04 to 0.36 points above full precision for ResNets
  on CIFAR-10 (arXiv 1612.01064); here {ternary}.
  Huffman codes take less than the 2 bits of that count; the first and the last kernel, and
  BatchNormalization, stay in float32.

## Machine

{cpu}; {created}, litesweep {version}, {trials} trials. A shared virtual machine: compare within
this table, not with another.
"""

HEADINGS = (
    *("optimization", "quantization", "top-1 %", "agreement %", "file KiB", "gzip KiB"),
    *("encoded KiB", "latency", "± %", "× faster", "verdict"),
)


def parameters() -> int:
    """Return how many numbers the unoptimised model has."""
    from suite.models import mnist_cnn

    return int(mnist_cnn.make(0).count_params())


def kib(value: float) -> str:
    """Write a size."""
    return f"{value / 1024:.1f}"


def main(run: Path) -> None:
    """Print the document."""
    results = open_results(run)
    rows = read_results(run / "results.h5")
    records = to_json(results)
    plain = {r["quantization"]: r for r in records if r["optimization"] == "none"}
    count = parameters()
    float32 = {r["optimization"]: r for r in records if r["quantization"] == "float32"}
    share, examples = (float32["none"][name] for name in ("reference_top1", "labelled_examples"))

    def line(r: dict[str, Any]) -> tuple[str, ...]:
        size = r["encoded_bytes"]
        encoded = f"{kib(size)} ({4 * count / size:.1f}×)" if size else "-"
        return (
            f"`{r['optimization']}`",
            r["quantization"],
            f"{100 * r['labelled_top1']:.2f}",
            f"{100 * r['top1_agreement']:.2f}",
            kib(r["artifact_bytes"]),
            kib(r["artifact_compressed_bytes"]),
            encoded,
            latency(r["median_ns"]),
            half_width(r["median_ns"], r["ci_low_ns"], r["ci_high_ns"]),
            f"{plain[r['quantization']]['median_ns'] / r['median_ns']:.2f}",
            ", ".join(r["verdict"]).replace("_", " ") or "valid",
        )

    def said(name: str) -> str:
        points = 100 * (float32[name]["labelled_top1"] - share)
        return f"{4 * count / float32[name]['encoded_bytes']:.1f}× and {points:+.2f} points"

    table = [HEADINGS, ("---", "---", *["---:"] * 8, "---"), *map(line, records)]
    packages = json.loads(results.attrs["packages"])
    print(
        TEXT.format(
            parameters=count,
            examples=examples,
            epochs=FineTune().epochs,
            table="".join(f"| {' | '.join(row)} |\n" for row in table),
            reference=100 * share,
            step=100 / examples,
            error=100 * (share * (1 - share) / examples) ** 0.5,
            weights=4 * count / 1024,
            deep=said("deep-compression"),
            ternary=said("ternary"),
            cpu=rows.nodes[0].cpu_name,
            created=results.attrs["created"][:10],
            version=packages["litesweep"],
            trials=len(rows.trials),
        ),
        end="",
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
