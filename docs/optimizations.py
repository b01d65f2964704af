"""Write what optimisations do: `python docs/optimizations.py MNIST-RUN RESNET50-RUN DOCS`.

Writes `optimizations.md` and its figures, `optimizations-MODEL.svg`, into the folder DOCS.
"""

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import xarray as xr

from analysis import open_results, pareto, to_json
from analysis.figures.pareto import pareto_figure
from analysis.figures.style import STYLE
from analysis.table import digits, half_width, latency, millijoules
from suite.models.spec import FineTune
from suite.optimizations.names import NONE
from suite.results.read import read_results

TEXT = """\
# Optimisations

What fine-tuning, pruning, shared values, low-rank factors, ternary weights, quantization and fewer
pixels do to two models. All of this page is written by

```sh
make optimizations
```

which runs [`optimizations.toml`](../jobs/examples/optimizations.toml) and
[`optimizations-resnet50.toml`](../jobs/examples/optimizations-resnet50.toml), and then
`python docs/optimizations.py runs/optimizations runs/optimizations-resnet50 docs`.

- `× plain`: how many times smaller or faster than the unoptimised model of the same quantization.
- `gzip`: the `.tflite` under gzip -6.
- `encoded`: the optimised float weights under the encoder below; in brackets, how many times
  smaller than the plain numbers. What was converted are the weights as decoded from it.
- `latency`: one input, one thread, one process; median of the trials' medians, ± half its 95 %
  interval.
- `per s`: inputs a second of one process, and of {most} at the same time on CPUs of their own.
- `memory`: the peak of one process, and in all of {most}.
- `energy`: of one inference{energy}.
- `front`: how probable it is that no other row of the table is at once as fast, as small (gzip) and
  as right ({right}); 0 is written as -. The latency is drawn anew from the
  trials, the rest is taken as it is.

## A small CNN, with labels

`example:mnist-cnn`: {parameters:,} parameters, trained on 7,500 digits, scored on {examples:,}
others, and trained on for {epochs} epochs after each step of an optimisation.

{mnist}
- `top-1`: test digits that the artifact gets right. The unoptimised float model: {reference:.2f} %.
  One digit is {step:.2f} points, and the standard error of such a share {error:.2f} points; two
  artifacts err on many of the same digits, so that they differ by less.
- `- control`: points more than `fine-tune`, which is as long trained on and nothing else (of the
  same quantization): what the optimisation itself costs. More than `none` may be the training.
- `agreement`: test digits of which it says what the unoptimised float model says.
- `int8` costs this model much, and 4-bit weights less: its BatchNormalization lies behind the
  activation, where it cannot be folded into a convolution, and `int8` has one scale for the factors
  of all channels. Weights alone and `dynamic` leave these factors in float32.
- Rows with px: the same weights on smaller images, not trained for them.

![Latency against the size under gzip, and the front](optimizations-mnist.svg)

## ResNet50, without labels

25.6 million parameters with weights from a seed: there is nothing to train it on, so every step is
applied alone, and the loss stands as it is. Such weights know nothing of images. They are as large
and take as long as trained ones, but `error` (relative L2, against the unoptimised float model) and
`agreement` (over {checked} inputs of noise) only say how far the numbers move, not how many images
would be mistaken: a trained network has weights that matter less, and is trained on afterwards.

The 1000 outputs are all about 0.001, less than half a step of `int8`'s output (1/256): its error of
1 says that the output is rounded to zero, which a trained model's is not.

{resnet50}
![Latency against the size under gzip, and the front](optimizations-resnet50.svg)

## What is faster, and what is not

XNNPACK's dense kernels multiply by zeros and by shared values as by any others: pruning,
clustering and ternary weights are there to make the file smaller where it is stored or sent, and
not to make it faster. Over all these rows and quantizations, the geometric mean of `× plain` in
latency is {zeros_mnist} for the CNN and {zeros_resnet50} for ResNet50; with `low-rank@0.5` it is
{factors_mnist} and {factors_resnet50}. Low-rank factors mean fewer multiplications, but in twice as
many layers: whether that is faster depends on how large the layers are.

Where a BatchNormalization lies behind a convolution, as in ResNet50, the converter folds it in, a
factor for each output channel: zeros stay zeros in the `.tflite`, shared values do not stay shared.
That is why clustering shows there under `encoded` more than under `gzip`.

## How they are done

- `fine-tune@N`: trained on N times, and nothing else.
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

Over the plain numbers of all weights; points over `fine-tune` for as long.

- Deep compression (arXiv 1510.00149): 35× (AlexNet) and 49× (VGG-16) without loss of accuracy. The
  small CNN: {deep_mnist}. ResNet50: {deep_resnet50}.
  Most weights of AlexNet and VGG-16 are in dense layers, of which over 90 % are pruned; here nearly
  all are in convolutions, 70 % are pruned, and what stays in float32 (BatchNormalization, biases)
  weighs more the smaller the model is. There it was pruned and retrained in turns; here for
  {epochs} epochs after each step, and ResNet50 not at all.
- Trained ternary quantization (arXiv 1612.01064): nearly 16×, and 0.04 to 0.36 points above full
  precision for ResNets on CIFAR-10. The small CNN: {ternary_mnist}. ResNet50: {ternary_resnet50}.
  16× counts 2 bits a weight. Huffman codes take less; the first and the last kernel, and
  BatchNormalization, stay in float32.

## Machine

{cpu}; {created}, litesweep {version}, {trials} trials. Compare within this table, not with another.
"""

COLUMNS = (
    *("optimization", "quantization", "file", "gzip", "× plain", "encoded", "latency", "± %"),
    *("× plain", "per s", "memory MiB", "energy mJ", "front", "verdict"),
)
TRAINED = {"deep-compression": 2}
"""How often a chain of these steps is trained on; any other step once."""
ZEROS = ("prune", "cluster", "deep-compression", "ternary")
"""What leaves as many multiplications as there were."""
CHECK_EXAMPLES = 4
Record = dict[str, Any]


class Run:
    """A run of one of the sweeps: its cells as records, by what was made of the model."""

    def __init__(self, path: Path, right: str) -> None:
        self.results = _with_axes(open_results(path))
        self.rows = read_results(path / "results.h5")
        size = "artifact_compressed_bytes"
        one = self.results.sel(instances=[1])
        front = pareto(one, ["median_ns", size, right])["probability"]
        self.results["front"] = front.reindex_like(self.results["median_ns"])
        self.one = one
        records = to_json(self.results)
        self.instances = sorted({r["instances"] for r in records})
        self.by_instances = {(self.key(r), r["instances"]): r for r in records}
        self.cells = [r for r in records if r["instances"] == 1]
        self.plain = {r["quantization"]: r for r in self.cells if self.key(r)[:2] == (NONE, 0)}

    @staticmethod
    def key(record: Record) -> tuple[str, int, str]:
        """Return what was made of the model."""
        return record["optimization"], record["resolution"], record["quantization"]

    def cell(self, optimization: str, quantization: str = "float32") -> Record:
        """Return a cell at the model's own resolution."""
        return self.by_instances[(optimization, 0, quantization), 1]

    def several(self, record: Record, name: str, factor: float = 1) -> str:
        """Return a variable of one instance, and of as many as there were."""
        cells = [self.by_instances.get((self.key(record), n)) for n in self.instances]
        values = [cell and cell[name] for cell in cells]
        return " / ".join("-" if value is None else digits(value * factor) for value in values)

    def line(self, record: Record, weights: float) -> list[str]:
        """Return a row of the table, without what is only one model's."""
        plain, encoded = self.plain[record["quantization"]], record["encoded_bytes"]
        name = record["optimization"]
        if record["resolution"]:
            name = f"{record['resolution']} px"
        return [
            f"`{name}`",
            record["quantization"],
            size(record["artifact_bytes"]),
            size(record["artifact_compressed_bytes"]),
            ratio(plain["artifact_compressed_bytes"], record["artifact_compressed_bytes"]),
            f"{size(encoded)} ({weights / encoded:.1f}×)" if encoded else "-",
            latency(record["median_ns"]),
            half_width(record["median_ns"], record["ci_low_ns"], record["ci_high_ns"]),
            ratio(plain["median_ns"], record["median_ns"]),
            self.several(record, "throughput_per_s"),
            self.several(record, "peak_rss_bytes", 2**-20),
            millijoules(record),
            f"{record['front']:.2f}" if record["front"] else "-",
            ", ".join(record["verdict"]).replace("_", " ") or "valid",
        ]

    def speed(self, names: Sequence[str]) -> str:
        """Return the geometric mean, over optimisations and quantizations, of × faster."""
        logs = [
            math.log(self.plain[r["quantization"]]["median_ns"] / r["median_ns"])
            for r in self.cells
            if r["optimization"] in names and r["median_ns"]
        ]
        return f"{math.exp(sum(logs) / len(logs)):.2f}" if logs else "not known"

    def ratio_of(self, name: str, weights: float) -> str:
        """Return how many times smaller the weights are, and at what cost if that is known."""
        cell, control = self.cell(name), f"fine-tune@{TRAINED.get(name, 1)}"
        said = f"{weights / cell['encoded_bytes']:.1f}×"
        if cell["labelled_top1"] is None:
            return said
        points = cell["labelled_top1"] - self.cell(control)["labelled_top1"]
        return f"{said}, {100 * points:+.2f} points"


class Labelled(Run):
    """The run whose model was scored on labels."""

    columns = (*COLUMNS[:2], "top-1 %", "- control", "agreement %", *COLUMNS[2:])

    def line(self, record: Record, weights: float) -> list[str]:
        """Return a row of the table, with the share of digits that it gets right."""
        first, second, *rest = super().line(record, weights)
        name, top1 = record["optimization"], record["labelled_top1"]
        control = ""
        if name != NONE and not name.startswith("fine-tune") and top1 is not None:
            held = self.cell(f"fine-tune@{TRAINED.get(name, 1)}", record["quantization"])
            control = f"{100 * (top1 - held['labelled_top1']):+.2f}"
        agreement = number(record["top1_agreement"], 100, 2)
        return [first, second, number(top1, 100, 2), control, agreement, *rest]


class Unlabelled(Run):
    """The run whose model was held against itself alone."""

    columns = (*COLUMNS[:2], "error", "agreement %", *COLUMNS[2:])

    def line(self, record: Record, weights: float) -> list[str]:
        """Return a row of the table, with how far the outputs are from the plain model's."""
        first, second, *rest = super().line(record, weights)
        error = "-" if record["error_rel_l2"] is None else f"{record['error_rel_l2']:.2g}"
        return [first, second, error, number(record["top1_agreement"], 100, 0), *rest]


def _with_axes(results: xr.Dataset) -> xr.Dataset:
    """Return results that have the axes of both sweeps."""
    plain = {"optimization": NONE, "resolution": 0, "instances": 1}
    return results.expand_dims({a: [v] for a, v in plain.items() if a not in results.dims})


def size(value: float | None) -> str:
    """Write a size."""
    if value is None:
        return "-"
    unit, name = (2**20, "MiB") if value >= 2**20 else (2**10, "KiB")
    return f"{value / unit:.1f} {name}"


def ratio(plain: float | None, value: float | None) -> str:
    """Write how many times smaller a value is."""
    return f"{plain / value:.2f}" if plain and value else "-"


def number(value: float | None, factor: float, places: int = 3) -> str:
    """Write a number, or that there is none."""
    return "-" if value is None else f"{value * factor:.{places}f}"


def table(run: Labelled | Unlabelled, count: int) -> str:
    """Write a run's table; `count` is the number of the unoptimised model's weights."""
    rule = ["---", "---", *["---:"] * (len(run.columns) - 3), "---"]
    rows = [run.columns, rule, *(run.line(record, 4 * count) for record in run.cells)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def counts() -> tuple[int, int]:
    """Return how many numbers the unoptimised models have."""
    import keras

    from suite.models import mnist_cnn

    return mnist_cnn.make(0).count_params(), keras.applications.ResNet50(
        weights=None
    ).count_params()


def main(mnist_run: Path, resnet50_run: Path, docs: Path) -> None:
    """Write the document and its figures."""
    mnist, resnet50 = Labelled(mnist_run, "labelled_top1"), Unlabelled(resnet50_run, "error_rel_l2")
    small, large = counts()
    plain = mnist.cell(NONE)
    share, examples = plain["reference_top1"], plain["labelled_examples"]
    covers = {r["energy_covers"] for r in mnist.cells if r.get("energy_j")}
    absent = next(iter(set(mnist.results["energy_absent"].values.tolist())), "")
    zeros = [name for name in mnist.results["optimization"].values if name.startswith(ZEROS)]
    text = TEXT.format(
        most=max(mnist.instances),
        energy=f" ({', '.join(sorted(covers))})" if covers else f": {absent or 'not counted'}",
        right="top-1, or the error",
        parameters=small,
        examples=examples,
        epochs=FineTune().epochs,
        mnist=table(mnist, small),
        reference=100 * share,
        step=100 / examples,
        error=100 * (share * (1 - share) / examples) ** 0.5,
        checked=CHECK_EXAMPLES,
        resnet50=table(resnet50, large),
        zeros_mnist=mnist.speed(zeros),
        zeros_resnet50=resnet50.speed(zeros),
        factors_mnist=mnist.speed(["low-rank@0.5"]),
        factors_resnet50=resnet50.speed(["low-rank@0.5"]),
        **{
            f"{name}_{model}": run.ratio_of(step, 4 * count)
            for name, step in (("deep", "deep-compression"), ("ternary", "ternary"))
            for model, run, count in (("mnist", mnist, small), ("resnet50", resnet50, large))
        },
        cpu=mnist.rows.nodes[0].cpu_name,
        created=mnist.results.attrs["created"][:10],
        version=json.loads(mnist.results.attrs["packages"])["litesweep"],
        trials=len(mnist.rows.trials) + len(resnet50.rows.trials),
    )
    (docs / "optimizations.md").write_text(text)
    for name, run in (("mnist", mnist), ("resnet50", resnet50)):
        with mpl.rc_context(STYLE):
            figure = pareto_figure(run.one, "artifact_compressed_bytes")
            figure.savefig(docs / f"optimizations-{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
