"""MLServer's runtime for one ONNX graph: the digits network as `coremlx export` writes it, in Python's ONNX Runtime."""

import os

import numpy
import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class OnnxDigits(MLModel):
    async def load(self) -> bool:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["DIGITS_ONNX"], options)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        image = NumpyCodec.decode_input(payload.inputs[0])
        planes = image.astype(numpy.float32).reshape(1, 1, 28, 28)
        (probabilities,) = self.session.run(None, {"image": planes})
        outputs = [NumpyCodec.encode_output("probabilities", probabilities)]
        return InferenceResponse(model_name=self.name, model_version="1", outputs=outputs)
