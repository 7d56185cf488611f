// What an association that does nothing takes: a server has as many of them as clients.

import { assert } from "@std/assert";
import { type Kept, measureApart } from "../bench/memory_associations.ts";

/** Bytes of V8's heap and of buffers beside it. They are 10,000 or so. */
const IDLE_BYTES_MAX = 12_000;

for (const kept of ["server", "client"] satisfies Kept[]) {
  Deno.test(`an idle association of a ${kept} keeps nothing of its handshake`, async () => {
    const { heapBytes, externalBytes } = await measureApart(kept, "ed25519");
    assert(heapBytes + externalBytes < IDLE_BYTES_MAX, `${heapBytes} and ${externalBytes} bytes`);
  });
}
