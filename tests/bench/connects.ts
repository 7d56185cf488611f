// Full connects a second: DTLS handshake and SQP handshake, in memory, with one thread at both ends.

import { figure, measureRate, type Table } from "./measure.ts";
import { MemoryServer } from "./memory_pair.ts";

const ROUND_MS = 2_000;

/** Connects and disconnects one client after the other. */
export async function benchConnects(): Promise<Table> {
  const server = await MemoryServer.make();
  const perSecond = measureRate(() => server.disconnect(server.connect()), ROUND_MS);
  server.close();
  return {
    title:
      "Connects a second: DTLS with P-256 certificates both ways, session, end; both ends on one thread",
    columns: ["", "a second"],
    rows: [["in memory", figure(perSecond)]],
  };
}
