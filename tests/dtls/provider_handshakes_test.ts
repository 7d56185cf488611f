// Whole handshakes, and data under their keys, with each crypto provider at each end.

import { assertEquals } from "@std/assert";
import type { CryptoProvider } from "../../src/dtls/crypto/provider.ts";
import { CipherSuite, encodeSession, NamedGroup } from "../../src/dtls/mod.ts";
import {
  CLIENT_CREDENTIAL,
  P256_CLIENT_CREDENTIAL,
  P256_SERVER_CREDENTIAL,
  SERVER_CREDENTIAL,
  type TestCredential,
} from "../harness/credentials.ts";
import { DtlsPair } from "../harness/dtls_pair.ts";
import { firstAssociation, ticketKeys } from "../harness/resumption.ts";
import { PROVIDERS, testEach } from "./crypto/providers.ts";

/** A credential whose key another provider than the usual one holds. */
const loaded = (provider: CryptoProvider, { certificate, pkcs8 }: TestCredential) => ({
  chain: [certificate],
  key: provider.signingKey(pkcs8),
});

const SHAPES = [
  [CipherSuite.TLS_AES_128_GCM_SHA256, NamedGroup.X25519],
  [CipherSuite.TLS_AES_256_GCM_SHA384, NamedGroup.SECP256R1],
  [CipherSuite.TLS_CHACHA20_POLY1305_SHA256, NamedGroup.SECP384R1],
] as const;

testEach(
  "handshakes and data with every suite, group and kind of key, against each provider",
  (client) => {
    for (const server of PROVIDERS) {
      for (const [index, [suite, group]] of SHAPES.entries()) {
        const isP256 = index % 2 === 0;
        const pair = new DtlsPair({
          client: {
            provider: client,
            cipherSuites: [suite],
            groups: [group],
            credentials: [loaded(client, isP256 ? P256_CLIENT_CREDENTIAL : CLIENT_CREDENTIAL)],
          },
          server: {
            provider: server,
            clientCertificate: "required",
            credentials: [loaded(server, isP256 ? P256_SERVER_CREDENTIAL : SERVER_CREDENTIAL)],
          },
        }).handshake();
        const what = `${server.name} ${suite} ${group}`;
        assertEquals([pair.client.cipherSuite, pair.client.group], [suite, group], what);
        for (let i = 0; i < 3; i++) {
          pair.send("client", new Uint8Array(1_000).fill(i));
          pair.send("server", new Uint8Array([i]));
        }
        pair.settle();
        assertEquals(pair.received("server"), [0, 1, 2].map((i) => new Uint8Array(1_000).fill(i)));
        assertEquals(pair.received("client"), [0, 1, 2].map((i) => new Uint8Array([i])));
      }
    }
  },
);

testEach("what a caller is given has memory of its own, in each version", (provider) => {
  for (const version of ["1.3", "1.2"] as const) {
    const end = { provider, versions: [version] };
    const { first, session } = firstAssociation({
      client: end,
      server: { ...end, tickets: ticketKeys() },
    });
    const given = [
      session.secret,
      session.ticket,
      encodeSession(session),
      first.client.exportKeyingMaterial("EXPORTER-test", new Uint8Array([1]), 32),
      first.client.exportKeyingMaterial("EXPORTER-test", new Uint8Array([1]), 20),
    ];
    for (const { buffer, length } of given) assertEquals(buffer.byteLength, length, version);
  }
});
