// What a principal may do. Permissions bind in the engine; here they only have names.

/** The permissions, from the least to the most. */
export const PERMISSIONS = ["read", "write", "schema", "subscribe", "admin"] as const;

/** One permission. */
export type Permission = typeof PERMISSIONS[number];

/** Whether a text is a permission's name. */
export function isPermission(name: string): name is Permission {
  return (PERMISSIONS as readonly string[]).includes(name);
}

/** Who a client is, and what it may do. */
export interface Principal {
  readonly name: string;
  readonly permissions: readonly Permission[];
}
