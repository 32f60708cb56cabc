"""tritonclient[http] with a model of texts: decimal numbers in, their sums and differences out, as Triton's example has it."""

import numpy as np
import tritonclient.http as http
from checks import check, main, raises
from tritonclient.utils import InferenceServerException

left = list(range(16))
right = [1] * 16


def tensor(name, texts, binary):
    values = np.array([texts], dtype=np.object_)
    given = http.InferInput(name, list(values.shape), "BYTES")
    given.set_data_from_numpy(values, binary_data=binary)
    return given


def numbers(result, name):
    return [int(text) for text in result.as_numpy(name).flatten()]


@check
def sums(url):
    """a batch of one list of texts each, in JSON and in binary, asked for in both"""
    with http.InferenceServerClient(url) as client:
        for given in (True, False):
            for wanted in (True, False):
                inputs = [tensor("INPUT0", [str(n) for n in left], given), tensor("INPUT1", [str(n) for n in right], given)]
                outputs = [http.InferRequestedOutput(name, binary_data=wanted) for name in ("OUTPUT0", "OUTPUT1")]
                result = client.infer("simple_string", inputs, outputs=outputs)
                assert numbers(result, "OUTPUT0") == [a + b for a, b in zip(left, right)]
                assert numbers(result, "OUTPUT1") == [a - b for a, b in zip(left, right)]


@check
def bytes_of_utf8(url):
    """texts as bytes, which is how the client has them itself"""
    with http.InferenceServerClient(url) as client:
        inputs = [tensor(name, [str(n).encode() for n in left], True) for name in ("INPUT0", "INPUT1")]
        result = client.infer("simple_string", inputs)
        assert numbers(result, "OUTPUT0") == [2 * n for n in left]


@check
def metadata(url):
    """lists of texts are BYTES of any length"""
    with http.InferenceServerClient(url) as client:
        said = client.get_model_metadata("simple_string")
        assert [(one["name"], one["datatype"], one["shape"]) for one in said["inputs"]] == [
            ("INPUT0", "BYTES", [-1]),
            ("INPUT1", "BYTES", [-1]),
        ], said


@check
def no_text(url):
    """bytes that are no text are refused"""
    with http.InferenceServerClient(url) as client:
        inputs = [tensor("INPUT0", [b"\xff\xfe"], True), tensor("INPUT1", ["1"], True)]
        raises(InferenceServerException, "is not UTF-8 text", lambda: client.infer("simple_string", inputs))


if __name__ == "__main__":
    main()
