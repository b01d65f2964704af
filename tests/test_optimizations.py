"""Optimisations: their names, the codec, and what each leaves of a model, trained on or not."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from suite.artifacts.request import OPTIMIZATIONS as FOLDER
from suite.optimizations.codec import decode, encode
from suite.optimizations.names import OPTIMIZATIONS, canonical, steps
from tests.conftest import REPOSITORY

# Names


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("none", "none"),
        ("prune@0.50", "prune@0.5"),
        ("cluster@16.0", "cluster@16"),
        ("low-rank@.5+prune@5e-1 + cluster@16", "low-rank@0.5+prune@0.5+cluster@16"),
        ("deep-compression", "deep-compression"),
        ("prune@0.5+ternary", "prune@0.5+ternary"),
        ("fine-tune@2.0 + low-rank@0.5", "fine-tune@2+low-rank@0.5"),
    ],
)
def test_a_chain_has_one_spelling(text: str, spelled: str) -> None:
    assert canonical(text) == spelled
    assert canonical(spelled) == spelled
    assert "+".join(map(str, steps(text))) == (spelled if spelled != "none" else "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("prun@0.5", "Did you mean 'prune'"),
        ("prune", "write prune@ and a number from 0.01 to 0.99, the share of the weights"),
        ("prune@1", "from 0.01 to 0.99"),
        ("prune@nan", "from 0.01 to 0.99"),
        ("prune@half", "from 0.01 to 0.99"),
        ("cluster@1.5", "a whole number from 2 to 256"),
        ("cluster@16.5", "a whole number"),
        ("low-rank@2", "from 0.05 to 0.95"),
        ("ternary@3", "ternary takes no parameter"),
        ("cluster@16+prune@0.5", "prune@0.5 would undo cluster@16"),
        ("cluster@16+ternary", "would undo"),
        ("fine-tune", "write fine-tune@ and a whole number from 1 to 9, the times"),
        ("prune@0.5+fine-tune@1", "fine-tune@1 would undo prune@0.5"),
        ("prune@0.5+prune@0.5", "prune@0.5 would undo prune@0.5"),
        ("prune@0.5+deep-compression", "deep-compression would undo prune@0.5"),
        ("prune@", "write prune@"),
        ("prune@0", "from 0.01 to 0.99"),
        ("prune@-0.5", "from 0.01 to 0.99"),
        ("prune@inf", "from 0.01 to 0.99"),
        ("prune@0.5@0.5", "write prune@"),
        ("cluster@1", "a whole number from 2 to 256"),
        ("cluster@257", "a whole number from 2 to 256"),
        ("low-rank@0", "from 0.05 to 0.95"),
        ("prune@0.5+", "no optimization ''"),
        ("prune@0.5+none", "no optimization 'none'"),
        ("", "no optimization ''"),
    ],
)
def test_a_chain_that_cannot_be(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        canonical(text)


def test_every_name_is_a_module() -> None:
    for name in OPTIMIZATIONS:
        assert (FOLDER / f"{name.replace('-', '_')}.py").exists()


# The codec

bits = st.one_of(
    st.sampled_from([0, 1 << 31, 0x3F800000, 0x7FC00001]),  # 0, -0, 1, a NaN with a payload
    st.integers(0, 2**32 - 1),
)
arrays = hnp.arrays(np.uint32, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0), elements=bits)


@given(st.lists(arrays, max_size=4))
def test_what_is_encoded_is_decoded_to_the_bit(given_bits: list[np.ndarray]) -> None:
    given = [array.view(np.float32) for array in given_bits]
    decoded = decode(encode(given))
    assert [array.shape for array in decoded] == [array.shape for array in given]
    assert [array.tobytes() for array in decoded] == [array.tobytes() for array in given]


@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.integers(1, 300))
@settings(max_examples=30)
def test_sparse_and_shared_weights_come_back_and_are_small(
    seed: int, sparsity: float, values: int
) -> None:
    random = np.random.default_rng(seed)
    weights = random.choice(random.normal(size=values).astype("f4"), 20_000)
    weights[random.random(len(weights)) < sparsity] = 0
    encoded = encode([weights])
    assert decode(encoded)[0].tobytes() == weights.tobytes()
    _, counts = np.unique(weights, return_counts=True)
    entropy_bits = -np.sum(counts * np.log2(counts / len(weights)))
    if values <= 256:
        # No code is shorter than the entropy; deflate's tables and Huffman's whole bits cost.
        assert entropy_bits <= 8 * len(encoded) <= 1.1 * entropy_bits + len(weights) + 8 * 3000


def test_long_runs_of_zeros() -> None:
    for gap in (0, 1, 254, 255, 256, 509, 510, 511, 10_000):
        weights = np.zeros(gap + 2, np.float32)
        weights[gap] = weights[0] = 1.5
        assert decode(encode([weights]))[0].tobytes() == weights.tobytes()


# On models: in a process of its own, since TensorFlow must not be imported into the tests'

CHECKS = """
import sys
import numpy as np, keras
from suite.artifacts.check import UnfitError
from suite.models.spec import FineTune
from suite.optimizations.apply import apply, kernels_of
from suite.optimizations.training import TrainingData

keras.utils.set_random_seed(0)
random = np.random.default_rng(0)
labels = random.integers(0, 3, 256)
images = np.float32(random.normal(0, 0.5, (256, 8, 8, 3)))
images[np.arange(256), :, :, labels] += 0.7
data = TrainingData(images, labels)
layers = keras.layers

def trained(width=16):
    inner = keras.Sequential([keras.Input((6, 6, width)), layers.Conv2D(32, 3, use_bias=False)])
    model = keras.Sequential([
        keras.Input((8, 8, 3)), layers.Conv2D(width, 3, activation="relu"),
        layers.BatchNormalization(momentum=0.9), inner, layers.ReLU(), layers.Conv2D(24, 3),
        layers.Dropout(0.1), layers.GlobalAveragePooling2D(), layers.Dense(20), layers.Dense(3),
    ])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(images, labels, 32, 4, verbose=0)
    return model

def accuracy(model):
    return float((model.predict(images, verbose=0).argmax(1) == labels).mean())

def kernels(model):
    return [kernel.numpy() for kernel in kernels_of(model)]

original = trained()
start = accuracy(original)
assert start > 0.9, start
def optimized(chain, how=FineTune(epochs=3, batch_size=32), with_data=True):
    copy = keras.models.clone_model(original)
    copy.set_weights(original.get_weights())
    return apply(chain, copy, data if with_data else None, how)

def refusal(work, *arguments):
    try:
        work(*arguments)
    except UnfitError as error:
        return str(error)
    raise AssertionError("it was not refused")
"""

TRAINED_ON = """
once, twice = (optimized(f"fine-tune@{n}") for n in (1, 2))
assert once.count_params() == original.count_params()
for before, after, again in zip(kernels(original), kernels(once), kernels(twice)):
    assert 0 < np.abs(after - before).max() < np.abs(before).max()
    assert not np.array_equal(again, after) and not (after == 0).any()
assert accuracy(once) >= start
for how, with_data in ((FineTune(epochs=0), True), (FineTune(), False)):
    assert "nothing to train it on" in refusal(optimized, "fine-tune@1", how, with_data)
"""

PRUNED = """
for with_data in (True, False):
    model = optimized("prune@0.75", with_data=with_data)
    for before, after in zip(kernels(original), kernels(model)):
        assert not np.signbit(after[after == 0]).any()
        assert abs((after == 0).mean() - 0.75) < 0.5 / after.size, (after == 0).mean()
        if not with_data:
            kept = after != 0
            assert np.array_equal(after[kept], before[kept])
            assert np.abs(before[~kept]).max() <= np.abs(before[kept]).min()
    if with_data:
        assert accuracy(model) >= start - 0.05, accuracy(model)
"""

CLUSTERED = """
for with_data in (True, False):
    model = optimized("prune@0.5+cluster@8", with_data=with_data)
    for after in kernels(model):
        assert abs((after == 0).mean() - 0.5) < 0.5 / after.size + 1e-9
        assert len(np.unique(after[after != 0])) <= 8
    if with_data:
        assert accuracy(model) >= start - 0.05, accuracy(model)
before, after = kernels(original)[2], kernels(optimized("cluster@256", with_data=False))[2]
assert np.abs(before - after).max() < np.ptp(before) / 256
deep = optimized("deep-compression")
from suite.optimizations.codec import decode, encode
weights = deep.get_weights()
encoded = encode(weights)
assert all(np.array_equal(a, b) for a, b in zip(decode(encoded), weights))
assert len(encoded) < 0.15 * sum(w.nbytes for w in weights), len(encoded)
"""

TERNARY = """
for with_data in (True, False):
    model = optimized("ternary", with_data=with_data)
    first, *inner, last = kernels(model)
    for after in inner:
        assert len(np.unique(after)) == 3 and 0 in after
    for after in (first, last):
        assert len(np.unique(after)) > 3
    if with_data:
        assert accuracy(model) >= start - 0.1, accuracy(model)
pruned = optimized("prune@0.9+ternary")
assert all((after == 0).mean() > 0.89 for after in kernels(pruned)[1:-1])
"""

LOW_RANK = """
model = optimized("low-rank@0.5", with_data=False)
assert model.count_params() < 0.7 * original.count_params()
exact = optimized("low-rank@0.95", with_data=False)
nearer, farther = (
    np.abs(m.predict(images, verbose=0) - original.predict(images, verbose=0)).max()
    for m in (exact, model)
)
assert nearer < farther
assert accuracy(optimized("low-rank@0.5")) >= start - 0.05
narrow = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(8, 3), layers.Flatten()])
assert "nothing to factor" in refusal(apply, "low-rank@0.5", narrow, None, FineTune())
# No two matrices of a rank come nearer than those of the singular value decomposition.
from suite.optimizations.low_rank import factors
for shape, rank in (((40, 24), 5), ((24, 40), 24), ((24, 24), 1)):
    matrix = np.float32(random.normal(size=shape))
    first, second = factors(matrix, rank)
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    nearest = left[:, :rank] * values[:rank] @ right[:rank]
    np.testing.assert_allclose(first @ second, nearest, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(first, axis=0), np.linalg.norm(second, axis=1), 1e-3)
assert not (lambda parts: parts[0] @ parts[1])(factors(np.zeros((20, 16), "f4"), 3)).any()
# An output of full rank is the layer itself.
from suite.optimizations.low_rank import LowRank
class Whole(LowRank):
    def rank(self, layer):
        wide = type(layer) in (layers.Conv2D, layers.Dense)
        return min(int(np.prod(layer.kernel.shape[:-1])), layer.kernel.shape[-1]) if wide else 0
same = Whole(1.0).rebuilt(original)
assert len(same.get_weights()) > len(original.get_weights())
np.testing.assert_allclose(
    same.predict(images, verbose=0), original.predict(images, verbose=0), atol=1e-4)
"""

OTHERS = """
x = keras.Input((8, 8, 3))
y = layers.Conv2D(16, 3, strides=2, padding="same", dilation_rate=1)(x)
y = layers.Add()([layers.Conv2D(16, 3, padding="same")(y), y])
two = keras.Model(x, [layers.Flatten()(y), layers.GlobalMaxPooling2D()(y)])
apply("prune@0.5+cluster@4", two, None, FineTune())
assert "one output" in refusal(apply, "prune@0.5", two, data, FineTune())
assert len(apply("low-rank@0.5", two, None, FineTune()).outputs) == 2

class Own(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3, activation="softmax")
    def call(self, x):
        return self.dense(layers.Flatten()(x) if False else keras.ops.reshape(x, (-1, 192)))
own = Own()
own(images[:1])
apply("prune@0.5", own, data, FineTune(epochs=1))
assert abs((kernels(own)[0] == 0).mean() - 0.5) < 0.01
assert "Functional" in refusal(apply, "low-rank@0.5", own, data, FineTune())
# The same again gives the same weights.
a = optimized("prune@0.5", FineTune(epochs=1)).get_weights()
keras.utils.set_random_seed(5)  # of what random layers draw when they are made
b = optimized("prune@0.5", FineTune(epochs=1)).get_weights()
assert all(np.array_equal(x, y) for x, y in zip(a, b))
two_kernels = keras.Sequential([keras.Input((5,)), layers.Dense(20), layers.Dense(3)])
said = refusal(apply, "ternary", two_kernels, None, FineTune())
assert "ternary leaves all of its kernels (2) as they are" in said
"""


@pytest.mark.tensorflow
@pytest.mark.parametrize("check", [TRAINED_ON, PRUNED, CLUSTERED, TERNARY, LOW_RANK, OTHERS])
def test_what_is_left_of_a_model(check: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", CHECKS + textwrap.dedent(check)],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "-1"},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
