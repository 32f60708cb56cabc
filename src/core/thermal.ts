// How hot the machine is, as Apple's systems put it.

export type ThermalState = "nominal" | "fair" | "serious" | "critical";

/** Where that is read: on a Mac by its engine, elsewhere by whoever knows. */
export interface ThermalSource {
  /** `undefined` where it is not known. Must not wait. */
  read(): ThermalState | undefined;
}
