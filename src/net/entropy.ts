// The randomness that cores are given.

import type { Entropy } from "../base/core.ts";
import { shortBytes } from "../base/short_bytes.ts";

/** Randomness of the system, in memory that {@linkcode shortBytes} share. */
export const systemEntropy: Entropy = (lengthBytes) =>
  crypto.getRandomValues(shortBytes(lengthBytes));
