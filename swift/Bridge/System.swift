// Which macOS this is. `#available` decides; on top of it tests may pretend an older system, so that what happens there
// is tested where every `#available` is true.

/// Version × 10, as 144 for 14.4; 0: no pretence.
let pretendedSystem = Counter()

/// To be written right behind `#available(macOS X, *)`, with the same version.
func isAllowed(_ version: Double) -> Bool {
  let most = pretendedSystem.value
  return most == 0 || UInt64((version * 10).rounded()) <= most
}
