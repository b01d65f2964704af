"""What all tests share: tiny models, made once, and a store of artifacts of the session's own."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
import xarray as xr
from hypothesis import settings

from analysis import open_results
from suite.results.rows import Results
from suite.results.write import write_results
from tests.workshop import Workshop

REPOSITORY = Path(__file__).parent.parent

# Nothing asserts on time: machines are shared.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# Started in the background of a script, tests would hand down that Ctrl-C is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the models of `tests.models`, made by the real TensorFlow."""
    folder = tmp_path_factory.mktemp("models")
    subprocess.run(
        [sys.executable, "-m", "tests.models", str(folder)],
        check=True,
        capture_output=True,
        cwd=REPOSITORY,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "-1"},
    )
    return folder


@pytest.fixture(scope="session")
def tiny_tflite(models: Path) -> Path:
    """A ready float32 .tflite file."""
    return models / "tiny.tflite"


@pytest.fixture(scope="session", autouse=True)
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The session's own artifact store, in place of the user's; each artifact is built once."""
    folder = tmp_path_factory.mktemp("store")
    os.environ["LITESWEEP_STORE"] = str(folder)
    return folder


@pytest.fixture
def workshop(store: Path, tmp_path: Path) -> Workshop:
    """Builds in the session's store: what one test has built, another finds."""
    return Workshop(store, tmp_path / "logs")


@pytest.fixture
def apart(tmp_path: Path) -> Workshop:
    """Builds in a store of its own."""
    return Workshop(tmp_path / "store", tmp_path / "logs")


Opened = Callable[[Results], xr.Dataset]


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    """Write results to `tmp_path / "results.h5"` and open them."""

    def opened(results: Results) -> xr.Dataset:
        write_results(tmp_path / "results.h5", results)
        return open_results(tmp_path / "results.h5")

    return opened


Litesweep = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def litesweep(tmp_path: Path) -> Litesweep:
    """The command line, run as a user would, in a folder of its own."""

    def run(*arguments: object, **options: object) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(  # type: ignore[call-overload,no-any-return]
            [sys.executable, "-m", "jobs", *map(str, arguments)],
            check=False,
            **{"capture_output": True, "text": True, "cwd": tmp_path, "timeout": 300, **options},
        )

    return run


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models whose inputs are out of the ordinary."""
    folder = tmp_path_factory.mktemp("shapes")
    code = """
        import sys, keras
        from keras import layers
        a, b = keras.Input((4,), name="zebra"), keras.Input((6, 2), name="ant")
        out = layers.Dense(3)(layers.concatenate([layers.Dense(5)(a), layers.Flatten()(b)]))
        keras.Model([a, b], out).save(sys.argv[1] + "/two.keras")
        both = {"zebra": keras.Input((4,), name="z"), "ant": keras.Input((6, 2), name="a")}
        out = layers.concatenate([layers.Dense(5)(both["zebra"]), layers.Flatten()(both["ant"])])
        keras.Model(both, out).save(sys.argv[1] + "/dictionary.keras")
        x = keras.Input((None, None, 3))
        y = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(x))
        keras.Model(x, y).save(sys.argv[1] + "/open.keras")
        t = keras.Input((7,), dtype="int32")
        keras.Model(t, layers.Dense(2)(layers.Flatten()(layers.Embedding(9, 4)(t)))).save(
            sys.argv[1] + "/tokens.keras")
        t = keras.Input((5, 8))
        keras.Model(t, layers.Dense(2)(layers.LSTM(6)(t))).save(sys.argv[1] + "/recurrent.keras")
        i = keras.Input((8, 8, 3))
        random = layers.RandomFlip()(layers.Rescaling(0.1)(i))
        keras.Model(i, random).save(sys.argv[1] + "/random.keras")
        keras.Model(i, layers.Lambda(lambda x: x * 2)(i)).save(sys.argv[1] + "/lambda.keras")
        f = keras.Input((8, 8, 3))
        keras.Model(f, layers.Dense(2)(layers.Flatten()(f))).save(sys.argv[1] + "/flat.keras")
        base = keras.Model(i, layers.Conv2D(4, 3)(layers.Conv2D(4, 3)(i)))
        n = keras.Input((8, 8, 3))
        keras.Model(n, layers.GlobalAveragePooling2D()(base(n))).save(sys.argv[1] + "/nested.keras")
        b = keras.Input(batch_shape=(4, 6))
        keras.Model(b, layers.Dense(2)(b)).save(sys.argv[1] + "/batch.keras")
        import tensorflow as tf

        class Module(tf.Module):
            @tf.function(input_signature=[tf.TensorSpec((None, 2), tf.string)])
            def length(self, x):
                return tf.strings.length(x)

            @tf.function(input_signature=[tf.TensorSpec((None, 2), tf.float32)])
            def betainc(self, x):
                return tf.math.betainc(x + 1.0, x + 2.0, x)

        for name in ("length", "betainc"):
            tf.saved_model.save(Module(), f"{sys.argv[1]}/{name}", getattr(Module(), name))
        for name in ("batch", "open"):
            model = keras.models.load_model(f"{sys.argv[1]}/{name}.keras")
            converted = tf.lite.TFLiteConverter.from_keras_model(model).convert()
            open(f"{sys.argv[1]}/{name}.tflite", "wb").write(converted)
    """
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(folder)], check=True, capture_output=True
    )
    return folder
