"""The KServe SDK's client of the second protocol: JSON, binary, FP16, strings."""

from pathlib import Path

import numpy as np
from checks import check, main
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

left = np.array([[1, 2, 3], [4, 5, 6]], np.float32)


def client():
    return InferenceRESTClient(RESTConfig(protocol="v2", retries=0, timeout=30))


def tensor(name, values, datatype, binary):
    given = InferInput(name, list(values.shape), datatype)
    given.set_data_from_numpy(values, binary_data=binary)
    return given


def request(model, tensors, binary_out=None, output=None):
    outputs = None
    if output is not None:
        outputs = [RequestedOutput(output, parameters={"binary_data": binary_out})]
    return InferRequest(model_name=model, infer_inputs=tensors, request_outputs=outputs, request_id="k-1")


@check
async def health(url):
    """the server is live and ready, and so is a model"""
    base = f"http://{url}"
    c = client()
    assert await c.is_server_live(base) and await c.is_server_ready(base) and await c.is_model_ready(base, "sum")


@check
async def forms(url):
    """infer in JSON and binary, in every mixture"""
    for binary_in in (False, True):
        for binary_out in (False, True):
            tensors = [tensor("left", left, "FP32", binary_in), tensor("right", left, "FP32", binary_in)]
            answer = await client().infer(
                f"http://{url}", request("sum", tensors, binary_out, "sum"), model_name="sum"
            )
            assert answer.id == "k-1" and answer.model_name == "sum"
            np.testing.assert_array_equal(answer.outputs[0].as_numpy(), left * 2)


@check
async def dictionaries(url):
    """infer with a plain dictionary as body"""
    side = {"shape": [2, 3], "datatype": "FP32", "data": left.flatten().tolist()}
    body = {"inputs": [{"name": "left", **side}, {"name": "right", **side}]}
    answer = await client().infer(f"http://{url}", body, model_name="sum")
    np.testing.assert_array_equal(answer.outputs[0].as_numpy(), left * 2)


@check
async def half(url):
    """FP16 in binary"""
    x = np.array([0.5, 1.5, 65504, 0.0001], np.float16)
    answer = await client().infer(
        f"http://{url}", request("half", [tensor("x", x, "FP16", True)], True, "y"), model_name="half"
    )
    y = answer.outputs[0].as_numpy()
    assert y.dtype == np.float16
    np.testing.assert_array_equal(y, x)


@check
async def strings(url):
    """an encoded picture as BYTES gives its class as a string"""
    png = (Path(__file__).parent.parent.parent / "examples/digits/digit_3.png").read_bytes()
    data = np.array([png], dtype=np.object_)
    for binary_out in (True, False):
        answer = await client().infer(
            f"http://{url}",
            request("digits", [tensor("image", data, "BYTES", True)], binary_out, "classLabel"),
            model_name="digits",
        )
        assert answer.outputs[0].as_numpy()[0] in ("3", b"3"), answer.outputs[0].as_numpy()


@check
async def errors(url):
    """an error carries our text"""
    import httpx

    try:
        await client().infer(f"http://{url}", {"inputs": []}, model_name="nope")
    except httpx.HTTPStatusError as error:
        assert error.response.status_code == 404
        assert "is not found" in error.response.text
        return
    raise AssertionError("did not raise")


if __name__ == "__main__":
    main()
