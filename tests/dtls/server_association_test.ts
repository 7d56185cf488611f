// A server's association without an endpoint: it waits for the ClientHello itself.

import { assertEquals } from "@std/assert";
import { DtlsAssociation, type DtlsEvent, NamedGroup } from "../../src/dtls/mod.ts";
import { EPOCH_MS } from "../harness/clock.ts";
import { CLIENT_DEFAULTS, closeAfterTest, SERVER_DEFAULTS } from "../harness/dtls_pair.ts";
import { delay, Link } from "../harness/link.ts";
import { Random } from "../harness/random.ts";
import { Simulation } from "../harness/simulation.ts";

/** Connects a client that has a share for P-256 only with a server of some groups. */
function connect(groups: readonly NamedGroup[]) {
  const random = new Random(1);
  const client = closeAfterTest(DtlsAssociation.client({
    ...CLIENT_DEFAULTS,
    entropy: random.fork().entropy(),
    keyShareGroups: [NamedGroup.SECP256R1],
  }, EPOCH_MS));
  const server = closeAfterTest(DtlsAssociation.server(
    { ...SERVER_DEFAULTS, groups, entropy: random.fork().entropy() },
    undefined,
    EPOCH_MS,
  ));
  let datagrams = 0;
  const seen: DtlsEvent[] = [];
  const link = () =>
    new Link(random.fork(), [(passage) => {
      datagrams++;
      return [passage];
    }, delay(10)]);
  const simulation = new Simulation<DtlsEvent>(
    { core: client, onEvent: (event) => seen.push(event) },
    { core: server, onEvent: (event) => seen.push(event) },
    { aToB: link(), bToA: link() },
  );
  simulation.runUntil(() => seen.length === 2, { durationMs: 60_000 });
  return { client, server, datagrams, seen };
}

Deno.test("a server's association takes a ClientHello without an endpoint", () => {
  const { client, server, datagrams, seen } = connect([NamedGroup.SECP256R1]);
  assertEquals(seen, [{ kind: "connected" }, { kind: "connected" }]);
  assertEquals([client.group, server.group], [NamedGroup.SECP256R1, NamedGroup.SECP256R1]);
  assertEquals(datagrams, 4);
});

Deno.test("it asks for a share of its own group, and goes on without a cookie", () => {
  const { client, server, datagrams, seen } = connect([NamedGroup.X25519]);
  assertEquals(seen, [{ kind: "connected" }, { kind: "connected" }]);
  assertEquals([client.group, server.group], [NamedGroup.X25519, NamedGroup.X25519]);
  assertEquals(datagrams, 6);
});
