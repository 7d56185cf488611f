// What a client of a server in a folder of its own connects with.

import type { ConnectOptions } from "../../src/client/mod.ts";

/** The client's certificate and the authority, as the server made them in `certs`. */
export function ownerOptions(folder: string): ConnectOptions {
  const read = (name: string) => Deno.readTextFileSync(`${folder}/certs/${name}`);
  return { ca: read("ca.pem"), cert: read("client.pem"), key: read("client.key") };
}
