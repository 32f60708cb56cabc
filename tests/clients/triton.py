"""tritonclient[http] as its users use it: infer, async_infer, asyncio; JSON and binary; strings; statistics; repository."""

import json
from pathlib import Path

import numpy as np
import tritonclient.http as http
import tritonclient.http.aio as aio
from checks import check, main, raises
from tritonclient.utils import InferenceServerException

digits = Path(__file__).parent.parent.parent / "examples/digits"
left = np.array([[1, 2, 3], [4, 5, 6]], np.float32)


def client(url, **options):
    return http.InferenceServerClient(url, **options)


def tensor(name, values, datatype, binary=True):
    given = http.InferInput(name, list(values.shape), datatype)
    given.set_data_from_numpy(values, binary_data=binary)
    return given


def sides(binary):
    return [tensor("left", left, "FP32", binary), tensor("right", left * 10, "FP32", binary)]


def pixels(digit):
    import zlib

    data = (digits / f"digit_{digit}.png").read_bytes()
    # 28 x 28 gray of 8 bits: the header, one or more IDAT, unfiltered here.
    at, packed = 8, b""
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"IDAT":
            packed += data[at + 8 : at + 8 + size]
        at += 12 + size
    rows = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(28, 29).astype(int)
    out = np.zeros((29, 29), int)
    for y, row in enumerate(rows):
        for x, value in enumerate(row[1:]):
            a, b, c = out[y + 1, x], out[y, x + 1], out[y, x]
            p = a + b - c
            paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            out[y + 1, x + 1] = (value + [0, a, b, (a + b) // 2, paeth][row[0]]) % 256
    return out[1:, 1:].astype(np.uint8)


@check
def server(url):
    """the server is live, ready and says what it is"""
    with client(url) as c:
        assert c.is_server_live() and c.is_server_ready() and c.is_model_ready("sum")
        assert not c.is_model_ready("nope")
        assert c.get_server_metadata()["name"] == "coremlx"
        assert "binary_tensor_data" in c.get_server_metadata()["extensions"]


@check
def metadata(url):
    """metadata and configuration of a model name its tensors"""
    with client(url) as c:
        inputs = c.get_model_metadata("sum", "1")["inputs"]
        assert inputs[0] == {"name": "left", "datatype": "FP32", "shape": [2, 3]}, inputs
        config = c.get_model_config("sum")
        assert config["input"][0] == {"name": "left", "data_type": "TYPE_FP32", "dims": [2, 3]}
        assert config["max_batch_size"] == 0


@check
def infer_forms(url):
    """infer with binary and JSON inputs and outputs, in every mixture"""
    with client(url) as c:
        for binary_in in (True, False):
            for binary_out in (True, False):
                outputs = [http.InferRequestedOutput("sum", binary_data=binary_out)]
                result = c.infer("sum", sides(binary_in), outputs=outputs, request_id="r-1")
                np.testing.assert_array_equal(result.as_numpy("sum"), left * 11)
                assert result.get_response()["id"] == "r-1"
                assert result.get_output("sum")["datatype"] == "FP32"
                assert result.as_numpy("none") is None


@check
def infer_default(url):
    """infer without naming outputs gives all of them"""
    with client(url) as c:
        result = c.infer("sum", sides(True), model_version="1")
        np.testing.assert_array_equal(result.as_numpy("sum"), left * 11)


@check
def compression(url):
    """infer with compressed requests and answers"""
    with client(url) as c:
        for name in ("gzip", "deflate"):
            result = c.infer(
                "sum",
                sides(True),
                request_compression_algorithm=name,
                response_compression_algorithm=name,
            )
            np.testing.assert_array_equal(result.as_numpy("sum"), left * 11)


@check
def asynchronous(url):
    """async_infer: many at once, each with its own answer"""
    with client(url, concurrency=8) as c:
        waiting = []
        for i in range(64):
            x = np.array([i, i + 1, i + 2, i + 3], np.int32)
            waiting.append((x, c.async_infer("twice", [tensor("x", x, "INT32")])))
        for x, request in waiting:
            np.testing.assert_array_equal(request.get_result().as_numpy("y"), x * 2)


@check
async def asyncio_client(url):
    """the asyncio client: health, metadata, inference, statistics"""
    async with aio.InferenceServerClient(url) as c:
        assert await c.is_server_ready() and await c.is_model_ready("twice")
        assert (await c.get_model_metadata("twice"))["name"] == "twice"
        x = np.array([1, 2, 3, 4], np.int32)
        result = await c.infer("twice", [tensor("x", x, "INT32")])
        np.testing.assert_array_equal(result.as_numpy("y"), x * 2)
        stats = await c.get_inference_statistics("twice")
        assert stats["model_stats"][0]["name"] == "twice"


@check
def half(url):
    """FP16 in binary"""
    with client(url) as c:
        x = np.array([0.5, 1.5, 65504, 0.0001], np.float16)
        result = c.infer("half", [tensor("x", x, "FP16")])
        y = result.as_numpy("y")
        assert y.dtype == np.float16, y.dtype
        np.testing.assert_array_equal(y, x)


@check
def picture_pixels(url):
    """a picture as UINT8 pixels, through an image model and back"""
    with client(url) as c:
        picture = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
        result = c.infer("picture", [tensor("picture", picture, "UINT8")])
        np.testing.assert_array_equal(result.as_numpy("copy"), picture)


@check
def strings(url):
    """digits: a picture in, the class out as a string, with its probabilities"""
    expected = json.loads((digits / "expected.json").read_text())
    assert len(expected) > 0
    with client(url) as c:
        for digit in range(10):
            for binary in (True, False):
                names = ("classLabel", "classLabel_probs", "classLabel_probs_keys")
                outputs = [http.InferRequestedOutput(name, binary_data=binary) for name in names]
                result = c.infer("digits", [tensor("image", pixels(digit), "UINT8", binary)], outputs=outputs)
                label = result.as_numpy("classLabel")[0]
                assert label in (str(digit), str(digit).encode()), label
                probabilities = result.as_numpy("classLabel_probs")
                assert probabilities.argmax() == digit and abs(probabilities.sum() - 1) < 1e-5
                keys = [k.decode() if isinstance(k, bytes) else k for k in result.as_numpy("classLabel_probs_keys")]
                assert keys == [str(n) for n in range(10)], keys


@check
def encoded_picture(url):
    """digits: an encoded picture as one BYTES element"""
    with client(url) as c:
        data = np.array([(digits / "digit_7.png").read_bytes()], dtype=np.object_)
        result = c.infer("digits", [tensor("image", data, "BYTES")])
        assert result.as_numpy("classLabel")[0] == b"7"


@check
def classification(url):
    """the classification parameter: the three most probable, best first"""
    with client(url) as c:
        for binary in (True, False):
            output = http.InferRequestedOutput("classLabel_probs", binary_data=binary, class_count=3)
            result = c.infer("digits", [tensor("image", pixels(4), "UINT8")], outputs=[output])
            rows = [r.decode() if isinstance(r, bytes) else r for r in result.as_numpy("classLabel_probs")]
            assert len(rows) == 3, rows
            value, index, label = rows[0].split(":")
            assert (index, label) == ("4", "4") and float(value) > 0.5, rows
            assert [float(r.split(":")[0]) for r in rows] == sorted((float(r.split(":")[0]) for r in rows), reverse=True)


@check
def parameters(url):
    """priority, timeout and parameters of a user's own"""
    with client(url) as c:
        options = {"priority": 1, "timeout": 5_000_000, "parameters": {"mine": "yes", "n": 3, "b": True}}
        result = c.infer("sum", sides(True), **options)
        np.testing.assert_array_equal(result.as_numpy("sum"), left * 11)


@check
def generated_bodies(url):
    """bodies that the client made ahead, and answers that it reads later"""
    import urllib.request

    body, size = http.InferenceServerClient.generate_request_body(sides(True))
    request = urllib.request.Request(f"http://{url}/v2/models/sum/infer", data=body)
    if size is not None:
        request.add_header("Inference-Header-Content-Length", str(size))
    with urllib.request.urlopen(request) as answer:
        header = answer.headers["Inference-Header-Content-Length"]
        length = None if header is None else int(header)
        result = http.InferenceServerClient.parse_response_body(answer.read(), header_length=length)
    np.testing.assert_array_equal(result.as_numpy("sum"), left * 11)


@check
def statistics(url):
    """statistics count what was asked"""
    with client(url) as c:

        def count():
            return c.get_inference_statistics("sum")["model_stats"][0]["inference_stats"]["success"]["count"]

        before = count()
        for _ in range(5):
            c.infer("sum", sides(True))
        assert count() == before + 5
        everything = c.get_inference_statistics()["model_stats"]
        assert {"sum", "digits"} <= {row["name"] for row in everything}


@check
def repository(url):
    """the repository: its index, unloading, loading"""
    with client(url) as c:
        state = {row["name"]: row["state"] for row in c.get_model_repository_index()}
        assert state["spare"] == "READY", state
        c.unload_model("spare")
        assert not c.is_model_ready("spare")
        c.load_model("spare")
        assert c.is_model_ready("spare")
        raises(InferenceServerException, "nope", lambda: c.load_model("nope"))
        raises(InferenceServerException, "", lambda: c.load_model("spare", config='{"backend":"x"}'))


@check
def errors(url):
    """errors carry our text, not a parser's"""
    with client(url) as c:
        x = tensor("x", np.array([1, 2], np.int32), "INT32")
        raises(InferenceServerException, "Request for unknown model: 'nope' is not found", lambda: c.infer("nope", [x]))
        raises(InferenceServerException, "x", lambda: c.infer("twice", [x]))
        raises(InferenceServerException, 'Unknown input "y"', lambda: c.infer("twice", [tensor("y", left, "FP32")]))
        wanted = [http.InferRequestedOutput("nothing")]
        raises(InferenceServerException, 'Unknown output "nothing"', lambda: c.infer("sum", sides(True), outputs=wanted))


if __name__ == "__main__":
    main()
