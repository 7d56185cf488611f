// Full DTLS handshakes a second, in memory, with one thread at both ends.

import { fastestProvider } from "../../src/dtls/crypto/composed.ts";
import { DtlsAssociation, DtlsEndpoint, type EndpointAssociation } from "../../src/dtls/mod.ts";
import { monotonicNow } from "../../src/net/driver.ts";
import { type BenchCredentials, benchCredentials } from "./credentials.ts";
import { figure, measureRate, type Table } from "./measure.ts";

const ROUND_MS = 800;
const ADDRESS = "192.0.2.1:50000";

/** One handshake from the first ClientHello to the end of both ends; key shares are fresh. */
function handshake(endpoint: DtlsEndpoint, credentials: BenchCredentials): void {
  const client = DtlsAssociation.client(credentials.client, monotonicNow());
  let entry: EndpointAssociation | undefined;
  for (let isMoving = true; isMoving;) {
    isMoving = false;
    const now = monotonicNow();
    for (let bytes; (bytes = client.pollTransmit(now)) !== undefined; isMoving = true) {
      entry = endpoint.handleDatagram(bytes, ADDRESS, now) ?? entry;
    }
    for (let answer; (answer = endpoint.pollTransmit()) !== undefined; isMoving = true) {
      client.handleDatagram(answer.bytes, now);
    }
    for (let bytes; (bytes = entry?.association.pollTransmit(now)) !== undefined; isMoving = true) {
      client.handleDatagram(bytes, now);
    }
  }
  if (client.state !== "connected" || entry?.association.state !== "connected") {
    throw new Error("a handshake has failed");
  }
  client.close(monotonicNow());
  entry.association.close(monotonicNow());
  endpoint.remove(entry);
}

/** Measures handshakes with each kind of certificate. */
export async function benchHandshakes(): Promise<Table> {
  const rows: string[][] = [];
  for (const [name, key] of [["P-256", "p256"], ["Ed25519", "ed25519"]] as const) {
    for (const withClient of [false, true]) {
      const credentials = await benchCredentials(key, fastestProvider(), withClient);
      const endpoint = new DtlsEndpoint(credentials.server, monotonicNow());
      const known = measureRate(() => handshake(endpoint, credentials), ROUND_MS);
      const fresh = measureRate(() => {
        credentials.forgetVerified();
        handshake(endpoint, credentials);
      }, ROUND_MS);
      endpoint.destroy();
      const who = withClient ? "server and client certificate" : "server certificate";
      rows.push([`${name}, ${who}`, figure(known), figure(fresh)]);
    }
  }
  return {
    title:
      "DTLS 1.3 handshakes a second, X25519 with fresh shares and cookie, both ends on one thread",
    columns: ["", "chain verified before", "chain seen first"],
    rows,
  };
}
