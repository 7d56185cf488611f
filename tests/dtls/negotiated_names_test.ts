// Names that a hello brings: protocols that a function chooses, and the credential that a client must present.

import { assertEquals } from "@std/assert";
import { CLIENT_CREDENTIAL, credential } from "../harness/credentials.ts";
import { DtlsPair, type PairOptions } from "../harness/dtls_pair.ts";

/** What each end says of a handshake that ends in one way or the other. */
function outcome(options: PairOptions) {
  const pair = new DtlsPair(options);
  pair.settle();
  const [event] = pair.clientEvents;
  return { pair, client: event?.kind === "failed" ? event.error.message : event?.kind };
}

Deno.test("a server's function chooses among the protocols that the client offers", () => {
  const offers: (readonly string[])[] = [];
  const chooseProtocol = (offered: readonly string[]) => {
    offers.push(offered);
    return offered.find((name) => name.startsWith("b"));
  };
  const { pair, client } = outcome({
    client: { alpn: ["a", "bar", "baz"] },
    server: { chooseProtocol, alpn: [] },
  });
  assertEquals(client, "connected");
  assertEquals(pair.client.alpn, "bar");
  assertEquals(offers.at(-1), ["a", "bar", "baz"]);
  const refused = outcome({ client: { alpn: ["a"] }, server: { chooseProtocol, alpn: [] } });
  assertEquals(refused.client, "the peer sent the alert no_application_protocol");
});

Deno.test("a protocol that was not offered is accepted where the client says so, and only there", () => {
  const server = { chooseProtocol: () => "other", alpn: [] };
  const refused = outcome({ client: { alpn: ["a"] }, server });
  assertEquals(refused.client, "the server chose a protocol that was not offered");
  const accepted = outcome({ client: { alpn: ["a"], isAnyProtocolAccepted: true }, server });
  assertEquals([accepted.client, accepted.pair.client.alpn], ["connected", "other"]);
});

Deno.test("a client that must present a credential fails where the server can verify none of its own", () => {
  const server = {
    clientCertificate: "optional",
    certificateAuthorities: [],
  } as const;
  const credentials = [{ ...credential(CLIENT_CREDENTIAL), isIssuerRequired: true }];
  const without = outcome({ client: { credentials }, server });
  assertEquals(without.client, "connected");
  assertEquals(without.pair.client.credential, undefined);
  const must = outcome({ client: { credentials, isCredentialRequired: true }, server });
  assertEquals(must.client, "no credential that the server can verify");
});
