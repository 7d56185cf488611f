// Registers tests that need a permission: without it they are ignored by name, and plain `deno test` passes.

/** What a test needs before it can run. */
export interface TestNeeds {
  /** Every one of them must be granted, for example `{ name: "net", host: "127.0.0.1" }`. */
  readonly permissions: readonly Deno.PermissionDescriptor[];
  /** Anything else that is missing on this machine; asked only where the permissions are granted. */
  readonly unless?: () => boolean;
}

/** Whether every one of these permissions is granted; one that would ask first counts as missing. */
export function granted(...permissions: readonly Deno.PermissionDescriptor[]): boolean {
  return permissions.every((one) => Deno.permissions.querySync(one).state === "granted");
}

/** Registers a test that is ignored, by name, where something it needs is missing. */
export function testWith(
  needs: TestNeeds,
  name: string,
  fn: (context: Deno.TestContext) => void | Promise<void>,
): void {
  const ignore = !granted(...needs.permissions) || (needs.unless?.() ?? false);
  Deno.test({ name, ignore, fn });
}
