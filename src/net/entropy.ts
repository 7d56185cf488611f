// The randomness that cores are given.

import type { Entropy } from "../base/core.ts";

/** Randomness of the system. */
export const systemEntropy: Entropy = (lengthBytes) =>
  crypto.getRandomValues(new Uint8Array(lengthBytes));
