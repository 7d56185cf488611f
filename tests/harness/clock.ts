// The fixed beginning of virtual time.

import type { Milliseconds } from "../../src/base/core.ts";

/** When every simulation begins: 2026-01-01T00:00:00Z. */
export const EPOCH_MS: Milliseconds = Date.UTC(2026, 0, 1);
