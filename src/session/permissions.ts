// What a principal may do, and for how long. Permissions bind in the engine; here they only have names.

import type { Milliseconds } from "../base/core.ts";
import { LIMITS } from "../wire/limits.ts";
import { utf8LengthBytes } from "../wire/text_length.ts";

/** The permissions, from the least to the most. */
export const PERMISSIONS = ["read", "write", "schema", "subscribe", "admin"] as const;

/** One permission. */
export type Permission = typeof PERMISSIONS[number];

/** Whether a text is a permission's name. */
export function isPermission(name: string): name is Permission {
  return (PERMISSIONS as readonly string[]).includes(name);
}

/** Who a client is, what it may do, and until when. */
export interface Principal {
  readonly name: string;
  readonly permissions: readonly Permission[];
  /** When the credential ends, and the session with it; the session outlives one that does not say. */
  readonly expiresAt?: Milliseconds;
}

/** Whether a principal can have this name: not an empty one, nor one that HandshakeResponse cannot carry. */
export function isPrincipalName(name: string): boolean {
  return name !== "" && name.isWellFormed() && utf8LengthBytes(name) <= LIMITS.principalBytesMax;
}
