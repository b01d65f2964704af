"""Write the baseline document of a run: `python docs/baseline.py RUN > docs/baseline.md`."""

import json
import sys
import tempfile
from pathlib import Path

from analysis import open_results, to_json, to_markdown
from suite.results.read import read_results

TEXT = """\
# Baseline results

The source document of this project pulls a pretrained Keras ResNet50, converts it to `.tflite`
with and without quantization, and ends in an empty heading, 'Baseline Results'. Here it is filled,
for the five recipes at each thread count of the machine. All of this page is written by

```sh
make baseline
```

which runs [`jobs/examples/resnet50-baseline.toml`](../jobs/examples/resnet50-baseline.toml) and
then `python docs/baseline.py runs/baseline > docs/baseline.md`.

## Sizes

| file | size | in the source document, MB |
|---|---:|---:|
{sizes}

Weights come from a seed ({weights}): a trained ResNet50 has files of the same size and takes the
same time, but the errors below are not those of a trained one.

## Latency

One image of 224 × 224 at a time; the median of the trials' medians with its 95 % interval over
trials, each a fresh process. `× over 1 thread` and `× over float32` are speed-ups, paired by round.
What is not valid says why.

{table}
![Latency by quantization and threads, with intervals](baseline-latency.svg)

![Speed-up over threads against the ideal line](baseline-speedup.svg)

`int16x8` runs on reference kernels: slower than float32, and on one thread whatever it is given.

## Error against the float model

On {examples} seeded inputs, against Keras itself.

| recipe | relative L2 | largest | top-1 agreement |
|---|---:|---:|---:|
{errors}

With weights from a seed the model's 1000 outputs are all about 0.001, less than half a step of
`int8`'s output (1/256): its error of 1 says that the output is rounded to zero, which a trained
model's is not.

## Machine

| | |
|---|---|
{machine}

Measured {created} with litesweep {version} ({packages}), {trials} trials on {nodes} node. A shared
virtual machine: compare within this table, not with another.
"""

EXPECTED_MB = {"float32": 98, "dynamic": 25}
SIZE_NAMES = {"float32": "float32, no optimisation", "dynamic": "dynamic (`DEFAULT`)"}
CHECK_EXAMPLES = 4


def keras_bytes() -> int:
    """Return the size of the source document's starting point: the Keras model itself, saved."""
    import keras

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "resnet50.keras"
        keras.applications.ResNet50(weights=None).save(path)
        return path.stat().st_size


def main(run: Path) -> None:
    """Print the document."""
    results = open_results(run)
    rows = read_results(run / "results.h5")
    cells = {cell["quantization"]: cell for cell in to_json(results)}
    packages = json.loads(results.attrs["packages"])
    [node] = rows.nodes
    machine = {
        "CPU": f"{node.cpu_name} (family {node.cpu_family}, model {node.cpu_model}, stepping "
        f"{node.cpu_stepping}; archspec: {node.microarchitecture})",
        "cores": f"{node.cores} in {node.sockets} socket(s), {node.threads_per_core} thread(s) a "
        f"core, {node.numa_nodes} NUMA node(s)",
        "memory": f"{node.memory_bytes / 2**30:.0f} GiB",
        "kernel": node.kernel,
        "frequency governor": node.governor or "none offered",
    }
    sizes = [f"| the Keras model, saved | {keras_bytes() / 2**20:.1f} MiB | 98 |"]
    sizes += [
        f"| {SIZE_NAMES.get(name, name)} | {cell['artifact_bytes'] / 2**20:.1f} MiB "
        f"| {EXPECTED_MB.get(name, '')} |"
        for name, cell in cells.items()
    ]
    errors = [
        f"| {name} | {cell['error_rel_l2']:.2g} | {cell['error_max_abs']:.2g} "
        f"| {cell['top1_agreement']:.2f} |"
        for name, cell in cells.items()
    ]
    print(
        TEXT.format(
            sizes="\n".join(sizes),
            errors="\n".join(errors),
            table=to_markdown(results),
            weights=rows.artifacts[0].weights,
            examples=CHECK_EXAMPLES,
            machine="\n".join(f"| {key} | {value} |" for key, value in machine.items()),
            created=results.attrs["created"][:10],
            version=packages["litesweep"],
            packages=", ".join(
                f"{name} {packages[name]}" for name in ("ai-edge-litert", "tensorflow")
            ),
            trials=len(rows.trials),
            nodes=len(rows.nodes),
        ),
        end="",
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
