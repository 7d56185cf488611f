// Names of code points. A registry is an `as const` object in the standard's order; unknown values stay numbers.

/** The values of a registry: `type Alert = CodePoint<typeof Alert>`. */
export type CodePoint<Registry extends Readonly<Record<string, number>>> = Registry[keyof Registry];

/** The name that a registry gives a value, or the value in hexadecimal where it has none. */
export function codePointName(registry: Readonly<Record<string, number>>, value: number): string {
  for (const name in registry) if (registry[name] === value) return name;
  return `0x${value.toString(16).padStart(4, "0")}`;
}

/** Whether a registry has a value. */
export function isCodePoint<Registry extends Readonly<Record<string, number>>>(
  registry: Registry,
  value: number,
): value is CodePoint<Registry> {
  for (const name in registry) if (registry[name] === value) return true;
  return false;
}
