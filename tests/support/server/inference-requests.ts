// Whole inference requests as bytes, for clients that are sockets.

/** JSON. */
export function jsonRequest(model: string, body: unknown): Uint8Array {
  const text = new TextEncoder().encode(JSON.stringify(body));
  return withHead(model, ["Content-Type: application/json"], text);
}

/** One tensor in binary, answered in binary. */
export function binaryRequest(
  model: string,
  input: { readonly name: string; readonly datatype: string; readonly shape: readonly number[] },
  bytes: Uint8Array,
): Uint8Array {
  const inputs = [{ ...input, parameters: { binary_data_size: bytes.length } }];
  const json = JSON.stringify({ parameters: { binary_data_output: true }, inputs });
  const body = Buffer.concat([Buffer.from(json), bytes]);
  return withHead(model, [`Inference-Header-Content-Length: ${Buffer.byteLength(json)}`], body);
}

function withHead(model: string, headers: readonly string[], body: Uint8Array): Uint8Array {
  const lines = [`POST /v2/models/${model}/infer HTTP/1.1`, "Host: localhost", ...headers];
  const head = [...lines, `Content-Length: ${body.length}`, "", ""].join("\r\n");
  return new Uint8Array(Buffer.concat([Buffer.from(head), body]));
}
