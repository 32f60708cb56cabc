"""Python's word on files of coremlx. Usage: judge.py COMMAND ARGUMENTS...; prints one JSON document.

check MODEL.onnx INPUTS.npz OUTPUTS.npz   onnx.checker (full), then ONNX Runtime on the inputs into OUTPUTS.npz
windows AUDIO.wav WINDOWS.npz             the windows that Basic Pitch cuts a recording into (22,050 Hz, soxr HQ as librosa resamples)
compare A.npz B.npz                       largest absolute difference for each name both have
read FILE.npy|.npz|.safetensors           dtypes, shapes and sums as numpy sees them
"""

import json
import sys
import wave

import numpy as np

HOP, WINDOW, OVERLAP = 256, 43844, 30 * 256


def check(model, inputs, outputs):
    import onnx
    import onnxruntime

    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model)
    given = np.load(inputs)
    feeds = {i.name: given[i.name] for i in session.get_inputs()}
    names = [o.name for o in session.get_outputs()]
    results = session.run(names, feeds)
    np.savez(outputs, **dict(zip(names, results)))
    return {"outputs": {n: {"dtype": str(r.dtype), "shape": list(r.shape)} for n, r in zip(names, results)}}


def windows(audio, target):
    import soxr

    with wave.open(audio) as file:
        rate = file.getframerate()
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768
    resampled = soxr.resample(samples, rate, 22050, quality="HQ").astype(np.float32)
    padded = np.concatenate([np.zeros(OVERLAP // 2, np.float32), resampled])
    cut = [padded[i : i + WINDOW] for i in range(0, len(padded), WINDOW - OVERLAP)]
    stacked = np.stack([np.pad(c, (0, WINDOW - len(c))) for c in cut])[..., None]
    np.savez(target, windows=stacked)
    frames = int(len(resampled) / (WINDOW - OVERLAP) * 142)
    return {"windows": len(cut), "frames": frames}


def compare(a, b):
    left, right = np.load(a), np.load(b)
    common = [n for n in left.files if n in right.files]
    return {n: float(np.abs(left[n].astype(np.float64) - right[n].astype(np.float64)).max()) for n in common}


def read(path):
    if path.endswith(".npy"):
        arrays = {"": np.load(path)}
    elif path.endswith(".npz"):
        arrays = dict(np.load(path))
    else:
        from safetensors.numpy import load_file

        arrays = load_file(path)
    return {
        n: {"dtype": str(a.dtype), "shape": list(a.shape), "sum": float(a.astype(np.float64).sum())}
        for n, a in arrays.items()
    }


command, *arguments = sys.argv[1:]
print(json.dumps({"check": check, "windows": windows, "compare": compare, "read": read}[command](*arguments)))
