// Every bound that protects the server from its clients. Numbers are Triton's defaults where it has one.

export interface ServerLimits {
  /** Bytes of one request's body, as sent and as decompressed. Triton: 64 MiB. */
  readonly maxBodyBytes: number;
  /** The same, of all requests under way together. */
  readonly maxBodyBytesAtOnce: number;
  /** How long one body may take to arrive: each that is on its way counts as a request under way. */
  readonly maxBodyMs: number;
  /** Lists and objects in the JSON of one request: each costs some 50 bytes, whatever it holds. */
  readonly maxJsonContainers: number;
  /** Lists inside lists in a tensor's data; also the most axes of a shape. */
  readonly maxAxes: number;
  /** Tensors of one request, given and asked for. */
  readonly maxTensors: number;
  /** Characters of a request's id. */
  readonly maxIdLength: number;
  /** Requests under way at once, over all connections; health is answered beyond. */
  readonly maxRequests: number;
  /** Connections; beyond, those that wait for a next request are closed, once a second. */
  readonly maxConnections: number;
  /** Sequences of one model that have a state. */
  readonly maxSequences: number;
  /** Requests of one sequence that wait for each other. */
  readonly maxSequenceWaiting: number;
  /** A sequence that was not used for so long is forgotten. */
  readonly sequenceIdleMs: number;
  /** Longest wait for one answer, whatever a request asks for. */
  readonly maxTimeoutMs: number;
}

export const defaultServerLimits: ServerLimits = {
  maxBodyBytes: 64 * 2 ** 20,
  maxBodyBytesAtOnce: 2 ** 30,
  maxBodyMs: 300_000,
  maxJsonContainers: 1_000_000,
  maxAxes: 32,
  maxTensors: 1_024,
  maxIdLength: 1_024,
  maxRequests: 2_048,
  maxConnections: 8_192,
  maxSequences: 1_024,
  maxSequenceWaiting: 64,
  sequenceIdleMs: 60_000,
  maxTimeoutMs: 3_600_000,
};
