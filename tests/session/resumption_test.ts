// Sessions of SQP over a resumed association: who the client is, and whether it may still come in, are asked again.

import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { nodeProvider } from "../../src/dtls/crypto/node.ts";
import { DtlsFault } from "../../src/dtls/errors.ts";
import type { PeerVerifier } from "../../src/dtls/options.ts";
import { TicketKeys } from "../../src/dtls/ticket_keys.ts";
import { EPOCH_MS } from "../harness/clock.ts";
import { CA_CREDENTIAL, CLIENT_CREDENTIAL, trusting } from "../harness/credentials.ts";
import { Random } from "../harness/random.ts";
import { SqpPair, type SqpPairOptions, tokenClient } from "../harness/sqp_pair.ts";

function pairWithTickets(options: SqpPairOptions = {}): SqpPair {
  const tickets = new TicketKeys(
    { provider: nodeProvider, entropy: new Random(50).entropy() },
    EPOCH_MS,
  );
  const pair = new SqpPair({ ...options, dtls: { tickets, ...options.dtls } });
  pair.runUntil(() => pair.client.stack.resumable !== undefined);
  return pair;
}

/** The principal that the server let a client in as. */
const principalOf = (pair: SqpPair, client: SqpPair["client"]) =>
  pair.serverSide(client)?.stack.session?.principal?.name;

Deno.test("a client comes back with its session: resumed, let in as the same principal", () => {
  const pair = pairWithTickets();
  const session = pair.client.stack.resumable!;
  const again = pair.addClient({ dtls: { session } });
  pair.runUntil(() => again.readyAt !== undefined);
  assert(again.stack.association.isResumed);
  assertEquals(principalOf(pair, again), principalOf(pair, pair.client));
  assertEquals(
    pair.serverSide(again)!.stack.association.peerChain,
    [CLIENT_CREDENTIAL.certificate],
  );
  pair.runUntil(() => again.stack.resumable !== undefined);
  assertNotEquals(again.stack.resumable!.ticket, session.ticket);
});

Deno.test("a client whose certificate was revoked since does not come back", () => {
  let isRevoked = false;
  const trusted = trusting(CA_CREDENTIAL);
  const verifyPeer: PeerVerifier = (chain, now) => {
    if (isRevoked) throw new DtlsFault("certificate-revoked", "the certificate is revoked");
    return trusted(chain, now);
  };
  const pair = pairWithTickets({ dtls: { verifyPeer } });
  isRevoked = true;
  const again = pair.addClient({ dtls: { session: pair.client.stack.resumable! } });
  pair.runUntil(() => again.events.some(({ kind }) => kind === "ended"));
  assertEquals(again.readyAt, undefined);
  assertEquals(principalOf(pair, again), undefined);
});

Deno.test("a token is presented again on a resumed association", () => {
  const pair = pairWithTickets({ clients: [tokenClient("good:alice")] });
  const session = pair.client.stack.resumable!;
  const good = pair.addClient(tokenClient("good:bob", { dtls: { credentials: [], session } }));
  const bad = pair.addClient(
    tokenClient("bad:token_expired", { dtls: { credentials: [], session } }),
  );
  pair.runUntil(() => good.readyAt !== undefined && bad.events.length > 0);
  assert(good.stack.association.isResumed && bad.stack.association.isResumed);
  assertEquals(principalOf(pair, good), "bob", "by its own token, not by the one of before");
  assertEquals(bad.readyAt, undefined);
});

Deno.test("a session that spoils the handshake is left out of the next try", () => {
  const pair = pairWithTickets();
  const session = { ...pair.client.stack.resumable!, secret: new Uint8Array(32) };
  const again = pair.addClient({ dtls: { session } });
  pair.runUntil(() => again.readyAt !== undefined);
  assert(!again.stack.association.isResumed);
  assert(again.stack.associationAttempts > 1);
});
