// An engine process's way to its server.

/** Writes to the server, and blocks while it does not read. Throws where it is gone. */
export function writeToServer(bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) at += Deno.stdout.writeSync(bytes.subarray(at));
}
