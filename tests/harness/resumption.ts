// A first association whose session later ones offer.

import { assert } from "@std/assert";
import { nodeProvider } from "../../src/dtls/crypto/node.ts";
import { type DtlsSession, TicketKeys } from "../../src/dtls/mod.ts";
import { EPOCH_MS } from "./clock.ts";
import { DtlsPair, type PairOptions } from "./dtls_pair.ts";
import { Random } from "./random.ts";

/** Keys of tickets that begin with the simulation. */
export function ticketKeys(seed = 50): TicketKeys {
  return new TicketKeys({ provider: nodeProvider, entropy: new Random(seed).entropy() }, EPOCH_MS);
}

/** The sessions that a client was given. */
export function sessionsOf(pair: DtlsPair): DtlsSession[] {
  return pair.clientEvents.flatMap((event) => event.kind === "session" ? [event.session] : []);
}

/** Options of both ends. */
export type Ends = Pick<PairOptions, "client" | "server">;

/** An association whose server gives tickets: it is connected, and has given the session. */
export function firstAssociation(options: Ends): { first: DtlsPair; session: DtlsSession } {
  const first = new DtlsPair({ seed: 1, ...options }).handshake();
  first.simulation.advance(100);
  const [session] = sessionsOf(first);
  assert(session !== undefined, "a session was given");
  return { first, session };
}
