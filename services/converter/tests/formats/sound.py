"""Sound in class folders, written by SciPy and by libsndfile."""

import io
import pathlib
from collections.abc import Callable

import numpy as np
import soundfile
from scipy.io import wavfile

from formats.upload import Example, Upload


def scipy_wav(samples: np.ndarray, rate: int) -> bytes:
    out = io.BytesIO()
    wavfile.write(out, rate, samples)
    return out.getvalue()


def sndfile(samples: np.ndarray, rate: int, kind: str, subtype: str) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, samples, rate, subtype, format=kind)
    return out.getvalue()


def noise(seed: int, dtype: str, channels: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shape = (200 + seed % 7, channels) if channels > 1 else (200 + seed % 7,)
    if dtype.startswith("float"):
        return rng.uniform(-1, 1, shape).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)


Writer = Callable[[int, int], bytes]

# By the seed and the channels.
INTEGERS: dict[str, Writer] = {
    "u8.wav": lambda s, c: scipy_wav(noise(s, "uint8", c), 8000),
    "16.wav": lambda s, c: scipy_wav(noise(s, "int16", c), 8000),
    "8.flac": lambda s, c: sndfile(noise(s, "int16", c), 8000, "FLAC", "PCM_S8"),
    "mu-law.wav": lambda s, c: sndfile(noise(s, "int16", c), 8000, "WAV", "ULAW"),
    "a-law.wav": lambda s, c: sndfile(noise(s, "int16", c), 8000, "WAV", "ALAW"),
    "16.flac": lambda s, c: sndfile(noise(s, "int16", c), 8000, "FLAC", "PCM_16"),
}
WIDE: dict[str, Writer] = {
    "24.wav": lambda s, c: sndfile(noise(s, "int32", c), 8000, "WAV", "PCM_24"),
    "32.wav": lambda s, c: scipy_wav(noise(s, "int32", c), 8000),
    "24.flac": lambda s, c: sndfile(noise(s, "int32", c), 8000, "FLAC", "PCM_24"),
    "extensible.wav": lambda s, c: sndfile(noise(s, "int32", c), 8000, "WAVEX", "PCM_24"),
}
FLOATS: dict[str, Writer] = {
    "f32.wav": lambda s, c: scipy_wav(noise(s, "float32", c), 8000),
    "f64.wav": lambda s, c: scipy_wav(noise(s, "float64", c), 8000),
}


def folders(kinds: dict[str, Writer], dtype: str, channels: list[int], container: str) -> Upload:
    """Sounds of the given kinds. dtype is the narrowest type that holds them all."""
    good = {
        f"speech/{name}/{i}-{kind}": make(i * 10 + label, channels[i % len(channels)])
        for label, name in enumerate(["no", "yes"])
        for kind, make in kinds.items()
        for i in range(6)
    }
    # A WAV that was cut off, or written to a pipe, is read as far as it goes, as libsndfile does.
    good["speech/no/cut.wav"] = INTEGERS["16.wav"](1, channels[0])[:100]
    flac = INTEGERS["16.flac"](1, channels[0])
    bad = {
        "speech/no/cut.flac": (flac[:-30], "TRUNCATED_AUDIO"),
        "speech/no/no.wav": (b"hello, world" * 9, "MALFORMED_AUDIO"),
        "speech/no/adpcm.wav": (
            sndfile(noise(1, "int16", min(channels)), 8000, "WAV", "IMA_ADPCM"),
            "UNSUPPORTED_AUDIO",
        ),
        "speech/yes/song.mp3": (b"ID3", "UNSUPPORTED_AUDIO"),
        "speech/notes.txt": (b"hello", "NOT_DATA"),
    }

    def same(example: Example, data: bytes) -> None:
        samples, rate = soundfile.read(io.BytesIO(data), dtype=dtype)
        if len(channels) > 1 and samples.ndim == 1:
            samples = samples[:, None]  # their number differs, so that all have the dimension
        assert example["audio"].dtype == dtype
        assert np.array_equal(example["audio"], samples)
        assert example["sample_rate"] == rate
        assert example["channels"] == (samples.shape[1] if samples.ndim > 1 else 1)
        assert ["no", "yes"][example["label"]] == example["filename"].decode().split("/")[1]

    return Upload(
        files=good | {path: data for path, (data, _) in bad.items()},
        want=good,
        key=lambda example: example["filename"].decode(),
        same=same,
        classes=("label", ["no", "yes"]),
        container=container,
        left_out={(path, 0, reason) for path, (_, reason) in bad.items()},
    )


def audio_16(tmp: pathlib.Path) -> Upload:
    del tmp
    return folders(INTEGERS, "int16", [1], "zip")


def audio_32(tmp: pathlib.Path) -> Upload:
    del tmp
    return folders(INTEGERS | WIDE, "int32", [2], "tar")


def audio_float(tmp: pathlib.Path) -> Upload:
    del tmp
    return folders(INTEGERS | FLOATS, "float64", [1, 2, 6], "tar.gz")
